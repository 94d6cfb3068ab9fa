"""Organisations: top-level groups of people, teams and channels; nothing crosses their border."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from crust.clock import rfc3339
from crust.errors import Conflict, Invalid, NotFound
from crust.events import objects
from crust.log import Change, Log, NewEvent
from crust.models.database import Database, Row
from crust.models.tables import Organisation
from crust.services import keys, names, views
from crust.services.accounts import home_organisation, like
from crust.services.actor import Actor
from crust.services.archiving import Archiving
from crust.services.keys import Key
from crust.services.members import Members
from crust.services.paging import Part
from crust.services.presence import PresenceService
from crust.services.rights import Membership, may_administer, may_give_role, may_in_organisation, may_make_organisations
from crust.services.ties import Ties
from crust.services.views import ViewedOrganisation

MINE = f"""
SELECT {views.ORGANISATION_COLUMNS}, m.role FROM organisation g
LEFT JOIN organisation_member m ON m.organisation_id = g.id AND m.user_id = $1
WHERE g.removed_at IS NULL
"""
MEMBERS = f"""
SELECT {views.USER_COLUMNS}, {views.PRESENCE_COLUMNS}, m.role, m.joined_at FROM organisation_member m JOIN "user" u ON u.id = m.user_id
WHERE m.organisation_id = $1
"""
THEIR_CHANNELS = f"""
SELECT {views.CHANNEL_COLUMNS} FROM channel c JOIN channel_member m ON m.channel_id = c.id
WHERE c.organisation_id = $1 AND m.user_id = $2 AND c.removed_at IS NULL ORDER BY c.id
"""
ALL_CHANNELS = f"""
SELECT {views.CHANNEL_COLUMNS} FROM channel c
WHERE c.organisation_id = $1 AND c.removed_at IS NULL AND c.merged_into IS NULL ORDER BY c.id
"""


class Organisations:
    """See the module.

    Args:
        everybody: whether everybody may make organisations, not the server's administrators alone.
    """

    def __init__(
        self,
        database: Database,
        log: Log,
        members: Members,
        archiving: Archiving,
        ties: Ties,
        presence: PresenceService,
        *,
        everybody: bool,
    ) -> None:
        self._database, self._log, self._members, self._archiving, self._ties = database, log, members, archiving, ties
        self._presence, self._everybody = presence, everybody

    # ---- reading

    async def read(self, actor: Actor, organisation_id: int) -> ViewedOrganisation:
        """One that the caller is in; for the server's administrators, any.

        Raises:
            NotFound: it is not there, or they are not in it.
        """
        await self._check(actor, organisation_id, "read")
        (row,) = await self._database.fetch(f"{MINE} AND g.id = $2", actor.user_id, organisation_id)
        return viewed(row)

    async def search(self, actor: Actor, query: str, *, archived: bool, part: Part, everywhere: bool = False) -> list[ViewedOrganisation]:
        """Those that the caller is in and whose name, or one of its words, begins with `query`; by id.

        Args:
            everywhere: also those that they are not in, which is for the server's administrators.

        Raises:
            Forbidden: they are none.
        """
        if everywhere:
            may_administer(is_admin=actor.is_admin)
        start = like(names.fold(query.strip())) + "%"
        named = "(g.name_key LIKE $2 ESCAPE '!' OR g.name_key LIKE $3 ESCAPE '!')"
        sql = f"{MINE} AND (m.id IS NOT NULL OR $5) AND {named} AND (g.archived_at IS NULL OR $4) AND {part.cut('g.id', 6)}"
        rows = await self._database.fetch(sql, actor.user_id, start, "% " + start, archived, everywhere, *part.values)
        return [viewed(row) for row in rows]

    async def members(self, actor: Actor, organisation_id: int, part: Part) -> list[views.ViewedMember]:
        """Who is in it, by user id.

        Raises:
            NotFound: as in `read`.
        """
        await self._check(actor, organisation_id, "read")
        rows = await self._database.fetch(f"{MEMBERS} AND {part.cut('m.user_id', 2)}", organisation_id, *part.values)
        return [
            views.ViewedMember(
                id=str(row["id"]),
                user=views.viewed_user(row, self._presence.of(row)),
                role=row["role"],
                joined_at=rfc3339(row["joined_at"]),
            )
            for row in rows
        ]

    async def _check(self, actor: Actor, organisation_id: int, verb: str) -> Membership:
        membership = await self._members.membership(actor.user_id, organisation_id)
        may_in_organisation(verb, membership)
        return membership

    # ---- making and changing

    async def create(self, actor: Actor, name: str, key: Key | None) -> ViewedOrganisation:
        """Make one, which the caller owns.

        Raises:
            Forbidden: organisations are made by the server's administrators.
            Invalid: the name is not as it must be.
            IdempotencyMismatch: the key was used for another request.
        """
        may_make_organisations(is_admin=actor.is_admin, everybody=self._everybody)
        name = names.display(name)
        async with self._log.change() as change:
            repeated = await keys.result(self._database, key)
            organisation_id = repeated or await self._create(change, actor, name)
            if repeated is None:
                keys.keep(change, key, organisation_id)
        made = await self.read(actor, organisation_id)
        return made if repeated is None else msgspec.structs.replace(made, duplicate=True)

    async def _create(self, change: Change, actor: Actor, name: str) -> int:
        made = await Organisation.create(
            id=change.next_id(), name=name, name_key=names.fold(name), created_at=change.now, updated_at=change.now
        )
        await self._members.join_organisation(change, made.id, actor.user_id, "owner", by=actor.user_id)
        self._record(change, made.id, "created", views.organisation(await self._row(made.id)))
        return int(made.id)

    async def rename(self, actor: Actor, organisation_id: int, name: str) -> ViewedOrganisation:
        """Give it another name.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may_in_organisation`.
            Invalid: the name is not as it must be.
        """
        name = names.display(name)
        async with self._log.change() as change:
            await self._check(actor, organisation_id, "rename")
            if (await self._row(organisation_id))["name"] != name:
                sql = "UPDATE organisation SET name = $1, name_key = $2, updated_at = $3 WHERE id = $4"
                await self._database.execute(sql, name, names.fold(name), change.now, organisation_id)
                await self._record_change(change, organisation_id, "edited", "name")
        return await self.read(actor, organisation_id)

    async def archive(self, actor: Actor, organisation_id: int, *, archived: bool) -> None:
        """Let nothing in it be changed any more, or let it again; again is no error.

        Raises:
            NotFound, Forbidden: as in `rights.may_in_organisation`.
            Conflict: it is the home organisation, which everybody who is added comes into.
        """
        async with self._log.change() as change:
            membership = await self._check(actor, organisation_id, "archive")
            if membership.archived == archived:
                return
            await self._check_not_home(organisation_id)
            sql = "UPDATE organisation SET archived_at = $1, updated_at = $2 WHERE id = $3"
            await self._database.execute(sql, change.now if archived else None, change.now, organisation_id)
            await self._record_change(change, organisation_id, "archived" if archived else "unarchived", "archived_at")

    async def remove(self, actor: Actor, organisation_id: int) -> None:
        """Take it away with all that is in it; no membership ends without being told.

        Raises:
            NotFound, Forbidden: as in `rights.may_in_organisation`.
            Conflict: it is the home organisation.
        """
        async with self._log.change() as change:
            await self._check(actor, organisation_id, "remove")
            await self._check_not_home(organisation_id)
            for row in await self._database.fetch(ALL_CHANNELS, organisation_id):
                await self._archiving.end(change, row, actor.user_id)
            await self._remove_teams(change, actor, organisation_id)
            self._record(change, organisation_id, "removed", objects.Removed(id=str(organisation_id), by=str(actor.user_id)))
            sql = "SELECT user_id FROM organisation_member WHERE organisation_id = $1 ORDER BY id"
            everybody = [row["user_id"] for row in await self._database.fetch(sql, organisation_id)]
            await self._members.part_organisation(change, organisation_id, everybody, by=actor.user_id)
            await self._rehome(organisation_id, everybody)
            await self._database.execute("UPDATE organisation SET removed_at = $1 WHERE id = $2", change.now, organisation_id)

    async def _remove_teams(self, change: Change, actor: Actor, organisation_id: int) -> None:
        sql = "SELECT id FROM team WHERE organisation_id = $1 AND removed_at IS NULL ORDER BY id"
        for row in await self._database.fetch(sql, organisation_id):
            body = objects.Removed(id=str(row["id"]), by=str(actor.user_id))
            change.record(NewEvent(type="team", event="removed", body=body, organisation=organisation_id, object=row["id"]))
            await self._ties.set_members(change, row["id"], [])
            await self._database.execute("UPDATE team SET removed_at = $1 WHERE id = $2", change.now, row["id"])

    async def _check_not_home(self, organisation_id: int) -> None:
        if organisation_id == await home_organisation():
            raise Conflict("The home organisation, which everybody who is added comes into, stays.", field="id")

    async def _row(self, organisation_id: int) -> Row:
        (row,) = await self._database.fetch(f"SELECT {views.ORGANISATION_COLUMNS} FROM organisation g WHERE g.id = $1", organisation_id)
        return row

    async def _record_change(self, change: Change, organisation_id: int, event: str, changed: str) -> None:
        now = views.organisation(await self._row(organisation_id))
        self._record(change, organisation_id, event, objects.OrganisationEdited(**msgspec.structs.asdict(now), changed=[changed]))

    def _record(self, change: Change, organisation_id: int, event: str, body: Struct) -> None:
        change.record(NewEvent(type="organisation", event=event, body=body, organisation=organisation_id, object=organisation_id))

    # ---- people

    async def invite(
        self, actor: Actor, organisation_id: int, *, user_id: int | None, email: str | None, role: str, key: Key | None = None
    ) -> None:
        """Bring somebody into it whom the caller knows from another organisation, found by id or address; who is in it stays as they are.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may_in_organisation`; NotFound also where the caller sees no such person: who is a
                stranger to them comes in by a link, and of their own will.
            IdempotencyMismatch: the key was used for another request.
        """
        async with self._log.change() as change:
            own = await self._check(actor, organisation_id, "invite")
            may_give_role(own.power, None, role)
            if await keys.result(self._database, key) is not None:
                return
            invited = await self.known(actor, user_id=user_id, email=email)
            if invited is None:
                raise NotFound("You see nobody like that here: send them a link.", field="user_id" if email is None else "email")
            keys.keep(change, key, invited)
            if not await self._members.roles(organisation_id, [invited]):
                await self._members.join_organisation(change, organisation_id, invited, role, by=actor.user_id)

    async def known(self, actor: Actor, *, user_id: int | None, email: str | None) -> int | None:
        """Somebody whom the caller sees, found by id or address, if they may be brought into an organisation."""
        by, value = ("id", user_id) if email is None else ("email_key", names.fold(email.strip()))
        sql = f"SELECT id FROM \"user\" WHERE {by} = $1 AND kind <> 'ghost' AND suspended_at IS NULL"
        rows = await self._database.fetch(sql, value)
        return int(rows[0]["id"]) if rows and await self._members.sees(actor, rows[0]["id"]) else None

    async def give_role(self, actor: Actor, organisation_id: int, user_id: int, role: str) -> None:
        """Make somebody in it owner, admin, member or guest; again is no error.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may_in_organisation`; NotFound also where they are not in it.
            Conflict: it would be left without an owner.
        """
        async with self._log.change() as change:
            own = await self._check(actor, organisation_id, "role")
            before = await self._role_of(organisation_id, user_id)
            if role != before and (await self._members.user(user_id)).kind == "ghost":
                raise Invalid("Somebody elsewhere, whom a bridge brought, is a guest here.", field="user_id")
            may_give_role(own.power, before, role)
            if before == role:
                return
            await self._check_owned_without(organisation_id, user_id, before)
            if role == "guest":
                await self._ties.drop(change, organisation_id, user_id)
            await self._members.set_role_in_organisation(change, organisation_id, user_id, role, by=actor.user_id)

    async def expel(self, actor: Actor, organisation_id: int, user_id: int) -> None:
        """Remove somebody from it, its teams and all its channels; everybody may so leave it themselves.

        A direct channel of theirs is archived: whoever is left can read it, and a new one can be opened where both are again.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may_in_organisation`; NotFound also where they are not in it.
            Conflict: it would be left without an owner.
        """
        async with self._log.change() as change:
            own = await self._check(actor, organisation_id, "leave" if user_id == actor.user_id else "expel")
            role = await self._role_of(organisation_id, user_id)
            if user_id != actor.user_id:
                may_give_role(own.power, role, None)
            await self._check_owned_without(organisation_id, user_id, role)
            for row in await self._database.fetch(THEIR_CHANNELS, organisation_id, user_id):
                await self._leave(change, row, user_id, by=actor.user_id)
                await self._members.keep_out(row["id"], user_id)
            await self._ties.drop(change, organisation_id, user_id)
            await self._members.part_organisation(change, organisation_id, [user_id], by=actor.user_id)
            await self._rehome(organisation_id, [user_id])

    async def _leave(self, change: Change, row: Row, user_id: int, by: int) -> None:
        await self._members.part(change, row, user_id, by=by)
        if row["type"] == "direct":
            await self._database.execute("UPDATE channel SET pair = NULL WHERE id = $1", row["id"])
            if row["archived_at"] is None:
                await self._archiving.close(change, row)

    async def _rehome(self, organisation_id: int, user_ids: list[int]) -> None:
        """Let those whose home it was have the oldest of their other organisations for it, if there is one."""
        d = self._database
        other = 'SELECT min(m.organisation_id) FROM organisation_member m WHERE m.user_id = "user".id'
        sql = f'UPDATE "user" SET organisation_id = coalesce(({other}), organisation_id) WHERE organisation_id = $1 AND id IN {d.any_of(2)}'
        await d.execute(sql, organisation_id, d.as_list(user_ids))

    async def _role_of(self, organisation_id: int, user_id: int) -> str:
        roles = await self._members.roles(organisation_id, [user_id])
        if not roles:
            raise NotFound("They are not in this organisation.", field="user_id")
        return roles[user_id]

    async def _check_owned_without(self, organisation_id: int, user_id: int, role: str) -> None:
        sql = "SELECT 1 FROM organisation_member WHERE organisation_id = $1 AND role = 'owner' AND user_id <> $2 LIMIT 1"
        if role == "owner" and not await self._database.fetch(sql, organisation_id, user_id):
            raise Conflict("An organisation has an owner: make somebody else one first.", field="user_id")


def viewed(row: Row) -> ViewedOrganisation:
    """A row of `MINE` as its viewer sees it."""
    return ViewedOrganisation(**msgspec.structs.asdict(views.organisation(row)), role=row["role"])
