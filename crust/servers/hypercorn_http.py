"""What Hypercorn's HTTP connections lack, added where it makes them.

Hypercorn 0.18 bounds the head of a request in size (`h11_max_incomplete_size`) and in time: `keep_alive_timeout` runs from the connection,
or the last answer, until a head is complete, however slowly it drips. (`read_timeout`, between two reads, is for neither.) A body is the
application's to bound. What is left is done by two subclasses, which take the place of Hypercorn's own:

- what cannot be read is answered in the API's envelope, with a status of its list; Hypercorn's answer is empty, and may be a 501;
- HTTP/2 is not spoken. Hypercorn begins it without TLS for whoever asks, which no browser or proxy does unasked, and its HTTP/2 breaks
  on data that comes after an answer;
- a target that is no path, and a body with two lengths, on which a proxy and we may disagree (RFC 9112 6.3), are refused;
- a connection is ended in two steps (RFC 9112 9.6): first our half, and then, when the other side has hung up or a moment has passed, all
  of it. Closed at once with bytes unread, TCP would send a reset, which may take the answer away;
- a connection whose client has hung up is gone at once; Hypercorn would keep it, and its file, until it was idle for long enough;
- one connection too many is dropped as soon as it is accepted (`crust.servers.connections`);
- who does not take what was sent is dropped in the end. Hypercorn would keep the connection as long as they like, and the whole process
  from ending.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from typing import Any, ClassVar

import h11
import hypercorn.asyncio.run
import hypercorn.protocol
import msgspec
from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import Response
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.http_stream import HTTPStream

from crust.errors import BadRequest, TooLarge
from crust.servers.connections import Room

LINGER_S = 2.0  # for the other side to hang up, once it has all that was sent
DROP_S = 1.0  # for the application to notice
HEAD_TOO_LARGE = 431  # RFC 6585; not in the API's list, which has 413
HIGH_WATER = 65_536  # bytes that asyncio buffers before it makes a sender wait
SERVER = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)  # in the absolute form of a target, RFC 9112 3.2.2
CLOSE = (b"connection", b"close")
TWO_LENGTHS = {b"content-length", b"transfer-encoding"}


class StrictH11(H11Protocol):
    """HTTP/1.1, and what cannot be read as that is refused in the API's words."""

    method = b""
    gone = False  # the connection was dropped: nothing is answered any more, nor is another request of those that came in a row begun

    async def _send_h11_event(self, event: h11.Data | h11.EndOfMessage | h11.InformationalResponse | h11.Response) -> None:
        if not self.gone:
            await super()._send_h11_event(event)

    async def stream_send(self, event: StreamEvent) -> None:
        """Who is answered before their request's body has come is told that the connection ends: else they send the next one."""
        if isinstance(event, Response) and self.connection.their_state is h11.SEND_BODY:
            event = replace(event, headers=[*event.headers, CLOSE])
        await super().stream_send(event)

    async def _check_protocol(self, event: h11.Request) -> None:
        """Upgrade to nothing here; websockets have a way of their own."""

    async def _create_stream(self, request: h11.Request) -> None:
        self.method = request.method
        readable = request if request.target.startswith(b"/") else in_origin_form(request)
        if readable is None or readable.http_version > b"1.1" or {name for name, _ in readable.headers} >= TWO_LENGTHS:
            await self._send_error_response(BadRequest.status)
            await self.send(Closed())
        else:
            await super()._create_stream(readable)

    async def _send_error_response(self, status_code: int) -> None:
        most = self.config.h11_max_incomplete_size
        error = (
            TooLarge(f"The head of a request may have {most} bytes.")
            if status_code == HEAD_TOO_LARGE
            else BadRequest("The request is not HTTP/1.1 as it has to be.")
        )
        body = msgspec.json.encode({"error": {**error.as_dict(), "request_id": secrets.token_hex(8)}})
        headers = [
            (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"connection", b"close"),
            (b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"),
        ]  # fmt: skip
        bodyless = self.connection.our_state is h11.SEND_RESPONSE and self.method == b"HEAD"
        await self._send_h11_event(
            h11.Response(status_code=error.status, headers=list(chain(headers, self.config.response_headers("h11"))))
        )
        if not bodyless:
            await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())


def in_origin_form(request: h11.Request) -> h11.Request | None:
    """The request with its target as a path, if it names one."""
    server = SERVER.match(request.target)
    if server is None:
        return None
    path = b"/" + request.target[server.end() :].removeprefix(b"/")
    return h11.Request(method=request.method, target=path, headers=request.headers, http_version=request.http_version)


