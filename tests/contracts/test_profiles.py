"""Profiles: what people change of their own account, and what operators do with it."""

from __future__ import annotations

import msgspec
import pytest

from crust.errors import Conflict, Forbidden, Invalid, NotFound, RateLimited, Unauthenticated
from crust.events.event import Event
from crust.runtime import Node, opened
from crust.services.actor import Actor
from crust.services.paging import Part
from crust.services.sessions import SignedIn
from crust.settings import Settings
from tests.support.people import events, person, position

pytestmark = pytest.mark.asyncio
PASSWORD, BETTER = "correct horse", "a better horse"
EVERYTHING = 10**9


async def add(node: Node, name: str) -> int:
    return int((await node.core.accounts.add(name, password=PASSWORD, email=f"{name}@example.org")).id)


async def sign_in(node: Node, name: str, password: str = PASSWORD, client: str = "laptop") -> SignedIn:
    return await node.core.sessions.sign_in(name, password, client, "127.0.0.1", "test")


async def told(node: Node, type_: str, event: str) -> list[Event]:
    return [e for e in await node.log.read(0, EVERYTHING) if (e.type, e.event) == (type_, event)]


async def test_a_profile_is_changed_by_its_owner_and_told(settings: Settings) -> None:
    """The new name is found and in the event, which bears no address; the new address signs in, the old one does not."""
    async with opened(settings) as node:
        await add(node, "bob")
        await add(node, "ana")
        ana = (await sign_in(node, "ana")).actor
        me = await node.core.profiles.edit(ana, "Ana Ünal", "ana@new.example")
        assert (me.name, me.email) == ("Ana Ünal", "ana@new.example")
        await node.core.profiles.edit(ana, "Ana Ünal", "ana@new.example")
        (edited,) = await told(node, "user", "edited")
        assert msgspec.json.decode(edited.body)["name"] == "Ana Ünal"
        assert b"example" not in bytes(edited.body)
        assert edited.organisation == int(me.organisation_id or 0)
        bob = (await sign_in(node, "bob")).actor
        assert [each.name for each in await node.core.accounts.search(bob, "ünal", Part(limit=10))] == ["Ana Ünal"]
        assert (await sign_in(node, "ana@new.example")).actor.user_id == ana.user_id
        with pytest.raises(Unauthenticated):
            await sign_in(node, "ana@example.org")
        assert (await node.core.profiles.edit(ana, None, "")).email is None


async def test_what_is_wrong_with_a_profile_is_named(settings: Settings) -> None:
    """Somebody else's address clashes whatever its case; one's own does not."""
    async with opened(settings) as node:
        await add(node, "bob")
        await add(node, "ana")
        ana = (await sign_in(node, "ana")).actor
        for name, email, error, field in (
            (None, "BOB@example.org", Conflict, "email"),
            (None, "nowhere", Invalid, "email"),
            (" ", None, Invalid, "name"),
        ):
            with pytest.raises(error) as caught:
                await node.core.profiles.edit(ana, name, email)
            assert caught.value.field == field
        assert (await node.core.profiles.edit(ana, None, "ANA@example.org")).email == "ANA@example.org"


async def test_people_are_read_by_those_who_share_an_organisation(settings: Settings) -> None:
    """Without their address, which only oneself sees; nobody else is there."""
    async with opened(settings) as node:
        bob = await add(node, "bob")
        eve = await add(node, "eve")
        ana = Actor(await add(node, "ana"), "ana", 1, "laptop")
        assert (await node.core.profiles.read(ana, bob)).email is None
        assert (await node.core.profiles.read(ana, ana.user_id)).email == "ana@example.org"
        async with node.log.change():
            await node.database.execute("DELETE FROM organisation_member WHERE user_id = $1", eve)
        for unseen in (eve, 4711):
            with pytest.raises(NotFound):
                await node.core.profiles.read(ana, unseen)


async def test_another_password_ends_all_other_sessions(settings: Settings) -> None:
    """The one that asks goes on; the old password signs in no more."""
    async with opened(settings) as node:
        await add(node, "ana")
        here, there = await sign_in(node, "ana"), await sign_in(node, "ana", client="phone")
        await node.core.profiles.change_password(here.actor, PASSWORD, BETTER, "127.0.0.1")
        assert await node.core.sessions.authenticate(here.secret, None) == here.actor
        with pytest.raises(Unauthenticated):
            await node.core.sessions.authenticate(there.secret, None)
        assert [e.object for e in await told(node, "session", "revoked")] == [there.actor.session_id]
        with pytest.raises(Unauthenticated):
            await sign_in(node, "ana")
        await sign_in(node, "ana", BETTER)


