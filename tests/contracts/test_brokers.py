"""Brokers: the same promises over SQLite and PostgreSQL, in one process and over RabbitMQ."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec
import pytest

from crust.broker.base import Broker, Subscription
from crust.broker.follower import Follower, LogWentBack
from crust.broker.local import LocalBroker
from crust.broker.rabbit import RabbitBroker
from crust.events.control import Control, SessionEnded, Typing
from crust.events.event import Event
from crust.log import Consumers, Leases
from crust.runtime import Node, opened
from crust.settings import Settings
from crust.telemetry import Metrics
from tests.support.people import channel, person, position, say
from tests.support.talk import until

pytestmark = pytest.mark.asyncio
SOON_S = 20.0


@pytest.fixture(params=["local", pytest.param("rabbit", marks=pytest.mark.rabbit)])
def stack(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """Settings over an empty database, and a broker, of its own."""
    url = request.getfixturevalue("rabbit_url") if request.param == "rabbit" else ""
    return settings.model_copy(update={"broker_url": url})


@asynccontextmanager
async def other_node(node: Node) -> AsyncIterator[Broker]:
    """The broker of another process over the same database."""
    leases, metrics = Leases(node.database, "other"), Metrics()
    broker: Broker = LocalBroker()
    if node.settings.broker_url:
        broker = RabbitBroker(node.settings, "other", node.clock, node.log, Consumers(node.database, leases), leases, metrics)
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()


@dataclass
class Reader:
    """Follows the log through a broker, and keeps what it was given."""

    node: Node
    broker: Broker
    after: int = 0
    events: list[Event] = field(default_factory=list)

    async def run(self) -> None:
        async for batch in Follower(self.node.log, self.broker, self.after).events():
            self.events += batch

    async def reaches(self, head: int) -> None:
        """Until it was given everything; then everything has come once and in order."""
        async with asyncio.timeout(SOON_S):
            while not self.events or self.events[-1].position < head:
                await asyncio.sleep(0.01)
        assert [event.position for event in self.events] == list(range(self.after + 1, head + 1))


@asynccontextmanager
async def reading(*readers: Reader) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(reader.run()) for reader in readers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_every_reader_gets_every_event_once_and_in_order(stack: Settings) -> None:
    """In this process and in another, from the beginning or from later on, under load, and what was there before as well."""
    async with opened(stack, connected=True) as node, other_node(node) as other:
        ana = await person(node, "ana", is_admin=True)
        room = await channel(node, ana)
        early = await position(node)
        readers = [Reader(node, node.broker), Reader(node, other), Reader(node, other, early)]
        async with reading(*readers):
            for _ in range(5):
                await asyncio.gather(*(say(node, ana, room) for _ in range(40)))
                await asyncio.sleep(0.05)
            head = await position(node)
            assert head == early + 200
            for reader in readers:
                await reader.reaches(head)
        assert [event for event in readers[0].events if event.position > early] == readers[2].events


async def test_what_is_given_is_what_the_log_says(stack: Settings) -> None:
    """An event is the same to its last field, whichever way it came."""
    async with opened(stack, connected=True) as node, other_node(node) as other:
        reader = Reader(node, other)
        async with reading(reader):
            ana = await person(node, "ana", is_admin=True)
            await say(node, ana, await channel(node, ana), 'Zoë 🦀 \x01 \\ "quoted"')
            await reader.reaches(await position(node))
        assert [msgspec.json.encode(event) for event in reader.events] == [
            msgspec.json.encode(event) for event in await node.log.read(0, 10**6)
        ]


async def test_what_another_process_writes_is_seen_within_seconds(stack: Settings) -> None:
    """Also where nobody tells of it: a command writes into the same database."""
    async with opened(stack, connected=True) as node:
        reader = Reader(node, node.broker)
        async with reading(reader):
            await person(node, "ana", is_admin=True)
            await reader.reaches(await position(node))
            silent = node.broker.publish
            node.broker.publish = lambda events: None  # type: ignore[method-assign]  # as if this process had not written it
            await person(node, "bob")
            node.broker.publish = silent  # type: ignore[method-assign]
            began = node.clock.monotonic()
            await reader.reaches(await position(node))
            assert node.clock.monotonic() - began < 5


async def test_control_messages_come_to_this_process_at_once(stack: Settings) -> None:
    """Every listener is told, until it ends."""
    heard, also = list[Control](), list[Control]()
    async with opened(stack, connected=True) as node:
        end = node.broker.on_control(heard.append)
        node.broker.on_control(also.append)
        node.broker.tell(Typing(1, 2, "start"))
        end()
        node.broker.tell(SessionEnded(3))
        assert (heard, also) == ([Typing(1, 2, "start")], [Typing(1, 2, "start"), SessionEnded(3)])


@pytest.mark.rabbit
async def test_control_messages_come_to_every_node_once(settings: Settings, rabbit_url: str) -> None:
    """In order, those of this node and those of another one; nobody's own come again by the detour over RabbitMQ."""
    connected, here, there = settings.model_copy(update={"broker_url": rabbit_url}), list[Control](), list[Control]()
    async with opened(connected, connected=True) as node, other_node(node) as other:
        for broker, heard in ((node.broker, here), (other, there)):
            assert isinstance(broker, RabbitBroker)
            await until(lambda broker=broker: broker._publishing.connected and broker._reading.connected)
            broker.on_control(heard.append)  # by now it has told itself that it is connected
        told: list[Control] = []
        for broker, heard in ((node.broker, there), (other, here)) * 2:
            for message in (Typing(1, len(told), "start"), SessionEnded(len(told))):
                told.append(message)
                broker.tell(message)
            await until(lambda heard=heard: told[-1] in heard)
        assert here == there == told


