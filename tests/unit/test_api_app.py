"""The API over HTTP, with a small made-up registry: conventions that hold for every call."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import pytest_asyncio
from msgspec import Meta, Struct
from quart import Quart, Response
from quart.testing import WebsocketResponseError
from werkzeug.datastructures import Headers

from crust.api import app as http
from crust.api.app import create_app
from crust.api.calls import Answer, Context, Cookie, Page, Registry
from crust.api.identity import Identity
from crust.api.params import Id
from crust.clock import ManualClock
from crust.errors import CODES, Conflict, Gone, NotFound, Unauthenticated, Unavailable
from crust.services.actor import Actor
from crust.services.limits import TokenBuckets
from crust.settings import Http, Limits, Settings

SECRET = "s" * 43
BODY_BYTES = 4096
BY_HEADER = {"X-Session-ID": SECRET}
BY_COOKIE = {"Cookie": f"crust_session={SECRET}"}
BOUNDARY = "multipart/form-data; boundary=B"


class Thing(Struct, kw_only=True):
    """What is asked for, and what comes back."""

    id: Id | None = None
    name: Annotated[str, Meta(max_length=10)] = ""
    members: list[Id] = []


class Seen(Struct, kw_only=True):
    """What a handler knows of the request."""

    address: str
    client_id: str | None
    key: str | None
    user_agent: str
    request_id: str
    username: str | None


class Nothing(Struct):
    """No parameters."""


class ThingCalls:
    """Handlers."""

    async def edit(self, context: Context, params: Thing) -> Thing:
        """Make a thing."""
        return params

    async def search(self, context: Context, params: Thing) -> Page[Thing]:
        """Things."""
        return Page([params], "7")

    async def remove(self, context: Context, params: Thing) -> None:
        """Remove a thing."""

    async def seen(self, context: Context, params: Nothing) -> Seen:
        """The request."""
        return Seen(
            address=context.address,
            client_id=context.client_id,
            key=context.idempotency_key,
            user_agent=context.user_agent,
            request_id=context.request_id,
            username=context.actor.username if context.actor else None,
        )

    async def login(self, context: Context, params: Nothing) -> Answer[Thing]:
        """Cookies."""
        return Answer(Thing(), cookies=[Cookie("crust_session", SECRET, 60), Cookie("crust_client", "c1", 60)])

    async def crash(self, context: Context, params: Nothing) -> None:
        """A bug."""
        raise RuntimeError("the password is hunter2")

    async def conflict(self, context: Context, params: Nothing) -> None:
        """An error of ours."""
        raise Conflict("That name is taken.", field="name")

    async def busy(self, context: Context, params: Nothing) -> None:
        """An error that passes."""
        raise Unavailable("Try again.", retry_after=1.2)

    async def missing(self, context: Context, params: Thing) -> None:
        """Services name a thing by its kind."""
        raise NotFound("There is no such thing.", field="thing_id")

    async def gone(self, context: Context, params: Nothing) -> None:
        """Archived."""
        raise Gone("It is archived.")


async def authenticate(secret: str, client_id: str | None) -> Actor:
    """One session, of client c1."""
    if secret != SECRET or client_id not in (None, "c1"):
        raise Unauthenticated("The session has ended, or never was.")
    return Actor(1, "ana", 7, "c1")


async def ready() -> str | None:
    return None


def made(ready: Callable[[], Awaitable[str | None]] = ready, **settings: Any) -> Quart:
    """The app."""
    usual: dict[str, Any] = {"limits": Limits(body_bytes=BODY_BYTES), "public_url": "https://chat.example.org"}
    whole = Settings(**usual | settings)
    registry = Registry(TokenBuckets.of(whole.limits, ManualClock()))
    calls = ThingCalls()
    registry.add("POST", "/thing/edit", calls.edit, creates=True)
    registry.add("GET", "/thing/search", calls.search)
    registry.add("DELETE", "/thing/remove", calls.remove)
    registry.add("GET", "/thing/seen", calls.seen)
    registry.add("POST", "/thing/seen", calls.seen, creates=True)
    registry.add("GET", "/thing/missing", calls.missing)
    registry.add("GET", "/open/missing", calls.missing, access="open")
    registry.add("GET", "/open/seen", calls.seen, access="open", rate="none")
    registry.add("POST", "/open/login", calls.login, access="open")
    registry.add("POST", "/open/edit", calls.edit, access="open")
    for failing in (calls.crash, calls.conflict, calls.busy, calls.gone):
        registry.add("GET", f"/fail/{failing.__name__}", failing, access="open", rate="none")
    return create_app(whole, registry, authenticate, Identity(whole), ready)


@dataclass(frozen=True)
class Answered:
    """A response, read."""

    status: int
    headers: Headers
    body: bytes
    cookies: list[str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["error"]


async def read(response: Response) -> Answered:
    return Answered(response.status_code, response.headers, await response.get_data(as_text=False), response.headers.getlist("Set-Cookie"))


class Client:
    """Sends one request after another."""

    def __init__(self, app: Quart) -> None:
        self._client = app.test_client(use_cookies=False)

    async def send(self, method: str, path: str, **how: Any) -> Answered:
        return await read(await self._client.open(path, method=method, **how))

    async def stream(self, path: str, content_type: str, chunks: list[bytes]) -> Answered:
        """A body in pieces, without Content-Length, which the app gets to read in between."""
        async with self._client.request(path, method="POST", headers={"Content-Type": content_type}) as connection:
            for chunk in chunks:
                await connection.send(chunk)
                await asyncio.sleep(0)
            await connection.send_complete()
        return await read(await connection.as_response())


@pytest_asyncio.fixture
async def client() -> AsyncIterator[Client]:
    yield Client(made())


# ---- answers


@pytest.mark.asyncio
async def test_success_is_in_the_envelope(client: Client) -> None:
    """`response`, a list with `next`, or `success`: as JSON, never cached, never sniffed."""
    thing = await client.send("POST", "/thing/edit", json={"id": 5}, headers=BY_HEADER)
    assert thing.json == {"response": {"id": 5, "name": "", "members": []}}
    things = await client.send("GET", "/thing/search", headers=BY_HEADER)
    assert things.json == {"response": [{"id": None, "name": "", "members": []}], "next": "7"}
    done = await client.send("DELETE", "/thing/remove?id=5", headers=BY_HEADER)
    assert done.json == {"success": {"message": "OK"}}
    for answer in (thing, things, done):
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.asyncio
async def test_every_encoding_is_the_same_call(client: Client) -> None:
    """Query, form, multipart, JSON, a JSON with charset, and a body on DELETE."""
    expected = {"id": 5, "name": "é", "members": [1, 2]}
    form = b"id=5&name=%C3%A9&members=1&members=2"
    multipart = "".join(
        f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in [("id", "5"), ("name", "é"), ("members[]", "1"), ("members[]", "2")]
    )
    for content_type, query, body in [
        ("", "?id=5&name=%C3%A9&members=1&members=2", b""),
        ("application/x-www-form-urlencoded", "?name=query", form),
        (BOUNDARY, "", f"{multipart}--B--\r\n".encode()),
        ("application/json", "", json.dumps(expected).encode()),
        ("application/json; charset=utf-8", "?id=9", json.dumps({**expected, "id": "5"}).encode()),
    ]:
        answer = await client.send("POST", f"/thing/edit{query}", data=body, headers={**BY_HEADER, "Content-Type": content_type})
        assert answer.json == {"response": expected}, content_type


@pytest.mark.asyncio
async def test_an_error_has_its_status_and_is_in_the_envelope(client: Client) -> None:
    """Message, code, field, retry_after and the request id; Retry-After is rounded up, so that a repeat doesn't come too early."""
    conflict = await client.send("GET", "/fail/conflict", headers={"X-Request-ID": "my-7"})
    assert conflict.status == 409
    assert conflict.error == {"message": "That name is taken.", "code": "conflict", "field": "name", "request_id": "my-7"}
    busy = await client.send("GET", "/fail/busy")
    assert (busy.status, busy.error["code"], busy.error["retry_after"], busy.headers["Retry-After"]) == (503, "unavailable", 1.2, "2")
    assert (await client.send("GET", "/fail/gone")).status == 410


