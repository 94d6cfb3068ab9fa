"""One connection once it is ready: what it answers, what it does with a client that is slow, and how it ends."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from crust.errors import NotFound
from crust.events.control import Typing
from tests.unit.test_ws_connection import BOB, CHANNEL, SOON_S, World, shown

# ---- requests


@pytest.mark.asyncio
async def test_verbs_are_api_calls() -> None:
    """The same handlers, the same rights, the same bodies."""
    world = World()
    async with world.opened() as wire:
        wire.say("join", "1", channel_id="5")
        wire.say("part", "2", channel_id="5")
        wire.say("read", "3", channel_id="5", message_id="6")
        wire.say("presence", "4", status="away")
        wire.say("call", "5", method="GET", path="/user/me", params={"x": 1})
        wire.say("message", "6", channel_id="5", contents="hi", client_msg_id="k")
        wire.say("message", "7", user_id="9", contents="psst")
        await wire.until("7")
    assert world.calls == [
        ("POST", "/channel/join", {"channel_id": "5", "id": "5"}),
        ("POST", "/channel/part", {"channel_id": "5", "id": "5"}),
        ("POST", "/channel/view", {"channel_id": "5", "id": "5", "message_id": "6"}),
        ("POST", "/user/presence", {"status": "away"}),
        ("GET", "/user/me", {"x": 1}),
        ("POST", "/message/edit", {"channel_id": "5", "contents": "hi", "client_msg_id": "k"}),
        ("POST", "/channel/edit", {"type": "direct", "name": "", "topic": "", "members": ["9"]}),
        ("POST", "/message/edit", {"user_id": "9", "contents": "psst", "channel_id": "5"}),
    ]


@pytest.mark.asyncio
async def test_an_error_is_a_reply_with_the_verbs_own_field() -> None:
    """What the API calls `id` is `channel_id` in the frame."""
    world = World()
    world.answers["/channel/join"] = NotFound("There is no such channel.", field="id")
    async with world.opened() as wire:
        wire.say("join", "1", channel_id="5")
        await wire.until("1")
    (reply,) = [frame for frame in wire.frames if frame.get("reply_to") == "1"]
    assert (reply["error"]["code"], reply["error"]["field"]) == ("not_found", "channel_id")


@pytest.mark.asyncio
async def test_pipelined_messages_are_started_in_order_and_none_waits_for_another() -> None:
    """All of them are on their way before the first is written."""
    world = World()
    async with world.opened() as wire:
        await wire.until("ready")
        world.writing.clear()
        for n in range(15):
            wire.say("message", f"m{n}", channel_id="5", contents=str(n))
        async with asyncio.timeout(SOON_S):
            while len(world.calls) < 15:
                await asyncio.sleep(0.001)
        assert not any("reply_to" in frame for frame in wire.frames)
        world.writing.set()
        await wire.until("m14")
    assert [params["contents"] for _, _, params in world.calls] == [str(n) for n in range(15)]
    assert [frame["reply_to"] for frame in wire.frames if "reply_to" in frame] == [f"m{n}" for n in range(15)]


@pytest.mark.asyncio
async def test_ping_tells_the_time_and_quit_closes_1000() -> None:
    """Both are answered."""
    async with World().opened() as wire:
        wire.say("ping", "1")
        await wire.until("1")
        wire.say("quit", "2")
        assert await wire.closed() == 1000
    replies = {frame["reply_to"]: frame for frame in wire.frames if "reply_to" in frame}
    assert replies["1"]["response"]["time"].endswith("Z")
    assert "success" in replies["2"]


@pytest.mark.asyncio
async def test_after_options_batch_what_waits_is_joined() -> None:
    """The same frames in the same order, as an array; without it every frame is one object."""
    world = World()
    async with world.opened() as plain, world.opened() as batched:
        batched.say("options", "1", batch=True)
        await plain.until("ready")
        await batched.until("1")
        for n in range(20):
            world.happens(str(n))
        await asyncio.sleep(0.02)
    for wire in (plain, batched):
        assert [each for each in shown(wire) if each.isdigit()] == [str(n) for n in range(20)]
    assert all(text.startswith("{") for text in plain.texts)
    assert len([text for text in batched.texts if text.startswith("[")]) == 1


# ---- slow clients, and ends


@pytest.mark.asyncio
async def test_a_client_that_does_not_read_is_closed_4008(monkeypatch: pytest.MonkeyPatch) -> None:
    """When its queue is full; another one gets everything meanwhile."""
    monkeypatch.setattr("crust.ws.connection.LINGER_S", 0.1)
    world = World(queue_frames=8)
    async with world.opened() as slow, world.opened() as other:
        for wire in (slow, other):
            await wire.until("ready")
        await asyncio.sleep(0.01)
        slow.reading.clear()
        for n in range(30):
            world.happens(str(n))
            await asyncio.sleep(0)
        assert await slow.closed() == 4008
    assert [each for each in shown(other) if each.isdigit()] == [str(n) for n in range(30)]


@pytest.mark.asyncio
async def test_typing_is_dropped_from_half_full_on() -> None:
    """It never closes a connection, and makes room for nothing else."""
    world = World(queue_frames=8)
    async with world.opened() as wire:
        await wire.until("ready")
        await asyncio.sleep(0.01)
        wire.reading.clear()
        world.happens("being sent")
        await asyncio.sleep(0.01)
        for n in range(4):
            world.happens(str(n))
        for user in range(100, 150):
            world.hub.control(Typing(CHANNEL, user, "start"))
        wire.reading.set()
        await asyncio.sleep(0.02)
        assert wire.code is None
    assert shown(wire)[-5:] == ["being sent", "0", "1", "2", "3"]


@pytest.mark.asyncio
async def test_a_revoked_session_closes_after_what_is_queued() -> None:
    """4001, and nothing of later comes."""
    world = World()
    async with world.opened() as wire:
        await wire.until("ready")
        await asyncio.sleep(0.01)
        world.happens("before")
        world.happens(type="session", event="revoked", channel=0, recipient=BOB, object=1)
        world.happens("after")
        assert await wire.closed() == 4001
    assert shown(wire)[-2:] == ["before", "session REVOKED"]


@pytest.mark.asyncio
@pytest.mark.parametrize(("frames", "code"), [([b"binary"], 4000), (["?"] * 20, 4000), (["x" * 300_000], 1009)])
async def test_a_protocol_error_closes_with_its_code(frames: list[str | bytes], code: int) -> None:
    """RFC 6455 7.4.1 and our own range."""
    async with World().opened() as wire:
        await wire.until("ready")
        for frame in frames:
            wire.inbound.put_nowait(frame)
        assert await wire.closed() == code


@pytest.mark.asyncio
async def test_a_failure_of_our_own_ends_that_connection_alone() -> None:
    """1011, logged; a request's failure is answered as `internal` and ends nothing."""
    world = World()
    world.answers["/user/me"] = cast("bytes", None)
    async with world.opened() as wire, world.opened() as other:
        for each in (wire, other):
            await each.until("ready")
        wire.say("call", "1", method="GET", path="/user/me")
        await wire.until("1")
        assert wire.frames[-1]["error"]["code"] == "internal"
        world.members[BOB] = cast("dict[int, str]", None)
        world.happens(type="channel", event="moved")
        assert await wire.closed() == 1011
        assert await other.closed() == 1011
