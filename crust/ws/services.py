"""What all connections of a node share."""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class Services:
    """What all connections of a node share."""

    settings: Settings
    core: Core
    hub: Hub
    limiter: TokenBuckets
    invoke: Invoke
    metrics: Metrics = field(default_factory=Metrics)
