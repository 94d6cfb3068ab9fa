"""What waits for one socket: bounded, in order."""

from __future__ import annotations

import asyncio

import pytest

from crust.ws.frame import Frame, Run
from crust.ws.outbox import Item, Outbox, Reply, Snapshot
from crust.ws.protocol import Close, Closing, Nothing, Request

GONE = Closing(Close.SESSION_ENDED, "over")
SLOW = Closing(Close.SLOW, "you read too slowly: come back and resume")  # 4008


def texts(items: list[Item]) -> list[object]:
    """Frames as text, runs as tuples of them, snapshots as their channel."""
    return [_text(item) for item in items]


def _text(item: Item) -> object:
    if isinstance(item, Run):
        return item.frames
    if isinstance(item, Snapshot):
        return item.channel_id
    return item if isinstance(item, str) else item.frame


@pytest.mark.asyncio
async def test_what_was_put_is_taken_in_order() -> None:
    """Frames, replies and snapshots keep their order."""
    outbox = Outbox(10, 1000)
    outbox.put("a")
    outbox.put(Snapshot(5))
    outbox.put_reply(Reply(Request("1", "ping", Nothing()), "r"))
    outbox.put("b")
    assert texts(await outbox.take()) == ["a", 5, "r", "b"]


@pytest.mark.asyncio
async def test_taking_waits_for_something() -> None:
    """An empty outbox holds its writer until there is something, or until it is closed."""
    outbox = Outbox(10, 1000)
    taking = asyncio.create_task(outbox.take())
    await asyncio.sleep(0)
    assert not taking.done()
    outbox.put("a")
    assert texts(await taking) == ["a"]
    outbox.close(GONE)
    assert await outbox.take() == []


@pytest.mark.asyncio
async def test_full_of_frames_closes_4008() -> None:
    """One frame more than there is room for ends the connection; the client comes back and resumes."""
    outbox = Outbox(4, 1000)
    for n in range(4):
        outbox.put(str(n))
    assert not outbox.closed.is_set()
    outbox.put("too many")
    assert outbox.closing == SLOW
    assert await outbox.take() == []


@pytest.mark.asyncio
async def test_full_of_characters_closes_4008() -> None:
    """Few large frames count as much as many small ones."""
    outbox = Outbox(100, 1000)
    outbox.put("x" * 600)
    outbox.put("x" * 600)
    assert outbox.closing == SLOW


@pytest.mark.asyncio
async def test_what_was_taken_makes_room() -> None:
    """The limits count what waits."""
    outbox = Outbox(4, 1000)
    for _ in range(5):
        for n in range(4):
            outbox.put(str(n))
        assert len(await outbox.take()) == 4
    assert not outbox.closed.is_set()


@pytest.mark.asyncio
async def test_of_one_key_only_the_latest_is_kept() -> None:
    """Typing and presence are merged while they wait."""
    outbox = Outbox(10, 1000)
    for state in ("start", "stop", "start again"):
        outbox.put_ephemeral(("typing", 1, 2), state)
    outbox.put_ephemeral(("typing", 1, 3), "another")
    assert texts(await outbox.take()) == ["start again", "another"]
    outbox.put_ephemeral(("typing", 1, 2), "anew")
    assert texts(await outbox.take()) == ["anew"]


@pytest.mark.asyncio
async def test_from_half_full_on_what_may_be_lost_is_dropped() -> None:
    """By frames as by characters; and it never closes the connection."""
    for outbox, fill in ((Outbox(10, 10_000), ["x"] * 5), (Outbox(100, 1000), ["x" * 500])):
        for frame in fill:
            outbox.put(frame)
        for n in range(200):
            outbox.put_ephemeral(("typing", n), "typing")
        assert not outbox.closed.is_set()
        assert texts(await outbox.take()) == fill


@pytest.mark.asyncio
async def test_nothing_follows_the_end() -> None:
    """What was queued before still goes out; of what comes after only the answers to requests do; and the first reason counts."""
    outbox = Outbox(10, 1000)
    outbox.put("before")
    outbox.close(GONE)
    outbox.put("after")
    outbox.put_ephemeral("k", "after")
    outbox.put_reply(Reply(Request("1", "ping", Nothing()), "answer"))
    outbox.close(Closing(Close.NORMAL, ""))
    assert outbox.closing == GONE
    assert texts(await outbox.take()) == ["before", "answer"]


@pytest.mark.asyncio
async def test_an_end_at_once_forgets_what_is_queued() -> None:
    """For those who do not read."""
    outbox = Outbox(10, 1000)
    outbox.put("before")
    outbox.put_ephemeral("k", "before")
    outbox.close(GONE, at_once=True)
    assert await outbox.take() == []


@pytest.mark.asyncio
async def test_a_run_counts_as_the_frames_that_it_has() -> None:
    """Frames that are queued together are limited as if they came one by one."""
    outbox = Outbox(4, 1000)
    run = Run([Frame("a"), Frame("b")])
    outbox.put(run)
    outbox.put(run)
    assert not outbox.closed.is_set()
    outbox.put("c")
    assert outbox.closing == SLOW
    large = Outbox(100, 1000)
    large.put(Run([Frame("x" * 600), Frame("x" * 600)]))
    assert large.closing == SLOW
