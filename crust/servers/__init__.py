"""The server below the app, and the event loop below that; both are settings.

hypercorn.py            the default; _http and _websocket are what no setting of it reaches
uvicorn.py              an optional extra; _websocket the same for it
loops.py                asyncio's own loop, or uvloop, another extra
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any

from crust.settings import Settings, SettingsError

Stopped = Callable[[], Awaitable[None]]
"""Ends when the server is to end, after the sockets' farewell."""

Serve = Callable[[Any, Settings, socket.socket, Stopped], Awaitable[None]]
"""(app, settings, listening socket, stopped): serves until `stopped` ends, then finishes what is in hand. The socket stays the caller's."""

BACKLOG = 2048  # connections that may wait to be accepted: a thousand clients that come back at once
FINISH_S = 8.0  # for requests in hand, after the sockets' farewell: with it, within the 20 s of the operations contract


def chosen(settings: Settings) -> Serve:
    """The server that the settings name.

    Raises:
        SettingsError: it is not installed.
    """
    if settings.server == "hypercorn":
        from crust.servers.hypercorn import serve

        return serve
    try:
        from crust.servers.uvicorn import serve as serve_by_uvicorn
    except ModuleNotFoundError as error:
        raise not_installed("server", "uvicorn", error) from None
    return serve_by_uvicorn


def not_installed(setting: str, extra: str, error: ModuleNotFoundError) -> SettingsError:
    """What to say of a setting that asks for what is not there."""
    return SettingsError([f'{setting}: {extra} needs {error.name}, which is not installed: pip install "crust-chat[{extra}]"'])
