"""`GET /metrics`: what a process counts, and who may read it."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from typing import TypeVar

from quart import Blueprint, Request, Response, request

from crust.api.identity import Identity
from crust.errors import Forbidden, Unavailable
from crust.host.desk import Counts, Desk
from crust.log import Consumers, Log
from crust.telemetry import Metrics
from crust.telemetry.exposition import CONTENT_TYPE, Exposition

T = TypeVar("T")
Scrape = Callable[[], Awaitable[tuple[bytes, str]]]

DATABASE_S = 1.0  # for the database to say what it is asked, when metrics are


class Page:
    """The metrics of a process, with what the database says of all of them: nothing while it does not answer.

    Args:
        metrics: what is counted.
        log, consumers, desk: are asked whenever somebody looks.
    """

    def __init__(self, metrics: Metrics, log: Log, consumers: Consumers, desk: Desk) -> None:
        self._log, self._consumers, self._desk, self._exposition = log, consumers, desk, Exposition(metrics)
        self.head: int | None = None
        self._lags: dict[str, float] = {}
        self._counts = Counts({}, {}, {}, {})
        metrics.waiting.read = lambda: log.waiting
        metrics.log_position.read = lambda: self.head
        metrics.consumer_lag.read = lambda: self._lags
        metrics.delivery_rows.read, metrics.delivery_lanes.read = lambda: self._counts.rows, lambda: self._counts.lanes
        metrics.bridge_states.read, metrics.link_lag_seconds.read = lambda: self._counts.bridges, lambda: self._counts.lags

    async def scrape(self) -> tuple[bytes, str]:
        """The text, and its content type."""
        self.head = await _said(self._position(), None)
        self._lags = await _said(self._lags_now(), {})
        self._counts = await _said(self._desk.counts(), Counts({}, {}, {}, {}))
        return self._exposition.text(), CONTENT_TYPE

    async def _position(self) -> int | None:
        return (await self._log.head()).position

    async def _lags_now(self) -> dict[str, float]:
        return {each.name: float(each.lag) for each in await self._consumers.all()}


async def _said(asked: Awaitable[T], nothing: T) -> T:
    try:
        async with asyncio.timeout(DATABASE_S):
            return await asked
    except (Unavailable, TimeoutError):
        return nothing


def blueprint(scrape: Scrape, identity: Identity, token: str) -> Blueprint:
    """The metrics, for whoever is on this machine or has the token.

    Args:
        scrape: gives the text and its content type.
        token: empty: nobody has it.
    """
    page = Blueprint("metrics", __name__)

    @page.get("/metrics")
    async def metrics() -> Response:
        source = request._get_current_object()  # type: ignore[attr-defined]  # a proxy of Werkzeug's
        if not identity.local(source) and not bears(source, token):
            raise Forbidden("Metrics are for this machine, or for who has the token (metrics.token).")
        text, content_type = await scrape()
        return Response(text, content_type=content_type)

    return page


def bears(source: Request, token: str) -> bool:
    """Whether a request has the token; a wrong one takes the same time however much of it is right."""
    scheme, _, given = source.headers.get("Authorization", "").partition(" ")
    right = hmac.compare_digest(given.strip().encode(), token.encode())
    return right and scheme.lower() == "bearer" and token != ""
