"""One connection over a socket that is none: what it sends, in which order, and how it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from msgspec import Raw

from crust.clock import SystemClock
from crust.errors import CrustError, Unauthenticated
from crust.events.control import Typing
from crust.events.event import Event
from crust.log import Head
from crust.services.actor import Actor
from crust.services.core import Core, Memberships
from crust.services.limits import TokenBuckets
from crust.services.snapshots import Wanted
from crust.settings import Limits, Settings, Websocket
from crust.ws.connection import Credentials, WebsocketConnection
from crust.ws.frame import Run, texts
from crust.ws.hub import Hub
from crust.ws.services import Services

CHANNEL, OTHER = 10, 11
ANA, BOB = 21, 22
EPOCH = "e1"
SOON_S = 5.0


class Wire:
    """A socket: what the client says goes in by `say`, what it is told is in `frames`. `reading` may be cleared to read nothing."""

    def __init__(self) -> None:
        self.inbound: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.texts: list[str] = []
        self.reading = asyncio.Event()
        self.reading.set()
        self.code: int | None = None
        self.aborted = False

    def say(self, verb: str, number: str = "1", **data: Any) -> None:
        self.inbound.put_nowait(json.dumps({"id": number, "type": verb, "data": data}))

    @property
    def frames(self) -> list[dict[str, Any]]:
        decoded = [json.loads(text) for text in self.texts]
        return [frame for each in decoded for frame in (each if isinstance(each, list) else [each])]

    async def until(self, type_: str) -> None:
        """Wait until a frame of this type, or the reply to this id, was sent."""
        async with asyncio.timeout(SOON_S):
            while not any(type_ in (frame.get("type"), frame.get("reply_to")) for frame in self.frames):
                await asyncio.sleep(0.001)

    async def closed(self) -> int:
        """Wait for the end; gives its code."""
        async with asyncio.timeout(SOON_S):
            while self.code is None:
                await asyncio.sleep(0.001)
        return self.code

    # ---- what a connection asks of it

    async def receive(self) -> str | bytes:
        return await self.inbound.get()

    async def send(self, parts: Sequence[str | Run]) -> None:
        await self.reading.wait()
        self.texts += texts(parts)

    async def close(self, code: int, reason: str) -> None:
        assert len(reason.encode()) <= 123, "RFC 6455 5.5: a control frame has room for no more"
        self.code = code

    def abort(self) -> None:
        self.aborted = True

    def silence(self) -> float | None:
        return None


class World:
    """A node without a database: a log in memory, and everybody a member of CHANNEL."""

    def __init__(self, **own: Any) -> None:
        self.events: list[Event] = []
        self.settings = Settings(websocket=Websocket(**own), limits=Limits(enabled=False))
        self.hub = Hub(0)
        self.members = {ANA: {CHANNEL: "member"}, BOB: {CHANNEL: "member"}}
        self.sessions = {"secret": 1}
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.answers: dict[str, CrustError | bytes] = {}
        self.writing = asyncio.Event()
        self.writing.set()
        self.shown: list[tuple[int, int]] = []
        core = SimpleNamespace(
            clock=SystemClock(), log=self, memberships=self.memberships, snapshots=self, typing=self.typing,
            channels=SimpleNamespace(mine=self.mine), accounts=SimpleNamespace(me=self.me),
            sessions=SimpleNamespace(authenticate=self.authenticate),
            presence=SimpleNamespace(connected=self.connected, disconnected=lambda user_id, channels: None),
        )  # fmt: skip
        limiter = TokenBuckets.of(self.settings.limits, SystemClock())
        self.services = Services(self.settings, cast("Core", core), self.hub, limiter, self.invoke)

    # ---- the log

    def happens(self, contents: str = "", channel: int = CHANNEL, *, seen: bool = True, **fields: Any) -> Event:
        """Something is written to the log, and has reached the hub if `seen`."""
        body = Raw(msgspec.json.encode({"id": "9", "contents": contents}))
        basis: dict[str, Any] = {
            "position": len(self.events) + 1, "id": 1, "organisation": 1, "channel": channel, "recipient": 0, "object": 9,
            "visibility": "public", "type": "message", "event": "created", "body": body, "origin": None, "via": (), "at": 0,
        }  # fmt: skip
        event = Event(**{**basis, **fields})
        self.events.append(event)
        if seen:
            self.catch_up()
        return event

    def joined(self, user: int, channel: int, **how: Any) -> None:
        self.members[user][channel] = "member"
        self.happens(channel=channel, type="member", event="joined", recipient=user, **how)

    def parted(self, user: int, channel: int, **how: Any) -> None:
        self.members[user].pop(channel, None)
        self.happens(channel=channel, type="member", event="parted", recipient=user, **how)

    def catch_up(self) -> None:
        for event in self.events[self.hub.offset :]:
            self.hub.apply([event])

    async def head(self) -> Head:
        return Head(EPOCH, len(self.events))

    async def oldest(self) -> int:
        return self.events[0].position if self.events else 0

    async def visible(
        self, user_id: int, channels: Collection[int], organisations: Mapping[int, str], after: int, upto: int, limit: int
    ) -> list[Event]:
        return [e for e in self.events if after < e.position <= upto and (e.recipient == user_id or e.channel in channels)][:limit]

    async def count_visible(
        self, user_id: int, channels: Collection[int], organisations: Mapping[int, str], after: int, upto: int, most: int
    ) -> int:
        return len(await self.visible(user_id, channels, organisations, after, upto, most))

    async def came_into_view(self, user_id: int, channels: Collection[int], after: int, upto: int) -> set[int]:
        return {
            event.channel
            for event in self.events
            if after < event.position <= upto
            and event.channel in channels
            and ((event.type, event.event, event.recipient) == ("member", "joined", user_id) or _shows(event))
        }

    # ---- the services

    async def memberships(self, user_id: int) -> Memberships:
        return Memberships(dict(self.members[user_id]), {1: "member"})

    async def mine(self, user_id: int) -> list[int]:
        return list(self.members[user_id])

    async def of(self, actor: Actor, wanted: Sequence[Wanted]) -> AsyncIterator[Raw]:
        self.shown += wanted
        for channel_id, _ in wanted:
            if channel_id in self.members[actor.user_id]:
                yield Raw(msgspec.json.encode({"id": str(channel_id), "messages": []}))

    async def me(self, actor: Actor) -> dict[str, Any]:
        return {"id": str(actor.user_id)}

    async def authenticate(self, secret: str, client_id: str | None) -> Actor:
        if secret not in self.sessions:
            raise Unauthenticated("No.")
        return Actor(BOB, "bob", self.sessions[secret], client_id or "client")

    def connected(self, user_id: int) -> None:
        pass

    async def typing(self, actor: Actor, channel_id: int, state: str) -> None:
        self.hub.control(Typing(channel_id, actor.user_id, state))

    async def invoke(self, method: str, path: str, actor: Actor, params: Mapping[str, Any]) -> bytes:
        self.calls.append((method, path, dict(params)))
        await self.writing.wait()
        answer = self.answers.get(path, b'{"response":{"id":"5"}}')
        if isinstance(answer, CrustError):
            raise answer
        return answer

    # ---- sockets

    @asynccontextmanager
    async def opened(self, place: tuple[str, int] | None = None, *, login: bool = False, more: bool = True) -> AsyncIterator[Wire]:
        """A socket of Bob's, for the length of a block; it ends as Quart ends a handler whose client is gone."""
        wire = Wire()
        credentials = None if login else Credentials(Actor(BOB, "bob", 1, "client"), "secret")
        task = asyncio.create_task(WebsocketConnection(self.services, wire, credentials, place, lambda _: more).run())
        try:
            yield wire
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _shows(event: Event) -> bool:
    return event.type == "channel" and event.event in ("moved", "unarchived", "merged")


