"""Ends a process that a handler has stopped: code that never awaits cannot be interrupted, and nothing else goes on meanwhile.

Whoever watches over the process starts it anew; what was being handled is then handled alone, and after the third time it is parked.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from crust.telemetry import get_logger

log = get_logger(__name__)

BEAT_S = 0.5
STATUS = 70  # EX_SOFTWARE: that it was no ordinary end


class Watchdog:
    """Looks, from a thread of its own, whether the event loop still turns.

    Args:
        seconds: for how long it may stand still.
        at_work: names what is being handled.
        end: ends the process.
    """

    def __init__(self, seconds: float, at_work: Callable[[], list[str]], end: Callable[[int], object] = os._exit) -> None:
        self._seconds, self._at_work, self._end = seconds, at_work, end
        self._beaten = threading.Event()
        self._over = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the running loop for the length of a block."""
        thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        beating = asyncio.create_task(self._beat(), name="watchdog")
        thread.start()
        try:
            yield
        finally:
            beating.cancel()
            self._over.set()
            self._beaten.set()

    async def _beat(self) -> None:
        while True:
            self._beaten.set()
            await asyncio.sleep(min(BEAT_S, self._seconds / 4))

    def _watch(self) -> None:
        while self._beaten.wait(self._seconds):
            if self._over.is_set():
                return
            self._beaten.clear()
        log.critical("the process ends: it could do nothing else for too long", seconds=self._seconds, at_work=self._at_work())
        self._end(STATUS)
