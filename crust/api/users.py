"""`/user/…`: signing in and out, and who is there."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from crust.api.calls import Answer, Context, Cookie, Page, Registry
from crust.api.fields import Invited, Query, ThePerson
from crust.api.lists import Listed
from crust.api.params import Id
from crust.clock import rfc3339
from crust.events.objects import Presence, TimeText
from crust.ids import hash_secret
from crust.services.core import Core
from crust.services.invitations import NewAccount
from crust.services.keys import request_key
from crust.services.sessions import SignedIn as NewSession
from crust.services.views import SessionView, ViewedUser


class Login(Struct, kw_only=True):
    username: Annotated[str, Meta(max_length=254, description="Username, or email address.")]
    password: Annotated[str, Meta(max_length=1024, description="The password.")]


class Register(Struct, kw_only=True):
    invitation: Invited
    username: Annotated[str, Meta(max_length=64, description="The name to sign in with, which nobody has yet.")]
    password: Annotated[str, Meta(max_length=1024, description="The password to sign in with.")]
    name: Annotated[str | None, Meta(description="How others see one; else the username.")] = None
    email: Annotated[str | None, Meta(description="One's address; that of the invitation, if it is for one, counts instead.")] = None


class SignedIn(Struct, kw_only=True):
    session_id: Annotated[str, Meta(description="A secret: keep it like a password.")]
    client_id: str
    expires_at: TimeText
    user: ViewedUser
    duplicate: bool | UnsetType = UNSET


class UserSearch(Listed, kw_only=True):
    query: Query = ""
    everywhere: Annotated[bool, Meta(description="Everybody on the server; for its administrators.")] = False


class UserId(Struct, kw_only=True):
    id: ThePerson


class UserAdd(Struct, kw_only=True):
    username: Annotated[str, Meta(max_length=64, description="Their handle, which nobody else has.")]
    password: Annotated[str | None, Meta(description="Left out: they cannot sign in until they have one.")] = None
    name: Annotated[str | None, Meta(description="How others see them; else the username.")] = None
    email: Annotated[str | None, Meta(description="Their address.")] = None


class UserEdit(Struct, kw_only=True):
    name: Annotated[str | None, Meta(description="How others see one; left out: as it is.")] = None
    email: Annotated[str | None, Meta(description="One's address; left out: as it is; empty: none.")] = None


class PasswordChange(Struct, kw_only=True):
    old: Annotated[str, Meta(max_length=1024, description="The password that one has.")]
    new: Annotated[str, Meta(max_length=1024, description="The password that one is to have.")]


class PresenceChoice(Struct, kw_only=True):
    status: Annotated[str, Meta(description="`available`, `away` or `dnd` (do not disturb).")]
    text: Annotated[str | None, Meta(description="What one is at, in a few words that others see.")] = None
    until: Annotated[TimeText | None, Meta(description="Until when; after it, available.")] = None


class SessionId(Struct, kw_only=True):
    id: Annotated[Id, Meta(description="The session, by the id that /user/sessions gives.")]


class Nothing(Struct, kw_only=True):
    """No parameters."""


class UserCalls:
    """The handlers."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def login(self, context: Context, params: Login) -> Answer[SignedIn]:
        """Start a session by username or email; gives the Session ID, and cookies that bear it.

        A wrong password and an unknown user are the same answer, in the same time.
        """
        signed_in = await self._core.sessions.sign_in(
            params.username, params.password, context.client_id, context.address, context.user_agent
        )
        return await self._answer(signed_in)

    async def _answer(self, signed_in: NewSession, *, duplicate: bool = False) -> Answer[SignedIn]:
        actor = signed_in.actor
        seconds = (signed_in.expires_at - self._core.clock.now()) // 1000
        body = SignedIn(
            session_id=signed_in.secret,
            client_id=actor.client_id,
            expires_at=rfc3339(signed_in.expires_at),
            user=await self._core.accounts.me(actor),
            duplicate=duplicate or UNSET,
        )
        cookies = [
            Cookie("crust_session", signed_in.secret, max_age=seconds),
            Cookie("crust_client", actor.client_id, max_age=seconds),
        ]
        return Answer(body, cookies=cookies)

    async def register(self, context: Context, params: Register) -> Answer[SignedIn]:
        """Make an account by a link that invites to it, and sign in.

        With Idempotency-Key a repeat signs in to the account that the first one made, with `duplicate`.
        """
        account = NewAccount(params.invitation, params.username, params.name, params.email, params.password)
        scope = f"invitation:{hash_secret(params.invitation)}"  # nobody is signed in whose keys they could be among
        key = request_key(scope, context.idempotency_key, "user/register", params.username, params.name, params.email)
        made = await self._core.invitations.register(account, context.client_id, context.address, context.user_agent, key)
        return await self._answer(made.signed_in, duplicate=made.duplicate)

    async def logout(self, context: Context, params: Nothing) -> Answer[None]:
        """End this session, and close its websockets."""
        await self._core.sessions.end(context.caller, context.caller.session_id)
        return Answer(None, cookies=[Cookie("crust_session", "", max_age=0)])

    async def me(self, context: Context, params: Nothing) -> ViewedUser:
        """Oneself."""
        return await self._core.accounts.me(context.caller)

    async def read(self, context: Context, params: UserId) -> ViewedUser:
        """Somebody that shares an organisation with one."""
        return await self._core.profiles.read(context.caller, params.id)

    async def add(self, context: Context, params: UserAdd) -> ViewedUser:
        """Add somebody to the home organisation; for the server's administrators."""
        key = request_key(
            context.caller.scope, context.idempotency_key, "user/add", params.username, params.name, params.email
        )  # without the password, which is kept nowhere
        return await self._core.accounts.add_by(
            context.caller, params.username, password=params.password, name=params.name, email=params.email, key=key
        )

    async def suspend(self, context: Context, params: UserId) -> None:
        """Let somebody in no more, and cut their sessions; for the server's administrators. Again is no error."""
        await self._core.profiles.suspend_by(context.caller, params.id, suspended=True)

    async def unsuspend(self, context: Context, params: UserId) -> None:
        """Let somebody in again; for the server's administrators. Again is no error."""
        await self._core.profiles.suspend_by(context.caller, params.id, suspended=False)

    async def edit(self, context: Context, params: UserEdit) -> ViewedUser:
        """Change one's own profile; gives oneself."""
        return await self._core.profiles.edit(context.caller, params.name, params.email, context.address)

    async def password(self, context: Context, params: PasswordChange) -> None:
        """Take another password. All of one's sessions end, but for this one."""
        await self._core.profiles.change_password(context.caller, params.old, params.new, context.address)

    async def search(self, context: Context, params: UserSearch) -> Page[ViewedUser]:
        """The people that share an organisation with one, whose username or name, or one of its words, begins with `query`."""
        found = await self._core.accounts.search(context.caller, params.query, params.part, everywhere=params.everywhere)
        return Page.of(found, params.limit)

    async def sessions(self, context: Context, params: Listed) -> Page[SessionView]:
        """One's sessions, newest first; `current` is the one that asks."""
        return Page.of(await self._core.sessions.all(context.caller, params.part), params.limit)

    async def end_session(self, context: Context, params: SessionId) -> None:
        """End one of one's sessions, by the id that /user/sessions gives, and close its websockets."""
        await self._core.sessions.end(context.caller, params.id)

    async def presence(self, context: Context, params: PresenceChoice) -> Presence:
        """Say how reachable one is."""
        return await self._core.presence.choose(context.caller, params.status, params.text, params.until)


def register(registry: Registry, core: Core) -> None:
    """Add the calls to a registry."""
    calls = UserCalls(core)
    registry.add("POST", "/user/login", calls.login, access="open")
    registry.add("POST", "/user/register", calls.register, access="open", creates=True)
    registry.add("POST", "/user/logout", calls.logout)
    registry.add("GET", "/user/me", calls.me)
    registry.add("GET", "/user/read", calls.read)
    registry.add("POST", "/user/edit", calls.edit)
    registry.add("POST", "/user/add", calls.add, creates=True)
    registry.add("POST", "/user/suspend", calls.suspend)
    registry.add("POST", "/user/unsuspend", calls.unsuspend)
    registry.add("POST", "/user/password", calls.password)
    registry.add("GET", "/user/search", calls.search)
    registry.add("GET", "/user/sessions", calls.sessions)
    registry.add("DELETE", "/user/session", calls.end_session)
    registry.add("POST", "/user/presence", calls.presence)
