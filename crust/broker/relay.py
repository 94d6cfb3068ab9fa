"""The relay: a consumer of the log whose effect is the confirmed publish.

It publishes in the log's order, without waiting for one confirm before the next message: up to `broker.window` may be outstanding. Its
offset is the last position below which all are confirmed; after any trouble it goes on from there, over another connection. So RabbitMQ
may get an event twice, and never misses one. What it refuses again it has refused for one queue: another program's, that is full and was
made so that it refuses. The others have it; nobody's queue holds up everybody else's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import aiormq
import msgspec
from aiormq.abc import ChannelFrame
from aiormq.channel import Channel
from aiormq.exceptions import DeliveryError
from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from crust import settings
from crust.broker.base import Broker
from crust.broker.connection import BrokerTrouble, blocked, until_closed
from crust.broker.follower import Follower
from crust.broker.message import event_properties
from crust.broker.topology import EVENTS, routing_key
from crust.clock import Clock
from crust.errors import Unavailable
from crust.events.event import Event
from crust.log import Consumers, Lease, LeaseLost, Log
from crust.log.tasks import first_to_end
from crust.telemetry import Metrics, get_logger

log = get_logger(__name__)

NAME = "relay"
SAVE_S = 0.5  # between two writes of the offset: each is a commit of its own, and what is published again after a crash does no harm
REFUSED_S = 60.0  # for so long after a refusal another one is no accident
TOGETHER = 64  # messages that are handed to the connection at once


class Relay:
    """See the module.

    Args:
        log: what is published.
        consumers: where the offset is kept.
        committed: tells what was committed in this process, so that nothing is read back.
        account: that of the connections.
        settings: `broker.*`.
        clock: tells how old events are.
        metrics: where it counts.
    """

    def __init__(
        self, log: Log, consumers: Consumers, committed: Broker, account: str, settings: settings.Broker, clock: Clock, metrics: Metrics
    ) -> None:
        self.log, self.consumers, self.committed = log, consumers, committed
        self.account, self.settings, self.clock, self.metrics = account, settings, clock, metrics
        self.at_work = False
        self._refused_at = float("-inf")

    def refused(self) -> None:
        """RabbitMQ has refused an event. The first time, it is published again, over another connection.

        Raises:
            BrokerTrouble: it is the first time for a while.
        """
        before, self._refused_at = self._refused_at, asyncio.get_running_loop().time()
        self.metrics.broker_refused[()] += 1
        if self._refused_at - before > REFUSED_S:
            log.warning("RabbitMQ has refused an event: is a queue full that was made to refuse? crust broker check names it")
            raise BrokerTrouble("an event was refused")

    async def work(self, connection: aiormq.Connection, lease: Lease) -> None:
        """Publish what the log says, until something fails.

        Raises:
            BrokerTrouble: RabbitMQ refused a message, or did not confirm it in time; or an AMQPError.
            LeaseLost: another one is the relay by now.
            Unavailable: the database is away.
        """
        await self.consumers.begin(NAME)  # an operator may have had it forgotten
        head, offset = await self.log.head(), await self.consumers.offset(NAME)
        if offset > head.position:
            log.error(
                "the relay stops: its offset is beyond the log's head; was an old database put back?", offset=offset, head=head.position
            )
            await asyncio.Event().wait()
        channel = await connection.channel()
        assert isinstance(channel, Channel)
        run = Run(self, connection, channel, lease, head.epoch, offset)
        self.at_work = True
        try:
            await first_to_end(run.send(), run.settle(), until_closed(channel))
        finally:
            self.at_work = False
            await run.save_if_possible()


class Run:
    """The relay on one channel, under one lease."""

    def __init__(self, relay: Relay, connection: aiormq.Connection, channel: Channel, lease: Lease, epoch: str, offset: int) -> None:
        self._relay, self._connection, self._channel, self._lease, self._epoch = relay, connection, channel, lease, epoch
        self._sent = self._confirmed = self._saved = offset
        self._window = relay.settings.window
        self._room = asyncio.Semaphore(self._window)
        self._outstanding: asyncio.Queue[tuple[Event, asyncio.Future[object]]] = asyncio.Queue()

    async def send(self) -> None:
        """Publish, as far as the window allows."""
        follower = Follower(self._relay.log, self._relay.committed, self._sent)
        together = min(TOGETHER, self._window)
        async for events in follower.events():
            for start in range(0, len(events), together):
                await self._publish(events[start : start + together])

    async def _publish(self, events: Sequence[Event]) -> None:
        for _ in events:
            await self._room.acquire()
        await self._connection.ready()  # while it is blocked, nothing is sent
        frames: list[Frame | ContentHeader | ContentBody] = []
        for event in events:
            body = msgspec.json.encode(event)
            properties = event_properties(event, self._epoch, self._relay.account)
            frames += [
                Basic.Publish(exchange=EVENTS, routing_key=routing_key(event)),
                ContentHeader(body_size=len(body), properties=properties),
                *self._split(body),
            ]
            self._outstanding.put_nowait((event, self._expected()))
        # What `basic_publish` does for one message, done for many. Its task, lock and futures for each were two thirds of the time:
        # 4,000 to 5,000 messages/s one by one, 14,000 so.
        await self._channel.write_queue.put(ChannelFrame.marshall(channel_number=self._channel.number, frames=frames))

    def _expected(self) -> asyncio.Future[object]:
        """The confirm of the next message on this channel, which RabbitMQ numbers from 1."""
        self._channel.delivery_tag += 1
        confirm = self._channel.create_future()
        self._channel.confirmations[self._channel.delivery_tag] = confirm
        return confirm

    def _split(self, body: bytes) -> list[ContentBody]:
        size = max(self._channel.max_content_size, 0) or len(body)  # a broker may set no bound
        return [ContentBody(body[start : start + size]) for start in range(0, len(body), size)]

    async def settle(self) -> None:
        """Take the confirms in the order of the log, and save the offset now and then."""
        loop = asyncio.get_running_loop()
        saved_at = loop.time()
        while True:
            wait = None if self._confirmed == self._saved else max(0.0, saved_at + SAVE_S - loop.time())
            try:
                async with asyncio.timeout(wait):
                    event, confirm = await self._outstanding.get()
            except TimeoutError:
                await self._save()
                saved_at = loop.time()
                continue
            if await self._is_confirmed(confirm):
                self._relay.metrics.relayed[()] += 1
                self._relay.metrics.relay_seconds.observe((), max(0, self._relay.clock.now() - event.at) / 1000)
            self._confirmed = event.position
            self._room.release()
            if loop.time() - saved_at >= SAVE_S:
                await self._save()
                saved_at = loop.time()

    async def _is_confirmed(self, confirm: asyncio.Future[object]) -> bool:
        """Wait for it; whether all queues have taken the event, or one has refused it that refuses again and again."""
        while not confirm.done():
            await asyncio.wait([confirm], timeout=self._relay.settings.publish_timeout_s)
            if not confirm.done():
                if not await blocked(self._connection):
                    raise BrokerTrouble(f"nothing was confirmed for {self._relay.settings.publish_timeout_s:g} s")
                await self._connection.ready()
        try:
            confirm.result()
        except DeliveryError:
            self._relay.refused()
            return False
        return True

    async def _save(self) -> None:
        if self._confirmed > self._saved:
            await self._relay.consumers.move(self._lease, self._saved, self._confirmed)
            self._saved = self._confirmed

    async def save_if_possible(self) -> None:
        """At the end: what is not saved is published once more, no worse."""
        with suppress(LeaseLost, Unavailable):
            await self._save()
