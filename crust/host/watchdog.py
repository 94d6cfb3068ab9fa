"""Sees what keeps a process from doing anything else: code that never awaits cannot be interrupted, and nothing goes on meanwhile.

What takes a second is named in the log and counted; what takes too long ends the process. Whoever watches over that starts it anew; an
event that was being handled is then handled alone, and after the third time it is parked.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from crust.host.consumer import Code, running
from crust.telemetry import get_logger

log = get_logger(__name__)

BEAT_S = 0.25
SLOW_S = 1.0  # a filter's time: whoever waits for anything else has noticed
STATUS = 70  # EX_SOFTWARE: that it was no ordinary end
FRAMES = 3  # of where it stands, the innermost ones


class Watchdog:
    """Looks, from a thread of its own, whether the event loop still turns.

    Args:
        seconds: for how long it may stand still.
        slow: is called, when it turns again, with the plugin's code that has kept it for a second.
        end: ends the process.
    """

    def __init__(self, seconds: float, slow: Callable[[Code], object], end: Callable[[int], object] = os._exit) -> None:
        self._seconds, self._slow, self._end = seconds, slow, end
        self._beaten = threading.Event()
        self._over = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the running loop for the length of a block."""
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
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
        slow = min(BEAT_S + SLOW_S, self._seconds / 2)
        while True:
            if not self._beaten.wait(slow):
                self._warn()
                if not self._beaten.wait(self._seconds - slow):
                    break
            if self._over.is_set():
                return
            self._beaten.clear()
        log.critical("the process ends: it could do nothing else for too long", seconds=self._seconds, **self._at_work())
        self._end(STATUS)

    def _warn(self) -> None:
        at_work = self._at_work()
        log.warning("the process does nothing else", **at_work)
        if code := running.get(asyncio.current_task(self._loop)):
            with suppress(RuntimeError):  # the loop has been closed
                self._loop.call_soon_threadsafe(self._slow, code)

    def _at_work(self) -> dict[str, Any]:
        """What it is at: the plugin and its hook, the event that it handles, and the lines of code."""
        task = asyncio.current_task(self._loop)
        code, frame = running.get(task), sys._current_frames().get(self._thread)
        found: dict[str, Any] = {"task": task and task.get_name(), "lines": [*map(str, traceback.extract_stack(frame)[-FRAMES:])]}
        if code:
            found |= {"plugin": code.plugin, "hook": code.what}
        if code and code.delivery:
            found |= {"lane": code.delivery.lane, "position": code.delivery.event.position}
        return found
