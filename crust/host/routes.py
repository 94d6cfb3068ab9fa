"""The HTTP routes of a process: taken from plugins when they are made, found by path, run for whoever asks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from inspect import iscoroutinefunction
from secrets import token_hex
from time import perf_counter
from typing import Any

import msgspec

from crust.errors import CrustError, MethodNotAllowed, NotFound, Unavailable
from crust.host.bounded import Broken, bounded
from crust.host.consumer import Code
from crust.plugin import HttpRequest, HttpResponse
from crust.plugin.routes import RouteHandler
from crust.telemetry import Metrics, get_logger

log = get_logger(__name__)

UNDER = "/plugins/"  # where the routes of instances are, by name
METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
PATH = re.compile(r"/|(/([A-Za-z0-9._~-]+|\{[a-z_][a-z0-9_]*\}))+")
PLACE = re.compile(r"\\\{([a-z_][a-z0-9_]*)\\\}")
NAMED = re.compile(r"\{([^}]*)\}")
HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
OWN = frozenset({"connection", "content-length", "date", "server", "set-cookie", "transfer-encoding", "upgrade"})
"""Headers of answers that are the server's own; cookies among them, as the only ones there are bear sessions."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route as a plugin offers it."""

    method: str
    path: str
    handler: RouteHandler
    auth: str
    body_bytes: int
    pattern: re.Pattern[str]


class BadRoute(ValueError):
    """No route; the text says why."""


class NewRoutes:
    """See `crust.plugin.Routes`. What is wrong is gathered in `problems`."""

    def __init__(self) -> None:
        self.routes: list[Route] = []
        self.problems: list[str] = []

    def add(self, method: Any, path: Any, handler: Any, *, auth: Any = None, body_bytes: Any = 65_536) -> None:
        try:
            self.routes.append(self._made(method, path, handler, auth, body_bytes))
        except BadRoute as error:
            self.problems.append(f"the route {method} {path}: {error}")

    def _made(self, method: Any, path: Any, handler: Any, auth: Any, body_bytes: Any) -> Route:
        if method not in METHODS:
            raise BadRoute(f"the method is one of {', '.join(sorted(METHODS))}")
        if not isinstance(path, str) or not PATH.fullmatch(path):
            raise BadRoute("the path begins with /, and each of its parts is plain, or a name in braces such as {hook}")
        names = NAMED.findall(path)
        if len(set(names)) != len(names):
            raise BadRoute("a name stands in it twice")
        pattern = re.compile(PLACE.sub(r"(?P<\1>[^/]+)", re.escape(path)))
        if any(each.method == method and bare(each.path) == bare(path) for each in self.routes):
            raise BadRoute("it is there twice")
        if not iscoroutinefunction(handler):
            raise BadRoute("its handler has to be an `async def` method")
        if auth not in ("public", "user"):
            raise BadRoute('auth has to be said: "public" or "user"')
        if not isinstance(body_bytes, int) or body_bytes < 0:
            raise BadRoute("body_bytes is a number of bytes")
        return Route(method, path, handler, auth, body_bytes, pattern)


def bare(path: str) -> str:
    """A path without the names in it."""
    return NAMED.sub("{}", path)


@dataclass(frozen=True, slots=True)
class Found:
    """A route that answers a request: whose it is, and what stands in its places."""

    instance: str
    route: Route
    params: Mapping[str, str]


class HostedRoutes:
    """See the module. `prefixes`: which instance answers under which prefix of a kind's own."""

    def __init__(self, seconds: float, metrics: Metrics) -> None:
        self._seconds, self._metrics = seconds, metrics
        self._routes: dict[str, list[Route]] = {}
        self.prefixes: dict[str, str] = {}

    def add(self, instance: str, prefix: str, routes: list[Route]) -> None:
        """Answer these from now on."""
        if routes:
            plain_first = sorted(routes, key=lambda route: [part.startswith("{") for part in route.path.split("/")])
            self._routes[instance] = plain_first
            if prefix:
                self.prefixes[prefix] = instance

    def owner(self, name: str) -> str:
        """The instance of this name, if it answers under `/plugins/`.

        Raises:
            NotFound: it does not.
        """
        if name not in self._routes or name in self.prefixes.values():
            raise NotFound("There is no such path.")
        return name

    def find(self, instance: str, method: str, path: str) -> Found:
        """
        Raises:
            NotFound: the instance has no such path.
            MethodNotAllowed: it takes other methods.
        """
        matching = [(route, match) for route in self._routes.get(instance, ()) if (match := route.pattern.fullmatch(path))]
        for route, match in matching:
            if route.method == method:
                return Found(instance, route, match.groupdict())
        if matching:
            raise MethodNotAllowed(f"This path takes {', '.join(sorted({route.method for route, _ in matching}))}.")
        raise NotFound("There is no such path.")

    async def run(self, found: Found, request: HttpRequest, key: str | None) -> HttpResponse:
        """Let the plugin answer.

        Args:
            key: the request's idempotency key, if it bears one; what is done through `ctx.chat` is keyed by it.

        Raises:
            CrustError: it refuses; `Unavailable` also where it has a bug.
        """
        who = request.user_id or "public"
        name = token_hex(16) if key is None else sha256(f"{who}\n{request.method}\n{request.path}\n{key}".encode()).hexdigest()[:32]
        began, how = perf_counter(), "failed"
        code = Code(found.instance, f"route {found.route.method} {found.route.path}")
        try:
            answer = response_of(await bounded(found.route.handler(request), self._seconds, code, f"route/{name}"))
            how = "done"
        except CrustError:
            how = "refused"
            raise
        except Broken as error:
            log.exception("a route failed", plugin=found.instance, route=f"{found.route.method} {found.route.path}", reason=str(error))
            raise Unavailable(f"The plugin {found.instance} could not answer; the server's log has the reason.") from None
        finally:
            self._metrics.plugin_calls[found.instance, "route", how] += 1
            self._metrics.plugin_call_seconds.observe((found.instance, "route"), perf_counter() - began)
        return answer


def response_of(given: object) -> HttpResponse:
    """What a handler gave, as a response.

    Raises:
        Broken: it is none.
    """
    if isinstance(given, HttpResponse):
        wrong = [f"header {name!r}" for name, value in given.headers.items() if not right_header(name, value)]
        if not 200 <= given.status <= 599:
            wrong.append(f"status {given.status}")
        if wrong:
            raise Broken(f"an answer cannot have the {wrong[0]}")
        return given
    if given is None:
        return HttpResponse(status=204)
    if isinstance(given, str):
        return HttpResponse(body=given)
    if isinstance(given, dict | list):
        try:
            return HttpResponse(headers={"Content-Type": "application/json"}, body=msgspec.json.encode(given))
        except (TypeError, ValueError, RecursionError) as error:
            raise Broken(f"the answer cannot be written as JSON: {error}") from None
    raise Broken(f"an answer is an HttpResponse, a dictionary, a list, a text or None, and not {given!r:.80}")


def right_header(name: object, value: object) -> bool:
    """Whether an answer may bear a header."""
    if not isinstance(name, str) or not isinstance(value, str) or not HEADER.fullmatch(name) or name.lower() in OWN:
        return False
    return value.isprintable() and value.isascii()
