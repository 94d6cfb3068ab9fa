"""From rows to handlers: the first open row of each lane, lanes side by side, under the instance's lease.

A row is claimed, and that is committed, before its handler runs; its end is written only if it is still claimed so. Ends that come
together, and the claims of what is next in their lanes, are one transaction. None is open while a handler runs.

What a dead process has left claimed is done alone: should it end this process too, it takes nobody with it.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from crust import settings
from crust.clock import Clock
from crust.errors import Unavailable
from crust.host.attempt import Result, attempt, kept
from crust.host.consumer import Consumer, Delivery, Over, Parked
from crust.host.eraser import gone
from crust.host.held import Held, writes_of
from crust.host.rows import End, Head, Rows
from crust.host.schedule import DEATHS, FINAL, Schedule
from crust.host.store import Store
from crust.log import Lease, LeaseLost, Leases
from crust.log.tasks import end_all
from crust.models.database import Database, Row
from crust.telemetry import Metrics, get_logger

log = get_logger(__name__)

LOOK_S = 1.0  # the longest that a row of another process, or what an operator did, stays unseen
AGAIN_S = 0.5  # before the database is asked again that was away
DRAIN_S = 5.0  # for handlers at work when all is to end; a server has 20 s for everything
DIED = "The process ended while it was dealt with."


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt that is over, and not yet written."""

    head: Head
    held: Held
    result: Result


