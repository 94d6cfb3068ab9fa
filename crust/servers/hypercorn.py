"""Hypercorn as Crust needs it; see `crust.ws.hypercorn` for what no setting reaches."""

from __future__ import annotations

import logging
import os
import socket
from typing import Any

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config

from crust.servers import BACKLOG, FINISH_S, KEEP_ALIVE_S, Stopped
from crust.settings import Settings
from crust.ws.hypercorn import install


async def serve(app: Any, settings: Settings, listener: socket.socket, stopped: Stopped) -> None:
    """See `crust.servers.Serve`."""
    install(deflate=settings.websocket.deflate)
    await hypercorn_serve(app, config(settings, listener), shutdown_trigger=stopped)


def config(settings: Settings, listener: socket.socket) -> Config:
    """Hypercorn's own settings."""
    config = Config()
    config.bind = [f"fd://{os.dup(listener.fileno())}"]  # a duplicate, because Hypercorn closes what it is given
    config.backlog = BACKLOG
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    config.loglevel = "WARNING"
    config.include_server_header = False
    config.keep_alive_max_requests = 1_000_000
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.graceful_timeout = FINISH_S
    config.websocket_ping_interval = settings.websocket.ping_interval_s
    config.websocket_max_message_size = settings.websocket.frame_bytes
    return config
