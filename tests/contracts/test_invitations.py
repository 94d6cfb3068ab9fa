"""Links that bring people into an organisation."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import UNSET

from crust.clock import ManualClock
from crust.errors import Conflict, Forbidden, Gone, IdempotencyMismatch, Invalid, NotFound
from crust.runtime import Node, opened
from crust.services.actor import Actor
from crust.services.invitations import NewAccount, Registered
from crust.services.keys import Key
from crust.services.paging import Part
from crust.services.views import MadeInvitation
from crust.settings import Settings
from tests.support.people import organisation, person

pytestmark = pytest.mark.asyncio


async def link(node: Node, who: Actor, organisation_id: int, *, role: str = "member", email: str | None = None, uses: int = 1) -> str:
    """A new one's secret."""
    made = await node.core.invitations.make(who, organisation_id, role=role, email=email, uses=uses)
    return made.url.partition("?token=")[2]


def account(secret: str, username: str = "bob", **others: str | None) -> NewAccount:
    return NewAccount(**{"secret": secret, "username": username, "name": None, "email": None, "password": "correct horse", **others})  # type: ignore[arg-type]


async def test_somebody_new_comes_in(settings: Settings) -> None:
    """With the role of the link, into that organisation and no other, signed in, with the address that the link was for."""
    async with opened(settings) as node:
        ana = await person(node, "ana", is_admin=True)
        place = await organisation(node, ana)
        secret = await link(node, ana, place, role="guest", email="bob@example.org")
        assert await node.core.invitations.organisation(secret) == "Elsewhere"
        signed_in, _ = await node.core.invitations.register(account(secret, email="other@example.org"), None, "", "")
        me = await node.core.accounts.me(signed_in.actor)
        assert (me.email, me.organisation_id) == ("bob@example.org", str(place))
        found = await node.core.organisations.search(signed_in.actor, "", archived=True, part=Part(limit=10))
        assert [(each.id, each.role) for each in found] == [(str(place), "guest")]
        assert await node.core.sessions.authenticate(signed_in.secret, None) == signed_in.actor


async def test_a_link_is_used_up(settings: Settings) -> None:
    """By as many as it was made for, also when two come at once; what failed has used nothing up."""
    async with opened(settings) as node:
        ana = await person(node, "ana", is_admin=True)
        place = await organisation(node, ana)
        secret = await link(node, ana, place, uses=2)
        for wrong in (account(secret, "ana"), account(secret, password="x"), account(secret, "b o b")):
            with pytest.raises((Conflict, Invalid)):
                await node.core.invitations.enrol(wrong)
        results = await asyncio.gather(
            *(node.core.invitations.enrol(account(secret, f"bob{number}")) for number in range(4)), return_exceptions=True
        )
        assert sum(isinstance(result, Gone) for result in results) == 2
        with pytest.raises(Gone):
            await node.core.invitations.organisation(secret)


async def test_who_has_an_account_comes_in_with_it(settings: Settings) -> None:
    """And stays as they are where they are in it already, which uses nothing up."""
    async with opened(settings) as node:
        ana, bob = await person(node, "ana", is_admin=True), await person(node, "bob")
        place = await organisation(node, ana)
        secret = await link(node, ana, place, role="guest")
        assert await node.core.invitations.accept(ana, secret) == place
        assert (await node.core.organisations.read(ana, place)).role == "owner"
        await node.core.invitations.accept(bob, secret)
        assert (await node.core.organisations.read(bob, place)).role == "guest"
        with pytest.raises(Gone):
            await node.core.invitations.accept(await person(node, "carla"), secret)


async def test_a_repeat_gives_the_same_invitation(settings: Settings) -> None:
    """With another link, the one before being over; until it was used up, or taken back."""
    async with opened(settings) as node:
        ana = await person(node, "ana", is_admin=True)
        place = await organisation(node, ana)

        async def invite(key: Key) -> MadeInvitation:
            return await node.core.invitations.make(ana, place, role="member", email=None, uses=1, key=key)

        key, taken_back = Key(ana.scope, "one", "x"), Key(ana.scope, "two", "x")
        first, second, other = await invite(key), await invite(key), await invite(taken_back)
        assert (first.id, first.duplicate, second.duplicate) == (second.id, UNSET, True)
        assert other.id != first.id
        with pytest.raises(Gone):
            await node.core.invitations.enrol(account(first.url.partition("?token=")[2]))
        await node.core.invitations.enrol(account(second.url.partition("?token=")[2]))
        await node.core.invitations.revoke(ana, int(other.id))
        for over in (key, taken_back):
            with pytest.raises(Gone):
                await invite(over)
            with pytest.raises(Gone):
                await node.core.invitations.again(ana, place, "member", over)


