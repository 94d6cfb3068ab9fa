"""People who listen: each keeps one number, comes back to any node with it, and writes down what it was sent."""

from __future__ import annotations

import asyncio
import json
import random
import socket as sockets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import aiohttp

from crust.torture.accounts import Account
from crust.torture.authors import Choose
from crust.torture.ledger import Heard, Logged
from crust.torture.wire import AWAY, socket

AGAIN_S, AGAIN_MAX_S = 0.2, 5.0  # twice as long after each attempt that came to nothing, and at random: as clients should
ABOUT = {"message": "id", "reaction": "message_id"}  # type → where it says which message it is about
NARROW = 4096  # bytes that the kernel takes in for who reads nothing
OPEN_S = 60.0  # two hundred at once, on a machine that has much to do; how fast they are there is not what is tried
UPGRADE = (
    "GET /websocket/client HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Session-ID: {session}\r\nX-Client-ID: {client}\r\n\r\n"
)


class Listener:
    """A websocket client that resumes.

    Args:
        name: what the ledger calls it.
        account: whose eyes it has.
        choose: gives a node.
    """

    def __init__(self, name: str, account: Account, choose: Choose) -> None:
        self._account, self._choose = account, choose
        self._epoch = ""
        self.position = -1
        self.heard = Heard(name, 0)
        self.ready = asyncio.Event()
        self.resumes = self.fresh = 0

    async def live(self) -> None:
        """Listen, until cancelled."""
        pause = AGAIN_S
        async with aiohttp.ClientSession(headers=self._account.headers) as session:
            while True:
                with suppress(*AWAY):
                    place = f"?resume={self._epoch}.{self.position}" if self._epoch else ""
                    async with socket(session, self._choose(), place) as connection:
                        await self._hear(connection)
                pause = AGAIN_S if self.ready.is_set() else min(2 * pause, AGAIN_MAX_S)
                self.ready.clear()
                await asyncio.sleep(random.uniform(pause / 2, pause))

    async def _hear(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        async for message in connection:
            if message.type is not aiohttp.WSMsgType.TEXT:
                return
            self._take(json.loads(message.data))

    def _take(self, frame: Mapping[str, Any]) -> None:
        if frame.get("type") == "hello":
            self._hello(frame["data"])
        elif frame.get("type") == "ready":
            self.ready.set()
        elif "position" in frame:
            self.position = frame["position"]
            self.heard.positions.append(self.position)
            if frame["type"] in ABOUT:
                self.heard.events.append(Logged(self.position, int(frame["data"][ABOUT[frame["type"]]])))

    def _hello(self, hello: Mapping[str, Any]) -> None:
        if hello["resumed"]:
            self.resumes += 1
            return
        if self._epoch:
            self.fresh += 1  # by the protocol, only after far more than a trial has; what it missed is missing
        else:
            self.heard.since = hello["position"]
        self._epoch, self.position = hello["epoch"], hello["position"]

    def begin(self) -> None:
        """Forget what it has heard: another fault begins."""
        self.heard = Heard(self.heard.name, self.position)
        self.resumes = self.fresh = 0


class Deaf:
    """A websocket that is opened and never read. The server is to give it up, and nobody else to notice."""

    def __init__(self, account: Account, port: int) -> None:
        self._account, self._port = account, port
        self._socket = sockets.socket()

    async def open(self) -> None:
        """Connect and upgrade; straight to a node, because a proxy would read."""
        self._socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, NARROW)
        self._socket.setblocking(False)
        loop = asyncio.get_running_loop()
        text = UPGRADE.format(host=f"127.0.0.1:{self._port}", session=self._account.session_id, client=self._account.client_id)
        async with asyncio.timeout(OPEN_S):
            await loop.sock_connect(self._socket, ("127.0.0.1", self._port))
            await loop.sock_sendall(self._socket, text.encode())
            answer = await loop.sock_recv(self._socket, 12)
        if not answer.startswith(b"HTTP/1.1 101"):
            raise OSError(f"the upgrade was answered {answer!r}")

    def close(self) -> None:
        self._socket.close()
