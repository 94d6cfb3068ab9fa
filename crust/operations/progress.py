"""How far long work is, as it says so itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Step(NamedTuple):
    """Where it is: `done` of `total` of `what`. Neither counts where `what` is one piece; `total` is None where nobody can know it."""

    what: str
    done: int | None = None
    total: int | None = None


Progress = Callable[[Step], None]
"""Is told, now and then, how far it is."""
