"""The broker over RabbitMQ: events travel by `crust.v1.events`, what nodes tell each other by `crust.v1.control`.

A process has two connections: one publishes (RabbitMQ stops those who publish when it runs out of memory), one reads. Neither is ever on
the way of a change: while they are away the log grows, this node's own events go to its own sockets at once, and what others write is
found in the log within a second. While RabbitMQ is there and nobody relays, whoever knows of an event that does not come reads the log.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import NoReturn

import aiormq
import msgspec
from aiormq.abc import AbstractChannel, DeliveredMessage

from crust.broker import topology
from crust.broker.base import Subscription
from crust.broker.connection import BrokerTrouble, KeptConnection, account_of, blocked, declare, declare_always, until_closed
from crust.broker.late import Late
from crust.broker.local import LocalBroker
from crust.broker.message import control_of, control_properties, event_of, header, sent_to
from crust.broker.relay import NAME, Relay
from crust.clock import Clock
from crust.events.control import Committed, Connected, Control, Disconnected, Typing
from crust.events.event import Event
from crust.log import Consumers, Leases, Log
from crust.log.tasks import end_all, first_to_end, unending
from crust.settings import Settings
from crust.telemetry import Metrics, get_logger

log = get_logger(__name__)

PREFETCH = 1000  # messages that RabbitMQ hands over before it hears of any
ACKNOWLEDGED_EVERY = 200
DECLARED_S = 5.0  # between two times that everything is declared
ACKNOWLEDGED_S = 5.0  # at the latest: RabbitMQ closes a channel that leaves a message unacknowledged for half an hour
FRAMES = 2000  # of AMQP, that may wait between aiormq's tasks, which with its 10 take turns for every message: 73 us for each, not 119
TOLD_MAX = 1000  # control messages that wait for the connection; older ones are lost, as they may be


class RabbitBroker:
    """See the module, and `crust.broker.base.Broker`.

    Args:
        settings: `broker_url` and `broker.*`.
        node: this process, by a name that no other has ever had.
        clock: tells how old events are.
        log, consumers, leases: of the database.
        metrics: where it counts.
    """

    def __init__(
        self, settings: Settings, node: str, clock: Clock, log: Log, consumers: Consumers, leases: Leases, metrics: Metrics
    ) -> None:
        self._settings, self._node, self._log = settings.broker, node, log
        self._consumers, self._leases, self._metrics = consumers, leases, metrics
        self._account = account_of(settings.broker_url)
        self._committed = LocalBroker()  # what this process writes; the relay follows it
        self._arrived = LocalBroker()  # what came out of the node's queue; the fan-out follows it
        self._relay = Relay(log, consumers, self._committed, self._account, settings.broker, clock, metrics)
        self._told: deque[Control] = deque(maxlen=TOLD_MAX)
        self._to_tell = asyncio.Event()
        self._late = Late(self._arrived.nudge)
        self._grown_to = 0  # what the other nodes are still to be told; 0: nothing
        self._epoch = ""
        self._queues = 0
        self._hears = False
        url, own = settings.broker_url, settings.broker
        self._publishing = KeptConnection("publishing", url, own, self._publish_session, metrics, self._changed)
        self._reading = KeptConnection("reading", url, own, self._read_session, metrics, self._changed)
        self._tasks: list[asyncio.Task[None]] = []

    # ---- the broker

    async def start(self) -> None:
        """Begin to connect. Nobody waits for it to succeed."""
        self._epoch = (await self._log.head()).epoch
        await self._consumers.begin(NAME)
        self._tasks = [asyncio.create_task(unending("RabbitMQ", each.run)) for each in (self._publishing, self._reading)]

    async def stop(self) -> None:
        await end_all(*self._tasks)
        self._late.close()

    def publish(self, events: Sequence[Event]) -> None:
        self._committed.publish(events)
        if self._reading.connected:
            self._late.expect(events[-1].position)
        else:
            self._arrived.publish(events)
        if not self._relay.at_work:
            self._grown_to = events[-1].position
            self._to_tell.set()

    def subscribe(self) -> Subscription:
        return self._arrived.subscribe()

    def tell(self, message: Control) -> None:
        self._arrived.tell(message)
        if self._publishing.connected:
            self._told.append(message)
            self._to_tell.set()

    def on_control(self, listener: Callable[[Control], None]) -> Callable[[], None]:
        return self._arrived.on_control(listener)

    # ---- publishing

    async def _publish_session(self, connection: aiormq.Connection) -> None:
        channel = await connection.channel(publisher_confirms=False)
        timeout = self._settings.connect_timeout_s
        await declare(channel, topology.Topology(topology.READ), timeout)
        self._told.clear()  # what is old news by now
        self._publishing.declared()
        await first_to_end(
            self._tell_always(connection, channel),
            self._leases.keep(NAME, lambda lease: self._relay.work(connection, lease)),
            declare_always(connection, topology.inject(self._settings.queue_type), timeout, DECLARED_S),
            until_closed(channel),
        )

    async def _tell_always(self, connection: aiormq.Connection, channel: AbstractChannel) -> None:
        while True:
            await self._to_tell.wait()
            self._to_tell.clear()
            if await blocked(connection):
                await connection.ready()
                self._told = deque((each for each in self._told if not isinstance(each, Typing)), TOLD_MAX)  # they have stopped by now
            if self._grown_to:
                position, self._grown_to = self._grown_to, 0
                await self._send(channel, Committed(position))
            while self._told:
                await self._send(channel, self._told.popleft())

    async def _send(self, channel: AbstractChannel, message: Control) -> None:
        properties = control_properties(message, self._node, self._epoch, self._account)
        await channel.basic_publish(
            msgspec.json.encode(message), exchange=topology.CONTROL, properties=properties, timeout=self._settings.publish_timeout_s
        )

    # ---- reading

    async def _read_session(self, connection: aiormq.Connection) -> None:
        self._epoch = (await self._log.head()).epoch
        channel = await connection.channel(publisher_confirms=False, frame_buffer_size=FRAMES)
        timeout = self._settings.connect_timeout_s
        self._queues += 1  # another name each time: the queue of a connection that RabbitMQ has not missed yet is locked
        queue = f"{topology.NODE}{self._node}.{self._queues}"
        await declare(channel, topology.node(queue, self._settings.queue_length), timeout)
        cancelled = asyncio.Event()
        channel.on_consumer_cancel_callbacks.add(lambda *_: cancelled.set())
        await channel.basic_qos(prefetch_count=PREFETCH, timeout=timeout)
        reader = Reader(self, channel)
        await channel.basic_consume(queue, reader.take, timeout=timeout)
        self._reading.declared()
        self._arrived.nudge()  # what was committed before the queue was there is in the log
        try:
            await first_to_end(_gone(cancelled), self._declare_always(channel, queue), reader.acknowledge_always(), until_closed(channel))
        finally:
            self._reading.ended()
            self._arrived.nudge()

    async def _declare_always(self, channel: AbstractChannel, queue: str) -> NoReturn:
        """An exchange that is deleted takes the bindings to it along, and RabbitMQ tells nobody."""
        while True:
            await asyncio.sleep(DECLARED_S)
            await declare(channel, topology.node(queue, self._settings.queue_length), self._settings.connect_timeout_s)

    def _changed(self) -> None:
        """Once both connections do what they are for, whoever keeps what the others tell has to ask them: what they told meanwhile did not
        come. (Blocked, this node is not heard; and so are the others.)"""
        hears = self._publishing.connected and self._reading.connected and not self._publishing.blocked
        if hears != self._hears:
            self._hears = hears
            self._arrived.tell(Connected() if hears else Disconnected())

    def arrived(self, message: DeliveredMessage) -> None:
        """A message from the node's queue."""
        why = self._refused(message)
        if why is None:
            try:
                self._take(message)
            except ValueError as error:  # from another version of Crust; or it is none of ours
                why = "unreadable"
                log.warning("a message from RabbitMQ cannot be read", reason=str(error))
        if why is not None:
            self._metrics.broker_dropped[why] += 1

    def _refused(self, message: DeliveredMessage) -> str | None:
        if message.header.properties.user_id != self._account:
            return "foreign"
        if not (sent_to(message, topology.EVENTS) or sent_to(message, topology.CONTROL)):
            return "moved"
        if header(message, "epoch") != self._epoch:
            return "epoch"
        return None

    def _take(self, message: DeliveredMessage) -> None:
        if sent_to(message, topology.EVENTS):
            event = event_of(message)
            self._late.came(event.position)
            self._arrived.publish([event])
        elif header(message, "node") != self._node:  # its own it has heard already
            told = control_of(message)
            if isinstance(told, Committed):
                self._committed.nudge()
                self._late.expect(told.position)
            else:
                self._arrived.tell(told)


class Reader:
    """Reads one channel, and acknowledges many messages at once."""

    def __init__(self, broker: RabbitBroker, channel: AbstractChannel) -> None:
        self._broker, self._channel = broker, channel
        self._unacknowledged, self._last = 0, 0

    async def take(self, message: DeliveredMessage) -> None:
        self._broker.arrived(message)
        self._unacknowledged, self._last = self._unacknowledged + 1, message.delivery_tag or self._last
        if self._unacknowledged >= ACKNOWLEDGED_EVERY:
            await self._acknowledge()

    async def acknowledge_always(self) -> None:
        """What few messages there are, too."""
        while True:
            await asyncio.sleep(ACKNOWLEDGED_S)
            if self._unacknowledged:
                await self._acknowledge()

    async def _acknowledge(self) -> None:
        self._unacknowledged = 0
        await self._channel.basic_ack(self._last, multiple=True, wait=False)


async def _gone(cancelled: asyncio.Event) -> None:
    """Until the queue is gone."""
    await cancelled.wait()
    raise BrokerTrouble("the node's queue is gone")
