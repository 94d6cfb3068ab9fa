"""Channels as they come into view, many at once: the same as one by one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from crust.runtime import Node, opened
from crust.services.actor import Actor
from crust.services.snapshots import CHARACTERS, MESSAGES_TOGETHER, TOGETHER, Wanted, portions
from crust.settings import Settings, Websocket

pytestmark = pytest.mark.asyncio


async def person(node: Node, name: str) -> Actor:
    user = await node.core.accounts.add(name, password="correct horse")
    return Actor(int(user.id), name, 1, f"client-{name}")


async def room(node: Node, owner: Actor, *members: Actor) -> int:
    others = [member.user_id for member in members]
    channel = await node.core.channels.create(owner, name="r", topic="", type_="public", organisation_id=None, members=others, key=None)
    return int(channel.id)


async def say(node: Node, actor: Actor, channel: int, text: str) -> int:
    return int((await node.core.messages.post(actor, channel, text, reply_to=None, client_msg_id=None, key=None)).id)


async def shown(node: Node, actor: Actor, *wanted: Wanted) -> list[dict[str, Any]]:
    return [msgspec.json.decode(raw) async for raw in node.core.snapshots.of(actor, wanted)]


async def test_each_channel_has_its_own_messages_members_and_counts(settings: Settings) -> None:
    """More channels than are read together, in the order that was asked for; what is the viewer's own is theirs."""
    async with opened(settings) as node:
        ana, bob = await person(node, "ana"), await person(node, "bob")
        channels = [await room(node, ana, *([bob] if number % 2 else [])) for number in range(TOGETHER + 3)]
        for number, channel in enumerate(channels):
            await say(node, ana, channel, f"hello {number}")
            if number % 2:
                last = await say(node, bob, channel, "hi @ana")
                await node.core.messages.flag(ana, last, flagged=True)
        frames = await shown(node, ana, *(Wanted(channel, 50) for channel in reversed(channels)))
    assert [int(frame["id"]) for frame in frames] == channels[::-1]
    for number, frame in enumerate(reversed(frames)):
        said = [message["contents"] for message in frame["messages"] if message["type"] == "MESSAGE"]
        assert said == [f"hello {number}", *(["hi @ana"] if number % 2 else [])]
        assert [member["username"] for member in frame["members"]] == ["ana", *(["bob"] if number % 2 else [])]
        assert (frame["unread"], frame["mentions"]) == ((1, 1) if number % 2 else (0, 0))
        assert [message["flagged"] for message in frame["messages"]][-1] is bool(number % 2)
        assert frame["has_more"] is False


async def test_messages_are_the_newest_and_it_is_said_whether_there_are_more(settings: Settings) -> None:
    """Oldest first; without messages, `has_more` tells that there are some."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        channel = await room(node, ana)
        for number in range(4):
            await say(node, ana, channel, str(number))
        (newest,) = await shown(node, ana, Wanted(channel, 2))
        (all_,) = await shown(node, ana, Wanted(channel, 5))
        (none,) = await shown(node, ana, Wanted(channel, 0))
    assert ([message["contents"] for message in newest["messages"]], newest["has_more"]) == (["2", "3"], True)
    assert ([message["contents"] for message in all_["messages"]][1:], all_["has_more"]) == (["0", "1", "2", "3"], False)
    assert (none["messages"], none["has_more"]) == ([], True)


async def test_the_viewer_is_among_the_members_shown(settings: Settings) -> None:
    """However many there are, and however late they came."""
    settings = settings.model_copy(update={"websocket": Websocket(members_shown=3)})
    async with opened(settings) as node:
        people = [await person(node, f"u{number}") for number in range(6)]
        channel = await room(node, *people)
        for viewer in (people[0], people[-1]):
            (frame,) = await shown(node, viewer, Wanted(channel, 0))
            names = [member["username"] for member in frame["members"]]
            assert len(names) == 3
            assert viewer.username in names
            assert frame["members_count"] == 6


async def test_long_messages_make_a_frame_of_fewer(settings: Settings) -> None:
    """A frame is held for whoever reads slowly, so it has a size; there is one message at least, and it is said that there are more."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        channel = await room(node, ana)
        for number in range(12):
            await say(node, ana, channel, f"{number}" + "я" * 15_000)
        (frame,) = await shown(node, ana, Wanted(channel, 50))
    said = [message["contents"][:2].rstrip("я") for message in frame["messages"]]
    assert said == [str(number) for number in range(12 - len(said), 12)]
    assert CHARACTERS - 15_001 < sum(len(message["contents"]) for message in frame["messages"]) <= CHARACTERS
    assert frame["has_more"] is True


async def test_what_is_read_together_is_bounded() -> None:
    """Many channels without messages, or few with them, each once and in order."""
    wanted = [*(Wanted(number, 50) for number in range(5)), *(Wanted(number, 0) for number in range(5, 60)), Wanted(60, 200)]
    portioned = list(portions(wanted))
    assert [each for some in portioned for each in some] == wanted
    assert max(map(len, portioned)) == TOGETHER
    assert all(len(some) == 1 or sum(each.messages for each in some) <= MESSAGES_TOGETHER for some in portioned)