@pytest.mark.asyncio
async def test_an_error_names_the_calls_own_parameter(client: Client) -> None:
    """What a service calls `thing_id` is the `id` of a call of /thing that has no other, and nobody else's."""
    assert (await client.send("GET", "/thing/missing", headers=BY_HEADER)).error["field"] == "id"
    assert (await client.send("GET", "/open/missing")).error["field"] == "thing_id"


@pytest.mark.asyncio
async def test_a_bug_is_logged_and_not_shown(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """500 `internal` without the exception's words; the log has them, and the request id that the caller saw."""
    logged: list[dict[str, Any]] = []
    monkeypatch.setattr(http.log, "error", lambda _event, **values: logged.append(values), raising=False)
    answer = await client.send("GET", "/fail/crash")
    assert answer.status == 500
    assert answer.error["code"] == "internal"
    assert b"hunter2" not in answer.body
    assert b"Traceback" not in answer.body
    assert [(str(each["exc_info"]), each["request_id"]) for each in logged] == [("the password is hunter2", answer.error["request_id"])]


@pytest.mark.asyncio
async def test_parameters_that_are_wrong_are_named(client: Client) -> None:
    """422 `invalid` with the field; a body that cannot be read is 400, one of another type too."""
    wrong = await client.send("POST", "/thing/edit", json={"id": "12x"}, headers=BY_HEADER)
    assert (wrong.status, wrong.error["code"], wrong.error["field"]) == (422, "invalid", "id")
    for content_type, body in [
        ("application/json", b'{"a": '),
        ("application/json", b"[1]"),
        ("text/plain", b"x"),
        (BOUNDARY, b"--B\r\njunk"),
    ]:
        broken = await client.send("POST", "/thing/edit", data=body, headers={**BY_HEADER, "Content-Type": content_type})
        assert (broken.status, broken.error["code"]) == (400, "bad_request"), content_type


# ---- paths and methods


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "path", ["/nothing/here", "/", "/thing", "/thing/edit/", "/thing//edit", "/THING/edit", "/thing/edit%2F", "/static/x"]
)
async def test_an_unknown_path_is_not_found(client: Client, path: str) -> None:
    """404 in the envelope, signed in or not, and never a redirect."""
    for headers in ({}, BY_HEADER):
        answer = await client.send("POST", path, headers=headers)
        assert (answer.status, answer.error["code"]) == (404, "not_found")


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["//open/seen", "///open/seen", "//open/edit", "//health/live", "//openapi.json", "//open/nothing"])
async def test_a_path_that_begins_with_two_slashes_is_not_found(path: str) -> None:
    """Whatever would be there with one, and whatever method that takes; for who wants a websocket too."""
    app = made()
    app.add_websocket("/open/socket", "socket", begun)
    assert (await Client(app).send("GET", path)).error["code"] == "not_found"
    with pytest.raises(WebsocketResponseError) as refused:
        async with app.test_client().websocket("//open/socket") as socket:
            await socket.receive()
    assert refused.value.response.status_code == 404