class Work:
    """The work of one instance in this process. It may be run again, under another lease.

    Args:
        consumer: who handles.
        database: opened and migrated.
        leases: those of this process.
        clock: tells what is due.
        limits: `delivery.*`.
        metrics: where it counts.
        schedule: what a failure means.
    """

    def __init__(
        self, consumer: Consumer, database: Database, leases: Leases, clock: Clock, limits: settings.Delivery, metrics: Metrics,
        schedule: Schedule | None = None,
    ) -> None:  # fmt: skip
        self._consumer, self._database, self._leases, self._clock = consumer, database, leases, clock
        self._limits, self._metrics, self._name = limits, metrics, consumer.name
        self._schedule = schedule or Schedule(limits.give_up_s)
        self._rows = Rows(database, consumer.name, leases.owner)
        self._store = Store(database, clock, consumer.name, consumer.collections, limits.document_bytes)
        self._wake = asyncio.Event()
        self._ready: dict[str, None] = {}  # lanes that may have something to do now, in their order
        self._suspects: dict[str, None] = {}  # the same, to be done alone
        self._later: list[tuple[int, str]] = []  # a heap of lanes by when they are due
        self._forget()

    def _forget(self) -> None:
        self._busy: dict[str, Head] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ended: list[Ended] = []
        self._alone: str | None = None
        self._unsure = False  # what was claimed last: the commit's outcome is not known
        self._look_at = 0.0

    async def idle(self) -> bool:
        """Whether nothing is being handled, and nothing is due."""
        if self._busy:
            return False
        now = self._clock.now()
        return not any(each.running or each.due <= now for each in await self._rows.waiting())

    def wake(self, lanes: Iterable[str] = ()) -> None:
        """There is something new in these lanes; without any, look everywhere."""
        fresh = dict.fromkeys(lanes)
        self._ready.update(fresh)
        if not fresh:
            self._look_at = 0.0
        self._wake.set()

    async def run(self, lease: Lease) -> None:
        """Deal with what is due, until cancelled or the lease is lost. What is at work then has some seconds to end."""
        self._forget()
        drain = DRAIN_S
        try:
            await self._recover(lease)
            while True:
                if asyncio.get_running_loop().time() >= self._look_at:
                    await self._look()
                if not await self._step(lease):
                    await self._pause()
        except LeaseLost:
            drain = 0.0
            raise
        finally:
            await self._leave(lease, drain)

    # ---- the beginning and the end

    async def _recover(self, lease: Lease) -> None:
        """What is claimed now was claimed before: by a process that died, or by this one, under a lease that it had lost."""
        async with self._leases.writing(lease):
            left = await self._rows.left()
            died = [row for row in left if row["owner"] != self._leases.owner]
            await self._database.run([self._rows.dying(died, DEATHS, DIED, self._clock.now()), self._rows.releasing(self._own(left))])
        for row in died:
            self._metrics.deliveries[self._name, "died"] += 1
            log.warning("a process died of an event, or with it", consumer=self._name, lane=row["lane"], position=row["position"])
            if row["deaths"] + 1 >= DEATHS:
                self._tell(Parked(self._name, row["lane"], row["position"], DIED))

    async def _leave(self, lease: Lease, drain: float) -> None:
        """Let handlers end; the others' rows wait for whoever is next."""
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=drain)
        await end_all(*self._tasks.values())
        with suppress(LeaseLost, Unavailable):
            await self._write(lease, self._ended, [])
            async with self._leases.writing(lease):
                await self._database.run([self._rows.releasing(self._own(await self._rows.left()))])

    # ---- what is next

    async def _look(self) -> None:
        """See what is due, and when what is not."""
        self._look_at = asyncio.get_running_loop().time() + LOOK_S
        try:
            waiting = [each for each in await self._rows.waiting() if not each.running]
        except Unavailable:
            return  # whoever writes will wait for it
        now = self._clock.now()
        self._later = [(each.due, each.lane) for each in waiting if each.due > now and not each.suspect]
        heapq.heapify(self._later)
        self._suspects = {each.lane: None for each in waiting if each.suspect and each.due <= now and each.lane not in self._busy}
        self._ready.update((each.lane, None) for each in waiting if each.due <= now and not each.suspect)

    def _choose(self, free: set[str]) -> list[str]:
        """The lanes whose next row is to be claimed; those in `free` are so when what is written next is written."""
        now, busy = self._clock.now(), len(self._busy) - len(free)
        while self._later and self._later[0][0] <= now:
            self._ready[heapq.heappop(self._later)[1]] = None
        if busy and self._alone is not None:
            return []
        if self._suspects:
            if busy:
                return []  # it waits until nobody else could be harmed
            self._alone = next(iter(self._suspects))
            del self._suspects[self._alone]
            return [self._alone]
        chosen: list[str] = []
        while self._ready and busy + len(chosen) < self._limits.lanes:
            lane = next(iter(self._ready))
            del self._ready[lane]
            if lane not in self._busy or lane in free:  # a busy one comes again when it ends
                chosen.append(lane)
        return chosen

    async def _pause(self) -> None:
        """Until something ends, comes or is due."""
        seconds = max(0.0, self._look_at - asyncio.get_running_loop().time())
        if self._later:
            seconds = min(seconds, max(0.0, (self._later[0][0] - self._clock.now()) / 1000))
        with suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, LOOK_S)):
                await self._wake.wait()
        self._wake.clear()

    # ---- a step

    async def _step(self, lease: Lease) -> bool:
        """Write what has ended, claim what is next, and start that; gives whether there was anything."""
        ended, self._ended = self._ended, []
        free = {each.head.lane for each in ended}
        self._ready.update(dict.fromkeys(free))
        if self._alone in free:
            self._alone = None
        chosen = self._choose(free)
        if not ended and not chosen:
            return False
        try:
            begun = await self._write(lease, ended, chosen)
        except BaseException as error:
            self._ended = ended + self._ended  # whether they were written is not known, and writing them again does no harm
            if not isinstance(error, Unavailable):
                raise
            log.warning("deliveries wait for the database", consumer=self._name)
            self._ready.update(dict.fromkeys(chosen))
            self._alone, self._unsure, self._look_at = None, True, 0.0
            await asyncio.sleep(AGAIN_S)
            return True
        if self._alone is not None and self._alone not in self._busy and self._alone not in {head.lane for head in begun}:
            self._alone = None
        for lane in free:
            del self._busy[lane], self._tasks[lane]
        for head in begun:
            self._start(head)
        return True

    async def _write(self, lease: Lease, ended: Sequence[Ended], chosen: Sequence[str]) -> list[Head]:
        """One transaction; gives what is claimed now. An end that cannot be stored holds up nobody else's: its row is parked."""
        try:
            return await self._written(lease, ended, chosen)
        except (LeaseLost, Unavailable):
            raise
        except Exception:  # the boundary: what a plugin gave is in there
            if not ended:
                raise
            log.exception("what has ended cannot be stored together; it is stored one by one", consumer=self._name)
        for each in ended:
            await self._write_alone(lease, each)
        return await self._written(lease, [], chosen)

    async def _write_alone(self, lease: Lease, ended: Ended) -> None:
        try:
            await self._written(lease, [ended], [])
        except (LeaseLost, Unavailable):
            raise
        except Exception as error:  # the boundary, as above
            log.exception("what came of an event cannot be stored", consumer=self._name, lane=ended.head.lane, position=ended.head.position)
            result = Result("refused", kept(f"What came of it cannot be stored: {type(error).__name__}: {error}"))
            await self._written(lease, [Ended(ended.head, Held(self._name), result)], [])

    async def _written(self, lease: Lease, ended: Sequence[Ended], chosen: Sequence[str]) -> list[Head]:
        """The same, with no regard for what cannot be stored."""
        now = self._clock.now()
        async with self._leases.writing(lease):
            if self._unsure:
                await self._release_unknown()
            ends = await self._end(ended, now)
            heads = await self._rows.heads(chosen) if chosen else []
            begun, over = self._sorted(heads, now)
            writes = [self._rows.claiming([*begun, *(end.head for end in over)])]
            over = [replace(end, head=claimed(end.head)) for end in over]
            await self._database.run([*writes, *self._rows.ending(over, now)], last=True)
        self._unsure = False
        for end in (*ends, *over):
            self._count(end)
        self._ready.update((end.head.lane, None) for end in over)
        return [claimed(head) for head in begun]

    async def _release_unknown(self) -> None:
        """Of what this process has claimed, what it is not dealing with: the claim was committed, and it did not hear of it."""
        known = {(head.lane, head.position) for head in self._busy.values()}
        unknown = [row for row in self._own(await self._rows.left()) if row[:2] not in known]
        await self._database.run([self._rows.releasing(unknown)])

    def _own(self, left: Iterable[Row]) -> list[tuple[str, int, int]]:
        """Of what is claimed, what this process has claimed: lane, position, claim."""
        return [(row["lane"], row["position"], row["claim"]) for row in left if row["owner"] == self._leases.owner]

    async def _end(self, ended: Sequence[Ended], now: int) -> list[End]:
        """Write the ends of what is still claimed, with what was held back; the others' is dropped."""
        ours = await self._rows.ours(each.head for each in ended)
        counted = [each for each in ended if (each.head.lane, each.head.position) in ours]
        for _ in range(len(ended) - len(counted)):
            self._metrics.deliveries[self._name, "lost"] += 1
        well = [each for each in counted if each.result.how in FINAL]
        fits, writes = await writes_of(self._database, now, [each.held for each in well])
        changed = {id(each) for each, fit in zip(well, fits, strict=True) if not fit}
        ends = [self._judged(each.head, CONFLICT if id(each) in changed else each.result, now) for each in counted]
        also = [write for each, fit in zip(well, fits, strict=True) if fit for write in each.result.writes]
        ends = await self._without_what_is_gone(ends)
        await self._database.run([*writes, *also, *self._rows.ending(ends, now)])
        return ends

    async def _without_what_is_gone(self, ends: list[End]) -> list[End]:
        """What was said of a message that was removed meanwhile may quote it; the eraser has been there already."""
        removed = await gone(self._database, [end.head.position for end in ends if end.error or end.receipt])
        return [replace(end, error=None, receipt=None) if end.head.position in removed else end for end in ends]

    def _judged(self, head: Head, result: Result, now: int) -> End:
        verdict = self._schedule.judge(result.how, now, head.raised, head.trouble, result.retry_after)
        return End(head, verdict, result.how, result.error, result.receipt)

    def _sorted(self, heads: Sequence[Head], now: int) -> tuple[list[Head], list[End]]:
        """What is to be begun, and what ends without. The rest waits."""
        begun, over = [], []
        for head in heads:
            if head.parked or head.state != "waiting":
                continue
            if head.due > now:
                heapq.heappush(self._later, (head.due, head.lane))
            elif head.event is None:
                over.append(self._judged(head, FORGOTTEN, now))
            elif head.removed:
                over.append(self._judged(head, UNCERTAIN if head.claim else SKIPPED, now))
            elif head.deaths and self._alone != head.lane:
                self._suspects[head.lane] = None
            else:
                begun.append(head)
        return begun, over

    def _count(self, end: End) -> None:
        self._metrics.deliveries[self._name, end.how] += 1
        self._over(Over(end.head.lane, end.head.position, end.how, end.verdict.state != "waiting"))
        if end.verdict.state == "parked":
            log.error("an event is parked", consumer=self._name, lane=end.head.lane, position=end.head.position, why=end.how)
            self._tell(Parked(self._name, end.head.lane, end.head.position, end.error or end.how))
        if end.verdict.lane is not None and end.verdict.lane.parked:
            log.error("a lane is parked: its target has failed for too long", consumer=self._name, lane=end.head.lane)
            self._tell(Parked(self._name, end.head.lane, None, end.error or end.how))

    def _over(self, over: Over) -> None:
        try:
            self._consumer.over(over)
        except Exception:  # the boundary: what has ended has ended
            log.exception("a plugin did not take the word of what has ended", consumer=self._name)

    def _tell(self, parked: Parked) -> None:
        try:
            self._consumer.parked(parked)
        except Exception:  # the boundary: what is parked stays so, whatever a plugin makes of it
            log.exception("a plugin did not take the word of what was parked", consumer=self._name)

    # ---- handlers

    def _start(self, head: Head) -> None:
        self._busy[head.lane] = head
        self._tasks[head.lane] = asyncio.create_task(self._handle(head), name=f"{self._name}/{head.lane}/{head.position}")

    async def _handle(self, head: Head) -> None:
        assert head.event is not None
        held, began = Held(self._name), self._clock.monotonic()
        delivery = Delivery(self._name, head.lane, head.event, head.attempts, head.claim, self._store.held_back(held))
        result = await attempt(self._consumer, delivery, held, self._limits.handler_s)
        self._metrics.handler_seconds.observe(self._name, self._clock.monotonic() - began)
        self._ended.append(Ended(head, held, result))
        self._wake.set()


def claimed(head: Head) -> Head:
    """The same row, once it is claimed."""
    return replace(head, claim=head.claim + 1, attempts=head.attempts + 1)


CONFLICT = Result("conflict", "Somebody else changed documents that it had read.")
FORGOTTEN = Result("refused", "The log does not have this event any more.")
SKIPPED = Result("skipped", "The message was removed before it was delivered.")
UNCERTAIN = Result("uncertain", "The message was removed; it may have been sent before.")
