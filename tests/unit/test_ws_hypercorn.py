"""What Hypercorn lacks, over a real connection to an application that echoes."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import hypercorn.asyncio.run
import hypercorn.protocol
import hypercorn.protocol.h11
import pytest
from hypercorn.asyncio import serve
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.config import Config
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.ws_stream import WSStream

from crust.servers import hypercorn_http
from crust.servers.hypercorn_websocket import WatchedStream, install
from crust.ws.extensions import ABORT, SILENCE, WRITE
from crust.ws.frame import Frame, Run

MESSAGE_MAX = 262_144
SOON_S = 5.0


class Echo:
    """An ASGI application that says back what it hears, and closes at `bye`."""

    def __init__(self) -> None:
        self.extensions: dict[str, Any] = {}
        self.ended = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})
            return
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
            return
        self.extensions = scope["extensions"]
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while (event := await receive())["type"] != "websocket.disconnect":
                if event.get("text") == "bye":
                    await send({"type": "websocket.close", "code": 4001, "reason": "bye"})
                    return
                await send({"type": "websocket.send", "bytes": None, "text": event["text"]})
        finally:
            self.ended.set()


class Peer:
    """The client's end, frame by frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.head = b""

    def send(self, opcode: int, data: bytes, *, final: bool = True) -> None:
        size = bytes([0x80 | len(data)]) if len(data) < 126 else struct.pack("!BH", 0x80 | 126, len(data))
        self.writer.write(bytes([final << 7 | opcode]) + size + bytes(4) + data)

    async def frame(self) -> tuple[int, bytes]:
        """The next frame that is no ping: opcode and payload."""
        async with asyncio.timeout(SOON_S):
            while True:
                first, size = await self.reader.readexactly(2)
                if size == 126:
                    (size,) = struct.unpack("!H", await self.reader.readexactly(2))
                payload = await self.reader.readexactly(size)
                if first & 0x0F != 9:
                    return first & 0x0F, payload

    async def closed(self) -> int:
        """The code of the close frame."""
        while (frame := await self.frame())[0] != 8:
            pass
        (code,) = struct.unpack("!H", frame[1][:2])
        return int(code)

    async def over(self, seconds: float = SOON_S) -> None:
        """Wait for the end of the TCP connection."""
        async with asyncio.timeout(seconds):
            while await self.reader.read(65536):
                pass


class Node:
    def __init__(self, echo: Echo, port: int) -> None:
        self.echo, self.port = echo, port

    @asynccontextmanager
    async def peer(self, *headers: str) -> AsyncIterator[Peer]:
        """A connection that has shaken hands."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        lines = [
            "GET / HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", *headers, "", "",
        ]  # fmt: skip
        writer.write("\r\n".join(lines).encode())
        peer = Peer(reader, writer)
        peer.head = await reader.readuntil(b"\r\n\r\n")
        try:
            yield peer
        finally:
            writer.close()


@pytest.fixture
def own_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hypercorn with our streams for one test."""
    monkeypatch.setattr(hypercorn.protocol.h11, "WSStream", WSStream)
    monkeypatch.setattr(hypercorn.asyncio.run, "TCPServer", TCPServer)
    monkeypatch.setattr(hypercorn.protocol, "H11Protocol", H11Protocol)
    monkeypatch.setattr("crust.servers.hypercorn_websocket.LINGER_S", 0.5)
    hypercorn_http.install(answer_s=60)
    install(deflate=False)


