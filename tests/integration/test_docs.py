"""`/docs` of a running server."""

from __future__ import annotations

from pathlib import Path

import httpx

from crust.errors import CODES
from crust.web.examples import EXAMPLES
from tests.support.html import Page
from tests.support.server import Server


def test_the_page_of_a_server_shows_all_of_its_calls(tmp_path: Path) -> None:
    """Each call of the OpenAPI has its place, every link on the page leads somewhere, and no other server is asked for anything."""
    server = Server(tmp_path)
    server.start()
    try:
        page = Page(httpx.get(server.url + "/docs").text)
        calls = httpx.get(server.url + "/openapi.json").json()["paths"]
        assert httpx.get(server.url + page.loaded[0]).headers["Content-Type"].startswith("text/css")
    finally:
        server.close()
    assert len(page.loaded) == 1
    text = " ".join(page.text.split())
    assert [code for code, status in CODES.items() if f" {code} {status} " not in text] == []
    assert {f"error.{name}" for name in ("message", "code", "field", "retry_after", "request_id")} <= set(text.split())
    assert [name for name in ("X-Client-ID", "Idempotency-Key", "Retry-After", "RateLimit-Remaining") if f" {name}" not in text] == []
    assert "messages messages that are posted session 10 a second 100 limits.messages_per_second, limits.messages_burst" in text
    assert "* required" in text
    assert {"post-message_edit", "get-health_live", "get-health_ready", "get-metrics", "get-websocket_client"} <= set(page.ids)
    assert "Answer: status: live. Needs no session." in text
    assert [each.command for each in EXAMPLES.values() if " ".join(each.command.split()) not in text] == []
    wanted = {f"{method}-{described['operationId']}" for methods in calls.values() for method, described in methods.items()}
    assert wanted <= set(page.ids)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert {link for link in page.links if not link.startswith("#")} == {"/openapi.json"}
    assert len(page.ids) == len(set(page.ids))
