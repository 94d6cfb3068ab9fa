"""Signing in and out. A session is a secret that the client holds and we store hashed, bound to one user and one client."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from crust import settings
from crust.clock import Clock, rfc3339
from crust.errors import Invalid, NotFound, Unauthenticated, Unavailable
from crust.events.control import Control, SessionEnded
from crust.events.objects import SessionRevoked
from crust.ids import hash_secret, new_secret
from crust.log import Change, Log, NewEvent
from crust.models.database import Database, Row
from crust.models.tables import Session, User
from crust.services import names
from crust.services.actor import Actor
from crust.services.filters import Filters
from crust.services.known import Known
from crust.services.limits import LoginThrottle
from crust.services.paging import WHOLE, Part
from crust.services.passwords import Passwords
from crust.services.views import SessionView

DAY_MS = 86_400_000
TOUCH_MS = 300_000  # how exact `seen_at` is; a write for every request would be the busiest of all
USERNAME_KEY_MAX, EMAIL_KEY_MAX = 128, 254  # as the columns have them
FIND = """
SELECT s.id, s.user_id, s.client_id, s.seen_at, s.ends_at, s.kind, u.username, u.is_admin, u.suspended_at
FROM session s JOIN "user" u ON u.id = s.user_id WHERE s.token_hash = $1
"""
LISTED = "SELECT id, client_id, address, agent, created_at, seen_at, ends_at, kind, name FROM session"
OVER = "(ends_at <= $1 OR (kind = 'session' AND seen_at <= $2))"  # at the time $1, and unused since $2
TOKEN = "token"  # noqa: S105  # the kind of session that an operator makes for a program
NEVER = 253_402_300_799_999  # the last millisecond that can be said in four digits of a year
WRONG = "Wrong username or password."
ENDED = "There is no such session, or it has ended: sign in."


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a sign-in gives: `secret` is the Session ID, shown this once; `expires_at` in milliseconds since 1970."""

    actor: Actor
    secret: str
    expires_at: int


