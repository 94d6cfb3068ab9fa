"""Teams: who makes them, who is in them, and whose their channels are."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from crust.errors import Conflict, Forbidden, Gone, Invalid, NotFound
from crust.runtime import Node, opened
from crust.services.actor import Actor
from crust.services.keys import Key
from crust.services.paging import Part
from crust.settings import Settings
from tests.support.people import channel, events, names, organisation, person, position, say

pytestmark = pytest.mark.asyncio


class World(NamedTuple):
    """The home organisation with its owner and two members, and a team of Ana's."""

    root: Actor
    ana: Actor
    bob: Actor
    team: int


async def world(node: Node) -> World:
    root, ana, bob = await person(node, "root", is_admin=True), await person(node, "ana"), await person(node, "bob")
    team = await node.core.teams.create(root, "Kitchen", [ana.user_id], None, None)
    return World(root, ana, bob, int(team.id))


async def teams_channel(node: Node, owner: Actor, team: int, *members: Actor, type_: str = "public") -> int:
    made = await node.core.channels.create(
        owner, name="stove", topic="", type_=type_, organisation_id=None, members=[m.user_id for m in members], key=None, team_id=team
    )
    return int(made.id)


async def found(node: Node, who: Actor, **narrowed: int) -> list[str]:
    return [
        each.id
        for each in await node.core.channels.search(
            who, "stove", organisation_id=None, type_=None, archived=True, part=Part(limit=9), **narrowed
        )
    ]


async def test_admins_make_teams_of_members(settings: Settings) -> None:
    """Once under one key; no guests, no outsiders in it; members see it, guests do not; each change is told once, with who is in it."""
    async with opened(settings) as node:
        root, ana, bob, team = await world(node)
        with pytest.raises(Forbidden):
            await node.core.teams.create(ana, "Hers", [], None, None)
        key = Key(root.scope, "k", "same")
        one, two = [await node.core.teams.create(root, "Bar", [], None, key) for _ in range(2)]
        assert (one.id, two.duplicate) == (two.id, True)
        other = await organisation(node, root)
        with pytest.raises(Invalid):
            await node.core.teams.create(root, "Else", [bob.user_id], other, None)
        await node.core.organisations.invite(root, other, user_id=bob.user_id, email=None, role="guest")
        with pytest.raises(Invalid):
            await node.core.teams.create(root, "Else", [bob.user_id], other, None)
        hidden = await node.core.teams.create(root, "Else", [], other, None)
        with pytest.raises(NotFound):
            await node.core.teams.read(bob, int(hidden.id))
        before = await position(node)
        for members in ([ana.user_id, bob.user_id], [bob.user_id, ana.user_id], None):
            changed = await node.core.teams.change(root, team, "Galley", members)
            assert changed.members == [str(ana.user_id), str(bob.user_id)]
        told = await events(node, before)
        assert names(told) == ["team edited"]
        assert b'"changed":["name","members"]' in bytes(told[0].body)
        assert [each.name for each in await node.core.teams.search(bob, "", organisation_id=None, archived=False, part=Part(limit=9))] == [
            "Galley", "Bar",
        ]  # fmt: skip


async def test_a_teams_public_channel_is_public_to_its_members(settings: Settings) -> None:
    """Others neither find nor read nor join it, until they are in the team; who has joined stays when they leave the team."""
    async with opened(settings) as node:
        root, ana, bob, team = await world(node)
        with pytest.raises(Forbidden):
            await teams_channel(node, bob, team)
        room = await teams_channel(node, ana, team)
        message = await say(node, ana, room)
        for attempt in (
            node.core.channels.read(bob, room),
            node.core.channels.join(bob, room),
            node.core.messages.read_one(bob, int(message.id)),
            node.core.messages.read(bob, room, before=None, after=None, around=None, limit=5),
            say(node, bob, room),
        ):
            with pytest.raises(NotFound):
                await attempt
        assert await found(node, bob) == (await node.core.teams.read(bob, team)).channels == []
        assert await found(node, root) == await found(node, ana, team_id=team) == [str(room)]
        assert await found(node, ana, team_id=team + 1) == []
        assert (await node.core.channels.read(ana, room)).team_ids == [str(team)]
        await node.core.teams.change(root, team, "Kitchen", [ana.user_id, bob.user_id])
        with pytest.raises(Forbidden):
            await say(node, bob, room)
        assert (await node.core.teams.read(bob, team)).channels == [str(room)]
        await node.core.channels.join(bob, room)
        await say(node, bob, room)
        await node.core.teams.change(root, team, "Kitchen", [])
        await say(node, bob, room)
        await node.core.channels.part(bob, room)
        with pytest.raises(NotFound):
            await node.core.channels.read(bob, room)


async def test_a_private_channel_of_a_team_is_there_for_its_members_alone(settings: Settings) -> None:
    """The team's other members, and admins, do not learn of it."""
    async with opened(settings) as node:
        root, ana, bob, team = await world(node)
        await node.core.teams.change(root, team, "Kitchen", [ana.user_id, bob.user_id])
        room = await teams_channel(node, ana, team, type_="private")
        for who in (root, bob):
            assert (await node.core.teams.read(who, team)).channels == await found(node, who) == []
        assert (await node.core.teams.read(ana, team)).channels == [str(room)]


