"""What all connections of a node share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from crust.services.actor import Actor
from crust.services.core import Core
from crust.services.limits import TokenBuckets
from crust.settings import Settings
from crust.telemetry import Metrics
from crust.ws.hub import Hub

Invoke = Callable[[str, str, Actor, Mapping[str, Any]], Awaitable[bytes]]
"""(method, path, actor, parameters) → the envelope of an API call, encoded; raises CrustError."""

OPENINGS = 4
"""Sockets that are being opened at once; fewer than the connections to PostgreSQL (`database.pool_size`), which others need, too.

When a thousand come back at once, those who came first are live while the others wait; else all would be at the end, and every request of
others would stand behind all their queries.
"""


@dataclass(frozen=True, slots=True)
class Services:
    """What all connections of a node share.

    `openings` is held from a socket's turn to its `hello`; what comes after that is as many as have passed it.
    """

    settings: Settings
    core: Core
    hub: Hub
    limiter: TokenBuckets
    invoke: Invoke
    metrics: Metrics = field(default_factory=Metrics)
    openings: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(OPENINGS))
