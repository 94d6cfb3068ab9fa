"""Threads and former versions: read by whoever may read the message."""

from __future__ import annotations

import pytest

from crust.errors import NotFound
from crust.runtime import Node, opened
from crust.services.actor import Actor
from crust.services.paging import Part
from crust.settings import Settings

pytestmark = pytest.mark.asyncio


async def person(node: Node, name: str) -> Actor:
    user = await node.core.accounts.add(name, password="correct horse")
    return Actor(int(user.id), name, 1, f"client-{name}")


async def room(node: Node, owner: Actor, type_: str) -> int:
    channel = await node.core.channels.create(owner, name="room", topic="", type_=type_, organisation_id=None, members=[], key=None)
    return int(channel.id)


async def post(node: Node, actor: Actor, channel: int, text: str, reply_to: int | None = None) -> int:
    return int((await node.core.messages.post(actor, channel, text, reply_to=reply_to, client_msg_id=None, key=None)).id)


async def test_a_thread_is_its_living_replies_oldest_first(settings: Settings) -> None:
    """Asked for by its head or by any reply in it, in pages; what was removed is left out."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        channel = await room(node, ana, "public")
        head = await post(node, ana, channel, "head")
        replies = [await post(node, ana, channel, f"reply {number}", reply_to=head) for number in range(4)]
        await post(node, ana, channel, "aside")
        await node.core.messages.remove(ana, replies[1])
        for message in (head, replies[2]):
            assert [each.contents for each in await node.core.messages.thread(ana, message, Part(limit=10))] == [
                "reply 0",
                "reply 2",
                "reply 3",
            ]
        assert [each.contents for each in await node.core.messages.thread(ana, head, Part(after=replies[0], limit=1))] == ["reply 2"]
        with pytest.raises(NotFound):
            await node.core.messages.thread(ana, replies[1], Part(limit=10))


async def test_former_versions_are_kept_in_their_order(settings: Settings) -> None:
    """Each with its number and the time from which it held; the present one is not among them."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        message = await post(node, ana, await room(node, ana, "public"), "one")
        for text in ("two", "three"):
            await node.core.messages.edit(ana, message, text, None)
        former = await node.core.messages.versions(ana, message, Part(limit=10))
        assert [(each.version, each.contents) for each in former] == [(1, "one"), (2, "two")]
        assert former[0].created_at == (await node.core.messages.read_one(ana, message)).created_at
        assert [each.contents for each in await node.core.messages.versions(ana, message, Part(after=int(former[0].id), limit=10))] == [
            "two"
        ]
        assert await node.core.messages.deliveries(ana, message, Part()) == []


async def test_who_may_not_read_the_message_is_told_nothing(settings: Settings) -> None:
    """Thread, former versions and deliveries of a private channel's message are not there for others."""
    async with opened(settings) as node:
        ana, eve = await person(node, "ana"), await person(node, "eve")
        message = await post(node, ana, await room(node, ana, "private"), "secret")
        for asked in (
            node.core.messages.thread(eve, message, Part(limit=10)),
            node.core.messages.versions(eve, message, Part(limit=10)),
            node.core.messages.deliveries(eve, message, Part()),
        ):
            with pytest.raises(NotFound):
                await asked
