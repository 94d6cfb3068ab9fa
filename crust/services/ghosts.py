"""People elsewhere: each speaks here as a ghost, a user who cannot sign in, or as the person here who has said that it is they."""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata

from crust.clock import rfc3339
from crust.errors import Conflict, Forbidden, Gone, NotFound
from crust.ids import hash_secret
from crust.log import Change, Log
from crust.models.database import Database, Row
from crust.models.tables import User
from crust.services import lookalikes, names
from crust.services.accounts import Accounts, Place
from crust.services.actor import Actor
from crust.services.links import RoomLink
from crust.services.members import Members
from crust.services.remotes import Remote, checked, client_of, profile
from crust.services.standing import STANDING, channel_row, standing
from crust.services.views import IdentityCode

HANDLE_MAX = 32  # characters of a handle's first half; the second one has 31 at most, and a username 64
OTHERS = re.compile(r"[^A-Za-z0-9._-]+")
TWINS_MAX = 20  # of one handle that are numbered; more are told apart by a part of a hash
CODE_S = 900.0  # seconds that a code can be said in
CODE_BYTES = 9  # of chance in one: nobody guesses it, and it can be typed
KNOWN = """
SELECT g.user_id, g.linked_to, g.name, g.avatar, g.account, u.username, u.name AS shown,
u.suspended_at, p.suspended_at AS person_suspended_at,
(SELECT 1 FROM channel_member m WHERE m.channel_id = $3 AND m.user_id = g.user_id) AS here,
(SELECT 1 FROM kicked k WHERE k.channel_id = $3 AND k.user_id = g.user_id) AS kicked
FROM ghost g LEFT JOIN "user" u ON u.id = g.user_id LEFT JOIN "user" p ON p.id = g.linked_to WHERE g.instance = $1 AND g.remote_user = $2
"""
SUSPENDED = "They are suspended here, or linked with an account that is."
KICKED = "They were removed from this channel by its people, and come back when one of these invites them."


