"""A websocket as a client opens it: it gives up what does not answer, and says goodbye in a moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

OPEN_S = 5.0
BEAT_S = 8.0  # after so much silence it is asked whether it lives; half of that later it is given up
GOODBYE_S = 1.0
AWAY = (aiohttp.ClientError, OSError, TimeoutError, RuntimeError)
"""What a connection ends with that is not to be had; aiohttp raises a RuntimeError where one is used that is closing."""


@asynccontextmanager
async def socket(session: aiohttp.ClientSession, address: str, query: str = "") -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A websocket to a node, for the length of a block.

    Raises:
        any of `AWAY`.
    """
    async with asyncio.timeout(OPEN_S):
        connection = await session.ws_connect(
            f"{address}/websocket/client{query}",
            heartbeat=BEAT_S,
            max_msg_size=0,
            timeout=aiohttp.ClientWSTimeout(ws_close=GOODBYE_S),
        )
    try:
        yield connection
    finally:
        await connection.close()
