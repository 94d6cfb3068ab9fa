"""What Hypercorn's websockets lack, added where it makes its streams.

An ASGI application sees neither pongs nor the socket below it, and Hypercorn 0.18 agrees to compress whenever a client offers it. So one
class of Hypercorn's is replaced by a subclass, which

- leaves out the offer of permessage-deflate, unless the settings want it;
- puts into the scope's `extensions` what tells the seconds since anything came in (`crust.silence`) and what drops the connection
  (`crust.abort`), for a peer that reads nothing, to which no farewell can be sent;
- refuses an upgrade that is none in the API's envelope, and hangs up; Hypercorn keeps that connection for good, and breaks on tokens that
  are no ASCII. A client that sends before it is answered is refused too (RFC 6455 4.1 has it wait); Hypercorn refuses it and yet leaves the
  application with a connection that is none;
- fails a connection as RFC 6455 7.1.7 has it: with a close frame that says why (Hypercorn only hangs up after a frame that cannot be
  read), and without keeping any more of a message that is too long (Hypercorn keeps all of it);
- takes frames as bytes too (`crust.write`), which are made once for all sockets and may be many in one go: Hypercorn makes and writes
  each anew for each socket, which is most of what fan-out costs;
- waits a moment for the other side's close frame before it ends the TCP connection (RFC 6455 7.1.1): closed at once, with bytes unread,
  TCP sends a reset, and the client may never see the code;
- never waits for an application that has ended to take a frame, and stops pinging when the connection ends; Hypercorn would keep the
  connection, the first as long as the client does, the second for one ping interval.

Under another server none of this is there, and that server's own keep-alive counts.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

import hypercorn.protocol.h11
import msgspec
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.events import Closed
from hypercorn.protocol.events import Body, Data, EndBody, Event, Request, Response, StreamClosed
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.ws_stream import ASGIWebsocketState, FrameTooLargeError, WSStream
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Ping
from wsproto.events import Message as Received
from wsproto.frame_protocol import CloseReason

from crust.errors import BadRequest
from crust.ws.extensions import ABORT, SILENCE, WRITE

EXTENSIONS = b"sec-websocket-extensions"
VERSION = (b"sec-websocket-version", b"13")  # said with every refusal too, RFC 6455 4.4
KEY_BYTES = 16  # RFC 6455 4.1
TOKENS = (b"connection", b"upgrade", EXTENSIONS, b"sec-websocket-protocol")
LINGER_S = 3.0  # for the other side's close frame
LOOK_S = 1.0  # how often a frame that nobody takes asks whether anybody still will


class WatchedStream(WSStream):
    """A websocket that notes when something came in, and ends in good order."""

    deflate = False

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.heard = time.monotonic()
        self.gone = asyncio.Event()
        self.too_large = False  # a message was: what still comes means nothing
        self.ended = False  # the application has
        self.tcp: TCPServer | None = None

    async def handle(self, event: Event) -> None:
        self.heard = time.monotonic()
        if isinstance(event, Request):
            await self._begin(event)
            return
        if isinstance(event, StreamClosed):
            self.gone.set()
        if isinstance(event, Body | Data) and not self.handshake.accepted:
            await self._refuse("Nothing may be sent before the upgrade is answered.")
            return
        await super().handle(event)

    async def _begin(self, request: Request) -> None:
        if not is_upgrade(request):
            await self._refuse("This is no websocket upgrade as RFC 6455 has it.")
            return
        if not self.deflate:
            request = replace(request, headers=[header for header in request.headers if header[0].lower() != EXTENSIONS])
        protocol = getattr(self.send, "__self__", None)  # the way to the socket is Hypercorn's own: stream → protocol → server
        server = getattr(getattr(protocol, "send", None), "__self__", None)
        self.tcp = server if isinstance(server, TCPServer) else None
        plain = self.tcp is not None and isinstance(protocol, H11Protocol) and not self.deflate
        self.app = self._extended(self.app, {WRITE: self._write} if plain else {})
        await super().handle(request)
        if self.app_put is not None:
            self.app_put = self._patient(self.app_put)

    async def _refuse(self, why: str) -> None:
        if self.state is not ASGIWebsocketState.HANDSHAKE:
            return  # it is refused already
        self.state = ASGIWebsocketState.HTTPCLOSED
        body = msgspec.json.encode({"error": {**BadRequest(why).as_dict(), "request_id": secrets.token_hex(8)}})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"connection", b"close"), VERSION]
        await self.send(Response(stream_id=self.stream_id, status_code=BadRequest.status, headers=headers))
        await self.send(Body(stream_id=self.stream_id, data=body))
        await self.send(EndBody(stream_id=self.stream_id))
        await self.send(StreamClosed(stream_id=self.stream_id))

    def _extended(self, app: Any, more: dict[str, Any]) -> Any:
        async def extended(scope: Any, *rest: Any) -> None:
            scope["extensions"] = {**scope["extensions"], SILENCE: self._silence, ABORT: self._abort, **more}
            await app(scope, *rest)

        return extended

    def _patient(self, put: Any) -> Any:
        """The application's queue has room for a few frames. Wait for more, but not after the application has ended."""

        async def put_while_taken(message: Any) -> None:
            while not self.ended:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await put(message)
                        return

        return put_while_taken

    # ---- coming in

    async def _handle_events(self) -> None:
        for event in self.connection.events():
            if isinstance(event, Received):
                await self._take_in(event)
            elif isinstance(event, Ping):
                await self._send_wsproto_event(event.response())
            elif isinstance(event, CloseConnection):
                await self._close_back(event)

    async def _take_in(self, event: Received[Any]) -> None:
        if self.too_large or self.app_put is None or self.state is ASGIWebsocketState.CLOSED:
            return
        try:
            self.buffer.extend(event)
        except FrameTooLargeError:
            self.too_large = True
            self.buffer.clear()
            await self._send_wsproto_event(CloseConnection(code=CloseReason.MESSAGE_TOO_BIG))
            self.task_group.spawn(self._linger)
            return
        if event.message_finished:
            await self.app_put(self.buffer.to_message())
            self.buffer.clear()

    async def _close_back(self, event: CloseConnection) -> None:
        """The other side closes; or, while the connection is still open, wsproto cannot read what it sent, for the reason `code`."""
        if self.connection.state is ConnectionState.REMOTE_CLOSING:
            await self._send_wsproto_event(event.response())
        elif self.connection.state is ConnectionState.OPEN:
            await self._send_wsproto_event(CloseConnection(code=event.code))
        await self.send(StreamClosed(stream_id=self.stream_id))

    # ---- going out

    async def app_send(self, message: Any) -> None:
        if message is None:
            self.ended = True
            if self.state is ASGIWebsocketState.CLOSED:
                await self._wait_gone(LINGER_S)
        connected = self.state is ASGIWebsocketState.CONNECTED
        await super().app_send(message)
        if connected and self.state is ASGIWebsocketState.CLOSED:
            # Quart 0.23 goes on waiting for the other side, which may never answer.
            self.task_group.spawn(self._linger)

    async def _write(self, wire: bytes) -> None:
        """Write whole frames, and wait while the socket's buffer is full. Once the connection is closing, they are dropped."""
        if self.closed or self.state is not ASGIWebsocketState.CONNECTED or self.connection.state is not ConnectionState.OPEN:
            return
        assert self.tcp is not None
        writer = self.tcp.writer
        try:
            writer.write(wire)
            await writer.drain()
        except (ConnectionError, RuntimeError):  # as Hypercorn has it
            await self.tcp.protocol.handle(Closed())

    async def _linger(self) -> None:
        await self._wait_gone(LINGER_S)
        await self.send(StreamClosed(stream_id=self.stream_id))

    async def _send_pings(self) -> None:
        while not self.closed:
            await self._send_wsproto_event(Ping())
            await self._wait_gone(self.config.websocket_ping_interval)

    async def _wait_gone(self, seconds: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.gone.wait()

    # ---- what the application gets

    def _silence(self) -> float:
        return time.monotonic() - self.heard

    def _abort(self) -> None:
        """Drop the TCP connection."""
        if self.tcp is not None:
            self.tcp.writer.transport.abort()


def is_upgrade(request: Request) -> bool:
    """Whether it is the client's half of RFC 6455's opening handshake."""
    named = {name.lower(): value for name, value in request.headers}
    readable = all(named.get(name, b"").isascii() for name in TOKENS)
    try:
        key = base64.b64decode(named.get(b"sec-websocket-key", b""), validate=True)
    except ValueError:
        return False
    return readable and len(key) == KEY_BYTES and named.get(VERSION[0]) == VERSION[1] and request.http_version == "1.1"


def install(*, deflate: bool) -> None:
    """Let Hypercorn make these streams from now on, in this process."""
    WatchedStream.deflate = deflate
    hypercorn.protocol.h11.WSStream = WatchedStream  # type: ignore[attr-defined, assignment]  # imported there for its own use