class Ghosts:
    """See the module."""

    def __init__(self, database: Database, log: Log, accounts: Accounts, members: Members) -> None:
        self._database, self._log, self._accounts, self._members = database, log, accounts, members

    # ---- speaking

    async def speaker(self, link: RoomLink, remote: Remote, *, verified: bool) -> Actor:
        """As whom somebody speaks in a link's channel: they are made, named and brought into it as need be.

        Args:
            verified: whether the network vouches for who they are; without that nobody speaks as a person here.

        Raises:
            Invalid: their id or name can be none.
            Gone, NotFound: the channel is archived, or not there any more.
            Forbidden: they are suspended, or the person here who they are; or they were kicked from the channel.
        """
        remote = checked(remote)
        row = await self._known(link, remote)
        if row is not None and row["linked_to"] is not None and verified and (person := await self._person(link, row["linked_to"])):
            return person
        check_ghost(row)
        if row is None or not row["user_id"] or not row["here"] or (row["name"], row["avatar"], row["account"]) != profile(remote):
            shown = await self._accounts.lookalikes.shown(remote.name, link.network)
            async with self._log.change() as change:
                row = await self._brought(change, link, remote, shown)
        return Actor(row["user_id"], row["username"], 0, client_of(link.instance))

    async def present_as(self, link: RoomLink, remote: Remote, *, verified: bool) -> int | None:
        """As whom somebody is in a link's channel already; None: as nobody, or not verified as a person here. Nothing is written."""
        row = await self._known(link, checked(remote))
        if row is None or (row["linked_to"] is not None and not verified):
            return None
        sql = (
            'SELECT m.user_id FROM channel_member m JOIN "user" u ON u.id = m.user_id'
            " WHERE m.channel_id = $1 AND m.user_id = $2 AND u.suspended_at IS NULL"
        )
        rows = await self._database.fetch(sql, link.channel_id, row["linked_to"] or row["user_id"])
        return rows[0]["user_id"] if rows else None

    async def _known(self, link: RoomLink, remote: Remote) -> Row | None:
        rows = await self._database.fetch(KNOWN, link.instance, remote.id, link.channel_id)
        return rows[0] if rows else None

    async def _person(self, link: RoomLink, user_id: int) -> Actor | None:
        """A person here who is linked with somebody elsewhere, in the channel; None where they are no member and may not join."""
        rows = await self._database.fetch(STANDING, user_id, link.channel_id)
        if not rows:
            return None
        if rows[0]["suspended_at"] is not None:
            raise Forbidden(SUSPENDED)
        now = standing(rows[0])
        if not now.member:
            if not (now.type == "public" and now.full and now.sees) or now.archived or now.frozen:
                return None
            async with self._log.change() as change:
                await self._join(change, link, user_id)
        (user,) = await self._database.fetch('SELECT username FROM "user" WHERE id = $1', user_id)
        return Actor(user_id, user["username"], 0, client_of(link.instance))

    async def _join(self, change: Change, link: RoomLink, user_id: int) -> None:
        sql = "SELECT 1 FROM channel_member WHERE channel_id = $1 AND user_id = $2"
        if not await self._database.fetch(sql, link.channel_id, user_id):
            await self._members.join(change, await channel_row(self._database, link.channel_id), user_id, "member", by=user_id)

    async def _brought(self, change: Change, link: RoomLink, remote: Remote, shown: str) -> Row:
        """Inside a change: let there be a ghost with this profile, in the channel."""
        if (await channel_row(self._database, link.channel_id))["archived_at"] is not None:
            raise Gone("The channel is archived: it can be read, but not changed.")
        row = await self._known(link, remote)
        check_ghost(row)
        if row is None or not row["user_id"]:
            user_id = await self._made(change, link, remote, shown)
        else:
            user_id = row["user_id"]
            if (row["name"], row["avatar"], row["account"], row["shown"]) != (*profile(remote), shown):
                await User.filter(id=user_id).update(avatar=remote.avatar)
                await self._accounts.lookalikes.rename(change, user_id, shown)
        if not await self._members.roles(link.organisation_id, [user_id]):
            await self._members.join_organisation(change, link.organisation_id, user_id, "guest", by=user_id)
        sql = (
            "INSERT INTO ghost (instance, remote_user, user_id, name, avatar, account, made_at, skeleton)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
            " ON CONFLICT (instance, remote_user) DO UPDATE SET user_id = excluded.user_id, name = excluded.name, avatar = excluded.avatar,"
            " account = excluded.account, skeleton = excluded.skeleton"
        )
        values = (*profile(remote), change.now, lookalikes.skeleton(remote.name))
        await self._database.execute(sql, link.instance, remote.id, user_id, *values)
        await self._join(change, link, user_id)
        found = await self._known(link, remote)
        assert found is not None
        return found

    async def _made(self, change: Change, link: RoomLink, remote: Remote, shown: str) -> int:
        handle, place = await self._handle(link, remote), Place(link.organisation_id, "guest")
        made = await self._accounts.enrol(change, handle, shown, None, None, kind="ghost", place=place, origin=link.network)
        if remote.avatar:
            await User.filter(id=int(made.id)).update(avatar=remote.avatar)
        return int(made.id)

    async def _handle(self, link: RoomLink, remote: Remote) -> str:
        """A username that nobody has: `ana:irc.example.org`. No local one has a colon."""
        bare = unicodedata.normalize("NFKD", remote.handle or remote.name).encode("ascii", "ignore").decode()
        first = OTHERS.sub("-", bare)[:HANDLE_MAX].strip("._-") or "somebody"
        for number in range(1, TWINS_MAX):
            handle = f"{first if number == 1 else f'{first[: HANDLE_MAX - 3]}-{number}'}:{link.network}"
            if not await User.filter(username_key=names.fold(handle)).exists():
                return handle
        return f"{first[:22]}-{hashlib.sha256(remote.id.encode()).hexdigest()[:9]}:{link.network}"

    async def person_who_said(self, message_id: int) -> int | None:
        """Whose message it is, if it is not a ghost's."""
        sql = """SELECT u.id FROM message m JOIN "user" u ON u.id = m.user_id WHERE m.id = $1 AND u.kind <> 'ghost'"""
        rows = await self._database.fetch(sql, message_id)
        return rows[0]["id"] if rows else None

    async def acting(self, link: RoomLink, remote: Remote, *, verified: bool) -> int | None:
        """The person here as whom somebody elsewhere acts; None: they are none, or not verified.

        Raises:
            Forbidden: as in `speaker`.
        """
        row = await self._known(link, checked(remote))
        if row is None or row["linked_to"] is None or not verified or row["person_suspended_at"] is not None:
            check_ghost(row)
            return None
        return int(row["linked_to"])

    # ---- coming and going

    async def parted(self, link: RoomLink, remote: Remote) -> None:
        """Let somebody's ghost leave a link's channel; who was never there is no error. A person here who is linked with them stays."""
        sql = "SELECT user_id FROM ghost WHERE instance = $1 AND remote_user = $2"
        rows = await self._database.fetch(sql, link.instance, checked(remote).id)
        if not rows:
            return
        user_id = rows[0]["user_id"]
        async with self._log.change() as change:
            member = "SELECT 1 FROM channel_member WHERE channel_id = $1 AND user_id = $2"
            if await self._database.fetch(member, link.channel_id, user_id):
                await self._members.part(change, await channel_row(self._database, link.channel_id), user_id, by=user_id)

    async def present(self, link: RoomLink) -> list[str]:
        """Whose ghosts are in a link's channel, by their ids there."""
        sql = (
            "SELECT g.remote_user FROM ghost g JOIN channel_member m ON m.user_id = g.user_id"
            " WHERE g.instance = $1 AND m.channel_id = $2 ORDER BY g.remote_user"
        )
        return [row["remote_user"] for row in await self._database.fetch(sql, link.instance, link.channel_id)]

    # ---- who somebody is

    async def code(self, actor: Actor, instance: str) -> IdentityCode:
        """A code that the caller is to say to the bridge's bot, for fifteen minutes; an earlier one of theirs counts no more."""
        code = secrets.token_urlsafe(CODE_BYTES)
        async with self._log.change() as change:
            sql = "DELETE FROM identity_code WHERE ends_at <= $1 OR (instance = $2 AND user_id = $3)"
            await self._database.execute(sql, change.now, instance, actor.user_id)
            ends_at = change.now + round(CODE_S * 1000)
            sql = "INSERT INTO identity_code (code_hash, instance, user_id, ends_at) VALUES ($1, $2, $3, $4)"
            await self._database.execute(sql, hash_secret(code), instance, actor.user_id, ends_at)
        return IdentityCode(bridge=instance, code=code, expires_at=rfc3339(ends_at))

    async def identify(self, instance: str, remote: Remote, code: str) -> int:
        """Link somebody elsewhere with the person whose code they said; what they said before stays their ghost's, which goes.

        Raises:
            NotFound: nobody was given this code, it is too old, or it was said before.
            Conflict: they are linked with another person already.
            Forbidden: they are suspended.
        """
        remote, said = checked(remote), hash_secret(names.cleaned(code.strip()))
        async with self._log.change() as change:
            sql = "SELECT user_id FROM identity_code WHERE code_hash = $1 AND instance = $2 AND ends_at > $3"
            rows = await self._database.fetch(sql, said, instance, change.now)
            if not rows:
                raise NotFound("This code is wrong, too old, or was used: ask for another.", field="code")
            person = int(rows[0]["user_id"])
            sql = (
                'SELECT g.user_id, g.linked_to, u.suspended_at FROM ghost g LEFT JOIN "user" u ON u.id = g.user_id'
                " WHERE g.instance = $1 AND g.remote_user = $2"
            )
            before = await self._database.fetch(sql, instance, remote.id)
            if before and before[0]["suspended_at"] is not None:
                raise Forbidden(SUSPENDED)
            if before and before[0]["linked_to"] not in (None, person):
                raise Conflict("They are linked with another person already, who has to unlink them first.", field="code")
            await self._database.execute("DELETE FROM identity_code WHERE code_hash = $1", said)
            sql = (
                "INSERT INTO ghost (instance, remote_user, user_id, linked_to, name, avatar, account, made_at)"
                " VALUES ($1, $2, 0, $3, $4, $5, $6, $7) ON CONFLICT (instance, remote_user) DO UPDATE SET linked_to = excluded.linked_to"
            )
            await self._database.execute(sql, instance, remote.id, person, *profile(remote), change.now)
            if before and before[0]["user_id"]:
                await self._gone(change, before[0]["user_id"])
            change.audit("identity linked", object_=person, bridge=instance)
        return person

    async def _gone(self, change: Change, user_id: int) -> None:
        """Let a ghost leave every channel: the person is there instead."""
        sql = "SELECT channel_id FROM channel_member WHERE user_id = $1 ORDER BY channel_id"
        for row in await self._database.fetch(sql, user_id):
            await self._members.part(change, await channel_row(self._database, row["channel_id"]), user_id, by=user_id)

    async def forget(self, user_id: int, instance: str) -> int:
        """Let nobody elsewhere speak as a person any more; gives how many did."""
        async with self._log.change() as change:
            sql = "UPDATE ghost SET linked_to = NULL WHERE instance = $1 AND linked_to = $2"
            count = await self._database.execute(sql, instance, user_id)
            if count:
                change.audit("identity unlinked", object_=user_id, bridge=instance)
        return count

    async def linked_with(self, user_id: int) -> list[dict[str, object]]:
        """Who a person is elsewhere: bridge, remote_user and name of each."""
        sql = "SELECT instance AS bridge, remote_user, name FROM ghost WHERE linked_to = $1 ORDER BY instance, remote_user"
        return [dict(row) for row in await self._database.fetch(sql, user_id)]

    async def identities(self, instance: str, user_ids: list[int]) -> dict[int, str]:
        """Who these users are elsewhere: those that are ghosts, or are linked; user → the id there."""
        d = self._database
        sql = (
            "SELECT coalesce(linked_to, user_id) AS user_id, remote_user FROM ghost WHERE instance = $1"
            f" AND coalesce(linked_to, user_id) IN {d.any_of(2)} ORDER BY made_at DESC"
        )
        return {row["user_id"]: row["remote_user"] for row in await d.fetch(sql, instance, d.as_list(user_ids))}


def check_ghost(row: Row | None) -> None:
    """Raises Forbidden where somebody elsewhere, as they are known, is to do nothing here."""
    if row is None:
        return
    if row["suspended_at"] is not None or row["person_suspended_at"] is not None:
        raise Forbidden(SUSPENDED)
    if row["kicked"]:
        raise Forbidden(KICKED)
