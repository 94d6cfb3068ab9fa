"""Reads `crust.v1.inject`: what programs without the database say, and answers them.

One process of a cluster does it, under a lease. What comes is acknowledged once its answer is sent, which is after the commit; whoever dies
in between leaves it to the next one, who finds by its key that it is there. Of one lane one thing is dealt with at a time, in order.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakValueDictionary

import aiormq
import msgspec
from aiormq.abc import AbstractChannel, DeliveredMessage

from crust.broker import topology
from crust.broker.connection import BrokerTrouble, KeptConnection, account_of, declared, until_closed
from crust.broker.message import reply_properties, sent_to
from crust.errors import Unavailable
from crust.events.inject import InjectReply
from crust.log import Lease, LeaseLost, Leases
from crust.log.tasks import end_all, first_to_end
from crust.settings import Settings
from crust.telemetry import Metrics, get_logger

log = get_logger(__name__)

NAME = "inject"  # of the lease
PREFETCH = 64  # messages that are dealt with side by side, lane by lane
AGAIN_S = 0.5  # before what could not be stored is tried again
TRIES = 20  # of what somebody waits for; then they are told, and send it again: meanwhile others have its place
AWAY_S, LOOK_S = 10.0, 1.0  # without a way to RabbitMQ, and another process may have one; between two looks
REPLAY_S = 2.0  # between two looks for what operators want to be done again


@dataclass(frozen=True, slots=True)
class Asked:
    """A message from a program.

    `account` is who sent it, as RabbitMQ has verified, or None where it was not said; `told`: whether they are told what came of it.
    """

    account: str | None
    body: bytes
    told: bool = False


class Answering(Protocol):
    """Who deals with what programs send."""

    def lane(self, asked: Asked) -> str:
        """Names what has to be in order."""
        ...

    async def answer(self, asked: Asked) -> InjectReply:
        """Deals with one; raises Unavailable where it is to be tried again."""
        ...

    async def replay(self) -> None:
        """Deals with what was refused and operators want to be done again, as far as it can be; raises Unavailable as above."""
        ...


class Injecting:
    """See the module.

    Args:
        settings: `broker_url` and `broker.*`.
        leases: those of this process.
        answering: deals with what is sent.
        metrics: where troubles are counted, and what is passed over.
    """

    def __init__(self, settings: Settings, leases: Leases, answering: Answering, metrics: Metrics) -> None:
        self._settings, self._leases, self._answering, self.dropped = settings, leases, answering, metrics.broker_dropped
        self.account = account_of(settings.broker_url)
        self._connection = KeptConnection("injecting", settings.broker_url, settings.broker, self._session, metrics)

    async def always(self) -> None:
        """Read, whenever no other process does, until cancelled."""
        await self._leases.keep(NAME, self._read)

    async def _read(self, _lease: Lease) -> None:
        await first_to_end(self._connection.run(), self._replay(), self._while_connected())

    async def _while_connected(self) -> None:
        """Ends with `LeaseLost` where RabbitMQ is away for long, as seen from here."""
        loop = asyncio.get_running_loop()
        connected_at = loop.time()
        while loop.time() - connected_at < AWAY_S:
            await asyncio.sleep(LOOK_S)
            if self._connection.connected:
                connected_at = loop.time()
        raise LeaseLost(f"RabbitMQ was away for {AWAY_S:g} s")

    async def _replay(self) -> None:
        while True:
            try:
                await self._answering.replay()
            except Unavailable as error:
                log.warning("what is to be replayed waits", reason=error.message)
            await asyncio.sleep(REPLAY_S)

    async def _session(self, connection: aiormq.Connection) -> None:
        limits = self._settings.broker
        # Of another type than it should be it is read all the same: what waits in it has to go before it can be replaced.
        await declared(connection, topology.inject(limits.queue_type), limits.connect_timeout_s)
        channel = await connection.channel(publisher_confirms=False)
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        channel.on_consumer_cancel_callbacks.add(lambda *_: fail(ended, BrokerTrouble("the queue crust.v1.inject is gone")))
        reader = Reader(self, connection, channel, ended)
        await channel.basic_qos(prefetch_count=PREFETCH, timeout=limits.connect_timeout_s)
        await channel.basic_consume(topology.INJECT, reader.take, timeout=limits.connect_timeout_s)
        self._connection.declared()
        try:
            await first_to_end(waited(ended), until_closed(channel))
        finally:
            await reader.close()

    async def dealt_with(self, asked: Asked) -> InjectReply:
        """The answer, however often it takes; where somebody waits for it, in the end that it is not to be had now."""
        tried = 0
        while True:
            try:
                return await self._answering.answer(asked)
            except Unavailable as error:
                log.warning("what a program sent waits", account=asked.account, reason=error.message)
                tried += 1
                if asked.told and tried >= TRIES:
                    return InjectReply(error=error.as_dict())
            await asyncio.sleep(AGAIN_S)

    def lane(self, asked: Asked) -> str:
        return self._answering.lane(asked)

    @property
    def timeout(self) -> float:
        return self._settings.broker.publish_timeout_s


class Reader:
    """Deals with what comes on one channel."""

    def __init__(self, injecting: Injecting, connection: aiormq.Connection, channel: AbstractChannel, ended: asyncio.Future[None]) -> None:
        self._injecting, self._connection, self._channel, self._ended = injecting, connection, channel, ended
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()
        self._warned = False

    async def take(self, message: DeliveredMessage) -> None:
        """Begin with one; those of a lane wait for each other, in the order in which they came."""
        if not sent_to(message, topology.INJECT):
            await self._pass_over(message)
            return
        account, reply_to = message.header.properties.user_id, message.header.properties.reply_to
        asked = Asked(account, message.body, told=reply_to is not None and topology.may_be_answered(account, reply_to))
        lane = self._injecting.lane(asked)
        turn = self._turns.get(lane) or asyncio.Lock()
        self._turns[lane] = turn
        task = asyncio.create_task(self._deal(message, asked, turn), name="inject")
        self._tasks.add(task)
        task.add_done_callback(self._over)

    async def _pass_over(self, message: DeliveredMessage) -> None:
        self._injecting.dropped["moved"] += 1
        if not self._warned:
            self._warned = True
            log.warning("what was sent elsewhere has come into crust.v1.inject, and is passed over; crust broker check names how")
        await self._acknowledge(message)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            fail(self._ended, error)

    async def _deal(self, message: DeliveredMessage, asked: Asked, turn: asyncio.Lock) -> None:
        async with turn:
            reply = await self._injecting.dealt_with(asked)
            properties = message.header.properties
            if asked.told:
                await self._connection.ready()
                await self._channel.basic_publish(
                    msgspec.json.encode(reply), exchange="", routing_key=properties.reply_to or "", timeout=self._injecting.timeout,
                    properties=reply_properties(properties.correlation_id, self._injecting.account),
                )  # fmt: skip
            await self._acknowledge(message)

    async def _acknowledge(self, message: DeliveredMessage) -> None:
        assert message.delivery_tag is not None
        await self._channel.basic_ack(message.delivery_tag, wait=False)

    async def close(self) -> None:
        """What is not dealt with comes again, here or elsewhere."""
        await end_all(*self._tasks)


def fail(ended: asyncio.Future[None], error: BaseException) -> None:
    if not ended.done():
        ended.set_exception(error)


async def waited(ended: asyncio.Future[None]) -> None:
    await ended
