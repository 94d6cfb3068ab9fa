"""The one writer of a process: everybody who wants to change something waits here for a turn.

All who wait when the writer is free share one transaction (group commit): it takes the log's row, gives each a turn in the order of
arrival, writes their events, commits, and only then lets them go on. Posts that arrive together are written together, set-wise
(`Writer.together`); every other turn runs in the task that asked for it, under a savepoint. So who is refused fails alone and leaves
nothing behind, while one disk flush serves all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from crust import settings
from crust.clock import Clock
from crust.errors import CrustError, Unavailable
from crust.events.event import Event
from crust.log.change import Change
from crust.models.database import Database, inserting, is_failure, not_available, writing
from crust.telemetry import Metrics, get_logger

log = get_logger(__name__)

GROUP_S = 1.0  # after which a group takes no more turns: those of other processes wait as well
READ_LOG_ROW = "SELECT epoch, position, last_id FROM log WHERE id = 1"
LOG_ROW = {"sqlite": READ_LOG_ROW, "postgres": f"{READ_LOG_ROW} FOR UPDATE"}
EVENT_COLUMNS = {
    "position": "bigint", "id": "bigint", "organisation": "bigint", "channel": "bigint", "recipient": "bigint", "object": "bigint",
    "visibility": "text", "type": "text", "event": "text", "body": "text", "origin": "text", "via": "text", "at": "bigint",
}  # fmt: skip

T = TypeVar("T", bound="Turn")

Pace = Callable[[int], Awaitable[None]]
"""Holds the writer up before its next group, given the position that it has committed."""

GroupWrite = Callable[[Change, Sequence[Any]], Awaitable[Sequence[Any]]]
"""Writes many items at once; gives a result, or the error that refuses it, for each."""


@dataclass(slots=True, eq=False)
class Turn:
    """A wait for the writer. `committed` ends the wait of the one who asked, with what came of it."""

    committed: asyncio.Future[Any]


@dataclass(slots=True, eq=False)
class OwnTurn(Turn):
    """A turn that runs in the task that asked for it, between `granted` and `ended` (True: keep what it wrote)."""

    granted: asyncio.Future[Change]
    ended: asyncio.Future[bool]


@dataclass(slots=True, eq=False)
class SharedTurn(Turn):
    """A turn that is taken together with all others of the same `write`."""

    write: GroupWrite
    item: Any


async def at_once(_position: int) -> None:
    """The pace of a writer that nobody reads after."""


class TakenBack(Exception):
    """What a turn wrote is not wanted: its task raised or was cancelled."""


@dataclass(slots=True)
class Group:
    """Who has had a turn in the open transaction, and with which result."""

    done: list[tuple[Turn, Any]] = field(default_factory=list)


class Writer:
    """See the module.

    Args:
        database: where to write.
        clock: tells the time of a change.
        settings: `group_size`, `waiting_max`, `statement_timeout_s`.
        announce: called after each commit with its events, in order. Must not block.
        metrics: where commits are counted.
    """

    def __init__(
        self, database: Database, clock: Clock, settings: settings.Database, announce: Callable[[Sequence[Event]], None], metrics: Metrics
    ) -> None:
        self._database, self._clock, self._settings, self._announce = database, clock, settings, announce
        self._metrics = metrics
        self._waiting: deque[Turn] = deque()
        self._arrived = asyncio.Event()
        self._closed = False
        self._committed = 0  # the last position
        self.pace: Pace = at_once

    async def run(self) -> None:
        """Serve turns until `close` was called and nobody waits."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                await self.pace(self._committed)
                await self._serve([self._waiting.popleft() for _ in range(min(len(self._waiting), self._settings.group_size))])
            if self._closed:
                return

    def close(self) -> None:
        """Take no more turns; `run` ends when those that wait are served."""
        self._closed = True
        self._arrived.set()

    @property
    def waiting(self) -> int:
        """How many turns wait."""
        return len(self._waiting)

    # ---- asking

    def ask(self) -> OwnTurn:
        """Wait for a turn of one's own."""
        loop = asyncio.get_running_loop()
        return self._queue(OwnTurn(loop.create_future(), loop.create_future(), loop.create_future()))

    async def together(self, write: GroupWrite, item: Any) -> Any:
        """Have `item` written with all others that wait for the same `write`; gives its result once that is committed."""
        turn = self._queue(SharedTurn(asyncio.get_running_loop().create_future(), write, item))
        return await turn.committed

    def _queue(self, turn: T) -> T:
        if self._closed:
            raise Unavailable("The server is shutting down.", retry_after=5)
        if len(self._waiting) >= self._settings.waiting_max:
            raise Unavailable("Too many changes are waiting to be written.", retry_after=1)
        self._waiting.append(turn)
        self._arrived.set()
        return turn

    # ---- serving

    async def _serve(self, turns: list[Turn]) -> None:
        """One transaction for all these turns."""
        group, started = Group(), self._clock.monotonic()
        try:
            async with self._database.transaction_with(LOG_ROW[self._database.dialect]) as (transaction, (row,)):
                change = Change(row["epoch"], row["position"], row["last_id"], self._clock.now(), transaction)
                began, waiting = self._clock.monotonic(), deque(runs(turns))
                if len(waiting) == 1 and isinstance(turns[0], SharedTurn):
                    await self._take_all(change, turns[0].write, waiting.popleft(), group)
                while waiting and self._clock.monotonic() - began < GROUP_S:
                    await self._take(change, waiting.popleft(), group)
                for some in reversed(waiting):  # first in the next group
                    self._waiting.extendleft(reversed(some))
                    turns = [turn for turn in turns if turn not in some]
                await self._finish(change)
        except Exception as error:  # noqa: BLE001  # whatever it was, those who wait must hear of it
            await self._failed(turns, error)
            return
        self._metrics.commit_seconds.observe((), self._clock.monotonic() - started)
        self._metrics.commit_changes.observe((), len(group.done))
        if change.events:
            self._committed = change.position
            self._announce(change.events)
        for turn, result in group.done:
            settle(turn.committed, result)

    async def _failed(self, turns: list[Turn], error: Exception) -> None:
        """Nothing was written. Where a bug is to blame, only the guilty fails: those who can be served again are, one by one."""
        if len(turns) == 1 or isinstance(error, CrustError) or not all(isinstance(turn, SharedTurn) for turn in turns):
            self._fail(turns, error)
            return
        for turn in turns:
            await self._serve([turn])

    def _fail(self, turns: list[Turn], error: Exception) -> None:
        if not isinstance(error, CrustError):
            log.error("a change failed", exc_info=error)
        for turn in turns:
            waits_for_grant = isinstance(turn, OwnTurn) and not turn.granted.done()
            settle(turn.granted if waits_for_grant and isinstance(turn, OwnTurn) else turn.committed, error)

    async def _finish(self, change: Change) -> None:
        change.write(
            inserting("event", EVENT_COLUMNS, [event_row(event) for event in change.events]),
            writing("UPDATE log SET position = $1, last_id = $2 WHERE id = 1", change.position, change.last_id),
        )
        await self._write_pending(change, last=True)

    async def _write_pending(self, change: Change, *, last: bool = False) -> None:
        await self._database.run(change.pending, last=last)
        change.pending.clear()

    @asynccontextmanager
    async def _undoing(self, change: Change) -> AsyncIterator[None]:
        """A savepoint, for the database and for what the change has recorded."""
        mark = change.mark()
        try:
            async with self._database.savepoint(change.transaction):
                yield
        except BaseException:
            change.go_back(mark)
            raise

    async def _take(self, change: Change, turns: list[Turn], group: Group) -> None:
        first = turns[0]
        if isinstance(first, OwnTurn):
            await self._take_own(change, first, group)
        elif isinstance(first, SharedTurn):
            await self._take_shared(change, first.write, turns, group)

    async def _take_own(self, change: Change, turn: OwnTurn, group: Group) -> None:
        """Lend the transaction to the task that asked, until it says that it has finished."""
        if turn.granted.cancelled():
            return
        try:
            async with self._undoing(change):
                turn.granted.set_result(change)
                if not await self._ended(turn):
                    raise TakenBack
                await self._write_pending(change)
            group.done.append((turn, None))
        except TakenBack:
            pass
        except CrustError:
            raise  # the database, or a change that took too long: nothing of this group can be trusted
        except Exception as error:
            log.exception("a change failed", error=repr(error))
            group.done.append((turn, error))

    async def _ended(self, turn: OwnTurn) -> bool:
        try:
            async with asyncio.timeout(self._settings.statement_timeout_s):
                return await turn.ended
        except TimeoutError:
            # Its task still holds the transaction and may write at any time: nothing of this group can be trusted.
            raise Unavailable("A change took too long and was given up.", retry_after=1) from None

    async def _take_all(self, change: Change, write: GroupWrite, turns: Sequence[Turn], group: Group) -> None:
        """The common case: nobody else shares the transaction, so it needs no savepoint, and what is written goes with the events."""
        results = await write(change, [turn.item for turn in turns if isinstance(turn, SharedTurn)])
        group.done.extend(zip(turns, results, strict=True))

    async def _take_shared(self, change: Change, write: GroupWrite, turns: Sequence[Turn], group: Group) -> None:
        """Write all at once; should that fail as a whole, one by one, so that only the guilty fails."""
        items = [turn.item for turn in turns if isinstance(turn, SharedTurn)]
        try:
            async with self._undoing(change):
                results: Sequence[Any] = await write(change, items)
                await self._write_pending(change)
        except CrustError:
            raise  # the database: whatever comes next would fail as well
        except Exception as error:
            if len(turns) == 1:
                log.exception("a change failed", error=repr(error))
                group.done.append((turns[0], error))
                return
            for turn in turns:
                await self._take_shared(change, write, [turn], group)
            return
        group.done.extend(zip(turns, results, strict=True))


def runs(turns: Sequence[Turn]) -> list[list[Turn]]:
    """Neighbours that can be written together, in the order of arrival."""
    found: list[list[Turn]] = []
    for turn in turns:
        last = found[-1][0] if found else None
        if isinstance(turn, SharedTurn) and isinstance(last, SharedTurn) and turn.write == last.write:
            found[-1].append(turn)
        else:
            found.append([turn])
    return found


def settle(future: asyncio.Future[Any], result: Any) -> None:
    """Give the one who waits, if they still do, a result or an error."""
    if future.done():
        return
    if isinstance(result, BaseException) and is_failure(result):
        result = not_available()
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)


def event_row(event: Event) -> list[Any]:
    """An event as its table has it."""
    return [
        event.position, event.id, event.organisation, event.channel, event.recipient, event.object, event.visibility, event.type,
        event.event, bytes(event.body).decode(), event.origin, " ".join(event.via), event.at,
    ]  # fmt: skip
