"""Teams: groups of people within an organisation, with channels that are public to them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from crust.errors import Conflict, Invalid
from crust.events import objects
from crust.log import Change, Log
from crust.models.database import Database
from crust.models.tables import Team, User
from crust.services import keys, names, views
from crust.services.accounts import like
from crust.services.actor import Actor
from crust.services.keys import Key
from crust.services.members import Members
from crust.services.paging import Part
from crust.services.presence import PresenceService
from crust.services.rights import FULL, may_change_team, may_in_organisation
from crust.services.standing import SEEN, record_channel
from crust.services.ties import SeenTeam, Ties, team_ids
from crust.services.views import TeamPage, ViewedTeam

FOUND = f"""
SELECT {views.TEAM_COLUMNS} FROM team t JOIN organisation_member o ON o.organisation_id = t.organisation_id AND o.user_id = $1
WHERE t.removed_at IS NULL AND o.role <> 'guest'
AND (t.name_key LIKE $2 ESCAPE '!' OR t.name_key LIKE $3 ESCAPE '!') AND (t.archived_at IS NULL OR $4)
AND (CAST($5 AS bigint) = 0 OR t.organisation_id = $5)
"""
USERS = f'SELECT {views.USER_COLUMNS}, {views.PRESENCE_COLUMNS} FROM "user" u JOIN team_member m ON m.user_id = u.id'


class Teams:
    """See the module."""

    def __init__(self, database: Database, log: Log, members: Members, ties: Ties, presence: PresenceService) -> None:
        self._database, self._log, self._members, self._ties, self._presence = database, log, members, ties, presence

    # ---- reading

    async def read(self, actor: Actor, team_id: int) -> TeamPage:
        """A team of an organisation that the caller is in, with its members.

        Raises:
            NotFound: it is not there, or not theirs to see.
        """
        row, _ = await self._ties.team(actor, team_id)
        users = await self._database.fetch(f"{USERS} WHERE m.team_id = $1 ORDER BY u.id", team_id)
        return TeamPage(
            **msgspec.structs.asdict(views.team_head(row)),
            members=[views.viewed_user(user, self._presence.of(user)) for user in users],
            channels=(await self._channels(actor, [team_id]))[team_id],
        )

    async def viewed(self, actor: Actor, team_id: int) -> ViewedTeam:
        """A team as one who may see it does."""
        channels = (await self._channels(actor, [team_id]))[team_id]
        return ViewedTeam(**msgspec.structs.asdict(await self._ties.shown(team_id)), channels=channels)

    async def _channels(self, actor: Actor, teams: Sequence[int]) -> dict[int, list[str]]:
        """Of each of these teams, the channels that somebody sees."""
        d = self._database
        sql = (
            f"SELECT tie.team_id, tie.channel_id AS id FROM team_channel tie WHERE tie.team_id IN {d.any_of(2)} "
            f"AND EXISTS (SELECT 1 {SEEN} AND c.id = tie.channel_id) ORDER BY tie.channel_id"
        )
        found: dict[int, list[str]] = {team_id: [] for team_id in teams}
        for row in await d.fetch(sql, actor.user_id, d.as_list(list(teams))):
            found[row["team_id"]].append(str(row["id"]))
        return found

    async def search(self, actor: Actor, query: str, *, organisation_id: int | None, archived: bool, part: Part) -> list[ViewedTeam]:
        """Teams of the caller's organisations whose name, or one of its words, begins with `query`; by id."""
        start = like(names.fold(query.strip())) + "%"
        sql = f"{FOUND} AND {part.cut('t.id', 6)}"
        rows = await self._database.fetch(sql, actor.user_id, start, "% " + start, archived, organisation_id or 0, *part.values)
        ids = [row["id"] for row in rows]
        members, channels = await self._ties.members(ids), await self._channels(actor, ids)
        return [
            ViewedTeam(
                **msgspec.structs.asdict(views.team_head(row)),
                members=[str(user_id) for user_id in members[row["id"]]],
                channels=channels[row["id"]],
            )
            for row in rows
        ]

    # ---- making and changing

    async def create(self, actor: Actor, name: str, members: Sequence[int], organisation_id: int | None, key: Key | None) -> ViewedTeam:
        """Make a team, in the caller's home organisation if none is named.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may_in_organisation`.
            Invalid: the name is not as it must be; a member is not in the organisation, or a guest.
            IdempotencyMismatch: the key was used for another request.
        """
        name = names.display(name)
        async with self._log.change() as change:
            repeated = await keys.result(self._database, key)
            team_id = repeated or await self._create(change, actor, name, members, organisation_id)
            if repeated is None:
                keys.keep(change, key, team_id)
        if repeated is None:
            return await self.viewed(actor, team_id)
        await self._ties.team(actor, team_id)
        return msgspec.structs.replace(await self.viewed(actor, team_id), duplicate=True)

    async def _create(self, change: Change, actor: Actor, name: str, members: Sequence[int], organisation_id: int | None) -> int:
        organisation = organisation_id or int((await User.get(id=actor.user_id)).organisation_id)
        may_in_organisation("teams", await self._members.membership(actor.user_id, organisation))
        await self._check_members(organisation, members)
        made = await Team.create(
            id=change.next_id(), organisation_id=organisation, name=name, name_key=names.fold(name), created_at=change.now,
            updated_at=change.now,
        )  # fmt: skip
        await self._ties.set_members(change, made.id, members)
        now = await self._ties.shown(made.id)
        self._ties.tell(change, now, "created", now)
        return int(made.id)

    async def _check_members(self, organisation_id: int, members: Sequence[int]) -> None:
        roles = await self._members.roles(organisation_id, members)
        for user_id in members:
            if roles.get(user_id) not in FULL:
                raise Invalid(f"members names {user_id}, who is not in the organisation, or is a guest there.", field="members")

    async def _changing(self, actor: Actor, team_id: int, *, lasts: bool = False, field: str = "team_id") -> SeenTeam:
        team = await self._ties.team(actor, team_id, field)
        may_change_team(team.membership, archived=team.row["archived_at"] is not None, lasts=lasts)
        return team

    async def change(self, actor: Actor, team_id: int, name: str, members: Sequence[int] | None) -> ViewedTeam:
        """Give a team another name and, if given, other members.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may_change_team`.
            Invalid: as in `create`.
        """
        name = names.display(name)
        async with self._log.change() as change:
            row, _ = await self._changing(actor, team_id)
            before = (await self._ties.members([team_id]))[team_id]
            if members is not None and sorted(set(members)) != before:
                await self._check_members(row["organisation_id"], members)
                await self._ties.set_members(change, team_id, members)
            after = (await self._ties.members([team_id]))[team_id]
            changed = [field for field, differs in (("name", name != row["name"]), ("members", before != after)) if differs]
            if changed:
                sql = "UPDATE team SET name = $1, name_key = $2, updated_at = $3 WHERE id = $4"
                await self._database.execute(sql, name, names.fold(name), change.now, team_id)
                await self._ties.record(change, team_id, "edited", changed)
        return await self.viewed(actor, team_id)

    async def archive(self, actor: Actor, team_id: int, *, archived: bool) -> None:
        """Let a team not be changed any more, nor be given channels, or let it again; again is no error. Its channels stay as they are.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may_change_team`.
        """
        async with self._log.change() as change:
            row, _ = await self._changing(actor, team_id, lasts=True)
            if archived != (row["archived_at"] is not None):
                await self._archive(change, team_id, archived=archived)

    async def _archive(self, change: Change, team_id: int, *, archived: bool) -> None:
        sql = "UPDATE team SET archived_at = $1, updated_at = $2 WHERE id = $3"
        await self._database.execute(sql, change.now if archived else None, change.now, team_id)
        await self._ties.record(change, team_id, "archived" if archived else "unarchived", ["archived_at"])

    async def remove(self, actor: Actor, team_id: int) -> None:
        """Take a team away. Channels that it shares with others stay with those.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may_change_team`.
            Conflict: it has channels of its own, which would become public to the whole organisation.
        """
        async with self._log.change() as change:
            await self._changing(actor, team_id, lasts=True)
            for row in await self._ties.channels(team_id):
                others = [other for other in team_ids(row) if other != team_id]
                if not others:
                    raise Conflict("The team has channels of its own: move, unshare or remove them first.", field="id")
                await self._ties.set_teams(change, row["id"], others)
                await record_channel(self._database, change, row["id"], "unshared", ["team_ids"])
            now = await self._ties.shown(team_id)
            await self._ties.set_members(change, team_id, [])
            await self._database.execute("UPDATE team SET removed_at = $1 WHERE id = $2", change.now, team_id)
            self._ties.tell(change, now, "removed", objects.Removed(id=str(team_id), by=str(actor.user_id)))

    async def merge(self, actor: Actor, destination: int, source: int) -> ViewedTeam:
        """Let a team have another one's members and channels too; the other is archived, empty.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may_change_team`, for both.
            Invalid: they are the same, or of different organisations.
        """
        async with self._log.change() as change:
            into = await self._changing(actor, destination, field="destination")
            other = await self._changing(actor, source, field="source")
            if destination == source:
                raise Invalid("A team is not merged with itself.", field="source")
            if into.row["organisation_id"] != other.row["organisation_id"]:
                raise Invalid("Teams of different organisations are not merged: move one first.", field="source")
            await self._merge(change, destination, source)
        return await self.viewed(actor, destination)

    async def _merge(self, change: Change, destination: int, source: int) -> None:
        members = await self._ties.members([destination, source])
        await self._ties.set_members(change, destination, [*members[destination], *members[source]])
        await self._ties.set_members(change, source, [])
        for row in await self._ties.channels(source):
            await self._ties.set_teams(change, row["id"], [destination, *(each for each in team_ids(row) if each != source)])
            await record_channel(self._database, change, row["id"], "moved", ["team_ids"])
        await self._ties.touch(change, destination)
        now = await self._ties.shown(destination)
        body = objects.TeamMerged(**msgspec.structs.asdict(now), source_id=str(source))
        self._ties.tell(change, now, "merged", body)
        await self._archive(change, source, archived=True)
