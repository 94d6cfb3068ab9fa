"""Invitations: links that bring people into an organisation, whether they have an account yet or not.

The secret in a link is shown once and stored hashed, as a session's is. A link for an address serves one person; others as many as they
were made for.
"""

from __future__ import annotations

import secrets
from typing import Any, NamedTuple

import msgspec

from crust.clock import Clock, rfc3339
from crust.errors import Gone, IdempotencyMismatch, NotFound, Unauthenticated
from crust.events import objects
from crust.ids import hash_secret, new_secret
from crust.log import Change, Log
from crust.log.audit import By, asking
from crust.models.database import Database, Row
from crust.models.tables import Invitation, User
from crust.services import keys, names
from crust.services.accounts import Accounts, Place
from crust.services.actor import Actor
from crust.services.keys import Key
from crust.services.members import Members
from crust.services.paging import Part
from crust.services.rights import FROZEN, may_give_role, may_in_organisation
from crust.services.sessions import DAY_MS, Sessions, SignedIn
from crust.services.views import MadeInvitation, ViewedInvitation

LISTED = "SELECT id, organisation_id, role, email, uses_left, invited_by, created_at, ends_at FROM invitation"
LAST = "The invitation that this key made has been used, was taken back, or is over."
OVER = "This invitation has been used, was taken back, or is over: ask for another one."
FIND = """
SELECT i.id, i.organisation_id, i.role, i.email, i.invited_by, g.name, g.archived_at FROM invitation i
JOIN organisation g ON g.id = i.organisation_id WHERE i.token_hash = $1 AND i.uses_left > 0 AND i.ends_at > $2 AND g.removed_at IS NULL
"""


class NewAccount(NamedTuple):
    """What somebody with a link asks for. `email`: one that the link is for counts instead."""

    secret: str
    username: str
    name: str | None
    email: str | None
    password: str


class CheckedAccount(NamedTuple):
    """The same, as it is stored."""

    secret: str
    username: str
    name: str
    email: str | None
    password_hash: str


class Registered(NamedTuple):
    """A session of somebody who came in; `duplicate`: their account was there, made by the same key."""

    signed_in: SignedIn
    duplicate: bool


class Again(NamedTuple):
    """What an invitation that is repeated has led to: a link, or None where somebody was brought in."""

    invitation: MadeInvitation | None


