"""What the server's administrators do: people and organisations, but nothing of what is said."""

from __future__ import annotations

from collections.abc import Awaitable

import pytest

from crust.errors import Conflict, Forbidden, Gone, IdempotencyMismatch, NotFound, Unauthenticated
from crust.runtime import opened
from crust.services.keys import request_key
from crust.services.paging import Part
from crust.settings import Settings
from tests.support.people import channel, organisation, person, position, say

pytestmark = pytest.mark.asyncio


async def test_any_organisation_is_managed_and_none_looked_into(settings: Settings) -> None:
    """Found, renamed, archived, given owners, removed, by who is not in it; its channels, messages and teams are not there for them."""
    async with opened(settings) as node:
        root, ana = await person(node, "root", is_admin=True), await person(node, "ana")
        place = await organisation(node, root, ana)
        own = node.core.organisations
        await own.give_role(root, place, ana.user_id, "owner")
        await own.expel(root, place, root.user_id)
        room = await channel(node, ana, organisation_id=place)
        message = await say(node, ana, room)
        assert await own.search(root, "else", archived=False, part=Part()) == []
        (found,) = await own.search(root, "else", archived=False, part=Part(), everywhere=True)
        assert (found.id, found.role) == (str(place), None)
        assert (await own.rename(root, place, "Else")).name == "Else"
        with pytest.raises(NotFound):
            await node.core.messages.read_one(root, int(message.id))
        assert await node.core.channels.search(root, "room", organisation_id=place, type_=None, archived=True, part=Part()) == []
        with pytest.raises(NotFound):
            await node.core.teams.create(root, "Mine", [], place, None)
        await own.archive(root, place, archived=True)
        with pytest.raises(Gone):
            await own.rename(root, place, "Other")
        await own.remove(root, place)
        with pytest.raises(NotFound):
            await own.read(root, place)


async def test_people_are_added_suspended_and_let_in_again(settings: Settings) -> None:
    """A repeat under the same key adds nobody; who is suspended cannot sign in; administrators find everybody, and cannot suspend
    themselves; others may do none of it."""
    async with opened(settings) as node:
        root, ana = await person(node, "root", is_admin=True), await person(node, "ana")
        accounts, profiles = node.core.accounts, node.core.profiles
        key = request_key(root.scope, "k", "user/add", "ben")
        added = await accounts.add_by(root, "ben", password="correct horse", email=None, name=None, key=key)
        before = await position(node)
        again = await accounts.add_by(root, "ben", password="correct horse", email=None, name=None, key=key)
        assert (again.id, again.duplicate, await position(node)) == (added.id, True, before)
        with pytest.raises(IdempotencyMismatch):
            other = request_key(root.scope, "k", "user/add", "cem")
            await accounts.add_by(root, "cem", password=None, email=None, name=None, key=other)
        ben = int(added.id)
        await node.core.organisations.expel(root, int((await accounts.me(ana)).organisation_id or 0), ben)
        assert "ben" in {user.username for user in await accounts.search(root, "", Part(), everywhere=True)}
        for _ in range(2):
            await profiles.suspend_by(root, ben, suspended=True)
        with pytest.raises(Unauthenticated):
            await node.core.sessions.sign_in("ben", "correct horse", "c", "192.0.2.1", "")
        await profiles.suspend_by(root, ben, suspended=False)
        assert (await node.core.sessions.sign_in("ben", "correct horse", "c", "192.0.2.1", "")).actor.user_id == ben
        with pytest.raises(Conflict):
            await profiles.suspend_by(root, root.user_id, suspended=True)
        assert (await profiles.read(root, ben)).username == "ben"
        nothing: list[Awaitable[object]] = [profiles.suspend_by(root, 5, suspended=True), profiles.read(root, 5)]
        for nobody in nothing:
            with pytest.raises(NotFound):
                await nobody
        for refused in (
            accounts.add_by(ana, "dora", password=None, email=None, name=None, key=None),
            profiles.suspend_by(ana, ben, suspended=True),
            accounts.search(ana, "", Part(), everywhere=True),
            node.core.organisations.search(ana, "", archived=False, part=Part(), everywhere=True),
        ):
            with pytest.raises(Forbidden):
                await refused


async def test_strangers_are_not_brought_in_unasked(settings: Settings) -> None:
    """Whoever owns an organisation brings in those whom they see elsewhere; others are not there for them, until they open a link."""
    async with opened(settings) as node:
        root, ana, ben, eve = [await person(node, name, is_admin=name == "root") for name in ("root", "ana", "ben", "eve")]
        own = node.core.organisations
        theirs = await organisation(node, root, ana, name="Theirs")
        await own.give_role(root, theirs, ana.user_id, "owner")
        home = int((await node.core.accounts.me(root)).organisation_id or 0)
        await own.expel(eve, home, eve.user_id)
        await own.invite(ana, theirs, user_id=ben.user_id, email=None, role="member")
        for known in ({"user_id": eve.user_id, "email": None}, {"user_id": None, "email": "eve@example.org"}):
            with pytest.raises(NotFound):
                await own.invite(ana, theirs, role="member", **known)
        link = await node.core.invitations.make(ana, theirs, role="member", email="eve@example.org", uses=1)
        assert await node.core.invitations.accept(eve, link.url.partition("token=")[2]) == theirs
        assert (await own.read(eve, theirs)).role == "member"


async def test_guests_do_not_look_after_channels(settings: Settings) -> None:
    """Who becomes a guest keeps no power over a channel of theirs; when its owner goes, a member takes over before any guest."""
    async with opened(settings) as node:
        root, ana, ben, cem = [await person(node, name, is_admin=name == "root") for name in ("root", "ana", "ben", "cem")]
        home = int((await node.core.accounts.me(root)).organisation_id or 0)
        room = await channel(node, ana, ben, cem)
        for guest in (ana, ben):
            await node.core.organisations.give_role(root, home, guest.user_id, "guest")
        with pytest.raises(Forbidden):
            await node.core.archiving.remove(ana, room)
        await node.core.channels.part(ana, room)
        roles = {member.id: member.role for member in await node.core.channels.members_of(room, Part())}
        assert roles == {str(ben.user_id): "member", str(cem.user_id): "owner"}
