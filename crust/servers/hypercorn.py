"""Hypercorn as Crust needs it; `hypercorn_http` and `hypercorn_websocket` are what no setting reaches."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from typing import Any

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config

from crust.servers import BACKLOG, FINISH_S, Stopped, hypercorn_http, hypercorn_websocket
from crust.servers.connections import ACCEPTED
from crust.settings import Settings


async def serve(app: Any, settings: Settings, listener: socket.socket, stopped: Stopped) -> None:
    """See `crust.servers.Serve`."""
    hypercorn_http.install(answer_s=settings.http.answer_s)
    hypercorn_websocket.install(deflate=settings.websocket.deflate)

    async def end() -> None:
        listener.listen(BACKLOG)  # again: asyncio, which listens by now, takes as many for a queue as it accepts at once
        await stopped()
        asyncio.get_running_loop().call_later(FINISH_S, hypercorn_http.drop_all)

    await hypercorn_serve(app, config(settings, listener), shutdown_trigger=end)


def config(settings: Settings, listener: socket.socket) -> Config:
    """Hypercorn's own settings."""
    config = Config()
    config.bind = [f"fd://{os.dup(listener.fileno())}"]  # a duplicate, because Hypercorn closes what it is given
    config.backlog = ACCEPTED
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    config.loglevel = "WARNING"
    config.include_server_header = False
    config.keep_alive_max_requests = 1_000_000
    config.keep_alive_timeout = settings.http.idle_s
    config.graceful_timeout = FINISH_S + 2 * hypercorn_http.DROP_S  # by then there is nothing left to cut off
    config.max_app_queue_size = 4  # frames; the default is 10, of 256 KiB each
    config.websocket_ping_interval = settings.websocket.ping_interval_s
    config.websocket_max_message_size = settings.websocket.frame_bytes
    return config
