"""Who says the same again and again, as a loop does: they alone are paused for a while."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from crust.clock import Clock

TIMES, WITHIN_S, PAUSE_S = 5, 10.0, 60.0
SAYERS_MAX = 10_000  # that are remembered; who said nothing for longest is forgotten first


@dataclass(slots=True)
class Sayer:
    """What somebody has said, as hashes with their times; and until when they are paused."""

    said: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=TIMES))
    until: float = 0.0


class Repeats:
    """See the module. Times are the clock's own, in seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sayers: dict[tuple[int, str], Sayer] = {}

    def paused(self, link_id: int, remote_user: str) -> float:
        """For how many more seconds somebody is paused; 0: not at all."""
        sayer = self._sayers.get((link_id, remote_user))
        return 0.0 if sayer is None else max(0.0, sayer.until - self._clock.monotonic())

    def said(self, link_id: int, remote_user: str, text: str) -> bool:
        """Take note of what somebody said; gives whether they are paused because of it."""
        now, who = self._clock.monotonic(), (link_id, remote_user)
        sayer = self._sayers.pop(who, None) or Sayer()
        self._sayers[who] = sayer
        if len(self._sayers) > SAYERS_MAX:
            del self._sayers[next(iter(self._sayers))]
        sayer.said.append((hash(text), now))
        same = len(sayer.said) == TIMES and len({each for each, _ in sayer.said}) == 1
        if same and now - sayer.said[0][1] <= WITHIN_S:
            sayer.until = now + PAUSE_S
            sayer.said.clear()
            return True
        return False