def shown(wire: Wire) -> list[str]:
    """Frames in short: `#10` for a channel, the contents of a message, else type and event."""
    return [_shown(frame) for frame in wire.frames]


def _shown(frame: dict[str, Any]) -> str:
    match frame:
        case {"reply_to": str(number)}:
            return f"reply {number}"
        case {"type": "channel", "data": {"id": str(channel)}} if "position" not in frame:
            return f"#{channel}"
        case {"type": "message", "data": {"contents": str(contents)}}:
            return contents
    return " ".join([frame["type"], *([frame["event"]] if "event" in frame else [])])


# ---- on connect


@pytest.mark.asyncio
async def test_a_fresh_start_is_hello_channels_ready_and_then_live() -> None:
    """The most recent channels bear messages, the others none; what happens from `hello.position` on is live."""
    world = World(channels_with_messages=1, backlog_messages=30)
    world.members[BOB][OTHER] = "member"
    world.happens("before")
    async with world.opened() as wire:
        await wire.until("ready")
        await asyncio.sleep(0.01)
        world.happens("live")
        await wire.until("message")
    assert shown(wire) == ["hello", "#10", "#11", "ready", "live"]
    assert world.shown == [(CHANNEL, 30), (OTHER, 0)]
    hello = wire.frames[0]["data"]
    assert (hello["epoch"], hello["position"], hello["resumed"], hello["user"]["id"]) == (EPOCH, 1, False, str(BOB))


