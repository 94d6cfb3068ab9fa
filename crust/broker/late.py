"""What is known to be committed, and has not come: RabbitMQ is full or silent, or no relay is there for a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LATE_S = 0.2
"""Events come after 5 ms in the middle (README, Benchmarks). Whoever is this far behind reads the log, and five times a second at most."""


class Late:
    """Watches the positions that are to come, and those that do.

    Args:
        read: called where one has not come for `LATE_S`; whoever it tells reads the log.
    """

    def __init__(self, read: Callable[[], None]) -> None:
        self._read = read
        self._expected = self._came = 0
        self._timer: asyncio.TimerHandle | None = None

    def expect(self, position: int) -> None:
        """The log has been written up to there."""
        self._expected = max(self._expected, position)
        if self._timer is None and self._came < self._expected:
            self._timer = asyncio.get_running_loop().call_later(LATE_S, self._look)

    def came(self, position: int) -> None:
        """Events up to there have come, or some of them: the follower fills the holes."""
        self._came = max(self._came, position)

    def _look(self) -> None:
        self._timer = None
        if self._came < self._expected:
            self._came = self._expected
            self._read()

    def close(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()
