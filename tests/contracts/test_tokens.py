"""Tokens of bots and other programs."""

from __future__ import annotations

import pytest

from crust.clock import ManualClock
from crust.errors import Conflict, Invalid, NotFound, Unauthenticated
from crust.runtime import opened
from crust.settings import Settings
from tests.support.people import channel, events, names, person, position, say

pytestmark = pytest.mark.asyncio
DAY_S = 86_400


async def test_a_bot_speaks_with_its_token(settings: Settings) -> None:
    """It has no password, so nobody signs in as it; its token is recognised, bound to its Client ID, and stored nowhere."""
    async with opened(settings) as node:
        ana = await person(node, "ana", is_admin=True)
        bot = await node.core.accounts.add("helper", password=None, bot=True)
        assert bot.kind == "bot"
        token = await node.core.tokens.create("helper", name="for the build", client_id="ci")
        assert token.secret.startswith("crust_")
        actor = await node.core.sessions.authenticate(token.secret, "ci")
        assert (actor.username, actor.client_id) == ("helper", "ci")
        room = await channel(node, ana)
        await node.core.channels.join(actor, room)
        await say(node, actor, room, "the build is green")
        with pytest.raises(Unauthenticated):
            await node.core.sessions.authenticate(token.secret, "another")
        with pytest.raises(Unauthenticated):
            await node.core.sessions.sign_in("helper", "", None, "", "")
        with pytest.raises(Invalid, match="is a bot"):
            await node.core.profiles.set_password("helper", "correct horse")
        rows = await node.database.fetch("SELECT token_hash FROM session")
        assert token.secret not in {row["token_hash"] for row in rows}


async def test_a_token_does_not_tire(settings: Settings) -> None:
    """Unused for years it holds, unless it was made for so many days; it is in the list with its name, told apart from sessions."""
    clock = ManualClock()
    async with opened(settings, clock) as node:
        await person(node, "ana")
        lasting = await node.core.tokens.create("ana", name="lasting")
        short = await node.core.tokens.create("ana", name="short", days=30)
        signed_in = await node.core.sessions.sign_in("ana", "correct horse", None, "", "")
        shown = await node.core.sessions.of(signed_in.actor.user_id)
        assert [(each.kind, each.name, each.expires_at is None) for each in shown] == [
            ("session", "", False), ("token", "short", False), ("token", "lasting", True),
        ]  # fmt: skip
        clock.advance(29 * DAY_S)
        await node.core.sessions.authenticate(short.secret, None)
        clock.advance(1000 * DAY_S)
        await node.core.sessions.authenticate(lasting.secret, None)
        for secret in (short.secret, signed_in.secret):
            with pytest.raises(Unauthenticated):
                await node.core.sessions.authenticate(secret, None)
        await node.core.sessions.sign_in("ana", "correct horse", None, "", "")  # which sweeps what is over
        assert [each["name"] for each in await node.core.tokens.all()] == ["lasting"]


async def test_a_revoked_token_ends_at_once(settings: Settings) -> None:
    """Its sockets hear of it through the log; again it is not found."""
    async with opened(settings) as node:
        await person(node, "ana")
        token = await node.core.tokens.create("ana")
        await node.core.sessions.authenticate(token.secret, None)
        before = await position(node)
        await node.core.tokens.revoke(token.id)
        with pytest.raises(Unauthenticated):
            await node.core.sessions.authenticate(token.secret, None)
        assert names(await events(node, before)) == ["session revoked"]
        with pytest.raises(NotFound):
            await node.core.tokens.revoke(token.id)


async def test_another_password_leaves_tokens_and_suspension_ends_them(settings: Settings) -> None:
    """A token is no sign-in with that password; who is suspended is out altogether."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        token = await node.core.tokens.create("ana")
        session = await node.core.sessions.sign_in("ana", "correct horse", None, "", "")
        await node.core.profiles.change_password(ana, "correct horse", "battery staple", "")
        await node.core.sessions.authenticate(token.secret, None)
        with pytest.raises(Unauthenticated):
            await node.core.sessions.authenticate(session.secret, None)
        await node.core.profiles.suspend("ana")
        with pytest.raises(Unauthenticated):
            await node.core.sessions.authenticate(token.secret, None)
        with pytest.raises(Conflict):
            await node.core.tokens.create("ana")


async def test_wrong_wishes_are_named(settings: Settings) -> None:
    """An unknown name, a Client ID that is none, days beyond a life."""
    async with opened(settings) as node:
        await person(node, "ana")
        with pytest.raises(NotFound, match="no user bob"):
            await node.core.tokens.create("bob")
        with pytest.raises(Invalid, match="client_id"):
            await node.core.tokens.create("ana", client_id="a b")
        for days in (0, 1_000_000):
            with pytest.raises(Invalid, match="days"):
                await node.core.tokens.create("ana", days=days)
