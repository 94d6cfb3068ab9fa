"""Channels that are archived, brought back and removed."""

from __future__ import annotations

import pytest

from crust.errors import Forbidden, Gone, NotFound
from crust.models.tables import ChannelMember, Mention
from crust.runtime import Node, opened
from crust.services.actor import Actor
from crust.services.paging import Part
from crust.services.snapshots import Wanted
from crust.settings import Settings
from tests.support.people import channel, events, names, person, position, say

pytestmark = pytest.mark.asyncio


async def test_an_archived_channel_is_read_but_not_changed(settings: Settings) -> None:
    """Who posted a moment ago may not any more; found only when asked for; unarchived it is as before. Each is told once."""
    async with opened(settings) as node:
        ana, bob = await person(node, "ana"), await person(node, "bob")
        room = await channel(node, ana, bob)
        message = await say(node, bob, room)
        with pytest.raises(Forbidden):
            await node.core.archiving.archive(bob, room)
        before = await position(node)
        for _ in range(2):
            await node.core.archiving.archive(ana, room)
        for attempt in (
            say(node, bob, room),
            node.core.messages.edit(bob, int(message.id), "other", None),
            node.core.messages.remove(bob, int(message.id)),
            node.core.channels.invite(ana, room, bob.user_id),
            node.core.channels.change(ana, room, name="hall", topic="", type_=None),
        ):
            with pytest.raises(Gone):
                await attempt
        assert (await node.core.messages.read_one(bob, int(message.id))).contents == "hi"
        assert await search(node, bob, archived=False) == []
        assert await search(node, bob, archived=True) == [str(room)]
        await node.core.marks.move(bob, room, None)
        for _ in range(2):
            await node.core.archiving.unarchive(ana, room)
        assert names(await events(node, before)) == ["channel archived", "channel unarchived"]
        await say(node, bob, room)


async def search(node: Node, who: Actor, *, archived: bool) -> list[str]:
    found = await node.core.channels.search(who, "room", organisation_id=None, type_=None, archived=archived, part=Part(limit=5))
    return [each.id for each in found]


async def test_a_removed_channel_is_gone_for_everybody(settings: Settings) -> None:
    """Members are told, then they part, each with an event; nothing of it can be found, read or resumed."""
    async with opened(settings) as node:
        ana, bob = await person(node, "ana"), await person(node, "bob")
        room = await channel(node, ana, bob)
        message = await say(node, ana, room, "hi @bob")
        with pytest.raises(Forbidden):
            await node.core.archiving.remove(bob, room)
        await node.core.archiving.archive(ana, room)
        before = await position(node)
        await node.core.archiving.remove(ana, room)
        found = await events(node, before)
        assert names(found) == ["channel removed", "member parted", "member parted"]
        assert {event.recipient for event in found[1:]} == {ana.user_id, bob.user_id}
        assert b"room" not in bytes(found[0].body)
        for attempt in (
            node.core.channels.read(ana, room),
            node.core.messages.read_one(ana, int(message.id)),
            node.core.messages.read(ana, room, before=None, after=None, around=None, limit=5),
            say(node, ana, room),
            node.core.archiving.remove(ana, room),
            node.core.archiving.unarchive(ana, room),
        ):
            with pytest.raises(NotFound):
                await attempt
        assert [shown async for shown in node.core.snapshots.of(ana, [Wanted(room, 5)])] == []
        assert await search(node, ana, archived=True) == []
        assert await ChannelMember.filter(channel_id=room).count() == await Mention.filter(channel_id=room).count() == 0