async def begun() -> None:
    """A websocket's handler that is not reached."""
    raise AssertionError


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/thing/edit"), ("POST", "/thing/search"), ("PUT", "/thing/seen"), ("OPTIONS", "/thing/search"), ("TRACE", "/openapi.json")],
)
async def test_a_wrong_method_is_told_the_right_ones(client: Client, method: str, path: str) -> None:
    """405 in the envelope, with Allow."""
    answer = await client.send(method, path)
    assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")
    allowed = set(re.split(", *", answer.headers["Allow"]))
    assert allowed
    assert method not in allowed


@pytest.mark.asyncio
async def test_head_is_get_without_a_body(client: Client) -> None:
    """The same status and headers; it needs the same session."""
    assert (await client.send("HEAD", "/thing/search", headers=BY_HEADER)).status == 200
    assert (await client.send("HEAD", "/thing/search")).status == 401


# ---- request id


@pytest.mark.asyncio
async def test_the_request_id_comes_back(client: Client) -> None:
    """In the header of every response; what is not 1 to 128 printable characters is replaced."""
    for given in ("my-request-7", "x" * 128):
        assert (await client.send("GET", "/open/seen", headers={"X-Request-ID": given})).headers["X-Request-ID"] == given
    for given in ("", "x" * 129, "sch\xf6n", "tab\tbed"):
        answer = await client.send("GET", "/open/seen", headers={"X-Request-ID": given})
        assert answer.headers["X-Request-ID"] != given
        assert answer.headers["X-Request-ID"] == answer.json["response"]["request_id"]
    for path in ("/nothing", "/openapi.json", "/health/live"):
        assert (await client.send("GET", path)).headers["X-Request-ID"]


