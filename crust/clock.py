"""Time, in one place, so that tests can move it.

Stored and passed about as whole milliseconds since 1970 (UTC); shown as RFC 3339 with milliseconds.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol


class Clock(Protocol):
    """What tells the time."""

    def now(self) -> int:
        """Milliseconds since 1970; may step when the machine's clock is set."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; for timeouts and rates."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that stands still until it is told to move.

    Args:
        now: where it starts, in milliseconds since 1970.
    """

    def __init__(self, now: int = 1_790_000_000_000) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> int:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass; `seconds` may be negative, which moves the wall clock alone."""
        self._now += round(seconds * 1000)
        self._monotonic += max(0.0, seconds)


def rfc3339(milliseconds: int) -> str:
    """`2026-11-24T01:47:00.123Z`."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_to_the_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=8192)
def _to_the_second(seconds: int) -> str:
    """What most times of a page or a moment share; made anew each time, it was a sixth of what a fresh websocket cost."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")


def rfc3339_or_none(milliseconds: int | None) -> str | None:
    """The same, and nothing for nothing."""
    return None if milliseconds is None else rfc3339(milliseconds)
