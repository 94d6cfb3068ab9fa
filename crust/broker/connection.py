"""One connection to RabbitMQ, kept: what aiormq does not do by itself.

A connection has one session: a coroutine that declares, publishes or reads on it until something fails. Any trouble at all (the
connection, a channel, which aiormq never reopens, a deleted queue, a publish that nobody confirms) ends the session and closes the
connection; after a pause with jitter there is another one, and the session begins from its beginning. So there is one way to recover.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

import aiormq
from aiormq.abc import AbstractChannel
from aiormq.exceptions import AMQPError, ChannelPreconditionFailed
from yarl import URL

from crust import settings
from crust.broker.topology import Topology
from crust.errors import CrustError
from crust.log.tasks import first_to_end
from crust.telemetry import Metrics, get_logger

log = get_logger(__name__)
logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # what it has to say is said here, once, and without the URL

HEARTBEAT_S = 5  # aiormq gives a silent connection up after three, and a little
CLOSE_S = 3.0
BLOCKED_S = 1.0  # between two looks whether RabbitMQ takes messages
RETRY_MIN_S = 0.2
GOOD_S = 10.0  # after which a session counts as one that went well
TROUBLE = (AMQPError, OSError, TimeoutError, RuntimeError, ValueError)
"""What a session may end with: aiormq raises Python's own errors too, where a connection goes in the middle of something."""

Session = Callable[[aiormq.Connection], Coroutine[Any, Any, None]]


def nothing() -> None:
    """What is done where nobody wants to know."""


class BrokerTrouble(Exception):
    """Something on the connection does not do what it should; the text says what."""


class KeptConnection:
    """See the module.

    Args:
        purpose: what it is for, as RabbitMQ lists it and metrics count it.
        url: with the account and the vhost.
        settings: `broker.*`.
        session: what is done on each connection; its end is trouble. It says `declared` once everything is there.
        metrics: tell whether there is a connection, and count troubles, by purpose.
        changed: called where `connected` or `blocked` is another than before.
    """

    def __init__(
        self, purpose: str, url: str, settings: settings.Broker, session: Session, metrics: Metrics, changed: Callable[[], None] = nothing
    ) -> None:
        self._purpose, self._settings, self._session, self._metrics, self._changed = purpose, settings, session, metrics, changed
        self._url = URL(url).update_query(heartbeat=HEARTBEAT_S, name=f"crust {purpose}")
        self.connected = self.blocked = False

    def declared(self) -> None:
        """From now on the connection does what it is for."""
        self._now(connected=True)
        log.info("connected to RabbitMQ", purpose=self._purpose)

    def ended(self) -> None:
        """It does so no more."""
        self._now(connected=False)

    def _now(self, *, connected: bool) -> None:
        self.connected = connected
        self._metrics.broker_connected.values[self._purpose] = float(connected)
        self._now_blocked(blocked=False)

    def _now_blocked(self, *, blocked: bool) -> None:
        self.blocked = blocked
        self._metrics.broker_blocked.values[self._purpose] = float(blocked)
        self._changed()

    async def run(self) -> None:
        """Connect, again and again, until cancelled."""
        self.ended()
        try:
            await self._always()
        finally:
            for gauges in (self._metrics.broker_connected, self._metrics.broker_blocked):
                gauges.values.pop(self._purpose, None)

    async def _always(self) -> NoReturn:
        loop = asyncio.get_running_loop()
        pause = RETRY_MIN_S
        while True:
            began = loop.time()
            try:
                await self._once()
                reason = "its session ended"
            except (BrokerTrouble, CrustError, *TROUBLE) as error:
                reason = str(error) or type(error).__name__
            except Exception as error:
                reason = repr(error)
                log.exception("a session on RabbitMQ has failed", purpose=self._purpose)
            self._metrics.broker_troubles[self._purpose] += 1
            if loop.time() - began > GOOD_S:
                pause = RETRY_MIN_S
            log.warning("RabbitMQ is away, or in trouble; connecting again", purpose=self._purpose, reason=reason)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, self._settings.retry_max_s)

    async def _once(self) -> None:
        connection = aiormq.Connection(self._url)
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                await connection.connect()
            await first_to_end(self._session(connection), self._look(connection), _closed(connection))
        finally:
            self.ended()
            await _close(connection)

    async def _look(self, connection: aiormq.Connection) -> None:
        while True:
            await asyncio.sleep(BLOCKED_S)
            self._now_blocked(blocked=await blocked(connection))


async def _closed(connection: aiormq.Connection) -> None:
    """Until the connection is gone; raises why."""
    try:
        await connection.closing
    except asyncio.CancelledError:
        if connection.is_closed:
            raise BrokerTrouble("the connection was closed") from None
        raise


async def _close(connection: aiormq.Connection) -> None:
    """Say goodbye, for a moment. However the other side takes it, nothing of the connection goes on."""
    with suppress(Exception):
        async with asyncio.timeout(CLOSE_S):
            await connection.close()


async def until_closed(channel: AbstractChannel) -> None:
    """Until a channel is closed, which is trouble; says why."""
    try:
        await channel.closing
    except asyncio.CancelledError:
        if not channel.is_closed:
            raise
    raise BrokerTrouble("a channel was closed")


async def declare(channel: AbstractChannel, topology: Topology, timeout: float) -> None:
    """Make everything that is not there yet.

    Raises:
        BrokerTrouble: it is there with other arguments.
        AMQPError: the account may not.
        TimeoutError: nothing within `timeout` seconds; a queue without a leader, for instance.
    """
    try:
        async with asyncio.timeout(timeout):
            await _declare(channel, topology)
    except ChannelPreconditionFailed as error:
        raise BrokerTrouble(f"{error}; crust broker repair mends what is there with other arguments") from error


async def declared(connection: aiormq.Connection, topology: Topology, timeout: float) -> str:
    """The same, over a channel of its own, by somebody who can do without; gives why it could not be, or nothing."""
    channel = await connection.channel(publisher_confirms=False)
    try:
        await declare(channel, topology, timeout)
    except (BrokerTrouble, AMQPError, TimeoutError) as error:
        return str(error) or type(error).__name__
    finally:
        with suppress(*TROUBLE):
            await channel.close()
    return ""


async def declare_always(connection: aiormq.Connection, topology: Topology, timeout: float, every_s: float) -> NoReturn:
    """Have it there, and look every so many seconds, until cancelled. What cannot be is said, once, and keeps nobody from their work."""
    said = ""
    while True:
        if (reason := await declared(connection, topology, timeout)) and reason != said:
            log.warning("something on RabbitMQ cannot be made", reason=reason)
        said = reason
        await asyncio.sleep(every_s)


async def _declare(channel: AbstractChannel, topology: Topology) -> None:
    for exchange in topology.exchanges:
        await channel.exchange_declare(exchange.name, exchange_type=exchange.type, durable=True)
    for queue in topology.queues:
        await channel.queue_declare(
            queue.name, durable=queue.durable, exclusive=queue.exclusive, auto_delete=queue.exclusive, arguments=dict(queue.arguments)
        )
    for binding in topology.bindings:
        await channel.queue_bind(binding.queue, binding.exchange, routing_key=binding.key)


async def blocked(connection: aiormq.Connection) -> bool:
    """Whether RabbitMQ takes no messages now: its memory or its disk is full."""
    try:
        async with asyncio.timeout(0):
            await connection.ready()
    except TimeoutError:
        return True
    return False


def account_of(url: str) -> str:
    """The account of a URL."""
    return unquote(urlsplit(url).username or "")
