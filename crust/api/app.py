"""The API over HTTP: a Quart app in which every call of a registry is a route."""

from __future__ import annotations

import asyncio
import math
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Any, cast

import msgspec
from quart import Quart, Request, Response, g, request, websocket
from werkzeug.exceptions import HTTPException

from crust.api.calls import Context, Cookie, Outcome, Registry
from crust.api.downloads import RangeNotSatisfiable, answered
from crust.api.identity import Identity
from crust.api.openapi import openapi
from crust.api.params import from_body, from_query
from crust.api.uploads import BODY, Body, Pace, Upload, begun, pulling
from crust.errors import (
    BadRequest,
    CrustError,
    Forbidden,
    Internal,
    Invalid,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from crust.services.actor import Actor
from crust.settings import Settings
from crust.telemetry import get_logger

log = get_logger(__name__)

Authenticate = Callable[[str, str | None], Awaitable[Actor]]
Ready = Callable[[], Awaitable[str | None]]

REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
KEY = re.compile(r"[\x20-\x7e]{1,64}")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def create_app(settings: Settings, registry: Registry, authenticate: Authenticate, identity: Identity, ready: Ready) -> Quart:
    """The app.

    Args:
        registry: its calls.
        authenticate: (Session ID, Client ID or None) → who it is.
        ready: why the server cannot work now, or None.
    """
    app = create_bare_app(ready)
    app.config["MAX_CONTENT_LENGTH"] = settings.limits.body_bytes  # Quart 0.23 counts only a body with Content-Length; see `read_body`
    http = HttpCalls(settings, registry, authenticate, identity)
    for path, methods in registry.calls.items():
        app.add_url_rule(path, path, http.answer, methods=list(methods), provide_automatic_options=False)
    uploads = {(call.method, path) for path, methods in registry.calls.items() for call in methods.values() if call.uploads}
    app.asgi_app = pulling(cast("Any", app.asgi_app), uploads)  # type: ignore[assignment]  # Quart names the servers' own types
    document = msgspec.json.encode(openapi(registry))

    @app.get("/openapi.json")
    async def description() -> Response:
        return Response(document, content_type="application/json")

    @app.after_request
    async def count(response: Response) -> Response:
        source = request._get_current_object()  # type: ignore[attr-defined]  # a proxy of Werkzeug's
        route = g.get("route") or (source.url_rule.rule if source.url_rule else None)
        registry.metrics.request("http", route, source.method, response.status_code, perf_counter() - g.began)
        return response

    app.before_websocket(refuse_slashes_of_upgrade)
    return app


def create_bare_app(ready: Ready) -> Quart:
    """An app that says only how it is.

    Args:
        ready: why the process cannot work now, or None.
    """
    app = Quart("crust", static_folder=None)
    # It costs a task for each answer, and Quart 0.23 keeps the connection; `crust.servers.hypercorn_http` has a bound of its own.
    app.config["RESPONSE_TIMEOUT"] = None
    app.url_map.merge_slashes = False  # a path with a slash too many is no path, not a redirect to one
    add_health(app, ready)
    app.before_request(begin)
    app.after_request(finished)
    app.register_error_handler(Exception, failed)
    return app


def add_health(app: Quart, ready: Ready) -> None:
    """`/health/live`: the process answers; `/health/ready`: it can do its work."""

    @app.get("/health/live")
    async def live() -> Response:
        return as_json({"response": {"status": "live"}})

    @app.get("/health/ready")
    async def is_ready() -> Response:
        reason = await ready()
        if reason is not None:
            raise Unavailable(f"Not ready: {reason}.", retry_after=1)
        return as_json({"response": {"status": "ready"}})


class HttpCalls:
    """Turns a request into a call, and what comes of it into a response."""

    def __init__(self, settings: Settings, registry: Registry, authenticate: Authenticate, identity: Identity) -> None:
        self._limit, self._body_s = settings.limits.body_bytes, settings.http.body_s
        files = settings.files
        self._file_limit = files.upload_bytes
        self._pace = Pace(files.upload_idle_s, files.upload_bytes_per_second, settings.http.body_s)
        self._registry, self._authenticate, self._identity = registry, authenticate, identity

    async def answer(self) -> Response:
        """Answer the request at hand: first who asks, then what for."""
        method = "GET" if request.method == "HEAD" else request.method
        call = self._registry.find(method, request.path)
        source = request._get_current_object()  # type: ignore[attr-defined]  # a proxy of Werkzeug's
        query = from_query(request.query_string)
        actor = await self._caller(source) if call.access == "session" else None
        upload = await self._upload(source, query) if call.uploads else None
        body = await self._parameters() if upload is None else upload.fields
        if actor is not None and "client_id" in body:
            actor = await self._caller(source, body["client_id"])
        raw = {**query, **body}
        context = Context(
            request_id=g.request_id,
            address=self._identity.address(source),
            user_agent=request.headers.get("User-Agent", ""),
            client_id=self._identity.client_id(source, raw.get("client_id")),
            idempotency_key=checked_key(request.headers.get("Idempotency-Key")) if call.creates else None,
            actor=actor,
            upload=upload,
        )
        return await self._response(await self._registry.run(call, context, raw), source)

    async def _parameters(self) -> dict[str, Any]:
        return from_body(request.headers.get("Content-Type", ""), await read_body(self._limit, self._body_s))

    async def _upload(self, source: Request, query: Mapping[str, Any]) -> Upload:
        """The request's file, at its first byte; one that says that it is too long is refused at once."""
        refuse_encoded(source)
        most = self._file_limit + self._limit
        if (source.content_length or 0) > most:
            raise TooLarge(f"A file may have at most {self._file_limit} bytes.", field="upload")
        body: Body = cast("dict[str, Any]", source.scope)[BODY]
        return await begun(source.headers.get("Content-Type", ""), query, body.chunks(self._pace), self._limit)

    async def _caller(self, source: Request, client_id: Any = None) -> Actor:
        """Who asks; `client_id` is the parameter, where the body has it."""
        return await caller_of(source, self._identity, self._authenticate, client_id)

    async def _response(self, outcome: Outcome, source: Request) -> Response:
        if outcome.content is not None:
            response = await answered(outcome.content, source)
        else:
            response = Response(outcome.envelope, content_type="application/json")
        for cookie in outcome.cookies:
            set_cookie(response, cookie, secure=self._identity.secure(source))
        if outcome.allowance is not None:
            response.headers["RateLimit-Limit"] = str(outcome.allowance.limit)
            response.headers["RateLimit-Remaining"] = str(outcome.allowance.remaining)
            response.headers["RateLimit-Reset"] = str(math.ceil(outcome.allowance.reset_s))
        return response


async def caller_of(source: Request, identity: Identity, authenticate: Authenticate, client_id: Any = None) -> Actor:
    """Who asks.

    Args:
        client_id: the parameter, where the body has it.

    Raises:
        Unauthenticated: nobody who is signed in.
        Forbidden: it may be another site's page that asks.
    """
    secret, by_cookie = identity.secret(source)
    if secret is None:
        raise Unauthenticated("Sign in first: no session came with the request.")
    # A page of another site can send a cookie along, but neither this site's Origin nor, unasked, a header of its own.
    same_site = "X-Client-ID" in source.headers or identity.from_here(source)
    if by_cookie and source.method not in SAFE_METHODS and not same_site:
        raise Forbidden("A change that is asked for with a cookie needs this site's Origin, or the header X-Client-ID.")
    return await authenticate(secret, identity.client_id(source, client_id))


def set_cookie(response: Response, cookie: Cookie, *, secure: bool) -> None:
    response.set_cookie(cookie.name, cookie.value, max_age=cookie.max_age, path="/", httponly=True, samesite="Lax", secure=secure)


# ---- reading a request


async def begin() -> None:
    """Give the request an id: the one that it came with, if it is fit to be logged. (Not async, Quart would run it in a thread.)"""
    g.began = perf_counter()
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
    refuse_slashes(request.scope["path"])


async def refuse_slashes_of_upgrade() -> None:
    """The same for what wants to become a websocket."""
    refuse_slashes(websocket.scope["path"])


def refuse_slashes(path: str) -> None:
    """
    Raises:
        NotFound: it begins with a slash too many. Werkzeug takes such ones away before it looks for a route, and from `request.path`.
    """
    if path.startswith("//"):
        raise NotFound("There is no such path.")


def checked_key(value: str | None) -> str | None:
    """
    Raises:
        Invalid: it is longer than 64 characters, or not printable ASCII.
    """
    if value and not KEY.fullmatch(value):
        raise Invalid("Idempotency-Key must be 1 to 64 printable characters.", field="Idempotency-Key")
    return value or None


def refuse_encoded(source: Request) -> None:
    """
    Raises:
        BadRequest: the body is compressed, which could make much of little.
    """
    if source.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise BadRequest("A body is taken as it is, without Content-Encoding.", field="Content-Encoding")


async def read_body(limit: int, seconds: float) -> bytes:
    """The body, counted as it comes: Quart itself does not count one without Content-Length, nor the files of a multipart form.

    Raises:
        TooLarge: it is longer than `limit` bytes.
        BadRequest: it does not come within `seconds`, or is compressed.
    """
    refuse_encoded(request)
    body = bytearray()
    if (request.content_length or 0) <= limit:
        try:
            async with asyncio.timeout(seconds):
                async for chunk in request.body:
                    body += chunk
                    if len(body) > limit:
                        break
                else:
                    return bytes(body)
        except TimeoutError:
            raise BadRequest(f"The body did not come within {seconds:g} s.") from None
    raise TooLarge(f"The body must have at most {limit} bytes.")


# ---- answering


def as_json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, content_type="application/json")


