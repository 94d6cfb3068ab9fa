"""Tokens: sessions that an operator makes for a program, without a password, for as long as they are wanted."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from crust.clock import rfc3339
from crust.errors import Conflict, Invalid, NotFound
from crust.ids import hash_secret, new_secret
from crust.log import Log
from crust.models.database import Database
from crust.models.tables import Session, User
from crust.services import names
from crust.services.sessions import DAY_MS, NEVER, TOKEN, Sessions

PREFIX = "crust_"  # by which a token that has got somewhere it should not be is found
DAYS_MAX = 36_500
LISTED = """
SELECT s.id, u.username, s.name, s.client_id, s.created_at, s.seen_at, s.ends_at FROM session s JOIN "user" u ON u.id = s.user_id
WHERE s.kind = 'token' ORDER BY s.id
"""


@dataclass(frozen=True, slots=True)
class Token:
    """What was made: `secret` is shown this once."""

    id: int
    client_id: str
    secret: str


class Tokens:
    """See the module. For operators: whoever may run commands on the server."""

    def __init__(self, database: Database, log: Log, sessions: Sessions) -> None:
        self._database, self._log, self._sessions = database, log, sessions

    async def create(self, username: str, *, name: str = "", client_id: str | None = None, days: int | None = None) -> Token:
        """Make a token for somebody, a bot as a rule.

        Args:
            name: what it is for.
            client_id: the Client ID that it is bound to; left out, a new one.
            days: after which it ends; left out, never.

        Raises:
            NotFound: there is nobody of that name.
            Conflict: they are suspended.
            Invalid: the name, the Client ID or the days are not as they must be.
        """
        shown = names.line(name, "name", names.NAME_MAX)
        if days is not None and not 1 <= days <= DAYS_MAX:
            raise Invalid(f"days must be 1 to {DAYS_MAX}.", field="days")
        client_id = names.client_id(client_id) if client_id else f"token-{secrets.token_hex(8)}"
        secret = PREFIX + new_secret()
        async with self._log.change() as change:
            user = await self._user(username)
            token = await Session.create(
                id=change.next_id(), token_hash=hash_secret(secret), user_id=user.id, client_id=client_id, address="", agent="",
                created_at=change.now, seen_at=change.now, ends_at=NEVER if days is None else change.now + days * DAY_MS, kind=TOKEN,
                name=shown,
            )  # fmt: skip
            change.audit("token created", object_=user.id, name=shown, token=str(token.id))
        return Token(token.id, client_id, secret)

    async def _user(self, username: str) -> User:
        user = await User.get_or_none(username_key=names.fold(username))
        if user is None or user.kind == "ghost":
            raise NotFound(f"There is no user {username}.")
        if user.suspended_at is not None:
            raise Conflict(f"{username} is suspended.")
        return user

    async def all(self) -> list[dict[str, str | None]]:
        """All tokens, oldest first; `seen_at` is exact to five minutes."""
        return [
            {
                "id": str(row["id"]), "username": row["username"], "name": row["name"], "client_id": row["client_id"],
                "created_at": rfc3339(row["created_at"]), "seen_at": rfc3339(row["seen_at"]),
                "expires_at": None if row["ends_at"] == NEVER else rfc3339(row["ends_at"]),
            }
            for row in await self._database.fetch(LISTED)
        ]  # fmt: skip

    async def revoke(self, token_id: int) -> None:
        """End a token and close its sockets.

        Raises:
            NotFound: there is no such token.
        """
        async with self._log.change() as change:
            token = await Session.get_or_none(id=token_id, kind=TOKEN)
            if token is None:
                raise NotFound(f"There is no token {token_id}.")
            await self._sessions.end_one(change, token)
            change.audit("token revoked", object_=token.user_id, name=token.name, token=str(token.id))
        self._sessions.tell_ended([token_id])
