"""`/docs` of a running server."""

from __future__ import annotations

from pathlib import Path

import httpx

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
    wanted = {f"{method}-{described['operationId']}" for methods in calls.values() for method, described in methods.items()}
    assert wanted <= set(page.ids)
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert {link for link in page.links if not link.startswith("#")} == {"/openapi.json"}
    assert len(page.ids) == len(set(page.ids))
