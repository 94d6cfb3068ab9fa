"""`GET /metrics`: who may read it, and what an app counts of its requests."""

from __future__ import annotations

from typing import Any

import pytest
from quart import Quart

from crust.api import metrics as page
from crust.api.app import create_app
from crust.api.calls import Registry
from crust.api.identity import Identity
from crust.clock import ManualClock
from crust.errors import Unauthenticated
from crust.services.limits import TokenBuckets
from crust.settings import Metrics as Own
from crust.settings import Settings
from crust.telemetry import Metrics
from crust.telemetry.exposition import CONTENT_TYPE, Exposition

TOKEN = "t" * 32
HERE, PROXY, ELSEWHERE = "127.0.0.1", "10.0.0.1", "192.0.2.7"


def made(counted: Metrics | None = None, **settings: Any) -> Quart:
    """An app with no calls, but with metrics."""
    whole = Settings(**settings)
    registry = Registry(TokenBuckets.of(whole.limits, ManualClock()), counted or Metrics())

    async def nobody(secret: str, client_id: str | None) -> Any:
        raise Unauthenticated("nobody")

    async def ready() -> str | None:
        return None

    async def scrape() -> tuple[bytes, str]:
        return Exposition(registry.metrics).text(), CONTENT_TYPE

    identity = Identity(whole)
    app = create_app(whole, registry, nobody, identity, ready)
    app.register_blueprint(page.blueprint(scrape, identity, whole.metrics.token))
    return app


async def status(app: Quart, peer: str, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = await app.test_client().get("/metrics", headers=named, scope_base={"client": (peer, 5555)})
    return response.status_code


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        (HERE, {}, 200),
        ("::1", {}, 200),
        ("::ffff:127.0.0.1", {}, 200),
        (ELSEWHERE, {}, 403),
        ("<unknown>", {}, 403),
        (PROXY, {}, 403),
        (PROXY, {"X_Forwarded_For": ELSEWHERE}, 403),
        (PROXY, {"X_Forwarded_For": f"127.0.0.1, {ELSEWHERE}"}, 403),
        (PROXY, {"X_Forwarded_For": HERE}, 200),
        (PROXY, {"X_Real_IP": HERE}, 403),
        (ELSEWHERE, {"X_Forwarded_For": HERE}, 403),
        (HERE, {"X_Forwarded_For": ELSEWHERE}, 403),
        (HERE, {"X_Forwarded_For": HERE}, 403),
        (HERE, {"Forwarded": "for=192.0.2.7"}, 403),
        (HERE, {"Via": "1.1 proxy"}, 403),
    ],
)
async def test_this_machine(peer: str, headers: dict[str, str], expected: int) -> None:
    """Loopback may read; a trusted proxy's word on the address counts, and what any other passed on comes from nowhere."""
    assert await status(made(trusted_proxies=["10.0.0.0/8"]), peer, **headers) == expected


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN}", 200),
        (f"Basic {TOKEN}", 403),
        (f"Bearer {TOKEN}x", 403),
        (f"Bearer {TOKEN[:-1]}", 403),
        ("Bearer \u00e9", 403),
        ("Bearer", 403),
        (TOKEN, 403),
    ],
)
async def test_the_token(authorization: str, expected: int) -> None:
    """Whoever has it may read from anywhere."""
    assert await status(made(metrics=Own(token=TOKEN)), ELSEWHERE, Authorization=authorization) == expected


@pytest.mark.asyncio
async def test_no_token_is_no_token() -> None:
    """Where none is set, an empty one opens nothing; and the refusal is in the usual envelope."""
    app = made()
    assert await status(app, ELSEWHERE, Authorization="Bearer ") == 403
    response = await app.test_client().get("/metrics", scope_base={"client": (ELSEWHERE, 5555)})
    error = (await response.get_json())["error"]
    assert error["code"] == "forbidden"
    assert "metrics.token" in error["message"]


@pytest.mark.asyncio
async def test_requests_are_counted_by_their_route() -> None:
    """By template, method and class of status; what has no route, or the wrong method, is one and the same."""
    metrics = Metrics()
    client = made(metrics).test_client()
    for path, method in (
        ("/health/live", "GET"), ("/health/live?x=1", "GET"), ("/a", "GET"), ("/b", "POST"), ("/metrics", "GET"), ("/metrics", "DELETE"),
    ):  # fmt: skip
        await getattr(client, method.lower())(path)
    counts = {key: sum(cell.counts) for key, cell in metrics.request_seconds.cells.items()}
    assert counts == {
        ("http", "/health/live", "GET", "2xx"): 2,
        ("http", "other", "GET", "4xx"): 1,
        ("http", "other", "POST", "4xx"): 1,
        ("http", "/metrics", "GET", "4xx"): 1,
        ("http", "other", "DELETE", "4xx"): 1,
    }
    assert all(cell.sum > 0 for cell in metrics.request_seconds.cells.values())


@pytest.mark.asyncio
async def test_it_is_described_beside_the_calls() -> None:
    """With the token that opens it, which is no session."""
    document = await (await made().test_client().get("/openapi.json")).get_json()
    assert document["paths"]["/metrics"]["get"]["security"] == [{}, {"metrics": []}]
    assert document["components"]["securitySchemes"]["metrics"]["scheme"] == "bearer"
