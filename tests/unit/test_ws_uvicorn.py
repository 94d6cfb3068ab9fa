"""What uvicorn lacks, over a real connection to an application that echoes, on either loop."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from crust.servers.uvicorn import serve
from crust.settings import Http, Settings, Websocket
from crust.ws.extensions import ABORT, SILENCE, WRITE
from crust.ws.frame import wire_of
from tests.unit.test_ws_hypercorn import SOON_S, Echo, Node, Peer

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    """What runs a test's coroutine."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crust.servers.uvicorn_websocket.LINGER_S", 0.5)


@pytest.fixture(autouse=True)
def silent(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that a peer does is worth a line in the log."""
    yield
    assert not caplog.get_records("call")


@asynccontextmanager
async def serving(echo: Echo | None = None, idle_s: float = 30, answer_s: float = 60, **websocket: float) -> AsyncIterator[Node]:
    """uvicorn with the echo; its end must be quick and silent."""
    echo, stop = echo or Echo(), asyncio.Event()

    async def stopped() -> None:
        await stop.wait()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = Settings(
            data_dir=Path("/none"), http=Http(idle_s=idle_s, answer_s=answer_s), websocket=Websocket.model_validate(websocket)
        )
        server = asyncio.create_task(serve(echo, settings, listener, stopped))
        try:
            yield Node(echo, listener.getsockname()[1])
        finally:
            stop.set()
            async with asyncio.timeout(SOON_S):
                await server


@pytest.mark.parametrize(("raw", "code"), [(b"\x81\x81\0\0\0\0\xff", 1007), (b"\xf1\x80\0\0\0\0", 1002), (b"\x83\x80\0\0\0\0", 1002)])
def test_what_cannot_be_read_is_closed_with_a_reason(loop: asyncio.Runner, raw: bytes, code: int) -> None:
    """RFC 6455 7.1.7: a close frame says why; 1007 for text that is no UTF-8, 1002 for the rest."""

    async def go() -> None:
        async with serving() as node, node.peer() as peer:
            peer.writer.write(raw)
            assert await peer.closed() == code
            await peer.over()
            async with asyncio.timeout(SOON_S):
                await node.echo.ended.wait()

    loop.run(go())


def test_of_a_message_that_is_too_long_the_rest_is_dropped(loop: asyncio.Runner) -> None:
    """Close 1009 as soon as it is too long, though the client is still sending; who does not stop is hung up on."""

    async def go() -> None:
        async with serving(frame_bytes=262_144) as node, node.peer() as peer:
            peer.send(1, b"x" * 60_000, final=False)
            for _ in range(20):
                peer.send(0, b"x" * 60_000, final=False)
                await peer.writer.drain()
            assert await peer.closed() == 1009
            await peer.over()
            await node.echo.ended.wait()

    loop.run(go())


def test_a_close_waits_for_the_others(loop: asyncio.Runner) -> None:
    """RFC 6455 7.1.1: both close frames first, so the code is not lost to a reset when the client is still sending."""

    async def go() -> None:
        async with serving() as node, node.peer() as peer:
            peer.send(1, b"bye")
            await node.echo.ended.wait()
            for _ in range(50):
                peer.send(1, b"x" * 20_000)
                await peer.writer.drain()
            assert await peer.closed() == 4001
            peer.send(8, struct.pack("!H", 4001))
            await peer.over(0.4)

    loop.run(go())


def test_who_does_not_answer_a_close_is_hung_up_on(loop: asyncio.Runner) -> None:
    """After a few seconds, however much is still being sent."""

    async def go() -> None:
        async with serving() as node, node.peer() as peer:
            peer.send(1, b"bye")
            for _ in range(100):
                peer.send(1, b"frames that nobody takes any more")
            assert await peer.closed() == 4001
            await peer.over()

    loop.run(go())


class Flood(Echo):
    """An application that sends until the client is gone.

    Args:
        by: `send`, or the extension that takes bytes.
    """

    def __init__(self, by: str) -> None:
        super().__init__()
        self.by = by

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
            return
        self.extensions = scope["extensions"]
        await receive()
        await send({"type": "websocket.accept"})
        flooding = asyncio.create_task(self._flood(send))
        try:
            while (await receive())["type"] != "websocket.disconnect":
                pass
        finally:
            flooding.cancel()
            self.ended.set()

    async def _flood(self, send: Any) -> None:
        while True:
            if self.by == "send":
                await send({"type": "websocket.send", "bytes": None, "text": "x" * 10_000})
            else:
                await self.extensions[WRITE](wire_of("x" * 10_000))
            await asyncio.sleep(0)


@pytest.mark.parametrize("by", ["send", WRITE])
@pytest.mark.parametrize("how", ["abort", "close", "end"])
def test_a_peer_that_reads_nothing_keeps_nothing(loop: asyncio.Runner, how: str, by: str) -> None:
    """Whether we drop it, or it closes, or it hangs up: its connection is gone soon, with all that it was still to be sent."""

    async def go() -> None:
        async with serving(Flood(by)) as node:
            reader, writer = await narrow(node.port)
            protocol = None
            async with asyncio.timeout(SOON_S):
                while protocol is None or protocol.writable.is_set():
                    await asyncio.sleep(0.01)
                    protocol = node.echo.extensions[ABORT].__self__
            if how == "abort":
                node.echo.extensions[ABORT]()
            elif how == "close":
                Peer(reader, writer).send(8, struct.pack("!H", 1000))
            else:
                writer.close()
            async with asyncio.timeout(SOON_S):
                await node.echo.ended.wait()
                while not protocol.disconnected or holds(protocol.transport):
                    await asyncio.sleep(0.01)
            writer.close()

    loop.run(go())


def holds(transport: asyncio.Transport) -> bool:
    """Whether it still has something to send. A closed one of uvloop's goes on counting what it has dropped; only its text says so."""
    return transport.get_write_buffer_size() > 0 and "closed=True" not in repr(transport)


async def narrow(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that has shaken hands, over which little fits unread."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=raw, limit=1024)
    lines = ["GET / HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    writer.write("\r\n".join([*lines, "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "", ""]).encode())
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


