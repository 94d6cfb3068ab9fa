"""Deliveries that are lost, repeated and late: what a broker may do, done far more often."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

TWICE, LATE, DROPPED = 0.3, 0.2, 0.05  # of all deliveries


@dataclass(slots=True)
class Tally:
    """What was done to how many."""

    passed: int = 0
    twice: int = 0
    late: int = 0
    dropped: int = 0

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


class Mischief(Generic[T]):
    """Stands before a reader, and hands on what it is given: some of it not, some twice, some after what came later.

    Args:
        seed: the same seed does the same to the same deliveries.
        twice, late, dropped: to which share each is done.
    """

    def __init__(self, seed: int | str, twice: float = TWICE, late: float = LATE, dropped: float = DROPPED) -> None:
        self._chance = random.Random(seed)
        self._twice, self._late, self._dropped = twice, late, dropped
        self._kept: list[T] = []
        self.tally = Tally()

    def done_to(self, deliveries: Sequence[T]) -> list[T]:
        """What the reader gets in place of these. What is late comes after the next ones."""
        late, self._kept = self._kept, []
        given: list[T] = []
        for delivery in deliveries:
            self._do_to(delivery, given)
        return [*given, *late]

    def _do_to(self, delivery: T, given: list[T]) -> None:
        draw = self._chance.random()
        if draw < self._dropped:
            self.tally.dropped += 1
            return
        if draw < self._dropped + self._late:
            self.tally.late += 1
            self._kept.append(delivery)
        else:
            self.tally.passed += 1
            given.append(delivery)
        if self._chance.random() < self._twice:
            self.tally.twice += 1
            (given if self._chance.random() < 0.5 else self._kept).append(delivery)
