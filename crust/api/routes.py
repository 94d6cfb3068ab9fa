"""HTTP that plugins answer: who asks, what with, and the answer; which plugin, the host knows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from quart import Blueprint, Request, Response, g, request

from crust.api.app import checked_key, read_body
from crust.api.identity import Identity
from crust.host.routes import METHODS, UNDER, HostedRoutes
from crust.plugin import HttpRequest, HttpResponse
from crust.services.actor import Actor
from crust.services.limits import TokenBuckets, site
from crust.settings import Settings

PRIVATE = frozenset({"authorization", "cookie", "x-session-id"})  # headers that bear a session
# A plugin's page must not act as whoever looks at it: no scripts, and an origin of its own.
APART = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; sandbox"

CallerOf = Callable[[Request], Awaitable[Actor]]


class Answering:
    """See the module.

    Args:
        caller: who asks, as for the API: by the session, and not from another site's page.
    """

    def __init__(self, routes: HostedRoutes, caller: CallerOf, identity: Identity, limiter: TokenBuckets, settings: Settings) -> None:
        self._routes, self._caller, self._identity, self._limiter, self._settings = routes, caller, identity, limiter, settings

    async def answer(self, instance: str, path: str) -> Response:
        """Let an instance answer the request at hand; `path` is what stands behind its prefix."""
        g.route = f"plugin:{instance}"
        source: Request = request._get_current_object()  # type: ignore[attr-defined]  # a proxy of Werkzeug's
        method = "GET" if source.method == "HEAD" else source.method
        found = self._routes.find(instance, method, path or "/")
        actor = await self._caller(source) if found.route.auth == "user" else None
        address = self._identity.address(source)
        self._limiter.take("reads" if method == "GET" else "writes", str(actor.session_id) if actor else site(address))
        most = min(found.route.body_bytes, self._settings.limits.body_bytes)
        asked = HttpRequest(
            method=method, path=path or "/", params=found.params, query=source.args.to_dict(),
            headers={name.lower(): value for name, value in source.headers.items() if name.lower() not in PRIVATE},
            body=await read_body(most, self._settings.http.body_s), address=address, user_id=str(actor.user_id) if actor else None,
        )  # fmt: skip
        return shown(await self._routes.run(found, asked, checked_key(source.headers.get("Idempotency-Key"))))


def shown(answer: HttpResponse) -> Response:
    """A plugin's answer as the server's."""
    response = Response(answer.body, answer.status, content_type="text/plain; charset=utf-8")
    for name, value in answer.headers.items():
        response.headers[name] = value
    response.headers.setdefault("Content-Security-Policy", APART)
    return response


def blueprint(routes: HostedRoutes, answering: Answering) -> Blueprint:
    """All paths under which plugins answer."""
    pages = Blueprint("plugins", __name__)
    methods = [*sorted(METHODS), "HEAD"]

    async def named(instance: str, rest: str = "") -> Response:
        return await answering.answer(routes.owner(instance), f"/{rest}")

    def of(instance: str) -> Callable[..., Awaitable[Response]]:
        async def prefixed(rest: str = "") -> Response:
            return await answering.answer(instance, f"/{rest}")

        return prefixed

    places: list[tuple[str, Callable[..., Awaitable[Response]]]] = [(f"{UNDER}<instance>", named)]
    places += [(prefix, of(instance)) for prefix, instance in routes.prefixes.items()]
    for place, view in places:
        for path in (place, f"{place}/", f"{place}/<path:rest>"):
            name = path.replace(".", " ")
            pages.add_url_rule(path, name, view, methods=methods, provide_automatic_options=False)
    return pages