@pytest.mark.asyncio
async def test_a_resume_gives_what_was_missed_and_no_snapshot() -> None:
    """Events above the place, in order, then `ready`."""
    world = World()
    for text in ("seen", "missed 1", "missed 2"):
        world.happens(text)
    async with world.opened((EPOCH, 1)) as wire:
        await wire.until("ready")
    assert shown(wire) == ["hello", "missed 1", "missed 2", "ready"]
    assert wire.frames[0]["data"]["resumed"] is True


@pytest.mark.asyncio
@pytest.mark.parametrize("place", [("other", 1), (EPOCH, 4), (EPOCH, 0)])
async def test_a_place_that_means_nothing_is_a_fresh_start(place: tuple[str, int]) -> None:
    """Another epoch, a position beyond the head, or events that are gone."""
    world = World()
    for text in ("1", "2", "3"):
        world.happens(text)
    del world.events[0]
    world.head = lambda: _head(3)  # type: ignore[method-assign]
    async with world.opened(place) as wire:
        await wire.until("ready")
    assert shown(wire) == ["hello", "#10", "ready"]
    assert wire.frames[0]["data"]["resumed"] is False


async def _head(position: int) -> Head:
    return Head(EPOCH, position)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("own", "resumed"), [({"replay_events": 5}, True), ({"replay_events": 4}, False), ({"replay_positions": 4}, False)]
)
async def test_too_much_to_replay_is_a_fresh_start(own: dict[str, Any], resumed: bool) -> None:
    """Exactly the limit is still replayed."""
    world = World(**own)
    for n in range(5):
        world.happens(str(n))
    async with world.opened((EPOCH, 0)) as wire:
        await wire.until("ready")
    assert wire.frames[0]["data"]["resumed"] is resumed


@pytest.mark.asyncio
async def test_a_resume_shows_new_channels_and_of_lost_ones_only_the_parting() -> None:
    """A channel joined since comes as a `channel` frame instead of its events; what one may no longer see is not given."""
    world = World()
    world.members[BOB][OTHER] = "member"
    world.happens("old channel")
    world.happens("before the join", channel=12)
    world.joined(BOB, 12)
    world.happens("after the join", channel=12)
    world.happens("no longer bob's", channel=OTHER)
    world.parted(BOB, OTHER)
    world.happens("brief", channel=13)
    world.joined(BOB, 13)
    world.parted(BOB, 13)
    async with world.opened((EPOCH, 0)) as wire:
        await wire.until("ready")
    assert shown(wire) == ["hello", "old channel", "#12", "member PARTED", "member PARTED", "ready"]


@pytest.mark.asyncio
@pytest.mark.parametrize("event", ["moved", "unarchived", "merged"])
async def test_a_resume_shows_a_channel_that_came_into_view_again(event: str) -> None:
    """Once, in place of its events."""
    world = World()
    world.happens("a")
    world.happens(type="channel", event=event)
    world.happens("b")
    async with world.opened((EPOCH, 0)) as wire:
        await wire.until("ready")
    assert shown(wire) == ["hello", "#10", "ready"]


