"""What becomes of a row, and of its lane, after an attempt. Nothing here waits, reads or writes.

A target that does not answer makes its lane wait, longer each time, for five days; then the lane is parked. A handler that raises is tried
again soon, twice; then its row is parked, and the lane goes on.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

STEPS_S = (5, 30, 120, 600, 1_800, 3_600, 7_200, 18_000, 36_000)
"""Seconds between the tries of a lane whose target fails; the last one holds from then on."""

RAISED_S = (5, 20)  # between the tries of a handler that raises: three of them within a minute, then no more
SPREAD = 0.2  # of each wait, up or down: those who fail together do not come again together
RETRY_AFTER_MAX_S = 36_000.0  # a target may ask for less than it likes, not for ever
CONFLICT_S = (0.05, 0.5)  # between tries when somebody else wrote the same documents
DEATHS = 3  # processes that one event may end before it is parked

How = Literal["done", "skipped", "withdrawn", "uncertain", "refused", "raised", "target", "conflict"]
"""How an attempt ended. The first four are the end of its row."""

FINAL = frozenset({"done", "skipped", "withdrawn", "uncertain"})


@dataclass(frozen=True, slots=True)
class Trouble:
    """A lane whose target has failed `attempts` times in a row, since a time in milliseconds since 1970."""

    attempts: int
    since: int


@dataclass(frozen=True, slots=True)
class LaneNow:
    """A lane that has to wait until `next_at`, or that is given up."""

    attempts: int
    since: int
    next_at: int
    parked: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the row; `lane` is None where the lane is well."""

    state: Literal["waiting", "parked", "done", "skipped", "withdrawn", "uncertain"]
    next_at: int
    raised: int
    lane: LaneNow | None


class Schedule:
    """See the module.

    Args:
        give_up_s: seconds of nothing but failures after which a lane is parked.
        chance: spreads the waits.
    """

    def __init__(self, give_up_s: float, chance: random.Random | None = None) -> None:
        self._give_up_ms, self._chance = round(give_up_s * 1000), chance or random.Random()

    def judge(self, how: How, now: int, raised: int, trouble: Trouble | None, retry_after: float | None = None) -> Verdict:
        """What an attempt means that has just ended.

        Args:
            how: how it ended.
            now: the time in milliseconds since 1970.
            raised: how often the row's handler has raised in a row before.
            trouble: that of the lane, if it was in any.
            retry_after: seconds that the target has asked for.
        """
        if how in FINAL:
            return Verdict(how, now, 0, None)  # type: ignore[arg-type]  # mypy does not narrow by membership
        if how == "refused":
            return Verdict("parked", now, raised, None)
        if how == "target":
            return Verdict("waiting", now, 0, self.failed(now, trouble, retry_after))
        stays = None if trouble is None else LaneNow(trouble.attempts, trouble.since, now, parked=False)
        if how == "conflict":
            return Verdict("waiting", now + round(self._chance.uniform(*CONFLICT_S) * 1000), 0, stays)
        if raised >= len(RAISED_S):
            return Verdict("parked", now, raised + 1, stays)
        return Verdict("waiting", now + self._spread(RAISED_S[raised]), raised + 1, stays)

    def failed(self, now: int, trouble: Trouble | None, retry_after: float | None) -> LaneNow:
        """A lane whose target has failed once more."""
        before = trouble or Trouble(0, now)
        wait = self._spread(STEPS_S[min(before.attempts, len(STEPS_S) - 1)])
        if retry_after is not None:
            wait = max(wait, round(min(max(retry_after, 0.0), RETRY_AFTER_MAX_S) * 1000))
        return LaneNow(before.attempts + 1, before.since, now + wait, parked=now - before.since >= self._give_up_ms)

    def _spread(self, seconds: float) -> int:
        """In milliseconds, a little more or less."""
        return round(seconds * 1000 * self._chance.uniform(1 - SPREAD, 1 + SPREAD))
