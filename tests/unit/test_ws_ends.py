"""Connections that end while something is under way, and bursts that must not end any."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from crust.errors import RateLimited
from crust.events.control import SessionEnded, Typing
from crust.events.event import Event
from crust.services.actor import Actor
from crust.ws.connection import Credentials, WebsocketConnection
from crust.ws.gateway import Gateway
from crust.ws.protocol import Close, Closing
from tests.unit.test_ws_connection import ANA, BOB, CHANNEL, OTHER, SOON_S, Wire, World, shown


@pytest.mark.asyncio
async def test_a_large_group_of_events_closes_nobody_who_reads() -> None:
    """A group commit is up to 500 events at once, more than a queue holds: writers get their turns in between."""
    world = World(queue_frames=256)
    batch = [world.happens(str(n), seen=False) for n in range(500)]

    async def batches() -> AsyncIterator[Sequence[Event]]:
        yield batch

    world.events.clear()
    async with world.opened() as wire:
        await wire.until("ready")
        await asyncio.sleep(0.01)
        await world.hub.run(batches())
        await asyncio.sleep(0.01)
        assert wire.code is None
    assert [each for each in shown(wire) if each.isdigit()] == [str(n) for n in range(500)]


@pytest.mark.asyncio
async def test_typing_does_not_outlive_a_membership() -> None:
    """What waits keeps its order: `member parted` is the last of a channel, ephemeral frames included."""
    world = World()
    async with world.opened() as wire:
        await wire.until("ready")
        await asyncio.sleep(0.01)
        world.hub.control(Typing(CHANNEL, ANA, "start"))
        world.parted(BOB, CHANNEL)
        await wire.until("member")
        await asyncio.sleep(0.01)
    assert shown(wire)[-2:] == ["typing", "member PARTED"]


@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["control", "log", "suspended"])
async def test_a_session_that_ends_while_its_socket_catches_up_ends_it(how: str) -> None:
    """Close 4001 at once, not when the snapshot has been read."""
    world = World()
    async with world.opened() as wire:
        await wire.until("hello")
        wire.reading.clear()
        await asyncio.sleep(0.01)
        if how == "control":
            world.hub.control(SessionEnded(1))
        elif how == "log":
            world.happens(type="session", event="revoked", channel=0, recipient=BOB, object=1)
        else:
            world.happens(type="user", event="suspended", channel=0, object=BOB)
        wire.reading.set()
        assert await wire.closed() == 4001


@pytest.mark.asyncio
async def test_a_session_that_ended_before_the_hub_knew_its_socket_is_noticed() -> None:
    """Between the upgrade and the connection's first step; then nothing is told."""
    world = World()
    world.sessions.clear()
    async with world.opened() as wire:
        assert await wire.closed() == 4001
    assert wire.frames == []


@pytest.mark.asyncio
async def test_a_shutdown_reaches_who_has_not_signed_in() -> None:
    """`shutdown`, then 1001, without waiting for a login."""
    world = World()
    wire = Wire()
    connection = WebsocketConnection(world.services, wire, None, None, lambda _: True)
    task = asyncio.create_task(connection.run())
    await asyncio.sleep(0.01)
    connection.outbox.put('{"type":"shutdown","data":{"reconnect_after":1}}')
    connection.outbox.close(Closing(Close.GOING_AWAY, "the server restarts"))
    assert await wire.closed() == 1001
    assert shown(wire) == ["shutdown"]
    await task


@pytest.mark.asyncio
async def test_a_drain_waits_for_its_sockets_though_there_were_none_before() -> None:
    """A node that had no sockets for a while still gives those that it has now their farewell."""
    world = World()
    gateway = Gateway(world.services, identity=None)  # type: ignore[arg-type]  # nobody upgrades here
    for _ in range(2):
        wire = Wire()
        credentials = Credentials(Actor(BOB, "bob", 1, "client"), "secret")
        task = asyncio.create_task(gateway._run(wire, credentials, None))
        await wire.until("ready")
        if world.calls:
            await gateway.drain()
            assert wire.code == 1001
            assert shown(wire)[-1] == "shutdown"
        wire.say("call", "1", method="GET", path="/user/me")
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.asyncio
async def test_quit_answers_what_was_asked_before() -> None:
    """Messages before a `quit` are stored and acknowledged; then 1000."""
    world = World()
    async with world.opened() as wire:
        await wire.until("ready")
        world.writing.clear()
        for n in range(3):
            wire.say("message", str(n), channel_id="5", contents="x")
        wire.say("quit", "quit")
        await asyncio.sleep(0.01)
        world.writing.set()
        assert await wire.closed() == 1000
    assert {frame["reply_to"] for frame in wire.frames if "reply_to" in frame} == {"0", "1", "2", "quit"}


@pytest.mark.asyncio
async def test_what_was_asked_before_the_client_went_is_done() -> None:
    """Whoever says something and hangs up has said it."""
    world = World()
    done: list[str] = []
    async with world.opened() as wire:
        await wire.until("ready")
        world.writing.clear()
        wire.say("message", "1", channel_id="5", contents="x")
        async with asyncio.timeout(SOON_S):
            while not world.calls:
                await asyncio.sleep(0.001)
        invoke = next(task for task in asyncio.all_tasks() if task.get_name() == "websocket message")
        invoke.add_done_callback(lambda task: done.append("cancelled" if task.cancelled() else "done"))
        asyncio.get_running_loop().call_later(0.02, world.writing.set)
    assert done == ["done"]


@pytest.mark.asyncio
async def test_rights_that_changed_count_on_an_open_socket() -> None:
    """A call is made with the caller as the session proves it at the last check, not as at the upgrade."""
    world = World()
    seen: list[str] = []

    async def invoke(method: str, path: str, actor: Actor, params: object) -> bytes:
        seen.append(actor.client_id)
        return b'{"success":{"message":"OK"}}'

    async def authenticate(secret: str, client_id: str | None) -> Actor:
        return Actor(BOB, "bob", 1, "as of now")

    world.services.core.sessions.authenticate = authenticate  # type: ignore[method-assign]
    object.__setattr__(world.services, "invoke", invoke)
    async with world.opened() as wire:
        await wire.until("ready")
        wire.say("join", "1", channel_id=str(OTHER))
        await wire.until("1")
    assert seen == ["as of now"]


@pytest.mark.asyncio
async def test_persistent_abuse_closes_4029_though_the_bucket_lets_some_through() -> None:
    """Every tenth request is granted; the flood is cut off all the same. A few refusals now and then are not abuse."""
    world = World()
    granted = 0

    async def invoke(method: str, path: str, actor: Actor, params: object) -> bytes:
        nonlocal granted
        granted += 1
        if granted % 10:
            raise RateLimited("Too many.", retry_after=1)
        return b'{"success":{"message":"OK"}}'

    object.__setattr__(world.services, "invoke", invoke)
    async with world.opened() as wire:
        await wire.until("ready")
        for n in range(400):
            wire.say("join", str(n), channel_id="5")
            await asyncio.sleep(0)
            if n % 16 == 0:
                await asyncio.sleep(0.001)
        assert await wire.closed() == 4029
