"""The websocket's address: the upgrade, and all the connections of a node.

Quart does the routing and the upgrade; from then on frames go straight to the ASGI `send`, since Quart's own way there costs as much again
as sending. `KeepsSend` is the public seam for that. A server that takes frames as bytes (`crust.ws.extensions`) is given all that waits at
once.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import msgspec
from quart import Quart, Response, websocket
from quart.asgi import ASGIWebsocketConnection
from quart.wrappers import Websocket
from quart.wrappers.base import BaseRequestWebsocket

from crust.errors import CrustError, Forbidden, Unavailable
from crust.services.limits import site
from crust.ws.connection import Credentials, Socket, WebsocketConnection
from crust.ws.extensions import ABORT, SILENCE, WRITE
from crust.ws.frame import Run, message_of, texts, wire_of
from crust.ws.protocol import Close, Closing, control_frame, resume_place
from crust.ws.services import Services

PATH = "/websocket/client"
INBOUND = 4  # frames that are read ahead; with what the server below holds back, a few times the longest one
DRAIN_S = 8.0  # for all sockets together to take their farewell
RECONNECT_S = (1.0, 15.0)  # spread, so that a restart is no storm


class Identity(Protocol):
    """Reads what an upgrade says of where it comes from; raises CrustError where that cannot be."""

    def secret(self, source: BaseRequestWebsocket) -> tuple[str | None, bool]: ...

    def client_id(self, source: BaseRequestWebsocket) -> str | None: ...

    def from_here(self, source: BaseRequestWebsocket) -> bool: ...

    def address(self, source: BaseRequestWebsocket) -> str: ...


class KeepsSend(ASGIWebsocketConnection):
    """Hands the ASGI `send` on to the handler, in the scope; and takes no more in than the handler takes out.

    Quart's own queue has no bound: whoever sends while nobody reads, before they have signed in say, would fill the memory.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.queue = asyncio.Queue(INBOUND)

    async def handle_websocket(self, websocket: Websocket, send: Any) -> None:
        self.scope["extensions"] = {**(self.scope.get("extensions") or {}), "crust.send": send}
        await super().handle_websocket(websocket, send)


class QuartSocket:
    """A socket over Quart's websocket and the ASGI `send` below it. Its end comes as the cancellation of the handler."""

    def __init__(self, source: Websocket) -> None:
        self._websocket = source
        extensions: dict[str, Any] = source.scope["extensions"]
        self._send = extensions["crust.send"]
        self._write: Callable[[bytes], Awaitable[None]] | None = extensions.get(WRITE)
        self._silence: Callable[[], float] | None = extensions.get(SILENCE)
        self._abort: Callable[[], None] | None = extensions.get(ABORT)

    async def receive(self) -> str | bytes:
        frame: str | bytes | None = await self._websocket.receive()
        return b"" if frame is None else frame  # Quart makes None of an empty binary frame

    async def send(self, parts: Sequence[str | Run]) -> None:
        if self._write is not None:
            await self._write(wire_of(parts[0]) if len(parts) == 1 else b"".join(map(wire_of, parts)))
        else:
            for text in texts(parts):
                await self._send(message_of(text))

    async def close(self, code: int, reason: str) -> None:
        await self._websocket.close(code, reason)

    def abort(self) -> None:
        if self._abort is not None:
            self._abort()

    def silence(self) -> float | None:
        return None if self._silence is None else self._silence()


class Gateway:
    """All websockets of a node.

    Args:
        services: what every connection needs.
        identity: reads upgrades.
    """

    def __init__(self, services: Services, identity: Identity) -> None:
        self._services, self._identity, self._metrics = services, identity, services.metrics
        self._open: set[WebsocketConnection] = set()
        self._of_user: Counter[int] = Counter()
        self._draining = False
        self._emptied = asyncio.Event()
        self._metrics.sockets.read = lambda: len(self._open)
        self._metrics.people.read = lambda: len(self._of_user)
        self._metrics.closes.update({str(int(code)): 0 for code in Close})  # a first one is a rise only from 0

    def install(self, app: Quart) -> None:
        """Serve websockets from this app."""
        app.asgi_websocket_class = KeepsSend
        app.add_websocket(PATH, "websocket", self._handle)

    async def drain(self) -> None:
        """Refuse new sockets, tell those that are open when to come back, and close them."""
        self._draining = True
        self._metrics.frames_out["shutdown"] += len(self._open)
        for connection in list(self._open):
            wait = round(random.uniform(*RECONNECT_S), 1)
            connection.outbox.put(control_frame("shutdown", {"reconnect_after": wait}))
            connection.outbox.close(Closing(Close.GOING_AWAY, "the server restarts"))
        if self._open:
            with suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_S):
                    await self._emptied.wait()

    # ---- one socket

    async def _handle(self) -> Response | None:
        source: Websocket = websocket._get_current_object()  # type: ignore[attr-defined]  # a proxy of Werkzeug's
        try:
            credentials = await self._credentials(source)
        except CrustError as error:
            self._metrics.refused[str(error.status)] += 1
            headers = {"Retry-After": str(max(1, round(error.retry_after)))} if error.retry_after else {}
            body = msgspec.json.encode({"error": error.as_dict()})
            return Response(body, error.status, headers, content_type="application/json")
        await source.accept()
        await self._run(QuartSocket(source), credentials, resume_place(source.args.get("resume")))
        return None

    async def _credentials(self, source: Websocket) -> Credentials | None:
        """Who upgrades; None where nothing says so, and a `login` frame has to.

        Raises:
            CrustError: they may not, whoever they are.
        """
        if self._draining:
            raise Unavailable("The server is shutting down.", retry_after=5)
        self._services.limiter.take("sockets", site(self._identity.address(source)))
        secret, by_cookie = self._identity.secret(source)
        if secret is None:
            return None
        if by_cookie and not self._identity.from_here(source):
            raise Forbidden("A websocket with a cookie needs an Origin that is allowed.")
        actor = await self._services.core.sessions.authenticate(secret, self._identity.client_id(source))
        return Credentials(actor, secret)

    async def _run(self, socket: Socket, credentials: Credentials | None, place: tuple[str, int] | None) -> None:
        admitted: list[int] = []

        def admit(user_id: int) -> bool:
            if self._of_user[user_id] >= self._services.settings.websocket.connections_per_user:
                return False
            self._of_user[user_id] += 1
            admitted.append(user_id)
            return True

        connection = WebsocketConnection(self._services, socket, credentials, place, admit)
        self._open.add(connection)
        self._emptied.clear()
        try:
            await connection.run()
        finally:
            self._open.discard(connection)
            self._of_user.subtract(admitted)
            self._of_user += Counter()  # forgets who has none left
            if not self._open:
                self._emptied.set()
