"""What teams consist of, members and channels: the low-level half, used inside a change, after the rights were checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct

from crust.errors import NotFound
from crust.events import objects
from crust.log import Change, NewEvent
from crust.models.database import Database, Row, inserting
from crust.services import views
from crust.services.actor import Actor
from crust.services.members import Members
from crust.services.rights import Membership, may_use_team, sees_teams

MEMBER_COLUMNS = {"id": "bigint", "team_id": "bigint", "user_id": "bigint"}
CHANNEL_COLUMNS = {"id": "bigint", "channel_id": "bigint", "team_id": "bigint"}


class SeenTeam(NamedTuple):
    """A team's row, and how the one who sees it stands to its organisation."""

    row: Row
    membership: Membership


class Ties:
    """See the module."""

    def __init__(self, database: Database, members: Members) -> None:
        self._database, self._members = database, members

    # ---- teams

    async def team(self, actor: Actor, team_id: int, field: str = "team_id") -> SeenTeam:
        """A team that the caller sees.

        Raises:
            NotFound: it is not there, or they are not in its organisation, or a guest.
        """
        rows = await self._database.fetch(f"SELECT {views.TEAM_COLUMNS} FROM team t WHERE t.id = $1 AND t.removed_at IS NULL", team_id)
        membership = await self._members.membership(actor.user_id, rows[0]["organisation_id"]) if rows else Membership(None)
        if not sees_teams(membership):
            raise NotFound("There is no such team.", field=field)
        return SeenTeam(rows[0], membership)

    async def giving(self, actor: Actor, team_id: int) -> Row:
        """A team that the caller may give a channel to.

        Raises:
            NotFound, Forbidden, Gone: they do not see it, are not in it, or it is archived.
        """
        team = await self.team(actor, team_id)
        member = actor.user_id in (await self.members([team_id]))[team_id]
        may_use_team(team.membership, member=member, archived=team.row["archived_at"] is not None)
        return team.row

    async def record(self, change: Change, team_id: int, event: str, changed: Sequence[str]) -> None:
        """Tell the organisation how a team is now, and what of it is new."""
        now = await self.shown(team_id)
        self.tell(change, now, event, objects.TeamEdited(**msgspec.structs.asdict(now), changed=list(changed)))

    def tell(self, change: Change, team: objects.TeamHead, event: str, body: Struct) -> None:
        """Put a team's event into the log."""
        change.record(NewEvent(type="team", event=event, body=body, organisation=int(team.organisation_id), object=int(team.id)))

    async def shown(self, team_id: int) -> objects.Team:
        """A team as all who see it may know it."""
        (row,) = await self._database.fetch(f"SELECT {views.TEAM_COLUMNS} FROM team t WHERE t.id = $1", team_id)
        members = (await self.members([team_id]))[team_id]
        return objects.Team(**msgspec.structs.asdict(views.team_head(row)), members=[str(user_id) for user_id in members])

    # ---- their members

    async def members(self, team_ids: Sequence[int]) -> dict[int, list[int]]:
        """Who is in each of these teams, by user id."""
        d = self._database
        sql = f"SELECT team_id, user_id FROM team_member WHERE team_id IN {d.any_of(1)} ORDER BY user_id"
        found: dict[int, list[int]] = {team_id: [] for team_id in team_ids}
        for row in await d.fetch(sql, d.as_list(list(team_ids))):
            found[row["team_id"]].append(row["user_id"])
        return found

    async def set_members(self, change: Change, team_id: int, user_ids: Iterable[int]) -> None:
        """Let these be in a team, and nobody else."""
        await self._database.execute("DELETE FROM team_member WHERE team_id = $1", team_id)
        rows = [(change.next_id(), team_id, user_id) for user_id in sorted(set(user_ids))]
        await self._database.run([inserting("team_member", MEMBER_COLUMNS, rows)])

    async def drop(self, change: Change, organisation_id: int, user_id: int) -> None:
        """Take somebody out of all teams of an organisation."""
        sql = (
            "SELECT t.id FROM team t JOIN team_member m ON m.team_id = t.id "
            "WHERE t.organisation_id = $1 AND m.user_id = $2 AND t.removed_at IS NULL ORDER BY t.id"
        )
        for row in await self._database.fetch(sql, organisation_id, user_id):
            await self._database.execute("DELETE FROM team_member WHERE team_id = $1 AND user_id = $2", row["id"], user_id)
            await self.touch(change, row["id"])
            await self.record(change, row["id"], "edited", ["members"])

    async def touch(self, change: Change, team_id: int) -> None:
        """Note that a team has changed."""
        await self._database.execute("UPDATE team SET updated_at = $1 WHERE id = $2", change.now, team_id)

    # ---- their channels

    async def channels(self, team_id: int) -> Sequence[Row]:
        """The channels of a team, archived ones too."""
        sql = (
            f"SELECT {views.CHANNEL_COLUMNS} FROM channel c JOIN team_channel tc ON tc.channel_id = c.id "
            "WHERE tc.team_id = $1 AND c.removed_at IS NULL ORDER BY c.id"
        )
        return await self._database.fetch(sql, team_id)

    async def set_teams(self, change: Change, channel_id: int, team_ids: Iterable[int]) -> None:
        """Let a channel belong to these teams, and to none else."""
        await self._database.execute("DELETE FROM team_channel WHERE channel_id = $1", channel_id)
        ids = sorted(set(team_ids))
        rows = [(change.next_id(), channel_id, team_id) for team_id in ids]
        await self._database.run([inserting("team_channel", CHANNEL_COLUMNS, rows)])
        sql = "UPDATE channel SET team_ids = $1, updated_at = $2 WHERE id = $3"
        await self._database.execute(sql, " ".join(map(str, ids)), change.now, channel_id)


def team_ids(channel: Row) -> list[int]:
    """The teams of a channel."""
    return [int(text) for text in channel["team_ids"].split()]
