"""Something on RabbitMQ that is not as it should be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, in words, and what mends it; None where only a person can.

    `outside`: it is of other programs, which keep no server from its work.
    """

    text: str
    mend: Callable[[], Awaitable[None]] | None = None
    outside: bool = False
