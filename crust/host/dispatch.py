"""From the log to rows: for each event that a consumer wants, one in each of the lanes that it names, under the consumer's lease.

Rows and offset are one transaction. What a broker brings is a reason to look; what is read is the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from crust import settings
from crust.broker.base import Broker
from crust.clock import Clock
from crust.errors import Unavailable
from crust.events.event import Event
from crust.host.attempt import ERROR_MAX
from crust.host.consumer import Consumer
from crust.host.rows import Rows
from crust.host.store import TEXT_MAX, storable
from crust.log import Consumers, Lease, Log
from crust.models.database import Database
from crust.telemetry import get_logger

log = get_logger(__name__)

TOGETHER = 500  # events that are read, and dispatched, at once
SILENCE_S = 1.0  # the longest that an event of another process stays unseen
SAVE_S = 1.0  # between two writes of the offset alone: what is not wanted is looked at again after a crash, which does no harm
SAYS_S = 600.0  # between two words that a consumer is there, when nothing happens
BEYOND = 2**62


class Dispatch:
    """The dispatch of one consumer in this process.

    Args:
        consumer: who says what is wanted.
        log: what is read.
        broker: what says that there is something new.
        consumers: where the offset is kept.
        database, clock, limits: as in `Work`.
        told: is called with the lanes that have something new, after the commit.
        after: the position after which a new consumer begins; left out, the log's head.
    """

    def __init__(
        self, consumer: Consumer, log: Log, broker: Broker, consumers: Consumers, database: Database, clock: Clock,
        limits: settings.Delivery, told: Callable[[Iterable[str]], None], after: int | None = None,
    ) -> None:  # fmt: skip
        self._consumer, self._log, self._broker, self._consumers = consumer, log, broker, consumers
        self._database, self._clock, self._limits, self._told, self._after = database, clock, limits, told, after
        self._rows = Rows(database, consumer.name, "")
        self._saved = self._read = 0  # up to where the offset says, and up to where all is dispatched
        self._saved_at = 0.0
        self.problem: str | None = None  # why nothing is dispatched
        self.gap: str | None = None  # what was left out

    @property
    def position(self) -> int:
        """Up to where everything is dispatched; 0 while another process does it."""
        return self._read

    async def run(self, lease: Lease) -> None:
        """Dispatch what comes, until cancelled or the lease is lost."""
        await self._consumers.begin(lease.name, self._after)
        await self._begin(lease)
        subscription = self._broker.subscribe()
        try:
            while True:
                await self._dispatch_all(lease)
                await subscription.receive(min(SILENCE_S, SAVE_S))
        finally:
            subscription.close()

    async def _begin(self, lease: Lease) -> None:
        """Where to go on; nowhere, if that is beyond the log's end."""
        place, head = await self._consumers.place(lease.name), await self._log.head()
        if place.offset > head.position:
            self.problem = (
                f"it hears of nothing: its offset {place.offset} is beyond the log's head {head.position}; was an old database put back? "
                f"Stop it, then: crust consumers begin {lease.name} --from POSITION"
            )
            log.error("a consumer stops", consumer=lease.name, reason=self.problem)
            await asyncio.Event().wait()
        start = place.offset
        if place.silent_ms > self._limits.catch_up_max_s * 1000 and start < head.position:
            log.warning(
                "a consumer was away for too long and begins at the log's head: it does not hear of what was between",
                consumer=lease.name, away_s=place.silent_ms // 1000, after=start, upto=head.position,
            )  # fmt: skip
            self.gap = (
                f"it was away for {place.silent_ms / 3_600_000:.0f} h and has not heard of events {start + 1} to {head.position}; "
                f"crust plugins restart {lease.name} takes note of that"
            )
            await self._consumer.missed(start, head.position)
            start = head.position
        await self._consumers.move(lease, place.offset, start)
        await self._consumer.ready()
        self._saved = self._read = start
        self._saved_at = asyncio.get_running_loop().time()

    async def _dispatch_all(self, lease: Lease) -> None:
        """Everything that the log has by now."""
        try:
            while events := await self._log.read(self._read, BEYOND, TOGETHER):
                await self._dispatch(lease, events)
            since = asyncio.get_running_loop().time() - self._saved_at
            if since >= (SAVE_S if self._read > self._saved else min(SAYS_S, self._limits.catch_up_max_s / 4)):
                await self._save(lease, self._read, [], [])
        except Unavailable:
            log.warning("the log cannot be read; trying again", consumer=lease.name, after=self._read)
            await self._begin(lease)

    async def _dispatch(self, lease: Lease, events: Sequence[Event]) -> None:
        wanted: list[tuple[str, int]] = []
        failed: list[tuple[int, str]] = []
        for event in events:
            try:
                wanted += [(named(lane), event.position) for lane in dict.fromkeys(self._consumer.wants(event))]
            except Exception as error:  # the boundary: a plugin's bug; the event is parked, so that nothing is lost
                log.exception("a plugin does not say what it wants", consumer=self._consumer.name, position=event.position)
                failed.append((event.position, f"{type(error).__name__}: {error}"[:ERROR_MAX]))
        if wanted or failed:
            await self._save(lease, events[-1].position, wanted, failed)
        self._read = events[-1].position

    async def _save(self, lease: Lease, upto: int, wanted: Sequence[tuple[str, int]], failed: Sequence[tuple[int, str]]) -> None:
        now = self._clock.now()
        async with self._consumers.moving(lease, self._saved, upto):
            parked = [self._rows.parking("", position, error, now) for position, error in failed]
            await self._database.run([self._rows.adding(wanted, now), *parked], last=True)
        self._saved, self._saved_at = upto, asyncio.get_running_loop().time()
        if wanted:
            self._told(lane for lane, _ in wanted)


def named(lane: str) -> str:
    """The name of a lane, if it can be one."""
    if not storable(lane):
        raise ValueError(f"a lane's name is a text of {TEXT_MAX} characters at most, and {lane!r:.80} is none")
    return lane