async def test_a_repeat_needs_the_right_to_invite(settings: Settings) -> None:
    """Which may have been lost since: a link is as good as new."""
    async with opened(settings) as node:
        ana, bob = await person(node, "ana", is_admin=True), await person(node, "bob")
        place = await organisation(node, ana, bob)
        await node.core.organisations.give_role(ana, place, bob.user_id, "admin")
        key = Key(bob.scope, "one", "x")
        await node.core.invitations.make(bob, place, role="member", email=None, uses=1, key=key)
        await node.core.organisations.give_role(ana, place, bob.user_id, "member")
        with pytest.raises(Forbidden):
            await node.core.invitations.again(bob, place, "member", key)


async def test_a_repeat_signs_in_to_the_account_that_was_made(settings: Settings) -> None:
    """Though the link is used up by it; at the same moment, too. With another password it is another request."""
    async with opened(settings) as node:
        ana = await person(node, "ana", is_admin=True)
        secret = await link(node, ana, await organisation(node, ana), uses=2)
        key = Key("invitation:x", "one", "x")

        async def register(password: str = "correct horse") -> Registered:
            return await node.core.invitations.register(account(secret, password=password), "client-bob", "", "", key)

        results = [*await asyncio.gather(register(), register()), await register()]
        assert len({result.signed_in.actor.user_id for result in results}) == 1
        assert sorted(result.duplicate for result in results) == [False, True, True]
        for result in results:
            await node.core.sessions.authenticate(result.signed_in.secret, "client-bob")
        with pytest.raises(IdempotencyMismatch):
            await register("another horse")
        await node.core.invitations.enrol(account(secret, "carla"))  # the repeats have used up nothing
        assert (await register()).duplicate
        rows = str([dict(row) for row in await node.database.fetch("SELECT * FROM key")])
        assert "correct horse" not in rows


async def test_links_end(settings: Settings) -> None:
    """By time, when taken back, with their organisation, and while it is archived."""
    clock = ManualClock()
    async with opened(settings, clock) as node:
        ana = await person(node, "ana", is_admin=True)
        place = await organisation(node, ana)
        old = await link(node, ana, place)
        clock.advance(settings.organisations.invitation_days * 86_400)
        taken = await link(node, ana, place)
        (shown,) = await node.core.invitations.all(ana, place, Part(limit=10))
        await node.core.invitations.revoke(ana, int(shown.id))
        kept = await link(node, ana, place)
        for secret in (old, taken, "never-made", ""):
            with pytest.raises(Gone):
                await node.core.invitations.enrol(account(secret))
        await node.core.organisations.archive(ana, place, archived=True)
        with pytest.raises(Gone, match="archived"):
            await node.core.invitations.enrol(account(kept))
        await node.core.organisations.remove(ana, place)
        with pytest.raises(Gone):
            await node.core.invitations.enrol(account(kept))


async def test_who_may_invite(settings: Settings) -> None:
    """Owners and admins; owners alone make owners; outsiders learn nothing of a link."""
    async with opened(settings) as node:
        ana, bob, carla = await person(node, "ana", is_admin=True), await person(node, "bob"), await person(node, "carla")
        place = await organisation(node, ana, bob)
        with pytest.raises(Forbidden):
            await link(node, bob, place)
        with pytest.raises(NotFound):
            await link(node, carla, place)
        await node.core.organisations.give_role(ana, place, bob.user_id, "admin")
        with pytest.raises(Forbidden, match="Only owners"):
            await link(node, bob, place, role="owner")
        await link(node, bob, place)
        (shown,) = await node.core.invitations.all(ana, place, Part(limit=10))
        assert shown.invited_by == str(bob.user_id)
        with pytest.raises(NotFound):
            await node.core.invitations.revoke(carla, int(shown.id))
        await node.core.organisations.give_role(ana, place, bob.user_id, "member")
        for attempt in (node.core.invitations.all(bob, place, Part(limit=10)), node.core.invitations.revoke(bob, int(shown.id))):
            with pytest.raises(Forbidden):
                await attempt


async def test_the_secret_is_stored_nowhere(settings: Settings) -> None:
    """Only its hash is."""
    async with opened(settings) as node:
        ana = await person(node, "ana", is_admin=True)
        secret = await link(node, ana, await organisation(node, ana))
        rows = [dict(row) for table in ("invitation", "audit", "event") for row in await node.database.fetch(f"SELECT * FROM {table}")]
        assert rows
        assert secret not in str(rows)
