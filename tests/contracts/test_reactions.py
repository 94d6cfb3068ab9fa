"""Reactions: one for each person and emoji, counted in the change, seen wherever the message is read."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from crust.errors import Forbidden, Invalid, NotFound
from crust.models.tables import Reaction
from crust.runtime import Node, opened
from crust.services import reactions
from crust.services.actor import Actor
from crust.services.paging import Part
from crust.services.search import Wish
from crust.services.snapshots import Wanted
from crust.settings import Settings

pytestmark = pytest.mark.asyncio
EVERYTHING = 10**9


async def person(node: Node, name: str) -> Actor:
    user = await node.core.accounts.add(name, password="correct horse")
    return Actor(int(user.id), name, 1, f"client-{name}")


async def room(node: Node, owner: Actor, *members: Actor) -> int:
    channel = await node.core.channels.create(
        owner, name="room", topic="", type_="public", organisation_id=None, members=[member.user_id for member in members], key=None
    )
    return int(channel.id)


async def post(node: Node, actor: Actor, channel: int, text: str, reply_to: int | None = None) -> int:
    return int((await node.core.messages.post(actor, channel, text, reply_to=reply_to, client_msg_id=None, key=None)).id)


async def told(node: Node) -> list[tuple[str, dict[str, Any]]]:
    return [(e.event, msgspec.json.decode(e.body)) for e in await node.log.read(0, EVERYTHING) if e.type == "reaction"]


async def test_again_is_no_error_and_no_event(settings: Settings) -> None:
    """The same reaction twice, or ten times at once, is one; so is taking it away. Counts in events are absolute."""
    async with opened(settings) as node:
        ana, bob = await person(node, "ana"), await person(node, "bob")
        message = await post(node, ana, await room(node, ana, bob), "hi")
        await asyncio.gather(*(node.core.messages.react(ana, message, "👍") for _ in range(10)))
        await node.core.messages.react(bob, message, "👍")
        for _ in range(2):
            await node.core.messages.unreact(ana, message, "👍")
        events = await told(node)
        ids = {"message_id": str(message), "emoji": "👍"}
        assert events == [
            ("added", {**ids, "user_id": str(ana.user_id), "count": 1}),
            ("added", {**ids, "user_id": str(bob.user_id), "count": 2}),
            ("removed", {**ids, "user_id": str(ana.user_id), "count": 1}),
        ]


async def test_reactions_are_in_a_message_wherever_it_is_read(settings: Settings) -> None:
    """History, one message, search, thread, pins and snapshot alike; `mine` is the viewer's, and in no event."""
    async with opened(settings) as node:
        ana, bob = await person(node, "ana"), await person(node, "bob")
        channel = await room(node, ana, bob)
        message = await post(node, ana, channel, "word", reply_to=await post(node, ana, channel, "head"))
        for actor, emoji in ((bob, ":tada:"), (ana, "👍"), (ana, ":tada:")):
            await node.core.messages.react(actor, message, emoji)
        await node.core.messages.pin(ana, message)
        for viewer in (ana, bob):
            (frame,) = [msgspec.json.decode(raw) async for raw in node.core.snapshots.of(viewer, [Wanted(channel, 10)])]
            everywhere = [
                (await node.core.messages.read(viewer, channel, before=None, after=None, around=None, limit=1)).messages[0],
                await node.core.messages.read_one(viewer, message),
                (await node.core.messages.thread(viewer, message, Part(limit=10)))[0],
                (await node.core.messages.pins(viewer.user_id, channel))[0],
                (await node.core.search.find(viewer, Wish(query="word"), 10))[0],
            ]
            shown = [msgspec.json.decode(msgspec.json.encode(each.reactions)) for each in everywhere]
            expected = [
                {"emoji": ":tada:", "count": 2, "user_ids": [str(bob.user_id), str(ana.user_id)], "mine": True},
                {"emoji": "👍", "count": 1, "user_ids": [str(ana.user_id)], "mine": viewer is ana},
            ]
            assert [*shown, frame["messages"][-1]["reactions"]] == [expected] * 6
        await node.core.messages.edit(ana, message, "better", None)
        (edited,) = [e for e in await node.log.read(0, EVERYTHING) if (e.type, e.event) == ("message", "edited")]
        assert [set(each) for each in msgspec.json.decode(edited.body)["reactions"]] == [{"emoji", "count", "user_ids"}] * 2


async def test_a_page_without_reactions_asks_nothing_more(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one with any asks once, however many messages have them."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        channel = await room(node, ana)
        ids = [await post(node, ana, channel, "hi") for _ in range(3)]
        asked: list[str] = []
        fetch = node.database.fetch

        async def counting(sql: str, *values: Any, **options: Any) -> Any:
            asked.append(sql)
            return await fetch(sql, *values, **options)

        monkeypatch.setattr(node.database, "fetch", counting)
        await node.core.messages.page(ana.user_id, channel)
        assert len(asked) == 1
        for message in ids:
            await node.core.messages.react(ana, message, "👍")
        asked.clear()
        page = await node.core.messages.page(ana.user_id, channel)
        assert [len(message.reactions) for message in page.messages] == [0, 1, 1, 1]
        assert len(asked) == 2


async def test_the_first_twenty_are_named_and_all_are_counted(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever came later is counted, and told that theirs is there; other emoji than the message's 50 are refused."""
    monkeypatch.setattr(reactions, "KINDS_MAX", 2)
    async with opened(settings) as node:
        people = [await person(node, f"person{number}") for number in range(22)]
        message = await post(node, people[0], await room(node, *people), "hi")
        for each in people:
            await node.core.messages.react(each, message, "👍")
        await node.core.messages.react(people[0], message, "🎉")
        with pytest.raises(Invalid):
            await node.core.messages.react(people[1], message, "❌")
        await node.core.messages.react(people[1], message, "🎉")
        thumbs, _ = (await node.core.messages.read_one(people[-1], message)).reactions
        assert (thumbs.count, thumbs.mine) == (22, True)
        assert thumbs.user_ids == tuple(str(each.user_id) for each in people[:20])


async def test_members_react_and_a_removal_takes_all_away(settings: Settings) -> None:
    """Who is not in the channel may not; what is no emoji is refused; nothing is left of a removed message's."""
    async with opened(settings) as node:
        ana, eve = await person(node, "ana"), await person(node, "eve")
        message = await post(node, ana, await room(node, ana), "hi")
        with pytest.raises(Forbidden):
            await node.core.messages.react(eve, message, "👍")
        for wrong in ("", " ", "a b", "x" * 65, "\u202e", "\u200b", "a\nb"):
            with pytest.raises(Invalid) as caught:
                await node.core.messages.react(ana, message, wrong)
            assert caught.value.field == "emoji"
        for right in ("👩‍👩‍👧", "❤️", ":+1:", "ok", "🇩🇪"):
            await node.core.messages.react(ana, message, right)
        await node.core.messages.remove(ana, message)
        assert not await Reaction.exists()
        with pytest.raises(NotFound):
            await node.core.messages.react(ana, message, "👍")
