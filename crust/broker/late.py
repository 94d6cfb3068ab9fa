"""Silence where something is known to be committed: RabbitMQ is full or does not answer, or no relay is there for a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LATE_S = 0.2  # events come after 5 ms in the middle (README, Benchmarks)


class Late:
    """Watches the positions that are to come, and those that do.

    While any come, however late, the log is left alone: to read from it too, just when there is too much to do, would help nobody.

    Args:
        read: called where one is missing and none has come for `LATE_S`; whoever it tells reads the log.
    """

    def __init__(self, read: Callable[[], None]) -> None:
        self._read = read
        self._expected = self._came = 0
        self._silent = True
        self._timer: asyncio.TimerHandle | None = None

    def expect(self, position: int) -> None:
        """The log has been written up to there."""
        self._expected = max(self._expected, position)
        self._watch()

    def came(self, position: int) -> None:
        """Events up to there have come, or some of them: the follower fills the holes."""
        self._came, self._silent = max(self._came, position), False

    def _watch(self) -> None:
        if self._timer is None and self._came < self._expected:
            self._silent = True
            self._timer = asyncio.get_running_loop().call_later(LATE_S, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._silent:
            self._came = self._expected
            self._read()
        self._watch()

    def close(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()