@asynccontextmanager
async def serving(ping_interval: float | None = None, keep_alive: float = 5) -> AsyncIterator[Node]:
    """Hypercorn with the echo; its end must be quick and silent."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.errorlog = logging.getLogger("hypercorn.error")
    config.loglevel = "ERROR"
    config.websocket_max_message_size = MESSAGE_MAX
    config.websocket_ping_interval = ping_interval
    config.keep_alive_timeout = keep_alive
    echo, stop = Echo(), asyncio.Event()
    server = asyncio.create_task(serve(echo, config, shutdown_trigger=stop.wait))
    try:
        yield Node(echo, port)
    finally:
        stop.set()
        async with asyncio.timeout(SOON_S):
            await server


@pytest.mark.asyncio
@pytest.mark.usefixtures("own_streams")
@pytest.mark.parametrize(("raw", "code"), [(b"\x81\x81\0\0\0\0\xff", 1007), (b"\xf1\x80\0\0\0\0", 1002), (b"\x83\x80\0\0\0\0", 1002)])
async def test_what_cannot_be_read_is_closed_with_a_reason(raw: bytes, code: int, caplog: pytest.LogCaptureFixture) -> None:
    """RFC 6455 7.1.7: a close frame says why; 1007 for text that is no UTF-8, 1002 for the rest. Nothing is logged."""
    async with serving() as node, node.peer() as peer:
        peer.writer.write(raw)
        assert await peer.closed() == code
        await peer.over()
    assert not caplog.records


@pytest.mark.asyncio
@pytest.mark.usefixtures("own_streams")
async def test_of_a_message_that_is_too_long_nothing_more_is_kept() -> None:
    """Close 1009 as soon as it is, the rest is read and dropped, and who does not answer is hung up on."""
    kept: list[int] = []

    class Counting(WatchedStream):
        async def _take_in(self, event: Any) -> None:
            await super()._take_in(event)
            kept.append(self.buffer.length)

    hypercorn.protocol.h11.WSStream = Counting  # type: ignore[attr-defined, assignment]  # put back by the fixture
    async with serving() as node, node.peer() as peer:
        peer.send(1, b"x" * 60_000, final=False)
        for _ in range(40):
            peer.send(0, b"x" * 60_000, final=False)
            await peer.writer.drain()
        peer.send(0, b"the end")
        assert await peer.closed() == 1009
        peer.writer.write(b"\x81\x81\0\0\0\0x")
        await peer.over()
        await node.echo.ended.wait()
    assert max(kept) <= MESSAGE_MAX
    assert kept[-1] == 0


@pytest.mark.asyncio
@pytest.mark.usefixtures("own_streams")
async def test_a_close_waits_for_the_others() -> None:
    """RFC 6455 7.1.1: both close frames first, so the code is not lost to a reset when the client is still sending."""
    async with serving() as node, node.peer() as peer:
        peer.send(1, b"bye")
        await asyncio.sleep(0.05)
        for _ in range(50):
            peer.send(1, b"x" * 20_000)
            await peer.writer.drain()
        assert await peer.closed() == 4001
        peer.send(8, struct.pack("!H", 4001))
        await peer.over(1)


@pytest.mark.asyncio
@pytest.mark.usefixtures("own_streams")
async def test_who_does_not_answer_a_close_is_hung_up_on() -> None:
    """After a few seconds, however much is still being sent."""
    async with serving() as node, node.peer() as peer:
        peer.send(1, b"bye")
        for _ in range(100):
            peer.send(1, b"frames that nobody takes any more")
        assert await peer.closed() == 4001
        await peer.over()


@pytest.mark.asyncio
@pytest.mark.usefixtures("own_streams")
async def test_pings_end_with_their_connection() -> None:
    """A server that stops does not wait for the next ping of a connection that is gone: `serving` allows 5 s, the interval is 30."""
    async with serving(ping_interval=30) as node:
        async with node.peer() as peer:
            peer.send(1, b"hello")
            assert await peer.frame() == (1, b"hello")
            peer.send(8, struct.pack("!H", 1000))
            assert await peer.closed() == 1000
        started = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - started < 1


@pytest.mark.asyncio
@pytest.mark.usefixtures("own_streams")
async def test_silence_counts_from_what_came_in_pongs_included() -> None:
    """The application cannot see pongs; `crust.silence` can."""
    async with serving() as node, node.peer() as peer:
        peer.send(1, b"hello")
        await peer.frame()
        await asyncio.sleep(0.1)
        assert node.echo.extensions[SILENCE]() >= 0.1
        peer.send(10, b"")
        await asyncio.sleep(0.02)
        assert node.echo.extensions[SILENCE]() < 0.1


@pytest.mark.asyncio
@pytest.mark.usefixtures("own_streams")
async def test_frames_that_are_written_as_bytes_arrive_among_the_others() -> None:
    """Many at once, in order with what goes the usual way; once the connection closes, nothing comes after the close frame."""
    async with serving() as node, node.peer() as peer:
        peer.send(1, b"hello")
        assert await peer.frame() == (1, b"hello")
        await node.echo.extensions[WRITE](Run([Frame("one"), Frame("two"), Frame("three")]).wire)
        peer.send(1, b"hello again")
        assert [await peer.frame() for _ in range(4)] == [(1, b"one"), (1, b"two"), (1, b"three"), (1, b"hello again")]
        peer.send(1, b"bye")
        await node.echo.ended.wait()
        await node.echo.extensions[WRITE](Frame("too late").wire)
        assert await peer.closed() == 4001
        assert await peer.reader.read() == b""


@pytest.mark.asyncio
@pytest.mark.usefixtures("own_streams")
async def test_writing_bytes_waits_for_a_peer_that_does_not_read() -> None:
    """Or a thousand slow sockets would hold a thousand growing buffers."""
    async with serving() as node, node.peer() as peer:
        peer.send(1, b"hello")
        assert await peer.frame() == (1, b"hello")
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport can
        chunk = Frame("x" * 60_000).wire
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                for _ in range(1000):
                    await node.echo.extensions[WRITE](chunk)


@pytest.mark.asyncio
@pytest.mark.usefixtures("own_streams")
async def test_abort_drops_the_connection() -> None:
    """Without a farewell, for a peer that reads nothing."""
    async with serving() as node, node.peer() as peer:
        peer.send(1, b"hello")
        await peer.frame()
        node.echo.extensions[ABORT]()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await peer.frame()
        async with asyncio.timeout(SOON_S):
            await node.echo.ended.wait()


@pytest.mark.asyncio
@pytest.mark.usefixtures("own_streams")
@pytest.mark.parametrize("deflate", [False, True])
async def test_compression_is_agreed_to_only_where_it_is_wanted(deflate: bool) -> None:
    """Off by default: it costs half of the throughput and twice the memory."""
    install(deflate=deflate)
    try:
        async with serving() as node, node.peer("Sec-WebSocket-Extensions: permessage-deflate") as peer:
            assert (b"permessage-deflate" in peer.head) is deflate
            peer.send(8, b"")
            await node.echo.ended.wait()
            assert (WRITE in node.echo.extensions) is not deflate, "what is written as it is cannot be compressed"
    finally:
        WatchedStream.deflate = False


@pytest.mark.asyncio
@pytest.mark.usefixtures("own_streams")
@pytest.mark.parametrize("said", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_a_connection_ends_when_its_peer_hangs_up(said: bytes) -> None:
    """Idle, in the middle of a request, or after an answer: its descriptor is not kept for the keep-alive time of 60 s."""
    async with serving(keep_alive=60) as node:
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        writer.write(said)
        if said.endswith(b"\n\r\n"):
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        writer.write_eof()
        try:
            async with asyncio.timeout(1):
                await reader.read()
        finally:
            writer.close()


@pytest.mark.asyncio
@pytest.mark.usefixtures("own_streams")
@pytest.mark.parametrize("unwanted", [200_000, 20_000_000])
async def test_an_answer_before_the_body_has_come_arrives(unwanted: int) -> None:
    """It says that the connection ends, and no reset overtakes it: the client sends all of its body first, and only then reads."""
    async with serving() as node:
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        writer.write(f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {unwanted}\r\n\r\n".encode())
        await asyncio.sleep(0.1)
        writer.write(bytes(unwanted))
        await writer.drain()
        async with asyncio.timeout(SOON_S):
            answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"\r\nconnection: close\r\n" in answer
    assert answer.endswith(b"ok")


@pytest.mark.asyncio
@pytest.mark.usefixtures("own_streams")
async def test_who_goes_on_sending_a_body_that_nobody_wants_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few seconds, however much is still to come."""
    monkeypatch.setattr("crust.servers.hypercorn_http.LINGER_S", 0.5)
    async with serving() as node:
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(SOON_S):
                while True:
                    writer.write(bytes(1000))
                    await writer.drain()
                    await asyncio.sleep(0.01)
        writer.close()
        assert reader.at_eof() or reader.exception()
