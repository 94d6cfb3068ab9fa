"""What has happened, as handlers are given it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

B = TypeVar("B")


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened(Generic[B]):
    """An event of the log. The same is handed to a handler again if its process ends before the handler's end is stored.

    `id` stays the same then, and what goes out because of it should bear it. `position` is its place in the one order of all events, `at`
    milliseconds since 1970, `body` what it tells, as crust.events.objects has it. `via` lists the links that it came through, `origin` the
    network it was first said on (None: here). `organisation_id` and `channel_id` are empty where there is none.
    """

    id: str
    position: int
    type: str
    event: str
    organisation_id: str
    channel_id: str
    visibility: str
    at: int
    via: tuple[str, ...]
    origin: str | None
    body: B
