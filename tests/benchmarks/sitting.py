"""What a case is given, and what it gives."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: what was measured, the figure, the floor's, their ratio, and what it should be."""

    what: str
    value: str
    floor: str = ""
    ratio: str = ""
    wanted: str = ""


@dataclass(frozen=True, slots=True)
class Sitting:
    """How it is measured: under which server, how often each pair, in turn, and with which part of the people and messages."""

    server: str = "hypercorn"
    rounds: int = 3
    scale: float = 1.0

    def of(self, count: int) -> int:
        return max(min(count, 10), round(count * self.scale))


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def ratio(value: float, against: float) -> str:
    return f"{value / against:.2f}" if against else ""