@pytest.mark.asyncio
async def test_nothing_is_lost_or_repeated_between_ready_and_live() -> None:
    """Whether the hub lags behind the database or ran ahead while the client was reading, each event comes once, in order."""
    world = World()
    for n in range(3):
        world.happens(str(n), seen=False)
    async with world.opened() as lagging, world.opened((EPOCH, 0)) as resumed:
        await lagging.until("ready")
        await resumed.until("ready")
        for n in range(3, 6):
            world.happens(str(n), seen=False)
        await asyncio.sleep(0.01)
        world.catch_up()
        world.happens("6")
        await asyncio.sleep(0.01)
    assert shown(lagging) == ["hello", "#10", "ready", "3", "4", "5", "6"]
    assert shown(resumed) == ["hello", "0", "1", "2", "ready", "3", "4", "5", "6"]


@pytest.mark.asyncio
async def test_a_client_that_reads_its_snapshot_slowly_is_brought_up_from_the_log() -> None:
    """What happens meanwhile waits in the log, not in the queue, however much it is, and a join among it shows the channel."""
    world = World(queue_frames=4)
    async with world.opened() as wire:
        wire.reading.clear()
        await asyncio.sleep(0.01)
        for n in range(5000):  # more than the hub remembers
            world.happens(str(n), channel=OTHER if n < 4990 else CHANNEL)
        world.joined(BOB, 12)
        wire.reading.set()
        async with asyncio.timeout(SOON_S):
            while "#12" not in shown(wire) or "4999" not in shown(wire):
                await asyncio.sleep(0.01)
    assert shown(wire)[:2] == ["hello", "#10"]
    assert [each for each in shown(wire) if each.isdigit()] == [str(n) for n in range(4990, 5000)]


@pytest.mark.asyncio
async def test_a_snapshot_of_what_was_lost_meanwhile_is_left_out() -> None:
    """Rights are checked when the frame is made."""
    world = World()
    async with world.opened() as wire:
        await wire.until("ready")
        await asyncio.sleep(0.01)
        world.joined(BOB, OTHER, seen=False)
        world.parted(BOB, OTHER, seen=False)
        world.catch_up()
        await wire.until("member")
    assert "#11" not in shown(wire)


# ---- signing in


@pytest.mark.asyncio
async def test_signing_in_by_frame() -> None:
    """Nothing but errors before it; its reply, then `hello`."""
    world = World()
    async with world.opened(login=True) as wire:
        wire.say("ping", "1")
        wire.say("login", "2", session_id="secret", client_id="client")
        await wire.until("ready")
    assert shown(wire) == ["reply 1", "reply 2", "hello", "#10", "ready"]
    assert wire.frames[0]["error"]["code"] == "unauthenticated"
    assert "success" in wire.frames[1]


@pytest.mark.asyncio
async def test_a_wrong_login_is_told_and_closed() -> None:
    """The error, then 4001."""
    async with World().opened(login=True) as wire:
        wire.say("login", "1", session_id="wrong", client_id="client")
        assert await wire.closed() == 4001
    assert [frame["error"]["code"] for frame in wire.frames] == ["unauthenticated"]


@pytest.mark.asyncio
async def test_who_does_not_sign_in_in_time_is_closed() -> None:
    """4001 after `login_timeout_s`."""
    async with World(login_timeout_s=0.05).opened(login=True) as wire:
        assert await wire.closed() == 4001
    assert wire.frames == []


@pytest.mark.asyncio
async def test_one_connection_too_many_is_closed() -> None:
    """4010, before anything is told."""
    async with World().opened(more=False) as wire:
        assert await wire.closed() == 4010
    assert wire.frames == []


@pytest.mark.asyncio
async def test_from_ready_on_nothing_is_missed() -> None:
    """Not even what no log holds: somebody who types in the moment in which `ready` is sent is seen."""
    world = World()

    class Eager(Wire):
        async def send(self, parts: Sequence[str | Run]) -> None:
            await super().send(parts)
            if any('"type":"ready"' in text for text in texts(parts)):
                world.hub.control(Typing(CHANNEL, ANA, "start"))

    wire = Eager()
    credentials = Credentials(Actor(BOB, "bob", 1, "client"), "secret")
    task = asyncio.create_task(WebsocketConnection(world.services, wire, credentials, None, lambda _: True).run())
    await wire.until("typing")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
