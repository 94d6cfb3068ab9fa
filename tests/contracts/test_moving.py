"""Channels and teams that move: what they take along, and who has to part."""

from __future__ import annotations

import pytest

from crust.errors import Conflict, Forbidden, Gone, Invalid, NotFound
from crust.runtime import Node, opened
from crust.services.actor import Actor
from crust.settings import Settings
from tests.support.people import channel, events, names, organisation, person, position, say

pytestmark = pytest.mark.asyncio


async def team(node: Node, root: Actor, *members: Actor, organisation_id: int | None = None) -> int:
    return int((await node.core.teams.create(root, "Team", [m.user_id for m in members], organisation_id, None)).id)


async def test_a_channel_moves_to_a_team_and_is_then_its_own(settings: Settings) -> None:
    """By those who manage it and may give to the team; told once; nobody parts."""
    async with opened(settings) as node:
        root, ana, bob = await person(node, "root", is_admin=True), await person(node, "ana"), await person(node, "bob")
        one, two = await team(node, root, ana), await team(node, root)
        room = await channel(node, ana, bob)
        moving = node.core.moving
        with pytest.raises(Forbidden):
            await moving.move(bob, room, team_id=one, organisation_id=None)
        with pytest.raises(Forbidden):
            await moving.move(ana, room, team_id=two, organisation_id=None)
        with pytest.raises(Invalid):
            await moving.move(ana, room, team_id=None, organisation_id=None)
        direct = await channel(node, ana, bob, type_="direct")
        with pytest.raises(Forbidden):
            await moving.move(ana, direct, team_id=one, organisation_id=None)
        before = await position(node)
        for _ in range(2):
            moved = await moving.move(ana, room, team_id=one, organisation_id=None)
            assert (moved.team_ids, moved.left) == ([str(one)], [])
        assert names(await events(node, before)) == ["channel moved"]
        await say(node, bob, room)
        cem = await person(node, "cem")
        with pytest.raises(NotFound):
            await node.core.channels.read(cem, room)


async def test_in_another_organisation_only_its_people_stay(settings: Settings) -> None:
    """The others part, each with an event of the old organisation, and are named; team ties are dropped; messages come along."""
    async with opened(settings) as node:
        root, ana, bob = await person(node, "root", is_admin=True), await person(node, "ana"), await person(node, "bob")
        home = int((await node.core.accounts.me(root)).organisation_id or 0)
        other = await organisation(node, root, bob)
        tied = await team(node, root, ana)
        room = await channel(node, ana, bob)
        await node.core.moving.move(ana, room, team_id=tied, organisation_id=None)
        await say(node, bob, room, "kept @ana")
        with pytest.raises(NotFound):
            await node.core.moving.move(ana, room, team_id=None, organisation_id=other)
        before = await position(node)
        moved = await node.core.moving.move(root, room, team_id=None, organisation_id=other)
        assert (moved.organisation_id, moved.team_ids, moved.left, moved.members_count) == (str(other), [], [str(ana.user_id)], 1)
        found = await events(node, before)
        assert names(found) == ["member parted", "member role", "channel moved"], "bob, who is left, becomes owner"
        assert [event.organisation for event in found] == [home, home, other]
        assert [event.recipient for event in found] == [ana.user_id, bob.user_id, 0]
        for attempt in (node.core.channels.read(ana, room), say(node, ana, room)):
            with pytest.raises(NotFound):
                await attempt
        page = await node.core.messages.read(bob, room, before=None, after=None, around=None, limit=9)
        assert [message.contents for message in page.messages] == ["room", "kept @ana"]
        await say(node, bob, room)
        assert (await events(node, before))[-1].organisation == other


async def test_nothing_moves_to_where_one_may_make_no_channels(settings: Settings) -> None:
    """Guests, archived organisations and archived teams; a team of another organisation than the one that is named."""
    async with opened(settings) as node:
        root, ana = await person(node, "root", is_admin=True), await person(node, "ana")
        other = await organisation(node, root)
        room = await channel(node, ana)
        await node.core.organisations.invite(root, other, user_id=ana.user_id, email=None, role="guest")
        with pytest.raises(Forbidden):
            await node.core.moving.move(ana, room, team_id=None, organisation_id=other)
        away = await team(node, root, organisation_id=other)
        with pytest.raises(Invalid):
            await node.core.moving.move(
                root, room, team_id=away, organisation_id=int((await node.core.accounts.me(root)).organisation_id or 0)
            )
        await node.core.teams.archive(root, away, archived=True)
        with pytest.raises(Gone):
            await node.core.moving.move(root, room, team_id=away, organisation_id=None)
        await node.core.organisations.archive(root, other, archived=True)
        with pytest.raises(Gone):
            await node.core.moving.move(root, room, team_id=None, organisation_id=other)


async def test_a_team_takes_its_channels_along(settings: Settings) -> None:
    """Who is not in the other organisation leaves the team; where it was, it is told as removed, and not where it went."""
    async with opened(settings) as node:
        root, ana, bob = await person(node, "root", is_admin=True), await person(node, "ana"), await person(node, "bob")
        home = int((await node.core.accounts.me(root)).organisation_id or 0)
        other = await organisation(node, root, bob)
        moving = await team(node, root, ana, bob)
        rooms = [await channel(node, ana, bob, type_=type_) for type_ in ("public", "private")]
        for room in rooms:
            await node.core.moving.move(ana, room, team_id=moving, organisation_id=None)
        with pytest.raises(Forbidden):
            await node.core.moving.move_team(bob, moving, other)
        with pytest.raises(NotFound):
            await node.core.moving.move_team(root, moving, 1)
        before = await position(node)
        moved = await node.core.moving.move_team(root, moving, other)
        assert (moved.organisation_id, moved.members, moved.left) == (str(other), [str(bob.user_id)], [str(ana.user_id)])
        assert moved.channels == [str(rooms[0])], "the private one goes along, but root does not see it"
        found = await events(node, before)
        assert names(found) == ["team removed", "team moved", *["member parted", "member role", "channel moved"] * 2]
        assert [event.organisation for event in found] == [home, other, *[home, home, other] * 2]
        assert str(other).encode() not in bytes(found[0].body)
        for room in rooms:
            assert (await node.core.channels.read(bob, room)).team_ids == [str(moving)]
            with pytest.raises(NotFound):
                await node.core.channels.read(ana, room)
        with pytest.raises(NotFound):
            await node.core.teams.read(ana, moving)


async def test_a_team_that_shares_a_channel_does_not_move(settings: Settings) -> None:
    """Nothing of it does."""
    async with opened(settings) as node:
        root, ana = await person(node, "root", is_admin=True), await person(node, "ana")
        other = await organisation(node, root, ana)
        moving, staying = await team(node, root, ana), await team(node, root)
        own, shared = await channel(node, root), await channel(node, root)
        for room in (own, shared):
            await node.core.moving.move(root, room, team_id=moving, organisation_id=None)
        await node.core.moving.share(root, shared, staying)
        before = await position(node)
        with pytest.raises(Conflict):
            await node.core.moving.move_team(root, moving, other)
        assert await events(node, before) == []
        assert (await node.core.channels.read(root, own)).organisation_id != str(other)
        assert (await node.core.teams.read(root, moving)).organisation_id != str(other)