# ---- sessions


@pytest.mark.asyncio
async def test_a_session_comes_by_bearer_header_or_cookie(client: Client) -> None:
    """In that order; never by the query or the body."""
    for headers in ({"Authorization": f"Bearer {SECRET}"}, {"authorization": f"bearer {SECRET}"}, BY_HEADER, BY_COOKIE):
        assert (await client.send("GET", "/thing/seen", headers=headers)).json["response"]["username"] == "ana"
    assert (await client.send("GET", "/thing/seen", headers={"Authorization": "Bearer no", **BY_HEADER})).status == 401
    assert (await client.send("GET", "/thing/seen", headers={"Authorization": "Basic eDp5", **BY_HEADER})).status == 200
    for query in (f"?session_id={SECRET}", f"?crust_session={SECRET}"):
        assert (await client.send("GET", f"/thing/seen{query}")).status == 401


@pytest.mark.asyncio
async def test_who_asks_comes_before_what(client: Client) -> None:
    """401 and WWW-Authenticate, also where the parameters are wrong or the body cannot be read."""
    for headers in ({}, {"X-Session-ID": "wrong"}, {"X-Session-ID": ""}):
        for body in (b'{"id": "x"}', b"{"):
            answer = await client.send("POST", "/thing/edit", data=body, headers={**headers, "Content-Type": "application/json"})
            assert (answer.status, answer.error["code"]) == (401, "unauthenticated")
            assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.asyncio
async def test_an_open_call_needs_no_session_and_minds_none(client: Client) -> None:
    """A session that has ended keeps nobody from signing in."""
    for headers in ({}, {"X-Session-ID": "ended"}, {"Cookie": "crust_session=ended"}):
        assert (await client.send("POST", "/open/login", headers=headers)).status == 200


# ---- client id


@pytest.mark.asyncio
async def test_the_client_id_is_the_first_that_comes(client: Client) -> None:
    """Header, then parameter, then cookie."""
    cookie = {"Cookie": "crust_client=cookie"}
    for headers, query, expected in [
        ({"X-Client-ID": "header", **cookie}, "?client_id=query", "header"),
        (cookie, "?client_id=query", "query"),
        (cookie, "", "cookie"),
        ({}, "", None),
        ({"X-Client-ID": ""}, "?client_id=", None),
    ]:
        assert (await client.send("GET", f"/open/seen{query}", headers=headers)).json["response"]["client_id"] == expected


@pytest.mark.asyncio
async def test_a_client_id_has_64_of_certain_characters(client: Client) -> None:
    """Else 422, with the field."""
    assert (await client.send("GET", "/open/seen?client_id=" + "a" * 64)).status == 200
    for wrong in ("a" * 65, "a b", "a/b", "%C3%A4", "a%0A", "%D9%A1"):
        answer = await client.send("GET", f"/open/seen?client_id={wrong}")
        assert (answer.status, answer.error["field"]) == (422, "client_id")


@pytest.mark.asyncio
async def test_a_session_with_another_client_id_is_no_session(client: Client) -> None:
    """401, wherever the Client ID stands: header, query, cookie, or the body's parameter."""
    for headers, query, body in [
        ({"X-Client-ID": "other"}, "", {}),
        ({}, "?client_id=other", {}),
        ({"Cookie": "crust_client=other"}, "", {}),
        ({}, "", {"client_id": "other"}),
    ]:
        answer = await client.send("POST", f"/thing/edit{query}", json=body, headers={**BY_HEADER, **headers})
        assert (answer.status, answer.error["code"]) == (401, "unauthenticated")
    own = await client.send("POST", "/thing/seen", json={"client_id": "c1"}, headers=BY_HEADER)
    assert own.json["response"]["client_id"] == "c1"


