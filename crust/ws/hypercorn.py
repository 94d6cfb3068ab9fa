"""What Hypercorn's websockets lack, added where it makes its streams.

An ASGI application sees neither pongs nor the socket below it, and Hypercorn 0.18 agrees to compress whenever a client offers it. So one
class of Hypercorn's is replaced by a subclass, which

- leaves out the offer of permessage-deflate, unless the settings want it;
- puts into the scope's `extensions` what tells the seconds since anything came in (`crust.silence`) and what drops the connection
  (`crust.abort`), for a peer that reads nothing, to which no farewell can be sent.

Under another server neither is there, and that server's own keep-alive counts.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import hypercorn.protocol.h2
import hypercorn.protocol.h11
from hypercorn.protocol.events import Data, Event, Request
from hypercorn.protocol.ws_stream import WSStream
from wsproto.utilities import RemoteProtocolError

SILENCE, ABORT = "crust.silence", "crust.abort"
EXTENSIONS = b"sec-websocket-extensions"


class WatchedStream(WSStream):
    """A websocket that notes when something came in."""

    deflate = False
    heard = 0.0

    async def handle(self, event: Event) -> None:
        self.heard = time.monotonic()
        if isinstance(event, Request):
            if not self.deflate:
                event = replace(event, headers=[header for header in event.headers if header[0].lower() != EXTENSIONS])
            self.app = self._extended(self.app)
        try:
            await super().handle(event)
        except RemoteProtocolError:
            # wsproto has refused what came: the handshake is over, and what is left of the stream means nothing.
            if isinstance(event, Data):
                self._abort()

    def _extended(self, app: Any) -> Any:
        async def extended(scope: Any, *rest: Any) -> None:
            scope["extensions"] = {**scope["extensions"], SILENCE: self._silence, ABORT: self._abort}
            await app(scope, *rest)

        return extended

    def _silence(self) -> float:
        return time.monotonic() - self.heard

    def _abort(self) -> None:
        """Drop the TCP connection. The way to it is Hypercorn's own: stream → protocol → server → transport."""
        protocol = getattr(self.send, "__self__", None)
        server = getattr(getattr(protocol, "send", None), "__self__", None)
        writer = getattr(server, "writer", None)
        if isinstance(writer, asyncio.StreamWriter):
            writer.transport.abort()


def install(*, deflate: bool) -> None:
    """Let Hypercorn make these streams from now on, in this process."""
    WatchedStream.deflate = deflate
    hypercorn.protocol.h11.WSStream = WatchedStream  # type: ignore[attr-defined]  # imported there for its own use
    hypercorn.protocol.h2.WSStream = WatchedStream  # type: ignore[attr-defined]  # the same