class Invitations:
    """See the module.

    Args:
        url: the server's public address.
        days: for which a link holds.
    """

    def __init__(
        self, database: Database, log: Log, clock: Clock, members: Members, accounts: Accounts, sessions: Sessions, url: str, days: int
    ) -> None:
        self._database, self._log, self._clock = database, log, clock
        self._members, self._accounts, self._sessions = members, accounts, sessions
        self._url, self._days = url, days

    # ---- making

    async def make(
        self, actor: Actor, organisation_id: int, *, role: str, email: str | None, uses: int, key: Key | None = None
    ) -> MadeInvitation:
        """Make a link. With a key that was used for the same before: the first invitation, as in `again`.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may_in_organisation`; Gone also where the key's invitation is over.
            Invalid: the address is none.
            IdempotencyMismatch: the key was used for another request.
        """
        address = None if email is None else names.email(email)
        secret = new_secret()
        async with self._log.change() as change:
            await self._check(actor, organisation_id, role)
            if (first := await keys.result(self._database, key)) is not None:
                return await self._renewed(change, first)
            made = await Invitation.create(
                id=change.next_id(), token_hash=hash_secret(secret), organisation_id=organisation_id, role=role, email=address,
                uses_left=1 if address else uses, invited_by=actor.user_id, created_at=change.now, ends_at=change.now + self._days * DAY_MS,
            )  # fmt: skip
            keys.keep(change, key, made.id)
            change.audit("invitation created", organisation_id=organisation_id, object_=made.id, role=role, uses=made.uses_left)
            return await self._shown(made.id, secret)

    async def again(self, actor: Actor, organisation_id: int, role: str, key: Key | None) -> Again | None:
        """What a key has led to before, if anything. An invitation gets another secret, since nobody knows the one that it had.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may_in_organisation`; Gone also where the invitation is over.
            IdempotencyMismatch: the key was used for another request.
        """
        first = await keys.result(self._database, key)
        if first is None:
            return None
        async with self._log.change() as change:
            await self._check(actor, organisation_id, role)
            if await User.exists(id=first):
                return Again(None)
            return Again(await self._renewed(change, first))

    async def _renewed(self, change: Change, invitation_id: int) -> MadeInvitation:
        """Inside a change: an invitation with another secret, so that one link of it lives."""
        secret = new_secret()
        sql = "UPDATE invitation SET token_hash = $1 WHERE id = $2 AND uses_left > 0 AND ends_at > $3"
        if not await self._database.execute(sql, hash_secret(secret), invitation_id, change.now):
            raise Gone(LAST)
        renewed = await self._shown(invitation_id, secret)
        change.audit("invitation renewed", organisation_id=int(renewed.organisation_id), object_=invitation_id)
        return msgspec.structs.replace(renewed, duplicate=True)

    async def _shown(self, invitation_id: int, secret: str) -> MadeInvitation:
        (row,) = await self._database.fetch(f"{LISTED} WHERE id = $1", invitation_id)
        return MadeInvitation(**viewed(row), url=f"{self._url}/invitation?token={secret}")

    async def _check(self, actor: Actor, organisation_id: int, role: str) -> None:
        own = await self._members.membership(actor.user_id, organisation_id)
        may_in_organisation("invite", own)
        may_give_role(own.power, None, role)

    async def all(self, actor: Actor, organisation_id: int, part: Part) -> list[ViewedInvitation]:
        """An organisation's invitations that still hold, oldest first.

        Raises:
            NotFound, Forbidden: as in `rights.may_in_organisation`.
        """
        may_in_organisation("invitations", await self._members.membership(actor.user_id, organisation_id))
        sql = f"{LISTED} WHERE organisation_id = $1 AND uses_left > 0 AND ends_at > $2 AND {part.cut('id', 3)}"
        rows = await self._database.fetch(sql, organisation_id, self._clock.now(), *part.values)
        return [ViewedInvitation(**viewed(row)) for row in rows]

    async def revoke(self, actor: Actor, invitation_id: int) -> None:
        """Take an invitation back.

        Raises:
            NotFound: there is none, or not in an organisation of the caller's.
            Forbidden: as in `rights.may_in_organisation`.
        """
        async with self._log.change() as change:
            invitation = await Invitation.get_or_none(id=invitation_id)
            if invitation is None:
                raise NotFound("There is no such invitation.", field="id")
            membership = await self._members.membership(actor.user_id, invitation.organisation_id)
            try:
                may_in_organisation("invitations", membership)
            except NotFound:
                raise NotFound("There is no such invitation.", field="id") from None
            await invitation.delete()
            change.audit("invitation revoked", organisation_id=invitation.organisation_id, object_=invitation_id)

    # ---- accepting

    async def organisation(self, secret: str) -> str:
        """The name of the organisation that a link leads into.

        Raises:
            Gone: the link holds no more, or never did.
        """
        return str((await self._found(secret))["name"])

    async def register(self, account: NewAccount, client_id: str | None, address: str, agent: str, key: Key | None = None) -> Registered:
        """Make an account, come in and sign in. With a key that made one before, the same is signed in to.

        Raises:
            IdempotencyMismatch: the key was used for another request, or with another password.
            RateLimited: too many wrong passwords before.
            Gone, Invalid, Conflict: as in `enrol`.
        """
        client = client_id or secrets.token_urlsafe(16)
        first = await keys.result(self._database, key)
        if first is None:
            checked = await self._checked(account)
            async with self._log.change() as change:
                first = await keys.result(self._database, key)
                if first is None:
                    user = await self._enrol(change, checked, client, address)
                    keys.keep(change, key, int(user.id))
                    opened = await self._sessions.open(change, int(user.id), user.username, client, address, agent, is_admin=False)
                    return Registered(opened, duplicate=False)
        return Registered(await self._sign_in(first, account.password, client, address, agent), duplicate=True)

    async def _sign_in(self, user_id: int, password: str, client_id: str, address: str, agent: str) -> SignedIn:
        """Sign in to an account that was made before. The password is not in a key's fingerprint: that it is the same is seen here."""
        user = await User.get(id=user_id)
        try:
            return await self._sessions.sign_in(user.username, password, client_id, address, agent)
        except Unauthenticated:
            raise IdempotencyMismatch(keys.OTHER) from None

    async def enrol(self, account: NewAccount, address: str = "") -> objects.User:
        """Make an account and come in.

        Args:
            address: where the request came from.

        Raises:
            Gone: the link holds no more, or never did.
            Invalid: a name, an address or the password is not as it must be.
            Conflict: the name or the address is taken.
        """
        checked = await self._checked(account)
        async with self._log.change() as change:
            return await self._enrol(change, checked, "", address)

    async def _checked(self, account: NewAccount) -> CheckedAccount:
        """What was asked for, as it is stored. The link comes first: who has none is not worth a hash."""
        email = (await self._found(account.secret))["email"] or account.email
        return CheckedAccount(
            account.secret,
            names.username(account.username),
            names.display(account.name or account.username),
            names.email(email) if email else None,
            await self._accounts.hashed(account.password),
        )

    async def _enrol(self, change: Change, checked: CheckedAccount, client_id: str, address: str) -> objects.User:
        """Inside a change: make the account. It is its owner who asks for it, though they were nobody before."""
        user_id = change.next_id()
        with asking(By(user_id, checked.username, client_id, address)):
            row = await self._used(change, checked.secret)
            place = Place(row["organisation_id"], row["role"], row["invited_by"])
            return await self._accounts.enrol(
                change, checked.username, checked.name, checked.email, checked.password_hash, place=place, id_=user_id
            )

    async def accept(self, actor: Actor, secret: str) -> int:
        """Let the caller in; who is in it stays as they are, and uses nothing up. Gives the organisation's id.

        Raises:
            Gone: the link holds no more, or never did.
        """
        async with self._log.change() as change:
            row = await self._found(secret)
            organisation_id = int(row["organisation_id"])
            if not await self._members.roles(organisation_id, [actor.user_id]):
                await self._used(change, secret)
                await self._members.join_organisation(change, organisation_id, actor.user_id, row["role"], by=row["invited_by"])
        return organisation_id

    async def _found(self, secret: str) -> Row:
        rows = await self._database.fetch(FIND, hash_secret(secret), self._clock.now())
        if not rows:
            raise Gone(OVER)
        if rows[0]["archived_at"] is not None:
            raise Gone(FROZEN)
        return rows[0]

    async def _used(self, change: Change, secret: str) -> Row:
        """Inside a change: take one use of a link, which may be gone since it was looked at."""
        row = await self._found(secret)
        await self._database.execute("UPDATE invitation SET uses_left = uses_left - 1 WHERE id = $1", row["id"])
        change.audit("invitation used", organisation_id=row["organisation_id"], object_=row["id"])
        return row


def viewed(row: Row) -> dict[str, Any]:
    """An invitation as it is shown."""
    return {
        "id": str(row["id"]), "organisation_id": str(row["organisation_id"]), "role": row["role"], "email": row["email"],
        "uses_left": row["uses_left"], "invited_by": str(row["invited_by"]), "created_at": rfc3339(row["created_at"]),
        "expires_at": rfc3339(row["ends_at"]),
    }  # fmt: skip