# ---- other sites


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "origin", [None, "https://evil.example", "null", "http://localhost.evil.example", "https://localhost", "http://localhost:81", ""]
)
async def test_a_cookie_changes_nothing_from_another_site(client: Client, origin: str | None) -> None:
    """403 for every method that changes state; reading is the browser's to guard."""
    headers = BY_COOKIE if origin is None else {**BY_COOKIE, "Origin": origin}
    for method, path in (("POST", "/thing/edit"), ("DELETE", "/thing/remove")):
        answer = await client.send(method, path, headers=headers)
        assert (answer.status, answer.error["code"]) == (403, "forbidden")
    assert (await client.send("GET", "/thing/search", headers=headers)).status == 200


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://localhost"}, {"Origin": "https://chat.example.org"}, {"Origin": "https://app.example.org"}, {"X-Client-ID": "c1"}],
)
async def test_a_cookie_changes_things_from_its_own_site(headers: dict[str, str]) -> None:
    """The request's own origin, that of `public_url`, one of `allowed_origins`, or a header that no foreign form can send."""
    client = Client(made(allowed_origins=["https://app.example.org"]))
    assert (await client.send("POST", "/thing/edit", headers={**BY_COOKIE, **headers})).status == 200


@pytest.mark.asyncio
async def test_a_header_needs_no_origin(client: Client) -> None:
    """What no browser sends by itself is no forgery."""
    for headers in (BY_HEADER, {"Authorization": f"Bearer {SECRET}"}):
        assert (await client.send("POST", "/thing/edit", headers={**BY_COOKIE, **headers, "Origin": "https://evil.example"})).status == 200


@pytest.mark.asyncio
async def test_cookies_are_safe(client: Client) -> None:
    """HttpOnly and SameSite=Lax; Secure on https, as a trusted proxy says it."""
    answer = await client.send("POST", "/open/login")
    assert len(answer.cookies) == 2
    for cookie in answer.cookies:
        assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=60"} <= set(cookie.split("; "))
        assert "Secure" not in cookie
    proxied = Client(made(trusted_proxies=["127.0.0.1"]))
    answer = await proxied.send("POST", "/open/login", headers={"X-Forwarded-Proto": "https"}, scope_base={"client": ("127.0.0.1", 1)})
    assert all("Secure" in cookie for cookie in answer.cookies)


@pytest.mark.asyncio
async def test_forwarding_headers_count_from_trusted_proxies_alone() -> None:
    """The right-most address that is no trusted proxy; what stands left of it is hearsay."""
    client = Client(made(trusted_proxies=["10.0.0.0/8"]))
    for peer, forwarded, expected in [
        ("192.0.2.1", "198.51.100.9", "192.0.2.1"),
        ("10.0.0.1", "198.51.100.9", "198.51.100.9"),
        ("10.0.0.1", "203.0.113.5, 198.51.100.9, 10.0.0.2", "198.51.100.9"),
        ("10.0.0.1", "", "10.0.0.1"),
    ]:
        answer = await client.send("GET", "/open/seen", headers={"X-Forwarded-For": forwarded}, scope_base={"client": (peer, 5)})
        assert answer.json["response"]["address"] == expected


# ---- idempotency, rates, sizes


@pytest.mark.asyncio
async def test_the_idempotency_key_reaches_creating_calls(client: Client) -> None:
    """Others don't get it; one that is too long is refused and named."""
    with_key = {**BY_HEADER, "Idempotency-Key": "once and only"}
    assert (await client.send("POST", "/thing/seen", headers=with_key)).json["response"]["key"] == "once and only"
    assert (await client.send("GET", "/thing/seen", headers=with_key)).json["response"]["key"] is None
    answer = await client.send("POST", "/thing/seen", headers={**BY_HEADER, "Idempotency-Key": "x" * 65})
    assert (answer.status, answer.error["field"]) == (422, "Idempotency-Key")


