"""By which way a change has come: set where something comes in from elsewhere, or is done because of an event; its events bear it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

HOPS_MAX = 3  # links that anything may come through; a fourth is no conversation, but a loop


@dataclass(frozen=True, slots=True)
class Way:
    """`origin` is the network that it was first said on (None: here), `via` the links that it came through, in order.

    `still` is asked inside each change, before anything is written; it raises where this may come in no more.
    """

    origin: str | None = None
    via: tuple[str, ...] = ()
    still: Callable[[], Awaitable[None]] | None = None


HERE = Way()
way: ContextVar[Way] = ContextVar("way", default=HERE)
"""That of the running task: a change that it leads to runs in the same one. What is written in another (posts) takes it along."""


@contextmanager
def coming(by: Way) -> Iterator[None]:
    """For the length of a block, changes have come by this way."""
    token = way.set(by)
    try:
        yield
    finally:
        way.reset(token)
