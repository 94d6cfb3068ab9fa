"""uvicorn's HTTP, bounded where it is not by itself; over real connections, on either loop."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from crust.servers import uvicorn as own
from crust.servers.connections import Room
from crust.servers.uvicorn import HEAD_BYTES
from tests.unit.test_ws_hypercorn import SOON_S, Echo, Node
from tests.unit.test_ws_uvicorn import loop, serving, silent

__all__ = ["loop", "silent"]  # fixtures


async def answered(node: Node, sent: bytes) -> bytes:
    """What comes back until the server hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    try:
        writer.write(sent)
        async with asyncio.timeout(SOON_S):
            return await reader.read()
    finally:
        writer.close()


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


UPGRADE = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * (HEAD_BYTES + 1), b"400"),
        (b"GET / HTTP/1.1\r\n" + b"X: x\r\n" * HEAD_BYTES, b"400"),
        (b"GET /" + b"x" * (HEAD_BYTES + 1), b"400"),
        (b"no HTTP\r\n\r\n", b"400"),
        (UPGRADE + b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nX: " + b"x" * 9000 + b"\r\n\r\n", b"431"),
        (UPGRADE + b"\r\n", b"400"),
    ],
)
def test_a_head_that_is_too_long_or_none_is_refused(loop: asyncio.Runner, sent: bytes, status: bytes) -> None:
    """At once, and without a line in the log; upgrades too, whose heads the library bounds more tightly."""

    async def go() -> None:
        async with serving() as node:
            assert (await answered(node, sent)).startswith(b"HTTP/1.1 " + status)

    loop.run(go())


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX"])
def test_a_head_that_does_not_come_ends_the_connection(loop: asyncio.Runner, sent: bytes) -> None:
    """Who connects and then says little or nothing is hung up on."""

    async def go() -> None:
        async with serving(idle_s=1) as node:
            assert await answered(node, sent) == b""

    loop.run(go())


@pytest.mark.parametrize("said", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_a_connection_ends_when_its_peer_hangs_up(loop: asyncio.Runner, said: bytes) -> None:
    """Idle, in the middle of a request, or after an answer: its descriptor is not kept for the keep-alive time."""

    async def go() -> None:
        async with serving() as node:
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
            writer.write(said)
            if said.endswith(b"\n\r\n"):
                assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            writer.write_eof()
            async with asyncio.timeout(1):
                await reader.read()
            writer.close()

    loop.run(go())


def test_an_answer_before_the_body_has_come_arrives(loop: asyncio.Runner) -> None:
    """Though the client sends all of its body first, and only then reads; and the connection serves on."""

    async def go() -> None:
        async with serving() as node:
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
            for _ in range(2):
                writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n")
                await asyncio.sleep(0.05)
                writer.write(bytes(5_000_000))
                await writer.drain()
                async with asyncio.timeout(SOON_S):
                    assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            writer.close()

    loop.run(go())


async def trickle(writer: asyncio.StreamWriter) -> None:
    """Send a little, for ever."""
    while True:
        writer.write(bytes(1000))
        await asyncio.sleep(0.01)


def test_who_does_not_send_the_body_of_what_is_answered_is_hung_up_on(loop: asyncio.Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few seconds, whether more of it comes or not."""
    monkeypatch.setattr(own, "UNWANTED_S", 0.3)

    async def go() -> None:
        async with serving() as node:
            answer = await answered(node, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\nx")
            assert answer.startswith(b"HTTP/1.1 200")
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
            async with asyncio.timeout(SOON_S):
                sending = asyncio.create_task(trickle(writer))
                with suppress(ConnectionError):
                    await reader.read()
                sending.cancel()
            writer.close()

    loop.run(go())


class Generous(Echo):
    """Answers with more than a socket holds."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(500):
                await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})
        finally:
            self.ended.set()


def test_an_answer_that_nobody_reads_is_dropped_in_the_end(loop: asyncio.Runner) -> None:
    """The connection, and the task that waits to send more of it."""

    async def go() -> None:
        echo = Generous()
        async with serving(echo, answer_s=0.2) as node:
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port, limit=1024)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(SOON_S):
                await echo.ended.wait()
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(500 * 100_000)
            await closed(writer)

    loop.run(go())


def test_one_connection_too_many_is_dropped(loop: asyncio.Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that there are go on; when one has gone, there is room again."""
    monkeypatch.setattr(Room, "taken", lambda self, open: open >= 2)

    async def go() -> None:
        async with serving() as node:
            held = [await asyncio.open_connection("127.0.0.1", node.port) for _ in range(2)]
            await asyncio.sleep(0.1)
            with suppress(ConnectionError):
                assert await answered(node, b"") == b""
            await closed(held.pop()[1])
            await asyncio.sleep(0.1)
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            for _, each in [*held, (reader, writer)]:
                await closed(each)

    loop.run(go())
