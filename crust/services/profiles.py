"""What becomes of an account: its profile, its password, whether it may be used."""

from __future__ import annotations

from crust.errors import Conflict, Forbidden, Invalid, NotFound
from crust.log import Change, Log, NewEvent
from crust.models.database import Database
from crust.models.tables import User
from crust.services import names, views
from crust.services.accounts import Accounts
from crust.services.actor import Actor
from crust.services.limits import LoginThrottle
from crust.services.members import Members
from crust.services.rights import may_administer
from crust.services.sessions import Sessions
from crust.services.views import SessionView


class Profiles:
    """See the module."""

    def __init__(
        self, database: Database, log: Log, accounts: Accounts, members: Members, sessions: Sessions, throttle: LoginThrottle
    ) -> None:
        self._database, self._log, self._throttle = database, log, throttle
        self._accounts, self._members, self._sessions = accounts, members, sessions

    # ---- one's own, and others'

    async def read(self, actor: Actor, user_id: int) -> views.ViewedUser:
        """Somebody as the caller sees them; oneself with what only oneself sees.

        Raises:
            NotFound: there is nobody like that in the caller's organisations.
        """
        if user_id == actor.user_id:
            return await self._accounts.me(actor)
        if not await self.sees(actor, user_id):
            raise NotFound("There is no such user.", field="id")
        return await self._accounts.viewed(user_id)

    async def sees(self, actor: Actor, user_id: int) -> bool:
        """As in `Members.sees`."""
        return await self._members.sees(actor, user_id)

    async def edit(self, actor: Actor, name: str | None, email: str | None, came_from: str = "") -> views.ViewedUser:
        """Change the caller's own profile.

        Args:
            name: how others see them; None leaves it.
            email: their address, which they can sign in with; None leaves it, an empty one takes it away.
            came_from: the network address of the request.

        Raises:
            Invalid: the name or the address is not as it must be.
            Conflict: the address belongs to somebody else.
            RateLimited: too many addresses before: whoever tries them learns which have an account here.
        """
        if email:
            self._throttle.begin(f"address of {actor.user_id}", came_from)
        shown = None if name is None else names.display(name)
        address = None if email is None else names.email(email) if email.strip() else ""
        async with self._log.change() as change:
            user = await self._active(actor)
            if address and await User.filter(email_key=names.fold(address)).exclude(id=user.id).exists():
                raise Conflict(f"The address {address} belongs to somebody else.", field="email")
            before = (user.name, user.email)
            if shown is not None:
                user.name, user.name_key = shown, names.fold(shown)
                await self._accounts.lookalikes.give_way(change, shown)
            if address is not None:
                user.email, user.email_key = address or None, names.fold(address) or None
            if (user.name, user.email) != before:
                await self._save(change, user, "edited", "name", "name_key", "email", "email_key")
        return await self._accounts.me(actor)

    async def set_avatar(self, change: Change, actor: Actor, path: str | None) -> None:
        """Inside a change: say where the caller's picture is.

        Raises:
            Forbidden: the account is suspended.
        """
        user = await self._active(actor)
        user.avatar = path
        await self._save(change, user, "edited", "avatar")

    async def _active(self, actor: Actor) -> User:
        user = await User.get(id=actor.user_id)
        if user.suspended_at is not None:
            raise Forbidden("This account is suspended.")
        return user

    async def _save(self, change: Change, user: User, event: str, *fields: str) -> None:
        """Write what has changed, and tell everybody who shares an organisation with them; who is in none is told alone."""
        user.updated_at = change.now
        await user.save(update_fields=[*fields, "updated_at"])
        body = await self._members.user(user.id)
        rows = await self._database.fetch("SELECT organisation_id FROM organisation_member WHERE user_id = $1", user.id)
        organisations = sorted({row["organisation_id"] for row in rows})
        for organisation in organisations:
            change.record(NewEvent(type="user", event=event, body=body, organisation=organisation, object=user.id))
        if not organisations:
            change.record(NewEvent(type="user", event=event, body=body, recipient=user.id, object=user.id))

    # ---- passwords

    async def change_password(self, actor: Actor, old: str, new: str, address: str) -> None:
        """Give the caller another password; all their sessions end, but for the one that asks.

        Args:
            address: where the request came from: too many wrong ones from there, and it has to wait.

        Raises:
            Invalid: the old one is wrong, or the new one too short or too long; `old` or `new` is the field.
            RateLimited: too many wrong ones before.
        """
        confirmed = await self._sessions.confirm(actor, old, address)
        try:
            password_hash = await self._accounts.hashed(new)
        except Invalid as error:
            raise Invalid(error.message, field="new") from None
        async with self._log.change() as change:
            user = await self._active(actor)
            if user.password_hash != confirmed.password_hash:
                raise Invalid("Your password was changed meanwhile.", field="old")
            ended = await self._new_password(change, user, password_hash, but=actor.session_id)
        self._sessions.tell_ended(ended)

    async def _new_password(self, change: Change, user: User, password_hash: str, *, but: int = 0) -> list[int]:
        user.password_hash, user.updated_at = password_hash, change.now
        await user.save(update_fields=["password_hash", "updated_at"])
        return await self._sessions.end_all(change, user.id, but=but, tokens=False)

    # ---- for the server's administrators

    async def suspend_by(self, actor: Actor, user_id: int, *, suspended: bool) -> None:
        """Let somebody in no more, or let them in again, as an administrator of the server; again is no error.

        A ghost that is suspended does nothing here any more, whatever its network brings.

        Raises:
            Forbidden: the caller is none.
            NotFound: there is nobody of that id.
            Conflict: it is the caller.
        """
        may_administer(is_admin=actor.is_admin)
        user = await User.get_or_none(id=user_id)
        if user is None:
            raise NotFound("There is no such user.", field="id")
        if user_id == actor.user_id:
            raise Conflict("You cannot suspend yourself.", field="id")
        await (self.suspend if suspended else self.unsuspend)(user.username)

    # ---- for operators

    async def set_password(self, username: str, password: str) -> None:
        """Give somebody another password, and end all their sessions.

        Raises:
            NotFound: there is nobody of that name.
            Invalid: the password is too short or too long, or it is a bot.
        """
        password_hash = await self._accounts.hashed(password)
        async with self._log.change() as change:
            user = await self._named(username)
            if user.kind == "bot":
                raise Invalid(f"{username} is a bot, which signs in with tokens: crust token create.")
            ended = await self._new_password(change, user, password_hash)
            change.audit("user password", object_=user.id)
        self._sessions.tell_ended(ended)

    async def suspend(self, username: str) -> None:
        """Let somebody in no more: their sessions end, their sockets close. What they said stays. Again is no error.

        Raises:
            NotFound: there is nobody of that name.
        """
        ended: list[int] = []
        async with self._log.change() as change:
            user = await self._named(username, ghosts=True)
            if user.suspended_at is None:
                user.suspended_at = change.now
                ended = await self._sessions.end_all(change, user.id)
                await self._save(change, user, "suspended", "suspended_at")
        self._sessions.tell_ended(ended)

    async def unsuspend(self, username: str) -> None:
        """Let somebody in again, once they sign in; again is no error.

        Raises:
            NotFound: there is nobody of that name.
        """
        async with self._log.change() as change:
            user = await self._named(username, ghosts=True)
            if user.suspended_at is not None:
                user.suspended_at = None
                await self._save(change, user, "edited", "suspended_at")

    async def sessions(self, username: str) -> list[SessionView]:
        """Somebody's sessions that have not expired, newest first.

        Raises:
            NotFound: there is nobody of that name.
        """
        return await self._sessions.of((await self._named(username)).id)

    async def id_of(self, username: str) -> int:
        """Whose name this is.

        Raises:
            NotFound: there is nobody of that name.
        """
        return int((await self._named(username)).id)

    async def _named(self, username: str, *, ghosts: bool = False) -> User:
        user = await User.get_or_none(username_key=names.fold(username))
        if user is None or (user.kind == "ghost" and not ghosts):
            raise NotFound(f"There is no user {username}.")
        return user
