"""A websocket as a client opens it: it gives up what does not answer, and says goodbye in a moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

OPEN_S = 5.0
BEAT_S = 8.0  # after so much silence it is asked whether it lives; half of that later it is given up
GOODBYE_S = 1.0
PATIENCE_S = 15.0  # after which nobody waits any more, neither here nor for an answer over HTTP
AWAY = (aiohttp.ClientError, OSError, TimeoutError, RuntimeError)
"""What a connection ends with that is not to be had; aiohttp raises a RuntimeError where one is used that is closing."""


LATER = (101, 503)  # 101: the answer was cut off


class UpgradeRefused(Exception):
    """A node answered in a way in which it must not."""


@asynccontextmanager
async def socket(session: aiohttp.ClientSession, address: str, query: str = "") -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A websocket to a node, for the length of a block.

    Raises:
        UpgradeRefused: the node does not want it, which it must not say; or any of `AWAY`.
    """
    url, patience = f"{address}/websocket/client{query}", aiohttp.ClientWSTimeout(ws_close=GOODBYE_S)
    try:
        async with asyncio.timeout(OPEN_S):
            connection = await session.ws_connect(url, heartbeat=BEAT_S, max_msg_size=0, timeout=patience)
    except aiohttp.WSServerHandshakeError as error:
        if error.status not in LATER:
            raise UpgradeRefused(f"a websocket's upgrade was answered {error.status}") from None
        raise
    try:
        yield connection
    finally:
        await connection.close()
