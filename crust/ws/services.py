"""What all connections of a node share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from crust.errors import Unavailable
from crust.services.actor import Actor
from crust.services.core import Core
from crust.services.limits import TokenBuckets
from crust.settings import Settings
from crust.telemetry import Metrics
from crust.ws.hub import Hub

Invoke = Callable[[str, str, Actor, Mapping[str, Any]], Awaitable[bytes]]
"""(method, path, actor, parameters) → the envelope of an API call, encoded; raises CrustError."""

OPENINGS = 4
"""Sockets that are being opened at once, at most; always fewer than the connections to PostgreSQL, which others need, too.

When a thousand come back at once, those who came first are live while the others wait; else all would be at the end, and every request of
others would stand behind all their queries.
"""

TURN_S = 30.0  # for a socket to have its turn: where so many wait, or the database is so slow, another node may have more time


def openings_of(settings: Settings) -> int:
    """How many sockets are opened at once: as many as leave others a connection to PostgreSQL."""
    return max(1, min(OPENINGS, settings.database.pool_size - 1))


@dataclass(frozen=True, slots=True)
class Services:
    """What all connections of a node share.

    `openings` is held from a socket's turn to its `hello`, see `opening`.
    """

    settings: Settings
    core: Core
    hub: Hub
    limiter: TokenBuckets
    invoke: Invoke
    metrics: Metrics = field(default_factory=Metrics)
    openings: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "openings", asyncio.Semaphore(openings_of(self.settings)))

    @asynccontextmanager
    async def opening(self) -> AsyncIterator[None]:
        """A socket's turn to be opened.

        Raises:
            Unavailable: it does not come.
        """
        try:
            async with asyncio.timeout(TURN_S):
                await self.openings.acquire()
        except TimeoutError:
            raise Unavailable("Too many sockets are being opened.") from None
        try:
            yield
        finally:
            self.openings.release()
