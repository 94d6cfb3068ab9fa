"""The socket that a server listens on."""

from __future__ import annotations

import socket

from crust.servers import BACKLOG

UNSENT = 131_072  # bytes that the kernel takes before they can be sent; by itself it takes megabytes from a client that reads nothing


def listening(host: str, port: int) -> socket.socket:
    """A listening socket, bound before anything else is started: an address in use is the commonest mistake."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)  # of those that it accepts, too
    return listener
