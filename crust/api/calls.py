"""Calls: what the API consists of, apart from HTTP.

A call is a method, a path, a struct of parameters and a handler. The registry runs one with raw parameters, for an HTTP request and for a
websocket frame alike: rate limit, conversion, handler, envelope.

    registry.add("GET", "/channel/read", calls.read)       # async def read(self, context: Context, params: ChannelId) -> ChannelPage

The types in the handler's signature are its schema, its docstring the description in the OpenAPI.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, Generic, Literal, TypeVar, get_type_hints

import msgspec
from msgspec import Raw, Struct

from crust.api.params import convert
from crust.api.uploads import Upload
from crust.errors import BadRequest, CrustError, Internal, MethodNotAllowed, NotFound, Unauthenticated
from crust.log.audit import By, asked_by
from crust.models.database import unavailable
from crust.services.actor import Actor
from crust.services.files import Content
from crust.services.limits import Allowance, TokenBuckets, site
from crust.telemetry import Metrics

T = TypeVar("T")
Access = Literal["session", "open"]
RateClass = Literal["messages", "writes", "reads", "uploads", "none"]
Handler = Callable[["Context", Any], Awaitable[Any]]
OK = Raw(b'{"success":{"message":"OK"}}')


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler knows of the request beside its parameters. `upload` is the file that comes with it; over HTTP alone can one come."""

    request_id: str
    address: str = ""
    user_agent: str = ""
    client_id: str | None = None
    idempotency_key: str | None = None
    actor: Actor | None = None
    upload: Upload | None = None

    @property
    def caller(self) -> Actor:
        """Who asks, in a call that needs a session."""
        if self.actor is None:
            raise Unauthenticated("Sign in first.")
        return self.actor

    @property
    def file(self) -> Upload:
        """The file that came with the request, in a call that takes one."""
        if self.upload is None:
            raise BadRequest("Files are sent over HTTP.")
        return self.upload

    def of(self, actor: Actor) -> Context:
        """The same request, now that it is known who asks."""
        return replace(self, actor=actor)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list; `next` is the id to go on from, None at the end."""

    items: Sequence[T]
    next: str | None

    @classmethod
    def of(cls, found: Sequence[T], limit: int) -> Page[T]:
        """The first `limit` of what was found, one more having been asked for to see whether there is more. Items bear an `id`."""
        items = found[:limit]
        return cls(items, str(items[-1].id) if len(found) > limit else None)  # type: ignore[attr-defined]  # as said


@dataclass(frozen=True, slots=True)
class Cookie:
    """A cookie to set, for `max_age` seconds; 0 takes it away."""

    name: str
    value: str
    max_age: int


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """A result with cookies, which only HTTP can set."""

    value: T
    cookies: Sequence[Cookie] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """An encoded envelope, and what HTTP adds to it; or `content`, which takes its place."""

    envelope: bytes
    cookies: Sequence[Cookie] = ()
    allowance: Allowance | None = None
    content: Content | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One call.

    `rate` names its rate class, or tells it from the parameters; `creates`: it takes an Idempotency-Key; `uploads`: its body is a file, or
    a form with one in it.
    """

    method: str
    path: str
    params: type[Struct]
    result: Any
    handler: Handler
    access: Access
    rate: RateClass | Callable[[Any], RateClass]
    creates: bool
    uploads: bool
    description: str


@dataclass(slots=True)
class Registry:
    """All calls, by path and method.

    Args:
        limiter: takes a token from the caller's bucket for each call.
        metrics: where calls from frames, and failures of the database, are counted.
    """

    limiter: TokenBuckets
    metrics: Metrics = field(default_factory=Metrics)
    calls: dict[str, dict[str, Call]] = field(default_factory=dict)

    def add(
        self, method: str, path: str, handler: Handler, *, access: Access = "session",
        rate: RateClass | Callable[[Any], RateClass] | None = None, creates: bool = False, uploads: bool = False,
    ) -> None:  # fmt: skip
        """Add a call; its schema is the handler's signature."""
        hints = get_type_hints(handler, include_extras=True)
        params = hints[list(inspect.signature(handler).parameters)[1]]
        description = inspect.getdoc(handler) or ""
        usual: RateClass = "reads" if method == "GET" else "writes"
        call = Call(method, path, params, hints["return"], handler, access, rate or usual, creates, uploads, description)
        self.calls.setdefault(path, {})[method] = call

    def find(self, method: str, path: str) -> Call:
        """
        Raises:
            NotFound: there is no such path.
            MethodNotAllowed: it takes other methods.
        """
        methods = self.calls.get(path)
        if methods is None:
            raise NotFound("There is no such path.")
        if method not in methods:
            raise MethodNotAllowed(f"{path} takes {', '.join(sorted(methods))}.")
        return methods[method]

    async def run(self, call: Call, context: Context, raw: Mapping[str, Any]) -> Outcome:
        """Run a call for whoever `context` says; gives the encoded envelope.

        Raises:
            CrustError: what refuses it.
        """
        if call.access == "session":
            context.caller  # noqa: B018  # raises without one
        allowance = None if callable(call.rate) else self._take(call.rate, context)  # before what costs time
        params = convert(call.params, raw)
        if callable(call.rate):
            allowance = self._take(call.rate(params), context)
        if call.method != "GET" and (actor := context.actor) is not None:
            asked_by.set(By(actor.user_id, actor.username, actor.client_id, context.address))
        with unavailable(self.metrics.database_unavailable):
            try:
                result = await call.handler(context, params)
            except CrustError as error:
                error.field = called(error.field, call)
                raise
        cookies: Sequence[Cookie] = ()
        if isinstance(result, Answer):
            result, cookies = result.value, result.cookies
        if isinstance(result, Content):
            return Outcome(b"", cookies, allowance, result)
        return Outcome(envelope(result), cookies, allowance)

    async def frame(self, method: str, path: str, context: Context, raw: Mapping[str, Any]) -> bytes:
        """Find and run a call of a websocket frame, and count it as a request; gives the encoded envelope. Errors are those of both."""
        began, route, status = perf_counter(), None, Internal.status
        try:
            call = self.find(method, path)
            route = call.path
            outcome = await self.run(call, context, raw)
            if outcome.content is not None:
                raise BadRequest("Files are read over HTTP.")
            status = 200
            return outcome.envelope
        except CrustError as error:
            status = error.status
            raise
        finally:
            self.metrics.request("websocket", route, method, status, perf_counter() - began)

    def _take(self, rate: RateClass, context: Context) -> Allowance | None:
        if rate == "none":
            return None
        return self.limiter.take(rate, str(context.actor.session_id) if context.actor else site(context.address))


def called(field: str | None, call: Call) -> str | None:
    """What a call calls a field: a service's `channel_id` is the `id` of those calls of `/channel` that have no other."""
    fields = call.params.__struct_fields__
    own = f"{call.path.split('/')[1]}_id"
    return "id" if field == own and own not in fields and "id" in fields else field


def envelope(result: Any) -> bytes:
    """A result as the API sends it."""
    if result is None:
        return bytes(OK)
    if isinstance(result, Page):
        return msgspec.json.encode({"response": result.items, "next": result.next})
    return msgspec.json.encode({"response": result})