def test_frames_are_taken_as_bytes(loop: asyncio.Runner) -> None:
    """Many in one go; and once the connection is closing they are dropped, as RFC 6455 5.5.1 has it."""

    async def go() -> None:
        async with serving() as node, node.peer() as peer:
            peer.send(1, b"hello")
            await peer.frame()
            write = node.echo.extensions[WRITE]
            await write(wire_of("one") + wire_of("two"))
            assert [await peer.frame(), await peer.frame()] == [(1, b"one"), (1, b"two")]
            peer.send(1, b"bye")
            await node.echo.ended.wait()
            await write(wire_of("late"))
            assert await peer.frame() == (8, struct.pack("!H", 4001) + b"bye")
            peer.send(8, struct.pack("!H", 4001))
            assert await peer.reader.read() == b""

    loop.run(go())


def test_silence_counts_from_what_came_in_pongs_included(loop: asyncio.Runner) -> None:
    """The application cannot see pongs; `crust.silence` can."""

    async def go() -> None:
        async with serving() as node, node.peer() as peer:
            peer.send(1, b"hello")
            await peer.frame()
            await asyncio.sleep(0.15)
            assert node.echo.extensions[SILENCE]() >= 0.1
            peer.send(10, b"")
            async with asyncio.timeout(SOON_S):
                while node.echo.extensions[SILENCE]() >= 0.1:
                    await asyncio.sleep(0)

    loop.run(go())


def test_what_is_written_is_sent_at_once(loop: asyncio.Runner) -> None:
    """TCP_NODELAY, which asyncio sets only on sockets that know that they are TCP."""

    async def go() -> None:
        async with serving() as node, node.peer() as peer:
            peer.send(1, b"hello")
            await peer.frame()
            transport = node.echo.extensions[ABORT].__self__.transport
            assert transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1

    loop.run(go())


def test_pings_come(loop: asyncio.Runner) -> None:
    """As often as the settings say, without an end for who does not answer: our own watch decides that."""

    async def go() -> None:
        async with serving(ping_interval_s=0.02) as node, node.peer() as peer:
            for _ in range(5):
                first, size = await peer.reader.readexactly(2)
                await peer.reader.readexactly(size)
                assert first == 0x89

    loop.run(go())


@pytest.mark.parametrize("deflate", [False, True])
def test_compression_is_agreed_to_only_where_it_is_wanted(loop: asyncio.Runner, deflate: bool) -> None:
    """Off by default: it costs half of the throughput and twice the memory."""

    async def go() -> None:
        async with serving(deflate=deflate) as node, node.peer("Sec-WebSocket-Extensions: permessage-deflate") as peer:
            assert (b"permessage-deflate" in peer.head.lower()) is deflate
            assert (WRITE in await asked(node, peer)) is not deflate, "bytes that are to be compressed cannot be made once for all"
            assert b"server:" not in peer.head.lower()

    loop.run(go())


async def asked(node: Node, peer: Peer) -> dict[str, Any]:
    """What the application has of the server, once it runs."""
    peer.send(1, b"hello")
    await peer.reader.readexactly(2)
    return node.echo.extensions
