"""`/docs` shows the whole of the API and of the websocket, and asks for nothing from anywhere else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from quart import Quart

from crust.events.catalogue import CATALOGUE
from crust.web.docs import blueprint
from crust.ws.description import description
from crust.ws.protocol import VERBS, Close
from tests.support.html import Page

THING = {"application/json": {"schema": {"properties": {"response": {"$ref": "#/components/schemas/Thing"}}}}}
DOCUMENT: dict[str, Any] = {
    "info": {"version": "1"},
    "paths": {
        "/thing/edit": {
            "post": {
                "summary": "Change a <b>thing</b> with `name`",
                "description": "",
                "operationId": "thing_edit",
                "parameters": [{"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}}],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/ThingEdit"}}}},
                "responses": {"200": {"content": THING}},
                "security": [{"bearer": []}],
                "tags": ["thing"],
            }
        },
        "/thing/read": {
            "get": {
                "summary": "The bytes of a thing",
                "description": "",
                "operationId": "thing_read",
                "parameters": [{"name": "size", "in": "query", "required": True, "schema": {"enum": ["large", "small"]}}],
                "responses": {"200": {"content": {"image/png": {}}}},
                "security": [],
                "tags": ["thing"],
            }
        },
    },
    "components": {
        "schemas": {
            "Id": {"type": "string", "description": "An id."},
            "Thing": {"properties": {"name": {"anyOf": [{"type": "string", "maxLength": 7}, {"type": "null"}]}}, "description": "A thing."},
            "ThingEdit": {"properties": {"name": {"type": "string"}}, "required": ["name"]},
        }
    },
}  # fmt: skip


JOINED = {"content": {"application/json": {"schema": {"properties": {"id": {"$ref": "#/components/schemas/Id"}}, "required": ["id"]}}}}


async def shown(document: Any) -> tuple[Page, str, Quart]:
    app = Quart("docs")
    app.register_blueprint(blueprint(lambda: document, description))
    response = await app.test_client().get("/docs")
    assert response.status_code == 200
    return Page(await response.get_data(as_text=True)), response.headers["Content-Security-Policy"], app


@pytest.mark.asyncio
async def test_nothing_is_asked_for_from_elsewhere() -> None:
    """Only its own style sheet is loaded, which is there and names no address; the policy forbids all else."""
    page, policy, app = await shown(DOCUMENT)
    assert page.loaded == ["/docs/static/docs.css"]
    assert "script" not in page.tags
    style = await app.test_client().get(page.loaded[0])
    assert style.status_code == 200
    assert not re.search(r"url\(|@import", await style.get_data(as_text=True))
    assert policy.startswith("default-src 'none'; style-src 'self'")


@pytest.mark.asyncio
async def test_each_link_leads_somewhere() -> None:
    """Every one on the page has its place, and no place is there twice."""
    page, _, _ = await shown(DOCUMENT)
    assert {link for link in page.links if not link.startswith("#")} == {"/openapi.json"}
    missing = {link[1:] for link in page.links if link.startswith("#")} - set(page.ids)
    called = {
        f"post-{path[1:].replace('/', '_')}"
        for path in ("/channel/join", "/channel/part", "/message/edit", "/user/presence", "/channel/view")
    }
    assert missing == called | {"post-user_login", "schema-Error"}  # what this small document has not
    assert len(page.ids) == len(set(page.ids))


@pytest.mark.asyncio
async def test_calls_are_shown_whole() -> None:
    """Parameters with types, bounds and defaults, the answer, what a caller needs; marks of HTML in a text are text."""
    page, _, _ = await shown(DOCUMENT)
    text = " ".join(page.text.split())
    assert "POST /thing/edit Change a <b>thing</b> with name." in text
    assert "name * text" in text
    assert "Answer: Thing. Takes Idempotency-Key. Bodies: application/json." in text
    assert "size * large or small" in text
    assert "Answer: image/png. Needs no session." in text
    assert "name text or null, at most 7 characters" in text
    assert "* required" in text


@pytest.mark.asyncio
async def test_verbs_show_what_they_need() -> None:
    """Whatever the protocol itself checks, and what a call does, under the name that it has in frames."""
    path = {**DOCUMENT["paths"]["/thing/edit"]["post"], "operationId": "channel_join", "tags": ["channel"]}
    page, _, _ = await shown({**DOCUMENT, "paths": {"/channel/join": {"post": {**path, "requestBody": JOINED}}}})
    text = " ".join(page.text.split())
    assert "session_id * text The Session ID, or an API token. client_id text or null" in text
    assert "channel_id * whole number, from 1, to 9223372036854775807 The channel. state * start or stop" in text
    assert "Joins a public channel. Checked and answered by /channel/join. * required NameTypeMeaning channel_id * Id" in text
    assert "user_id text Instead of channel_id" in text


@pytest.mark.asyncio
async def test_what_is_within_an_object_is_shown() -> None:
    """Each part under its path."""
    inner = {"type": "object", "required": ["code"], "properties": {"code": {"enum": ["one", "two"]}}}
    schemas = {**DOCUMENT["components"]["schemas"], "Outer": {"properties": {"error": inner}, "required": ["error"]}}
    page, _, _ = await shown({**DOCUMENT, "components": {"schemas": schemas}})
    assert "error * object error.code * one or two" in " ".join(page.text.split())


def of_the_protocol() -> Iterator[str]:
    yield from VERBS
    yield from (str(int(code)) for code in Close)
    yield from (event.upper() for _, event in CATALOGUE)


@pytest.mark.asyncio
async def test_the_websocket_is_shown_whole() -> None:
    """Every verb, close code and event of the protocol's own tables."""
    page, _, _ = await shown(DOCUMENT)
    assert {word for word in of_the_protocol() if word not in page.text} == set()
