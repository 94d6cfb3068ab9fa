"""What uvicorn's websockets lack, over its protocol on the `websockets` library without that library's own input and output.

Of uvicorn's three this one is the fastest and the one that is going to stay; it is a class that uvicorn takes as a setting. The subclass

- puts into the scope's `extensions` what `crust.ws.extensions` names; frames as bytes only without compression;
- fails a connection in good order: after a frame that cannot be read or is too long it says why, and reads on for a moment before it ends
  the TCP connection; closed at once, with bytes unread, TCP sends a reset, and the client may never see the code;
- drops whatever is left of a connection some seconds after the application has ended: uvicorn would wait for ever for a peer to read
  what was sent to it;
- takes in silence what is sent to who has just gone: the end reaches the application by itself;
- answers an upgrade whose head the library cannot read, which uvicorn would leave open.
"""

from __future__ import annotations

import time
from asyncio import TimerHandle
from asyncio.transports import BaseTransport
from contextlib import suppress
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode
from websockets.http11 import Request
from websockets.protocol import State

from crust.servers.hypercorn_websocket import LINGER_S
from crust.ws.extensions import ABORT, SILENCE, WRITE


class WatchedProtocol(WebSocketsSansIOProtocol):
    """A websocket that notes when something came in, and ends in good order."""

    def connection_made(self, transport: BaseTransport) -> None:
        self.heard = time.monotonic()
        self.failed = False
        self.last_timer: TimerHandle | None = None
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.last_timer is not None:
            self.last_timer.cancel()
        super().connection_lost(exc)

    # ---- coming in

    def data_received(self, data: bytes) -> None:
        self.heard = time.monotonic()
        if self.failed:
            return
        super().data_received(data)
        if not self.handshake_initiated:
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:  # its task has yet to begin
            extensions: dict[str, Any] = {SILENCE: self._silence, ABORT: self._abort}
            if not self.config.ws_per_message_deflate:
                extensions[WRITE] = self._write
            self.scope["extensions"] = {**(self.scope["extensions"] or {}), **extensions}

    def send_receive_event_to_app(self) -> None:
        if not self.close_sent and self.curr_msg_data_type == "text" and not is_utf8(b"".join(self.frames)):
            self.conn.fail(CloseCode.INVALID_DATA)
            self.handle_parser_exception()
            return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        if self.failed:
            return
        self.failed = True
        if not self.disconnected and not self.close_sent:
            assert self.conn.close_sent is not None
            self.queue.put_nowait({"type": "websocket.disconnect", "code": self.conn.close_sent.code})
        self.close_sent = True
        self.transport.write(b"".join(self.conn.data_to_send()))
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.close_timer = self.close_timer or self.loop.call_later(LINGER_S, self.transport.abort)

    async def receive(self) -> Any:
        message = await super().receive()
        if message["type"] == "websocket.receive":
            message.setdefault("text", None)  # type: ignore[typeddict-item]  # as ASGI has it: Quart looks for it when a binary frame is empty
        return message

    # ---- going out

    async def send(self, message: Any) -> None:
        await self.writable.wait()
        if self.transport.is_closing() or (self.close_sent and self.initial_response is None):
            return
        with suppress(ClientDisconnected):
            await super().send(message)

    async def _write(self, wire: bytes) -> None:
        """Write whole frames, and wait while the socket's buffer is full. Once the connection is closing, they are dropped."""
        if not self.close_sent and self.conn.state is State.OPEN and not self.transport.is_closing():
            self.transport.write(wire)
            await self.writable.wait()

    async def run_asgi(self) -> None:
        await super().run_asgi()
        if not self.disconnected:
            self.last_timer = self.loop.call_later(LINGER_S, self.transport.abort)

    # ---- what the application gets

    def _silence(self) -> float:
        return time.monotonic() - self.heard

    def _abort(self) -> None:
        """Drop the TCP connection."""
        self.transport.abort()


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
