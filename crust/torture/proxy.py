"""A TCP proxy that does to connections what networks do, and understands nothing of what passes.

    proxy = FaultProxy("127.0.0.1", 5672)
    await proxy.start()
    proxy.weather = Weather(delay_s=0.1)   # of the connections that are open, too
    proxy.reset()
    await proxy.close()

Bytes are never lost or changed on a connection that goes on: TCP does not do that either.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass

CHUNK = 65_536
HELD = 64  # chunks of one direction that are on the way; more are not read
CONNECT_S = 5.0
RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no seconds: a close sends RST


@dataclass(frozen=True, slots=True)
class Weather:
    """How bytes pass; as they come, unless it says otherwise.

    Args:
        delay_s: each piece is so many seconds on the way.
        silent: nothing passes, and nothing says so, until it clears up.
        cut_after: a connection is reset after so many bytes, both directions counted; between the two numbers.
        slice_bytes: no more than so many at once.
        refusing: new connections are reset before a byte has passed.
    """

    delay_s: float = 0.0
    silent: bool = False
    cut_after: tuple[int, int] | None = None
    slice_bytes: int = 0
    refusing: bool = False


CLEAR = Weather()


class Cut(Exception):
    """The connection has had its bytes."""


class FaultProxy:
    """See the module.

    Args:
        host, port: where connections go on to.
        seed: of the places at which they are cut.
    """

    def __init__(self, host: str, port: int, seed: int | str = 0) -> None:
        self.host, self.target = host, port
        self.port = 0
        self.accepted = self.resets = 0
        self._chance = random.Random(seed)
        self._weather = CLEAR
        self._passing = asyncio.Event()
        self._passing.set()
        self._links: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on a free port of loopback, from now on `port`."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening, and end all connections."""
        if self._server is not None:
            self._server.close()
        self.reset()
        await asyncio.gather(*self._links, return_exceptions=True)

    @property
    def weather(self) -> Weather:
        """How bytes pass now."""
        return self._weather

    @weather.setter
    def weather(self, weather: Weather) -> None:
        self._weather = weather
        if weather.silent:
            self._passing.clear()
        else:
            self._passing.set()

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._links)

    def reset(self) -> None:
        """End all connections with RST, on both sides."""
        for link in self._links:
            link.cancel()

    async def passing(self) -> None:
        """Wait while nothing passes."""
        await self._passing.wait()

    def budget(self) -> int | None:
        """After how many bytes a connection is cut, drawn anew for each."""
        return None if self._weather.cut_after is None else self._chance.randint(*self._weather.cut_after)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        link = asyncio.create_task(self._carry(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            if self._weather.refusing:
                raise Cut
            await self.passing()
            async with asyncio.timeout(CONNECT_S):
                onward_reader, onward_writer = await asyncio.open_connection(self.host, self.target)
            ends.append(onward_writer)
            await Link(self).run((reader, onward_writer), (onward_reader, writer))
            for end in ends:
                end.close()
        except (Cut, OSError, TimeoutError, asyncio.CancelledError):
            self.resets += 1
            for end in ends:
                _reset(end)


class Link:
    """One connection through the proxy."""

    def __init__(self, proxy: FaultProxy) -> None:
        self._proxy = proxy
        self._weather = proxy.weather
        self._left = proxy.budget()

    async def run(self, *directions: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        """Carry both directions until both have ended.

        Raises:
            Cut: it is to be reset; or an OSError, where it was by one of its ends.
        """
        tasks = []
        for reader, writer in directions:
            held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(HELD)
            tasks += [asyncio.create_task(self._take(reader, held)), asyncio.create_task(self._give(held, writer))]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, held: asyncio.Queue[tuple[float, bytes]]) -> None:
        data = b"."
        while data:
            await self._proxy.passing()
            data = await reader.read(CHUNK)
            await held.put((asyncio.get_running_loop().time(), data))

    async def _give(self, held: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        while True:
            came, data = await held.get()
            await asyncio.sleep(max(0.0, came + self._proxy.weather.delay_s - asyncio.get_running_loop().time()))
            if not data:
                await self._proxy.passing()
                with suppress(OSError):
                    writer.write_eof()
                return
            await self._send(writer, data)

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        at = 0
        while at < len(data):
            await self._proxy.passing()
            size = self._allowed(self._proxy.weather.slice_bytes or len(data))
            writer.write(data[at : at + size])
            await writer.drain()
            if self._proxy.weather.slice_bytes:
                await asyncio.sleep(0)  # so that each slice leaves by itself
            at += size

    def _allowed(self, size: int) -> int:
        """How many of so many bytes may pass now."""
        if self._weather is not self._proxy.weather:
            self._weather, self._left = self._proxy.weather, self._proxy.budget()
        if self._left is None:
            return size
        if self._left <= 0:
            raise Cut
        allowed = min(size, self._left)
        self._left -= allowed
        return allowed


def _reset(writer: asyncio.StreamWriter) -> None:
    end: socket.socket | None = writer.get_extra_info("socket")
    with suppress(OSError):
        if end is not None:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
