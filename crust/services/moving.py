"""Channels and teams on the move: to other teams and other organisations. A move is one change, however many have to part by it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from crust.errors import Conflict, Invalid
from crust.events import objects
from crust.log import Change, Log
from crust.models.database import Database, Row
from crust.services.actor import Actor
from crust.services.channels import Channels
from crust.services.links import Links
from crust.services.members import Members
from crust.services.rights import ADMIN, FULL, may_change_team, may_in_organisation
from crust.services.standing import record_channel
from crust.services.teams import Teams
from crust.services.ties import Ties, team_ids
from crust.services.views import MovedChannel, MovedTeam, ViewedChannel


class Moving:
    """See the module."""

    def __init__(self, database: Database, log: Log, members: Members, ties: Ties, channels: Channels, teams: Teams, links: Links) -> None:
        self._database, self._log, self._members, self._ties, self._links = database, log, members, ties, links
        self._channels, self._teams = channels, teams

    # ---- channels

    async def move(self, actor: Actor, channel_id: int, *, team_id: int | None, organisation_id: int | None) -> MovedChannel:
        """Give a channel to a team, and to it alone, or to another organisation; members who are not in that have to part.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may`; and where the team or organisation is not one that the caller may give it to.
            Invalid: neither is given, or the team is of another organisation than the one that is.
        """
        if team_id is None and organisation_id is None:
            raise Invalid("team_id or organisation_id is required.", field="team_id")
        async with self._log.change() as change:
            row = await self._channels.standing_row(actor, channel_id, "move")
            target, teams = await self._target(actor, row, team_id, organisation_id)
            if target != row["organisation_id"]:
                may_in_organisation("make channels", await self._members.membership(actor.user_id, target))
            left = await self._move(change, row, target, teams, actor.user_id)
        channel = await self._channels.read(actor, row["id"])
        return MovedChannel(**msgspec.structs.asdict(channel), left=[str(user_id) for user_id in left])

    async def _target(self, actor: Actor, row: Row, team_id: int | None, organisation_id: int | None) -> tuple[int, list[int]]:
        """Where a channel goes, and which teams it has there."""
        if team_id is None:
            assert organisation_id is not None
            return organisation_id, team_ids(row) if organisation_id == row["organisation_id"] else []
        target = int((await self._ties.giving(actor, team_id))["organisation_id"])
        if organisation_id not in (None, target):
            raise Invalid("The team is not in this organisation.", field="team_id")
        return target, [team_id]

    async def _move(self, change: Change, row: Row, target: int, teams: Sequence[int], by: int) -> list[int]:
        """Do it; gives who had to part."""
        left: list[int] = []
        changed = ["team_ids"] if list(teams) != team_ids(row) else []
        if target != row["organisation_id"]:
            changed.append("organisation_id")
            await self._links.end_all(change, row["id"], by, "The channel was moved to another organisation.")
            left = await self._members.outside(row["id"], target)
            await self._members.part_all(change, row, left, by)
            await self._database.execute("UPDATE channel SET organisation_id = $1 WHERE id = $2", target, row["id"])
        if changed:
            await self._ties.set_teams(change, row["id"], teams)
            await record_channel(self._database, change, row["id"], "moved", changed)
        return left

    async def share(self, actor: Actor, channel_id: int, team_id: int) -> ViewedChannel:
        """Let a team's channel belong to a further team of its organisation; again is no error.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may`, and where the caller may not give the team channels.
            Invalid: the team is of another organisation.
            Conflict: the channel belongs to no team, so that the whole organisation sees it.
        """
        async with self._log.change() as change:
            row = await self._channels.standing_row(actor, channel_id, "share")
            team = await self._ties.giving(actor, team_id)
            if team["organisation_id"] != row["organisation_id"]:
                raise Invalid("The team is in another organisation than the channel.", field="team_id")
            teams = team_ids(row)
            if not teams:
                raise Conflict("The channel belongs to no team: move it to one first, and others lose sight of it.", field="id")
            if team_id not in teams:
                await self._ties.set_teams(change, row["id"], [*teams, team_id])
                await record_channel(self._database, change, row["id"], "shared", ["team_ids"])
        return await self._channels.read(actor, row["id"])

    async def unshare(self, actor: Actor, channel_id: int, team_id: int) -> ViewedChannel:
        """Let a channel not belong to a team any more; without its last one it belongs to the whole organisation. Again is no error.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may`.
            Conflict: it is the last one, and the caller is no admin of the organisation, which would see what the team's channel holds.
        """
        async with self._log.change() as change:
            row = await self._channels.standing_row(actor, channel_id, "share")
            if team_id in (teams := team_ids(row)):
                if teams == [team_id] and row["type"] == "public" and row["organisation_role"] not in ADMIN:
                    raise Conflict("Without a team it would be open to all: an admin of the organisation may do so.", field="team_id")
                await self._ties.set_teams(change, row["id"], [each for each in teams if each != team_id])
                await record_channel(self._database, change, row["id"], "unshared", ["team_ids"])
        return await self._channels.read(actor, row["id"])

    # ---- teams

    async def move_team(self, actor: Actor, team_id: int, organisation_id: int) -> MovedTeam:
        """Take a team to another organisation, its channels along; who is not in that has to leave the team and its channels.

        Where it was, it is told as removed: nobody there learns where it went.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may_change_team`, and for the other organisation too.
            Conflict: one of its channels is shared with a team that stays.
        """
        async with self._log.change() as change:
            team = await self._ties.team(actor, team_id)
            may_change_team(team.membership, archived=team.row["archived_at"] is not None)
            may_in_organisation("teams", await self._members.membership(actor.user_id, organisation_id))
            left: list[int] = []
            if organisation_id != team.row["organisation_id"]:
                left = await self._move_team(change, team_id, organisation_id, actor.user_id)
        moved = await self._teams.viewed(actor, team_id)
        return MovedTeam(**msgspec.structs.asdict(moved), left=[str(user_id) for user_id in left])

    async def _move_team(self, change: Change, team_id: int, target: int, by: int) -> list[int]:
        channels = await self._ties.channels(team_id)
        for row in channels:
            if team_ids(row) != [team_id]:
                raise Conflict(f"The channel {row['id']} is shared with a team that stays: unshare it first.", field="id")
        before = await self._ties.shown(team_id)
        left = await self._move_members(change, team_id, target)
        self._ties.tell(change, before, "removed", objects.Removed(id=str(team_id), by=str(by)))
        sql = "UPDATE team SET organisation_id = $1, updated_at = $2 WHERE id = $3"
        await self._database.execute(sql, target, change.now, team_id)
        await self._ties.record(change, team_id, "moved", ["organisation_id", *(["members"] if left else [])])
        for row in channels:
            left |= set(await self._move(change, row, target, [team_id], by))
        return sorted(left)

    async def _move_members(self, change: Change, team_id: int, target: int) -> set[int]:
        """Keep those who are in the other organisation, and no guests there; gives the others."""
        members = (await self._ties.members([team_id]))[team_id]
        roles = await self._members.roles(target, members)
        staying = [user_id for user_id in members if roles.get(user_id) in FULL]
        await self._ties.set_members(change, team_id, staying)
        return set(members) - set(staying)
