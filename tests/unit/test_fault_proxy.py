"""The proxy of `crust torture`: each kind of weather does what it says, to open connections too, and clears up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from crust.torture.proxy import CLEAR, FaultProxy, Weather

pytestmark = pytest.mark.asyncio
BODY = bytes(range(256)) * 400


@dataclass
class Echo:
    """A server that sends back what comes, and notes in which pieces it came and how each connection ended."""

    pieces: list[bytes] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                self.pieces.append(data)
                writer.write(data)
                await writer.drain()
            self.ends.append("closed")
        except ConnectionResetError:
            self.ends.append("reset")
        finally:
            writer.close()


@asynccontextmanager
async def proxied(seed: int = 1) -> AsyncIterator[tuple[FaultProxy, Echo]]:
    echo = Echo()
    server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
    proxy = FaultProxy("127.0.0.1", server.sockets[0].getsockname()[1], seed)
    await proxy.start()
    try:
        yield proxy, echo
    finally:
        await proxy.close()
        server.close()
        await asyncio.sleep(0)


@asynccontextmanager
async def through(proxy: FaultProxy) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def echoed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> bytes:
    writer.write(data)
    async with asyncio.timeout(10):
        return await reader.readexactly(len(data))


async def test_what_passes_is_as_it_was() -> None:
    """In clear weather; and an end passes as well, from either side."""
    async with proxied() as (proxy, echo), through(proxy) as (reader, writer):
        assert await echoed(reader, writer, BODY) == BODY
        assert proxy.open == 1
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 5) == b""
        assert echo.ends == ["closed"]


async def test_delay() -> None:
    """Each way takes so long, on a connection that was open before; nothing is lost or out of order, and much is on the way at once."""
    async with proxied() as (proxy, _), through(proxy) as (reader, writer):
        await echoed(reader, writer, b"before")
        proxy.weather = Weather(delay_s=0.1)
        began = time.monotonic()
        for number in range(20):
            writer.write(b"%02d" % number)
            await asyncio.sleep(0.01)
        assert await asyncio.wait_for(reader.readexactly(40), 5) == b"".join(b"%02d" % number for number in range(20))
        assert 0.2 <= time.monotonic() - began < 1.5  # one after another it would be 20 times as much
        proxy.weather = CLEAR
        began = time.monotonic()
        await echoed(reader, writer, b"after")
        assert time.monotonic() - began < 0.1


async def test_blackhole() -> None:
    """Nothing passes and nothing is said, new connections included; when it clears up, all goes on as if nothing had been."""
    async with proxied() as (proxy, echo), through(proxy) as (reader, writer):
        await echoed(reader, writer, b"before")
        proxy.weather = Weather(silent=True)
        writer.write(b"meanwhile")
        async with through(proxy) as (new_reader, new_writer):
            new_writer.write(b"new")
            for each in (reader, new_reader):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(each.read(1), 0.2)
            assert echo.pieces == [b"before"]
            proxy.weather = CLEAR
            assert await asyncio.wait_for(reader.readexactly(9), 5) == b"meanwhile"
            assert await asyncio.wait_for(new_reader.readexactly(3), 5) == b"new"


async def test_reset() -> None:
    """All connections end with RST on both sides; the next one is as good as new."""
    async with proxied() as (proxy, echo):
        async with through(proxy) as (reader, writer):
            await echoed(reader, writer, b"before")
            proxy.reset()
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(reader.read(), 5)
        async with through(proxy) as (reader, writer):
            assert await echoed(reader, writer, b"again") == b"again"
        assert echo.ends[0] == "reset"
        assert (proxy.accepted, proxy.resets) == (2, 1)


@pytest.mark.parametrize("seed", [1, 2])
async def test_cut(seed: int) -> None:
    """After a number of bytes within the limits, both directions counted, a connection is reset; so is the next, elsewhere."""
    async with proxied(seed) as (proxy, echo):
        proxy.weather = Weather(cut_after=(1_000, 5_000))
        passed = []
        for _ in range(3):
            echo.pieces.clear()
            async with through(proxy) as (reader, writer):
                writer.write(BODY)
                back = b""
                with pytest.raises(ConnectionResetError):
                    while True:
                        back += await asyncio.wait_for(reader.readexactly(1), 5)
            there = b"".join(echo.pieces)
            assert BODY.startswith(there)
            assert there.startswith(back)
            passed.append(len(there))
        assert all(size <= 5_000 for size in passed)
        assert max(passed) >= 500
        proxy.weather = CLEAR
        async with through(proxy) as (reader, writer):
            assert await echoed(reader, writer, BODY) == BODY


async def test_slices() -> None:
    """No more than so many bytes arrive at once, and all of them do."""
    async with proxied() as (proxy, echo), through(proxy) as (reader, writer):
        proxy.weather = Weather(slice_bytes=3)
        assert await echoed(reader, writer, BODY[:300]) == BODY[:300]
        assert b"".join(echo.pieces) == BODY[:300]
        assert len(echo.pieces) > 20  # the kernel may join some; without slices it is one


async def test_refusing() -> None:
    """New connections are reset at once; those that are open go on."""
    async with proxied() as (proxy, echo), through(proxy) as (reader, writer):
        await echoed(reader, writer, b"before")
        proxy.weather = Weather(refusing=True)
        async with through(proxy) as (new_reader, _):
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(new_reader.read(), 5)
        assert await echoed(reader, writer, b"still") == b"still"
        assert len(echo.pieces) == 2


async def test_a_server_that_is_not_there() -> None:
    """A connection to nobody is reset, not kept waiting."""
    proxy = FaultProxy("127.0.0.1", 1)
    await proxy.start()
    try:
        async with through(proxy) as (reader, _):
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(reader.read(), 5)
    finally:
        await proxy.close()