@pytest.mark.asyncio
async def test_rates_are_told_and_kept() -> None:
    """RateLimit-* on what passes; over it 429 with Retry-After. Requests that are wrong count too."""
    client = Client(made(limits=Limits(writes_per_second=1, writes_burst=3)))
    first = await client.send("POST", "/thing/edit", headers=BY_HEADER)
    assert [first.headers[f"RateLimit-{name}"] for name in ("Limit", "Remaining", "Reset")] == ["3", "2", "1"]
    for _ in range(2):
        assert (await client.send("POST", "/thing/edit", json={"id": "x"}, headers=BY_HEADER)).status == 422
    over = await client.send("POST", "/thing/edit", headers=BY_HEADER)
    assert (over.status, over.error["code"], over.error["retry_after"], over.headers["Retry-After"]) == (429, "rate_limited", 1.0, "1")
    assert (await client.send("GET", "/thing/search", headers=BY_HEADER)).status == 200


@pytest.mark.asyncio
async def test_a_body_has_a_limit(client: Client) -> None:
    """`limits.body_bytes`, by Content-Length and by what really comes: 413 in every encoding, open calls included."""
    file = b'--B\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n'
    end = b'\r\n--B\r\nContent-Disposition: form-data; name="name"\r\n\r\nhi\r\n--B--\r\n'
    piece = b"x" * 1000
    for content_type, start, rest in [
        ("application/json", b'{"name": "', b'"}'),
        ("application/x-www-form-urlencoded", b"name=", b""),
        (BOUNDARY, file, end),
    ]:
        chunks = [start, *[piece] * 20, rest]
        whole = await client.send("POST", "/open/edit", data=b"".join(chunks), headers={"Content-Type": content_type})
        streamed = await client.stream("/open/edit", content_type, chunks)
        assert [(each.status, each.error["code"]) for each in (whole, streamed)] == [(413, "too_large")] * 2, content_type
        small = await client.stream("/open/edit", content_type, [start, b"abc", rest])
        assert small.status == 200, content_type


@pytest.mark.asyncio
async def test_a_compressed_body_is_refused(client: Client) -> None:
    """By its header, whatever is in it; `identity` says that it is none."""
    for encoding, status in (("gzip", 400), ("br, gzip", 400), ("identity", 200)):
        headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
        answer = await client.send("POST", "/open/edit", data=b"{}", headers=headers)
        assert answer.status == status
        assert status == 200 or answer.error["field"] == "Content-Encoding"


@pytest.mark.asyncio
async def test_a_body_that_does_not_come_is_given_up() -> None:
    """A client that stops in the middle holds the request for a time, not for good."""
    client = Client(made(http=Http(body_s=0.05)))
    async with client._client.request("/open/edit", method="POST", headers={"Content-Type": "application/json"}) as connection:
        await connection.send(b"{")
        await asyncio.sleep(0.2)
    answer = await read(await connection.as_response())
    assert (answer.status, answer.error["code"]) == (400, "bad_request")


# ---- operations


@pytest.mark.asyncio
async def test_health_says_whether_it_can_work() -> None:
    """Live while the process answers; ready unless something it needs is away, which is then named."""

    async def unready() -> str | None:
        return "the database does not answer"

    assert (await Client(made()).send("GET", "/health/ready")).status == 200
    client = Client(made(unready))
    assert (await client.send("GET", "/health/live")).status == 200
    answer = await client.send("GET", "/health/ready")
    assert (answer.status, answer.error["code"]) == (503, "unavailable")
    assert "the database does not answer" in answer.error["message"]


@pytest.mark.asyncio
async def test_the_description_is_served(client: Client) -> None:
    """To everybody: it tells nothing that a release doesn't."""
    document = (await client.send("GET", "/openapi.json")).json
    assert document["openapi"].startswith("3.1")
    assert set(document["components"]["schemas"]["Error"]["properties"]["error"]["properties"]["code"]["enum"]) == set(CODES)