class Disturbed:
    """A broker's subscription behind which a fifth of all is swapped, a third comes twice and a twentieth is lost."""

    def __init__(self, inner: Subscription, chance: random.Random) -> None:
        self._inner, self._chance, self._late = inner, chance, list[Event]()
        self.close = inner.close

    async def receive(self, timeout: float) -> Sequence[Event]:
        given: list[Event] = [*self._late]
        self._late = []
        for event in await self._inner.receive(0.05 if given else timeout):
            what = self._chance.random()
            if what < 0.05:
                continue
            given += [event, event] if what < 0.35 else [event]
            if what > 0.8:
                self._late.append(given.pop())
        self._chance.shuffle(given)
        return given


class DisturbedBroker:
    def __init__(self, inner: Broker, seed: int) -> None:
        self._inner, self._chance = inner, random.Random(seed)
        self.start, self.stop, self.publish, self.tell, self.on_control = (
            inner.start,
            inner.stop,
            inner.publish,
            inner.tell,
            inner.on_control,
        )

    def subscribe(self) -> Subscription:
        return Disturbed(self._inner.subscribe(), self._chance)


@pytest.mark.parametrize("seed", range(3))
async def test_what_is_lost_repeated_or_out_of_order_is_healed(stack: Settings, seed: int) -> None:
    """The reader has every event once and in order all the same."""
    async with opened(stack, connected=True) as node, other_node(node) as other:
        ana = await person(node, "ana", is_admin=True)
        room = await channel(node, ana)
        reader = Reader(node, DisturbedBroker(node.broker, seed))
        far = Reader(node, DisturbedBroker(other, seed))
        async with reading(reader, far):
            for _ in range(60):
                await asyncio.gather(*(say(node, ana, room) for _ in range(5)))
            for each in (reader, far):
                await each.reaches(await position(node))


@pytest.mark.parametrize("ahead", [2, 2**60])
async def test_what_the_log_does_not_have_moves_nobody(stack: Settings, ahead: int) -> None:
    """An event that claims a position beyond the head is no reason to pass over what will stand there."""
    async with opened(stack, connected=True) as node:
        ana = await person(node, "ana", is_admin=True)
        room = await channel(node, ana)
        head = await position(node)
        [last] = await node.log.read(head - 1, head)
        reader = Reader(node, node.broker, head)
        async with reading(reader):
            await asyncio.sleep(1.5 if stack.broker_url else 0.1)
            forge(node.broker)([msgspec.structs.replace(last, position=head + ahead)])
            await asyncio.sleep(0.2)
            assert reader.events == []
            for _ in range(3):
                await say(node, ana, room)
            await reader.reaches(await position(node))


def forge(broker: Broker) -> Callable[[Sequence[Event]], None]:
    """What puts events before the readers of this process, as if they had come by the broker."""
    inner = broker._arrived if isinstance(broker, RabbitBroker) else broker
    return inner.publish


async def test_a_log_that_goes_back_is_not_followed(stack: Settings) -> None:
    """An older state of the database under a server that runs: it says so, and does not pass over what is written then."""
    async with opened(stack) as node:
        ana = await person(node, "ana", is_admin=True)
        room = await channel(node, ana)
        follower = Follower(node.log, node.broker, await position(node))

        async def follow() -> None:
            async for _events in follower.events():
                pass

        following = asyncio.create_task(follow())
        await asyncio.sleep(0.1)
        async with node.database.transaction():
            await node.database.execute("UPDATE log SET position = position - 2")
        with pytest.raises(LogWentBack, match="was an old database put back"):
            await asyncio.wait_for(following, SOON_S)
        assert room
