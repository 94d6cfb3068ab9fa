"""The engine: delivers the log's events to consumers, in order by lane, until each is done, waiting or parked.

    engine = Engine(database, log, broker, leases, consumers, clock, settings.delivery, metrics)
    await engine.run(plugin)      # for ever; as often as there are instances

Every process that hosts an instance runs this; leases see to it that one of them dispatches, and one works.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager

from crust import settings
from crust.broker.base import Broker
from crust.clock import Clock
from crust.errors import CrustError, Invalid
from crust.events.control import Control
from crust.host.consumer import Code, Consumer
from crust.host.dispatch import Dispatch
from crust.host.schedule import Schedule
from crust.host.store import NAME, Store
from crust.host.sweeping import sweep
from crust.host.watchdog import Watchdog
from crust.host.work import Work
from crust.log import Consumers, Leases, Log
from crust.log.tasks import first_to_end
from crust.models.database import Database
from crust.settings.tree import RESERVED
from crust.telemetry import Metrics, get_logger

log = get_logger(__name__)

WORK = "work/"  # before an instance's name: the lease under which its handlers run
SWEEP_S = 3600.0
LOOK_S = 0.02  # between two looks of who waits for everything to be delivered


class Engine:
    """See the module."""

    def __init__(
        self, database: Database, log: Log, broker: Broker, leases: Leases, consumers: Consumers, clock: Clock, limits: settings.Delivery,
        metrics: Metrics, schedule: Schedule | None = None,
    ) -> None:  # fmt: skip
        self._database, self._log, self._broker, self._leases, self._consumers = database, log, broker, leases, consumers
        self._clock, self._limits, self._metrics = clock, limits, metrics
        self._schedule = schedule or Schedule(limits.give_up_s)
        self._works: dict[str, Work] = {}
        self._dispatches: dict[str, Dispatch] = {}

    def store(self, consumer: Consumer) -> Store:
        """The documents of an instance: what its plugin has as `ctx.store`. In a handler it holds back what is written."""
        return Store(self._database, self._clock, consumer.name, consumer.collections, self._limits.document_bytes)

    def on_control(self, listener: Callable[[Control], None]) -> Callable[[], None]:
        """Call a listener for every control message of any node; gives what ends that."""
        return self._broker.on_control(listener)

    async def run(self, consumer: Consumer, *, after: int | None = None) -> None:
        """Deliver to one instance, until cancelled; handlers at work have some seconds to end then.

        Args:
            after: the position after which a new one begins; left out, the log's head.

        Raises:
            Invalid: its name cannot be had, or it runs in this process already.
        """
        name = consumer.name
        if name in RESERVED or name in self._works or not NAME.fullmatch(name):
            raise Invalid(f"{name!r} cannot be an instance's name: it is no name, or somebody else's.")
        await self.store(consumer).reindex()
        work = Work(consumer, self._database, self._leases, self._clock, self._limits, self._metrics, self._schedule)
        dispatch = Dispatch(
            consumer, self._log, self._broker, self._consumers, self._database, self._clock, self._limits, work.wake, after
        )  # fmt: skip
        self._works[name], self._dispatches[name] = work, dispatch
        try:
            await first_to_end(self._leases.keep(name, dispatch.run), self._leases.keep(WORK + name, work.run))
        finally:
            del self._works[name], self._dispatches[name]

    def watching(self) -> AbstractContextManager[None]:
        """Name whatever code of plugins stops everything else, and end the process if that takes too long; for the length of a block."""

        def slow(code: Code) -> None:
            self._metrics.plugin_blocks[code.plugin, code.what] += 1

        return Watchdog(self._limits.blocked_s, slow).watching()

    async def watch(self) -> None:
        """Beside all instances, once a process: watch over what they do, and sweep away what is old. Until cancelled."""
        with self.watching():
            while True:
                try:
                    if swept := await sweep(self._database, self._clock.now(), self._limits.keep_days):
                        log.info("old deliveries and documents were removed", **swept)
                except CrustError as error:
                    log.warning("old deliveries could not be removed; it is tried again", error=str(error))
                await asyncio.sleep(SWEEP_S)

    def problems(self, name: str) -> list[str]:
        """What is wrong with what an instance is delivered, although it runs: that it is nothing, or not all."""
        dispatch = self._dispatches.get(name)
        return [each for each in (dispatch.problem, dispatch.gap) if each] if dispatch else []

    def delivers(self, name: str) -> bool:
        """Whether an instance is being delivered to by this process, as far as it has the leases."""
        return name in self._dispatches

    def wake(self, name: str) -> None:
        """Let an instance look at once, rather than within a second, at what is due: the clock was moved, or an operator has acted."""
        if work := self._works.get(name):
            work.wake()

    async def settled(self, name: str) -> None:
        """Wait until an instance has been delivered everything that the log has now, but for what waits until later. Dispatch is here."""
        head = (await self._log.head()).position
        self.wake(name)
        dispatch, work = self._dispatches[name], self._works[name]
        while dispatch.position < head or not await work.idle():  # noqa: ASYNC110  # it may be in another process that work ends
            await asyncio.sleep(LOOK_S)
