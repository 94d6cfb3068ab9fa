"""`GET /metrics`: who may read what the node counts."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable

from quart import Blueprint, Request, Response, request

from crust.api.identity import Identity
from crust.errors import Forbidden

Scrape = Callable[[], Awaitable[tuple[bytes, str]]]


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
