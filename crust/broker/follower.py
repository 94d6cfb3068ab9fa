"""The rule for whoever reads from a broker, in one place.

A position at or below the offset: seen, forget it. The next one: take it. Beyond: read what lies between from the log first. And after
every second of silence, compare with the log's head; without silence every second, too, and what was there a second ago and has not come is
read from the log. So a lost, repeated, forged, reordered or late message is one case.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from crust.broker.base import Broker
from crust.errors import Unavailable
from crust.events.event import Event
from crust.log import Log
from crust.telemetry import get_logger

log = get_logger(__name__)

SILENCE_S = 1.0  # the longest that an event of another process can stay unseen
OLD_S = 0.1  # between two looks while nothing comes but what is known: a relay that goes over old events is no reason to read all the time
BATCH = 500


class LogWentBack(RuntimeError):
    """The log is another than it was, or shorter: an old database was put back. Who goes on would pass over what is written now."""


class Follower:
    """Gives every event of the log once, in order, from a position on.

    Args:
        log: where the truth is.
        broker: what makes it fast.
        after: the offset to start from.
    """

    def __init__(self, log: Log, broker: Broker, after: int) -> None:
        self._log, self._broker = log, broker
        self.offset = after
        self._epoch = ""
        self._known, self._looked_at = after, float("-inf")  # where the log ended when it was last looked at

    async def events(self) -> AsyncIterator[Sequence[Event]]:
        """Batches without holes; never ends by itself. A database that is away delays, and nothing more.

        Raises:
            LogWentBack: see there.
        """
        subscription = self._broker.subscribe()
        received: Sequence[Event] = ()  # first a look at what is there
        try:
            while True:
                try:
                    async for batch in self._healed(received):
                        self.offset = batch[-1].position
                        yield batch
                except Unavailable:
                    log.warning("the log cannot be read; trying again", after=self.offset)
                received = await subscription.receive(SILENCE_S)
        finally:
            subscription.close()

    async def _healed(self, received: Sequence[Event]) -> AsyncIterator[Sequence[Event]]:
        """What was received, with what lies between; where that is nothing new, whatever the log has."""
        new = sorted((event for event in received if event.position > self.offset), key=lambda event: event.position)
        if not new:
            if not received or self._since_look() >= OLD_S:
                async for batch in self._upto(await self._head()):
                    yield batch
            return
        run: list[Event] = []
        for event in new:
            reached = run[-1].position if run else self.offset
            if event.position > reached + 1:
                if run:
                    yield run
                    run = []
                async for batch in self._before(event.position):
                    yield batch
                reached = self.offset
            if event.position == reached + 1:  # not so where it comes twice, or is forged: beyond the head nothing is passed over
                run.append(event)
        if run:
            yield run
        async for batch in self._late():
            yield batch

    async def _late(self) -> AsyncIterator[Sequence[Event]]:
        """What the log has, if that of a second ago has not come yet."""
        if self._since_look() >= SILENCE_S:
            known, head = self._known, await self._head()
            if self.offset < known:
                async for batch in self._upto(head):
                    yield batch

    def _since_look(self) -> float:
        return asyncio.get_running_loop().time() - self._looked_at

    async def _before(self, position: int) -> AsyncIterator[Sequence[Event]]:
        async for batch in self._upto(min(position - 1, await self._head())):
            yield batch

    async def _head(self) -> int:
        head = await self._log.head()
        self._epoch = self._epoch or head.epoch
        if head.position < self.offset or head.epoch != self._epoch:
            raise LogWentBack(f"The log ends at {head.position}, and {self.offset} was read of it: was an old database put back?")
        self._known, self._looked_at = head.position, asyncio.get_running_loop().time()
        return head.position

    async def _upto(self, position: int) -> AsyncIterator[Sequence[Event]]:
        """What the log holds from the offset up to a position that it has reached. (What retention has removed is gone: go on after it.)"""
        while self.offset < position:
            batch = await self._log.read(self.offset, position, BATCH)
            if not batch:
                self.offset = position
                return
            yield batch