async def test_channels_are_shared_with_further_teams(settings: Settings) -> None:
    """By those who manage the channel and may give to the team; without its last team, which is up to admins, it is all the
    organisation's."""
    async with opened(settings) as node:
        root, ana, bob, team = await world(node)
        other = int((await node.core.teams.create(root, "Bar", [bob.user_id], None, None)).id)
        room, open_room = await teams_channel(node, ana, team), await channel(node, ana)
        with pytest.raises(Forbidden):
            await node.core.moving.share(ana, room, other)
        with pytest.raises(Conflict):
            await node.core.moving.share(root, open_room, other)
        before = await position(node)
        for _ in range(2):
            assert (await node.core.moving.share(root, room, other)).team_ids == [str(team), str(other)]
        await node.core.channels.join(bob, room)
        with pytest.raises(Forbidden):
            await node.core.moving.unshare(bob, room, other)
        for _ in range(2):
            await node.core.moving.unshare(ana, room, team)
        with pytest.raises(Conflict):
            await node.core.moving.unshare(ana, room, other)
        await node.core.moving.unshare(root, room, other)
        assert names(await events(node, before)) == ["channel shared", "member joined", "channel unshared", "channel unshared"]
        cem = await person(node, "cem")
        assert (await node.core.channels.join(cem, room)).team_ids == []


async def test_an_archived_team_is_read_but_not_changed(settings: Settings) -> None:
    """It takes no more channels; those that it has stay as they are."""
    async with opened(settings) as node:
        root, ana, _, team = await world(node)
        room = await teams_channel(node, ana, team)
        before = await position(node)
        for _ in range(2):
            await node.core.teams.archive(root, team, archived=True)
        assert names(await events(node, before)) == ["team archived"]
        assert (await node.core.teams.read(ana, team)).archived_at
        assert await node.core.teams.search(ana, "kit", organisation_id=None, archived=False, part=Part(limit=9)) == []
        for attempt in (node.core.teams.change(root, team, "x", None), teams_channel(node, ana, team)):
            with pytest.raises(Gone):
                await attempt
        await say(node, ana, room)
        await node.core.teams.archive(root, team, archived=False)
        await teams_channel(node, ana, team)


async def test_a_team_with_channels_of_its_own_is_not_removed(settings: Settings) -> None:
    """They would become public to all; those that are shared stay with the other team."""
    async with opened(settings) as node:
        root, ana, _, team = await world(node)
        other = int((await node.core.teams.create(root, "Bar", [], None, None)).id)
        room = await teams_channel(node, ana, team)
        with pytest.raises(Forbidden):
            await node.core.teams.remove(ana, team)
        with pytest.raises(Conflict):
            await node.core.teams.remove(root, team)
        await node.core.moving.share(root, room, other)
        before = await position(node)
        await node.core.teams.remove(root, team)
        assert names(await events(node, before)) == ["channel unshared", "team removed"]
        assert (await node.core.channels.read(ana, room)).team_ids == [str(other)]
        with pytest.raises(NotFound):
            await node.core.teams.read(root, team)


async def test_merged_teams_have_the_members_and_channels_of_both(settings: Settings) -> None:
    """A channel that both had is there once; the source is archived, and empty."""
    async with opened(settings) as node:
        root, ana, bob, team = await world(node)
        other = int((await node.core.teams.create(root, "Bar", [bob.user_id], None, None)).id)
        one, both = await teams_channel(node, bob, other), await teams_channel(node, bob, other)
        await node.core.moving.share(root, both, team)
        with pytest.raises(Forbidden):
            await node.core.teams.merge(ana, team, other)
        with pytest.raises(Invalid):
            await node.core.teams.merge(root, team, team)
        elsewhere = await node.core.teams.create(root, "Far", [], await organisation(node, root), None)
        with pytest.raises(Invalid):
            await node.core.teams.merge(root, team, int(elsewhere.id))
        before = await position(node)
        merged = await node.core.teams.merge(root, team, other)
        assert (merged.members, merged.channels) == ([str(ana.user_id), str(bob.user_id)], [str(one), str(both)])
        assert names(await events(node, before)) == ["channel moved", "channel moved", "team merged", "team archived"]
        assert (await node.core.channels.read(ana, both)).team_ids == [str(team)]
        source = await node.core.teams.read(root, other)
        assert (source.members, source.channels, source.archived_at is None) == ([], [], False)


async def test_who_becomes_a_guest_is_in_no_team(settings: Settings) -> None:
    """The team's other members are told who is left."""
    async with opened(settings) as node:
        root, ana, _, team = await world(node)
        before = await position(node)
        home = int((await node.core.accounts.me(ana)).organisation_id or 0)
        await node.core.organisations.give_role(root, home, ana.user_id, "guest")
        assert names(await events(node, before)) == ["team edited", "member role"]
        assert (await node.core.teams.read(root, team)).members == []
