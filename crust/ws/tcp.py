"""What Hypercorn's TCP connections lack, for HTTP and websockets alike: a good end.

- One whose peer has hung up gives its descriptor back at once; Hypercorn keeps it until the keep-alive time is over.
- One on which a request was answered before its body had come (413, 401) says `Connection: close`, since it will be closed, and takes in
  what still comes for a while before it is (RFC 9112 9.6): closed at once, with bytes unread, TCP sends a reset, which can overtake the
  answer; and without that header a client sends its next request into the closing connection.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any

import h11
import hypercorn.asyncio.run
import hypercorn.protocol
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.protocol.events import Event, Response
from hypercorn.protocol.h11 import H11Protocol

LINGER_S = 3.0  # for a body that nobody wants, and for the client to read the answer
CLOSE = (b"connection", b"close")


class FrankProtocol(H11Protocol):
    """HTTP/1.1 that says so when the connection cannot be used again."""

    async def stream_send(self, event: Event) -> None:
        if isinstance(event, Response) and self.unread:
            event = replace(event, headers=[*event.headers, CLOSE])
        await super().stream_send(event)

    @property
    def unread(self) -> bool:
        """Whether some of the request's body is still to come."""
        return self.connection.their_state is h11.SEND_BODY


class PatientServer(TCPServer):
    """A TCP connection; see the module."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._reading: asyncio.Task[Any] | None = None
        self._read = asyncio.Event()

    async def _read_data(self) -> None:
        self._reading = asyncio.current_task()
        try:
            await super()._read_data()
        finally:
            self._read.set()
        await self.idle_task.stop()  # nothing comes any more that could be waited for

    async def _close(self) -> None:
        protocol = self.protocol.protocol if hasattr(self, "protocol") else None  # it may end before it has begun
        if isinstance(protocol, FrankProtocol) and protocol.unread and asyncio.current_task() is not self._reading:
            await self._linger()
        await super()._close()

    async def _linger(self) -> None:
        """Say that nothing more comes from here, and wait for the other side to say so too."""
        with suppress(NotImplementedError, OSError, RuntimeError):
            self.writer.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                await self._read.wait()


def install() -> None:
    """Let Hypercorn make these connections from now on, in this process."""
    hypercorn.asyncio.run.TCPServer = PatientServer  # type: ignore[attr-defined, assignment]  # imported there for its own use
    hypercorn.protocol.H11Protocol = FrankProtocol  # type: ignore[attr-defined]  # the same