async def test_a_wrong_old_password_changes_nothing_and_is_throttled(settings: Settings) -> None:
    """Whoever got hold of a session cannot guess on; a new one that is too short is named."""
    async with opened(settings) as node:
        await add(node, "ana")
        ana = (await sign_in(node, "ana")).actor
        with pytest.raises(Invalid) as caught:
            await node.core.profiles.change_password(ana, PASSWORD, "short", "127.0.0.1")
        assert caught.value.field == "new"
        failures: list[str] = []
        for _ in range(10):
            with pytest.raises((Invalid, RateLimited)) as wrong:
                await node.core.profiles.change_password(ana, "wrong horse", BETTER, "127.0.0.1")
            failures.append(wrong.type.__name__)
        assert set(failures) == {"Invalid", "RateLimited"}
        with pytest.raises(Unauthenticated):
            await node.core.sessions.sign_in("ana", BETTER, None, "10.0.0.1", "test")


async def test_who_is_suspended_is_out_until_let_in_again(settings: Settings) -> None:
    """Sessions end, nothing is written any more, others are told once; unsuspended, they sign in anew."""
    async with opened(settings) as node:
        ana = await sign_in(node, "ana") if await add(node, "ana") else None
        assert ana is not None
        channel = await node.core.channels.create(
            ana.actor, name="room", topic="", type_="public", organisation_id=None, members=[], key=None
        )
        for _ in range(2):
            await node.core.profiles.suspend("ANA")
        (suspended,) = await told(node, "user", "suspended")
        assert (suspended.object, msgspec.json.decode(suspended.body)["suspended_at"] is not None) == (ana.actor.user_id, True)
        assert await node.core.profiles.sessions("ana") == []
        with pytest.raises(Unauthenticated):
            await node.core.sessions.authenticate(ana.secret, None)
        with pytest.raises(Unauthenticated):
            await sign_in(node, "ana")
        with pytest.raises(Forbidden):
            await node.core.messages.post(ana.actor, int(channel.id), "still here", reply_to=None, client_msg_id=None, key=None)
        with pytest.raises(Forbidden):
            await node.core.profiles.edit(ana.actor, "Another", None)
        for _ in range(2):
            await node.core.profiles.unsuspend("ana")
        (back,) = await told(node, "user", "edited")
        assert msgspec.json.decode(back.body)["suspended_at"] is None
        await sign_in(node, "ana")
        (session,) = await node.core.profiles.sessions("ana")
        assert (session.client_id, session.current) == ("laptop", False)
        for command in (node.core.profiles.suspend, node.core.profiles.unsuspend, node.core.profiles.sessions):
            with pytest.raises(NotFound):
                await command("nobody")


async def test_who_has_left_is_not_told_of(settings: Settings) -> None:
    """What becomes of somebody who is in no organisation any more is told to themselves, and not where they were."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        home = int((await node.core.accounts.me(ana)).organisation_id or 0)
        bob = await person(node, "bob")
        await node.core.organisations.expel(bob, home, bob.user_id)
        before = await position(node)
        await node.core.profiles.edit(bob, "Robert", None)
        await node.core.profiles.suspend("bob")
        assert [(event.event, event.organisation, event.recipient) for event in await events(node, before)] == [
            ("edited", 0, bob.user_id), ("suspended", 0, bob.user_id),
        ]  # fmt: skip


async def test_addresses_are_not_tried_out(settings: Settings) -> None:
    """Whoever claims one address after another, to learn which have an account here, has to wait; names are changed meanwhile."""
    async with opened(settings) as node:
        await add(node, "bob")
        await add(node, "ana")
        ana = (await sign_in(node, "ana")).actor
        for _ in range(settings.limits.login_failures):
            with pytest.raises(Conflict):
                await node.core.profiles.edit(ana, None, "bob@example.org", "192.0.2.1")
        with pytest.raises(RateLimited):
            await node.core.profiles.edit(ana, None, "bob@example.org", "192.0.2.1")
        assert (await node.core.profiles.edit(ana, "Ana Two", None, "192.0.2.1")).name == "Ana Two"