class Sessions:
    """See the module.

    Args:
        tell: sends a control message to all nodes, so that an ended session's sockets close at once.
    """

    def __init__(
        self, database: Database, log: Log, clock: Clock, lifetimes: settings.Sessions, passwords: Passwords, throttle: LoginThrottle,
        known: Known, tell: Callable[[Control], None], filters: Filters,
    ) -> None:  # fmt: skip
        self._database, self._log, self._clock, self._lifetimes, self._known = database, log, clock, lifetimes, known
        self._passwords, self._throttle, self._tell, self._filters = passwords, throttle, tell, filters
        self._touches: set[asyncio.Task[None]] = set()

    # ---- in

    async def sign_in(self, name: str, password: str, client_id: str | None, address: str, agent: str) -> SignedIn:
        """Start a session by username or email.

        A wrong password, an unknown name and a suspended account are one answer, after the same time.

        Raises:
            Unauthenticated: that answer.
            RateLimited: too many failures before.
            Rejected: a filter refused it.
        """
        self._throttle.begin(name, address)
        user = await self._named(names.fold(name.strip()))
        right = await self._passwords.verify(user.password_hash if user else None, password)
        if user is None or not right or user.suspended_at is not None or user.kind == "ghost":
            raise Unauthenticated(WRONG)
        self._throttle.succeeded(name, address)
        if "sign_in" in self._filters.wanted:
            await self._filters.sign_in(user.id, user.username, address, client_id)
        stronger = await self._stronger(user, password)
        return await self._start(user, stronger, client_id or secrets.token_urlsafe(16), address, agent)

    async def confirm(self, actor: Actor, password: str, address: str) -> User:
        """Make sure that it is the caller who asks, by their password; guesses are slowed down as those at the sign-in are.

        Raises:
            Invalid: it is not their password; the field is `old`.
            RateLimited: too many failures before.
        """
        self._throttle.begin(actor.username, address)
        user = await User.get(id=actor.user_id)
        if not await self._passwords.verify(user.password_hash, password):
            raise Invalid("This is not your password.", field="old")
        self._throttle.succeeded(actor.username, address)
        return user

    async def _named(self, key: str) -> User | None:
        """Who has this username or, failing that, this address."""
        by_name = await User.filter(username_key=key).first() if len(key) <= USERNAME_KEY_MAX else None
        return by_name or (await User.filter(email_key=key).first() if len(key) <= EMAIL_KEY_MAX else None)

    async def _stronger(self, user: User, password: str) -> str | None:
        """A hash at today's cost, now that the password is at hand; None where the stored one is."""
        outdated = user.password_hash is not None and self._passwords.outdated(user.password_hash)
        return await self._passwords.hash(password) if outdated else None

    async def _start(self, user: User, stronger: str | None, client_id: str, address: str, agent: str) -> SignedIn:
        """A new session for somebody whose password was right, if it still is: it may have been changed while it was checked."""
        async with self._log.change() as change:
            now = await User.get_or_none(id=user.id)
            if now is None or now.suspended_at is not None or now.password_hash != user.password_hash:
                raise Unauthenticated(WRONG)
            if stronger is not None:
                await self._database.execute('UPDATE "user" SET password_hash = $1 WHERE id = $2', stronger, user.id)
            await self._forget_expired(change, user.id)
            return await self.open(change, user.id, user.username, client_id, address, agent, is_admin=bool(user.is_admin))

    async def open(
        self, change: Change, user_id: int, username: str, client_id: str, address: str, agent: str, *, is_admin: bool
    ) -> SignedIn:
        """Inside a change: a new session for somebody of whom it was made sure who they are."""
        secret = new_secret()
        session = await Session.create(
            id=change.next_id(), token_hash=hash_secret(secret), user_id=user_id, client_id=client_id, address=address[:64],
            agent=agent[:255], created_at=change.now, seen_at=change.now,
            ends_at=change.now + self._lifetimes.absolute_days * DAY_MS,
        )  # fmt: skip
        actor = Actor(user_id, username, session.id, client_id, is_admin)
        return SignedIn(actor, secret, min(change.now + self._lifetimes.idle_days * DAY_MS, session.ends_at))

    async def _forget_expired(self, change: Change, user_id: int) -> None:
        sql = f"DELETE FROM session WHERE {OVER} AND user_id = $3"
        await self._database.execute(sql, change.now, self._idle_since(change.now), user_id)

    def _expires(self, row: Row) -> int:
        """When it ends if it is not used again."""
        ends_at: int = row["ends_at"]
        return ends_at if row["kind"] == TOKEN else min(row["seen_at"] + self._lifetimes.idle_days * DAY_MS, ends_at)

    # ---- who is it

    async def authenticate(self, secret: str, client_id: str | None) -> Actor:
        """Who holds this secret.

        Args:
            client_id: the Client ID that came with it, if any.

        Raises:
            Unauthenticated: nobody, any more; or it comes with another Client ID than its own.
        """
        token_hash, now = hash_secret(secret), self._clock.now()
        row: Row | None = self._known.session(token_hash)
        if row is None or self._over(row, now):  # as far as is known: another node may have seen it since
            row = await self._find(token_hash)
        if row is None or self._over(row, now):
            raise Unauthenticated(ENDED)
        if client_id is not None and client_id != row["client_id"]:
            raise Unauthenticated("This session belongs to another Client ID.")
        if now - row["seen_at"] > TOUCH_MS:
            self._touch_soon(row["id"], now)
        return Actor(row["user_id"], row["username"], row["id"], row["client_id"], bool(row["is_admin"]))

    async def _find(self, token_hash: str) -> Row | None:
        changes = self._known.changes
        rows = await self._database.fetch(FIND, token_hash)
        if not rows:
            return None
        self._known.keep_session(token_hash, rows[0], changes)
        return rows[0]

    def _over(self, row: Row, now: int) -> bool:
        return row["suspended_at"] is not None or now >= self._expires(row)

    def _touch_soon(self, session_id: int, now: int) -> None:
        """Write that it was used, without keeping anybody waiting: who only reads does not care who holds up the writing."""

        async def touch() -> None:
            with suppress(Unavailable):
                await self._log.together(self._touch, (session_id, now))

        self._known.saw_session(session_id, now)
        task = asyncio.create_task(touch(), name="touch a session")
        self._touches.add(task)
        task.add_done_callback(self._touches.discard)

    async def _touch(self, change: Change, seen: Sequence[tuple[int, int]]) -> list[None]:
        for session_id, at in seen:
            await self._database.execute("UPDATE session SET seen_at = $1 WHERE id = $2 AND seen_at < $1", at, session_id)
        return [None] * len(seen)

    # ---- the list

    async def all(self, actor: Actor, part: Part) -> list[SessionView]:
        """The caller's sessions that have not expired, newest first."""
        return await self.of(actor.user_id, actor.session_id, part)

    async def of(self, user_id: int, current: int = 0, part: Part = WHOLE) -> list[SessionView]:
        """Somebody's sessions that have not expired, newest first; `current` is the one that asks."""
        now = self._clock.now()
        sql = f"{LISTED} WHERE NOT {OVER} AND user_id = $3 AND {part.cut('id', 4, newest_first=True)}"
        rows = await self._database.fetch(sql, now, self._idle_since(now), user_id, *part.values)
        return [self._view(row, current) for row in rows]

    def _idle_since(self, now: int) -> int:
        """Who was not seen after that has been idle for too long."""
        return now - self._lifetimes.idle_days * DAY_MS

    def _view(self, row: Row, current: int) -> SessionView:
        return SessionView(
            id=str(row["id"]),
            client_id=row["client_id"],
            address=row["address"],
            agent=row["agent"],
            created_at=rfc3339(row["created_at"]),
            seen_at=rfc3339(row["seen_at"]),
            expires_at=None if self._expires(row) == NEVER else rfc3339(self._expires(row)),
            current=row["id"] == current,
            kind=row["kind"],
            name=row["name"],
        )

    # ---- out

    async def end(self, actor: Actor, session_id: int) -> None:
        """End one of the caller's sessions and close its sockets.

        Raises:
            NotFound: it is not theirs, or has ended.
        """
        async with self._log.change() as change:
            session = await Session.get_or_none(id=session_id, user_id=actor.user_id)
            if session is None:
                raise NotFound("You have no such session.", field="id")
            await self.end_one(change, session)
        self.tell_ended([session_id])

    async def end_all(self, change: Change, user_id: int, *, but: int = 0, tokens: bool = True) -> list[int]:
        """Inside a change: end all sessions of somebody, or all but one; gives their ids, for `tell_ended` after the commit.

        Args:
            tokens: whether their tokens end too. They are no sign-in with a password, so another password does not end them.
        """
        sessions = await Session.filter(user_id=user_id, **({} if tokens else {"kind": "session"})).exclude(id=but)
        for session in sessions:
            await self.end_one(change, session)
        return [session.id for session in sessions]

    async def end_one(self, change: Change, session: Session) -> None:
        """Inside a change: end a session; `tell_ended` comes after the commit."""
        await session.delete()
        body = SessionRevoked(id=str(session.id))
        change.record(NewEvent(type="session", event="revoked", body=body, recipient=session.user_id, object=session.id))

    def tell_ended(self, session_ids: Sequence[int]) -> None:
        """Close the sockets of ended sessions on every node, ahead of the log."""
        for session_id in session_ids:
            self._known.forget_session(session_id)
            self._tell(SessionEnded(session_id))