async def failed(error: Exception) -> Response:
    """Any error in the envelope; what is not meant for callers is logged, not told."""
    shown = error if isinstance(error, CrustError) else known(error)
    if shown is None:
        log.error("a request failed", exc_info=error, request_id=g.get("request_id"), path=request.path)
        shown = Internal("Something went wrong on the server; the request id finds it in the log.")
    response = as_json({"error": {**shown.as_dict(), "request_id": g.get("request_id")}}, shown.status)
    if isinstance(error, HTTPException):
        response.headers.extend({name: value for name, value in error.get_headers() if name == "Allow"})
    if shown.status == Unauthenticated.status:
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(shown, RangeNotSatisfiable):
        response.headers["Content-Range"] = f"bytes */{shown.size}"
    if shown.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(shown.retry_after)))
    return response


def known(error: Exception) -> CrustError | None:
    """What the framework itself refuses, in our words."""
    status = error.code if isinstance(error, HTTPException) and error.code else 500
    if status == NotFound.status:
        return NotFound("There is no such path.")
    if status == MethodNotAllowed.status:
        return MethodNotAllowed("This path takes other methods.")
    if status == TooLarge.status:
        return TooLarge("The body is too large.")
    return BadRequest("The request cannot be read.") if 400 <= status < 500 else None


async def finished(response: Response) -> Response:
    """What every response bears. (Not async, Quart would run it in a thread.)"""
    response.headers["X-Request-ID"] = g.get("request_id", "")
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