class PatientServer(TCPServer):
    """A connection that ends in good order, and in bounded time.

    `answer_s` is how long the other side may take to read what was sent, `room` how many connections there may be.
    """

    answer_s = 60.0
    room: ClassVar[Room | None] = None
    open: ClassVar[set[PatientServer]] = set()

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.closing = False  # what still comes in is dropped
        self.over = asyncio.Event()  # nothing comes in any more
        self.task: asyncio.Task[Any] | None = None

    async def run(self) -> None:
        if self.room is not None and self.room.taken(len(self.open)):
            self.writer.transport.abort()
            return
        self.task = asyncio.current_task()
        self.open.add(self)
        try:
            await super().run()
        except asyncio.CancelledError:
            pass  # this is the whole task; asyncio 3.11 makes a traceback of a connection that was cancelled
        finally:
            self.open.discard(self)

    def drop(self) -> None:
        """End it without a farewell."""
        if self.over.is_set() and self.task is not None:
            self.task.cancel()
        else:
            self._task_group.spawn(self._drop)

    async def protocol_send(self, event: Event) -> None:
        if isinstance(event, Closed):
            if not self.closing and not self.over.is_set():
                self.closing = True
                self._task_group.spawn(self._part)
        elif isinstance(event, RawData) and isinstance(getattr(self.protocol.protocol, "stream", None), HTTPStream):
            await self._send_answer(event)
        elif not (isinstance(event, Updated) and self.over.is_set()):
            await super().protocol_send(event)

    async def _send_answer(self, event: RawData) -> None:
        if self.writer.transport.is_closing():
            self._answer_no_more()
        elif self._may_wait(event):
            dropping = self.loop.call_later(self.answer_s, self.drop)
            await super().protocol_send(event)  # if that is given up, the answer is cut off, and the connection is of no more use
            dropping.cancel()
        else:
            await super().protocol_send(event)

    def _answer_no_more(self) -> None:
        if isinstance(self.protocol.protocol, StrictH11):
            self.protocol.protocol.gone = True

    def _may_wait(self, event: RawData) -> bool:
        """Whether sending it may have to wait for the other side to read."""
        return self.writer.transport.get_write_buffer_size() + len(event.data) > HIGH_WATER

    async def _part(self) -> None:
        with suppress(TimeoutError, OSError, RuntimeError):
            self.writer.write_eof()
            self.writer.transport.set_write_buffer_limits(0)  # so that `drain` waits for all of it
            async with asyncio.timeout(self.answer_s):
                await self.writer.drain()
            async with asyncio.timeout(LINGER_S):
                await self.over.wait()
                return
        await self._drop()

    async def _drop(self) -> None:
        """The application's part first: Quart leaves a handler running whose task is cancelled from outside."""
        self.closing = True
        self.writer.transport.abort()
        self._answer_no_more()
        with suppress(TimeoutError):
            async with asyncio.timeout(DROP_S):
                await self.protocol.handle(Closed())
                await self.over.wait()
                return
        if self.task is not None:
            self.task.cancel()  # it waits for what will not come, with requests in a row for the first one's answer to be taken

    async def _read_data(self) -> None:
        data = b"."
        try:
            while data:  # its end is handed on too: it makes an error of what was not complete
                data = await self.reader.read(MAX_RECV)
                if not self.closing:
                    await self.protocol.handle(RawData(data))
        except OSError:
            pass
        finally:
            self.over.set()
        await self.protocol.handle(Closed())
        await self.idle_task.stop()

    async def _initiate_server_close(self) -> None:
        await super()._initiate_server_close()
        if self.writer.transport.get_write_buffer_size():
            self.loop.call_later(self.answer_s, self.writer.transport.abort)

    async def _close(self) -> None:
        seconds = LINGER_S if self.context.terminated.is_set() else self.answer_s
        dropping = self.loop.call_later(seconds, self.writer.transport.abort)
        try:
            await super()._close()
        finally:
            dropping.cancel()


def drop_all() -> None:
    """End all connections now, for a process that ends."""
    for connection in list(PatientServer.open):
        connection.drop()


def install(*, answer_s: float) -> None:
    """Let Hypercorn make these from now on, in this process."""
    PatientServer.answer_s, PatientServer.room = answer_s, Room()
    hypercorn.protocol.H11Protocol = StrictH11  # type: ignore[attr-defined]  # imported there for its own use
    hypercorn.asyncio.run.TCPServer = PatientServer  # type: ignore[attr-defined, assignment]  # the same
