"""What a server may put into the scope's `extensions` of a websocket, for what ASGI itself has no message.

Each is a function. Where one is missing, the server below does not know of it, and the websocket goes on without.
"""

SILENCE = "crust.silence"
"""() → seconds since anything came in, pongs included."""

ABORT = "crust.abort"
"""() → None: drops the connection without a farewell, for a peer that does not read one."""

WRITE = "crust.write"
"""(bytes) → awaitable: sends whole, uncompressed text frames; waits while the socket's buffer is full."""
