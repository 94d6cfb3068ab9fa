"""Routes: HTTP that an instance answers, under `/plugins/<instance>/`, or under a prefix of its kind's own.

@hookimpl
def register_routes(self, routes: Routes) -> None:
    routes.add("POST", "/{hook}", self.receive, auth="public", body_bytes=262_144)

async def receive(self, request: HttpRequest) -> HttpResponse | dict[str, Any]:
    ...
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from crust.errors import BadRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """What was asked.

    Args:
        path: below the prefix, beginning with /.
        params: what stands in the places of the route's `{names}`.
        query: by name, the last of each.
        headers: by lower-case name; those that bear a session are left out.
        address: of whoever asks, as trusted proxies say.
        user_id: of whoever is signed in, where the route is for users; else None.
    """

    method: str
    path: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    address: str
    user_id: str | None

    def json(self) -> Any:
        """The body, as JSON.

        Raises:
            BadRequest: it is none.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise BadRequest("The body is not valid JSON.") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """What is answered. A text is UTF-8, and without a Content-Type text/plain."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | str = b""


RouteHandler = Callable[[HttpRequest], Coroutine[Any, Any, Any]]
"""Gives an `HttpResponse`; a dictionary or a list, as JSON; a text; or None, which is 204."""


class Routes(Protocol):
    """Takes the routes of an instance."""

    def add(self, method: str, path: str, handler: RouteHandler, *, auth: Literal["public", "user"], body_bytes: int = 65_536) -> None:
        """Answer requests, in every server process, without the instance's lease.

        A `CrustError` that the handler raises is answered as the API does; anything else is a bug, and `unavailable`. Pages are shown
        without scripts, and apart from the server's own, unless the response's Content-Security-Policy says otherwise.

        Args:
            method: GET (which answers HEAD, too), POST, PUT, PATCH or DELETE.
            path: below the prefix, such as `/`, `/{hook}` or `/{hook}/{message}`; a name in braces is one part of the path.
            handler: an async method.
            auth: whether whoever asks has to be signed in, as for the API.
            body_bytes: the longest body that is taken; the setting `limits.body_bytes` is a bound to this.
        """
        ...
