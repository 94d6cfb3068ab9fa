"""uvicorn as Crust needs it; see `crust.servers.uvicorn_websocket` for its websockets."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import socket
from asyncio import TimerHandle, Transport
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from crust.servers import BACKLOG, FINISH_S, Stopped
from crust.servers.connections import Room
from crust.servers.uvicorn_websocket import WatchedProtocol
from crust.settings import Settings

HEAD_BYTES = 16_384  # the longest head of a request that is waited for; what Hypercorn has
UNWANTED_S = 3.0  # for the rest of a body whose request is answered


async def serve(app: Any, settings: Settings, listener: socket.socket, stopped: Stopped) -> None:
    """See `crust.servers.Serve`."""
    BoundedHttp.answer_s, BoundedHttp.room = settings.http.answer_s, Room()
    server = Server(config(app, settings))

    async def end() -> None:
        try:
            await stopped()
        finally:
            server.should_exit = True

    ending = asyncio.create_task(end(), name="until the server is stopped")
    try:
        # A duplicate, because uvicorn closes what it is given; and made from the descriptor, for then it knows that it is TCP. Only on such
        # ones does asyncio set TCP_NODELAY, without which an answer, being written in two pieces, takes 40 ms.
        await server.serve([socket.socket(fileno=os.dup(listener.fileno()))])
    finally:
        ending.cancel()
        await asyncio.gather(ending, return_exceptions=True)


def config(app: Any, settings: Settings) -> uvicorn.Config:
    """uvicorn's own settings."""
    own = settings.websocket
    return uvicorn.Config(
        app,
        interface="asgi3",
        workers=1,
        http=BoundedHttp,
        ws=WatchedProtocol,
        ws_max_size=own.frame_bytes,
        ws_ping_interval=own.ping_interval_s,
        ws_ping_timeout=None,  # our own watch ends who is silent, with a code of its own
        ws_per_message_deflate=own.deflate,
        lifespan="on",
        log_config=None,
        log_level=logging.ERROR,  # it warns of every request that it cannot read, and any stranger can send those
        access_log=False,
        proxy_headers=False,  # we read them, and only from trusted proxies
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=math.ceil(settings.http.idle_s),
        timeout_graceful_shutdown=int(FINISH_S),
    )


class Server(uvicorn.Server):
    """Leaves the signals to us: the sockets have their farewell first."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class BoundedHttp(HttpToolsProtocol):
    """Bounds what uvicorn does not: how long a request's head may be, how long it may take, the first one included, how long a body may
    still come that nobody wants, because its request is answered, how long an answer may wait to be read, and how many connections there
    may be.
    """

    answer_s = 60.0
    room: ClassVar[Room | None] = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        self.head_timer: TimerHandle | None = None
        self.body_timer: TimerHandle | None = None
        self.body_comes = False
        self.answer_timer: TimerHandle | None = None
        super().connection_made(transport)
        self._await_head()
        if self.room is not None and self.room.taken(len(self.connections) - 1):
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        self._body_came()
        self._answer_taken()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._await_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_came()
        self.body_comes = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._body_came()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.body_comes and self.body_timer is None:
            self.body_timer = self.loop.call_later(UNWANTED_S, self.transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.head_timer is not None:
            self.head_bytes += len(data)
            if self.head_bytes > HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response(f"The head of a request must have at most {HEAD_BYTES} bytes.")

    def pause_writing(self) -> None:
        super().pause_writing()
        self.answer_timer = self.answer_timer or self.loop.call_later(self.answer_s, self.transport.abort)

    def resume_writing(self) -> None:
        self._answer_taken()
        super().resume_writing()

    def _answer_taken(self) -> None:
        if self.answer_timer is not None:
            self.answer_timer.cancel()
            self.answer_timer = None

    def _await_head(self) -> None:
        self.head_bytes = 0
        if self.head_timer is None:
            self.head_timer = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _head_came(self) -> None:
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None

    def _body_came(self) -> None:
        self.body_comes = False
        if self.body_timer is not None:
            self.body_timer.cancel()
            self.body_timer = None
