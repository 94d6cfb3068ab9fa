"""Websockets against a real server: limits, close codes, and clients that misbehave."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.server import Server, call

LIMITS = {
    "CRUST_LIMITS__ENABLED": "false",
    "CRUST_WEBSOCKET__PING_INTERVAL_S": "0.5",
    "CRUST_WEBSOCKET__SILENCE_S": "2",
    "CRUST_WEBSOCKET__LOGIN_TIMEOUT_S": "1",
    "CRUST_WEBSOCKET__SEND_TIMEOUT_S": "3",
    "CRUST_WEBSOCKET__CONNECTIONS_PER_USER": "3",
    "CRUST_WEBSOCKET__REPLAY_EVENTS": "5000",
}


@pytest.fixture(scope="module", params=["hypercorn", "uvicorn"])
def server(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server with short times, and ana and bob on it; everything here holds whichever it is, and on the loop that it takes by itself."""
    server = Server(Path(tmp_path_factory.mktemp("websocket")), {**LIMITS, "CRUST_SERVER": request.param})
    for name in ("ana", "bob"):
        server.add_user(name)
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def ana(server: Server) -> httpx.Client:
    return server.sign_in("ana", "ana-client")


@pytest.fixture(scope="module")
def bob(server: Server) -> httpx.Client:
    return server.sign_in("bob", "bob-client")


@pytest.fixture
def channel(ana: httpx.Client, bob: httpx.Client, request: pytest.FixtureRequest) -> str:
    """A channel that both are in."""
    made = call(ana, "POST", "/channel/edit", name=request.node.name[:90], topic="")
    call(bob, "POST", "/channel/join", id=made["id"])
    return str(made["id"])


def headers(client: httpx.Client) -> dict[str, str]:
    return {name: client.headers[name] for name in ("X-Session-ID", "X-Client-ID")}


@asynccontextmanager
async def opened(server: Server, client: httpx.Client, query: str = "") -> AsyncIterator[ClientConnection]:
    """A websocket that is ready."""
    async with connect(server.websocket_url + query, additional_headers=headers(client), max_size=None) as connection:
        await until(connection, "ready")
        yield connection


async def until(connection: ClientConnection, type_: str, seconds: float = 10) -> dict[str, Any]:
    """The next frame of a type."""
    async with asyncio.timeout(seconds):
        while True:
            frame: dict[str, Any] = json.loads(await connection.recv())
            if frame.get("type") == type_:
                return frame


async def closed(connection: ClientConnection, seconds: float = 10) -> int | None:
    """The code with which the other side closes."""
    with pytest.raises(ConnectionClosed):
        async with asyncio.timeout(seconds):
            while True:
                await connection.recv()
    return connection.close_code


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("frames", "code"),
    [([b"binary"], 4000), (["no json"] * 20, 4000), (["[" * 10_000] * 20, 4000), (["x" * 300_000], 1009), (["ж" * 200_000], 1009)],
)
async def test_a_protocol_error_has_its_code(server: Server, ana: httpx.Client, frames: list[str | bytes], code: int) -> None:
    """A binary frame and 20 unusable ones close 4000; a frame over 256 KiB, whether in characters or bytes, closes 1009."""
    async with opened(server, ana) as connection:
        for frame in frames:
            await connection.send(frame)
        assert await closed(connection) == code


@pytest.mark.asyncio
async def test_a_bad_frame_now_and_then_is_forgiven(server: Server, ana: httpx.Client) -> None:
    """Only unusable frames in a row count."""
    async with opened(server, ana) as connection:
        for _ in range(15):
            await connection.send("no json")
            await connection.send('{"id": "1", "type": "ping"}')
            errors = [json.loads(await connection.recv()) for _ in range(2)]
            assert {"error", "response"} <= {key for frame in errors for key in frame}
        await connection.close()


@pytest.mark.asyncio
async def test_who_does_not_sign_in_is_closed(server: Server) -> None:
    """Without a session at the upgrade, a login frame has to come in time."""
    async with connect(server.websocket_url) as connection:
        assert await closed(connection, 4) == 4001
    with pytest.raises(InvalidStatus) as refused:
        async with connect(server.websocket_url, additional_headers={"X-Session-ID": "0" * 43}):
            pass
    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body or b"{}")["error"]["code"] == "unauthenticated"


@pytest.mark.asyncio
async def test_one_person_has_a_bounded_number_of_sockets(server: Server, bob: httpx.Client) -> None:
    """One more than that is closed 4010, and there is room again when one has gone."""
    async with opened(server, bob), opened(server, bob):
        async with opened(server, bob), connect(server.websocket_url, additional_headers=headers(bob)) as fourth:
            assert await closed(fourth) == 4010
        await asyncio.sleep(0.3)
        async with opened(server, bob) as third:
            await third.send('{"id": "1", "type": "ping"}')


@pytest.mark.asyncio
async def test_compression_is_not_agreed_to(server: Server, ana: httpx.Client) -> None:
    """permessage-deflate is off by default, though the client offers it."""
    async with connect(server.websocket_url, additional_headers=headers(ana), compression="deflate") as connection:
        assert connection.response is not None
        assert "Sec-WebSocket-Extensions" not in connection.response.headers


def small_socket(server: Server, receive_buffer: int) -> socket.socket:
    """A TCP connection that takes little in before it is read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.connect(("127.0.0.1", server.port))
    return connection


def raw_upgrade(server: Server, client: httpx.Client, receive_buffer: int) -> socket.socket:
    """A TCP connection that has shaken hands, and on which nobody answers pings."""
    connection = small_socket(server, receive_buffer)
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        "GET /websocket/client HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
        *(f"{name}: {value}" for name, value in headers(client).items()),
    ]
    connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    connection.settimeout(20)
    return connection


def test_a_silent_peer_is_closed_although_it_reads(server: Server, ana: httpx.Client) -> None:
    """Pings that nobody answers: close 4009 after the time of silence, not before."""
    with raw_upgrade(server, ana, 1 << 20) as connection:
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    assert b"\x89\x00" in received or b"\x89\x04" in received, "a ping came; uvicorn's say something"
    assert b"\x88" + bytes([2 + len(b"nothing was heard of you")]) + struct.pack("!H", 4009) in received


def test_a_peer_that_never_reads_is_dropped_and_others_don_t_notice(
    server: Server, ana: httpx.Client, bob: httpx.Client, channel: str
) -> None:
    """It is closed in time, and meanwhile every message reaches the others at once."""

    async def go() -> None:
        async with opened(server, bob) as other:
            for number in range(150):
                await asyncio.to_thread(call, ana, "POST", "/message/edit", channel_id=channel, contents=f"{number} " + "x" * 15_000)
                frame = await until(other, "message", 2)
                assert frame["data"]["contents"].startswith(f"{number} ")

    with raw_upgrade(server, ana, 4096) as stuck:
        asyncio.run(go())
        try:
            while stuck.recv(65536):
                pass
        except ConnectionResetError:
            pass  # dropped, for want of another way
    assert "Traceback" not in server.log()


@pytest.mark.asyncio
async def test_who_reads_too_slowly_is_told_so_and_resumes_without_loss(
    server: Server, ana: httpx.Client, bob: httpx.Client, channel: str
) -> None:
    """A client that stops reading while 600 messages come is closed 4008; with its place it gets every one of them, once."""
    seen: list[str] = []
    place = ""
    options: dict[str, Any] = {"max_size": None, "max_queue": 1, "ping_interval": None}
    # A small buffer: with the usual one the kernel would take all 6 MB, and the server never notice.
    narrow = small_socket(server, 4096)
    async with connect(server.websocket_url, sock=narrow, additional_headers=headers(bob), **options) as slow:
        hello = json.loads(await slow.recv())["data"]
        place = f"{hello['epoch']}.{hello['position']}"
        await until(slow, "ready")
        for number in range(600):
            await asyncio.to_thread(call, ana, "POST", "/message/edit", channel_id=channel, contents=f"{number} " + "x" * 10_000)
        with pytest.raises(ConnectionClosed):
            while True:
                frame = json.loads(await slow.recv())
                if frame["type"] == "message":
                    seen.append(frame["data"]["contents"].split()[0])
                if "position" in frame:
                    place = f"{hello['epoch']}.{frame['position']}"
    assert len(seen) < 600, "it was cut off"
    async with connect(server.websocket_url + f"?resume={place}", additional_headers=headers(bob), max_size=None) as again:
        assert json.loads(await again.recv())["data"]["resumed"] is True
        async with asyncio.timeout(20):
            while len(seen) < 600:
                frame = json.loads(await again.recv())
                if frame["type"] == "message":
                    seen.append(frame["data"]["contents"].split()[0])
    assert seen == [str(number) for number in range(600)]


@pytest.mark.asyncio
async def test_a_replay_ends_where_the_right_to_see_ends(server: Server, ana: httpx.Client, bob: httpx.Client) -> None:
    """Somebody who is kicked while reading a long replay slowly gets no more of the channel, and nothing that was removed meanwhile."""
    bob_id = str(call(bob, "GET", "/user/me")["id"])
    made = call(ana, "POST", "/channel/edit", name="long", topic="", type="private", members=bob_id)
    async with opened(server, bob) as before:
        await before.send('{"id": "1", "type": "ping"}')
    head = await place_of(server, bob)
    sent = [
        str(call(ana, "POST", "/message/edit", channel_id=made["id"], contents=f"{number} " + "x" * 15_000)["id"]) for number in range(600)
    ]
    options: dict[str, Any] = {"max_size": None, "max_queue": 1, "ping_interval": None}
    address, narrow = f"{server.websocket_url}?resume={head}", small_socket(server, 4096)
    async with connect(address, sock=narrow, additional_headers=headers(bob), **options) as slow:
        assert json.loads(await slow.recv())["data"]["resumed"] is True
        call(ana, "DELETE", "/message/remove", id=sent[-1])
        call(ana, "POST", "/channel/kick", id=made["id"], user_id=bob_id)
        seen = []
        with suppress(ConnectionClosed):  # reading this slowly may also be too slow
            while (frame := json.loads(await slow.recv())).get("event") != "PARTED":
                seen.append(frame)
    told = [frame["data"].get("contents") for frame in seen if frame.get("type") == "message"]
    assert len(told) < 600, "the replay stopped with the right to see it"
    assert not any(text and text.startswith("599 ") for text in told)


async def place_of(server: Server, client: httpx.Client) -> str:
    """Where a resume would begin now."""
    async with connect(server.websocket_url, additional_headers=headers(client), max_size=None) as connection:
        hello = json.loads(await connection.recv())["data"]
        return f"{hello['epoch']}.{hello['position']}"


@pytest.mark.asyncio
async def test_a_session_that_ends_while_its_socket_is_opening_closes_it(server: Server, ana: httpx.Client) -> None:
    """A slow client that is still being sent its channels is closed all the same."""
    own = server.sign_in("ana", "slow-client")
    for name in ("large", "larger"):
        channel = call(ana, "POST", "/channel/edit", name=name, topic="")["id"]
        for _ in range(50):  # 3 MB a channel: the kernel's buffers take 4
            call(ana, "POST", "/message/edit", channel_id=channel, contents="\N{WAVING HAND SIGN}" * 15_000)
    options: dict[str, Any] = {"max_size": None, "max_queue": 1, "ping_interval": None}
    async with connect(server.websocket_url, sock=small_socket(server, 4096), additional_headers=headers(own), **options) as slow:
        await slow.recv()
        call(own, "POST", "/user/logout")
        frames = []
        with pytest.raises(ConnectionClosed):
            async with asyncio.timeout(10):
                while True:
                    frames.append(json.loads(await slow.recv())["type"])
        assert slow.close_code in (4001, 1006)
        assert "ready" not in frames


@pytest.mark.asyncio
async def test_logging_out_by_frame_is_answered_before_the_end(server: Server) -> None:
    """No frame is ever ignored, not even the one that ends the session."""
    own = server.sign_in("bob", "leaving-client")
    async with opened(server, own) as socket:
        await socket.send('{"id": "out", "type": "call", "data": {"method": "POST", "path": "/user/logout", "params": {}}}')
        frames = []
        with pytest.raises(ConnectionClosed):
            while True:
                frames.append(json.loads(await socket.recv()))
        assert [frame["success"]["message"] for frame in frames if frame.get("reply_to") == "out"] == ["OK"]
        assert socket.close_code == 4001


@pytest.mark.asyncio
async def test_messages_to_a_person_and_to_their_channel_keep_their_order(server: Server, ana: httpx.Client, bob: httpx.Client) -> None:
    """The first one opens the direct channel; those that were sent after it come after it."""
    bob_id = str(call(bob, "GET", "/user/me")["id"])
    direct = call(ana, "POST", "/channel/edit", name="", topic="", type="direct", members=bob_id)["id"]
    async with opened(server, ana) as socket:
        for number in range(12):
            to = {"user_id": bob_id} if number % 3 == 0 else {"channel_id": direct}
            await socket.send(json.dumps({"id": str(number), "type": "message", "data": {**to, "contents": f"n{number}"}}))
        got: list[str] = []
        while len(got) < 12:
            frame = await until(socket, "message")
            if frame["channel_id"] == direct:
                got.append(frame["data"]["contents"])
    assert got == [f"n{number}" for number in range(12)]


@pytest.mark.asyncio
async def test_a_mention_and_a_moved_mark_are_told_to_ones_own_sockets(
    server: Server, ana: httpx.Client, bob: httpx.Client, channel: str
) -> None:
    """`unread` frames bear absolute counts."""
    async with opened(server, bob) as socket:
        call(ana, "POST", "/message/edit", channel_id=channel, contents="hey @bob")
        frame = await until(socket, "unread")
        assert (frame["data"]["channel_id"], frame["data"]["unread"], frame["data"]["mentions"]) == (channel, 1, 1)
        call(bob, "POST", "/channel/view", id=channel)
        assert (await until(socket, "unread"))["data"]["mentions"] == 0
        quiet = call(ana, "POST", "/message/edit", channel_id=channel, contents="nobody")
        call(ana, "POST", "/message/edit", id=quiet["id"], contents="@bob after all, and @ana")
        assert (await until(socket, "unread"))["data"]["mentions"] == 1
        assert call(ana, "GET", "/channel/read", id=channel)["mentions"] == 0, "nobody mentions themselves"


@pytest.mark.asyncio
async def test_presence_is_told_to_those_who_share_a_channel(server: Server, ana: httpx.Client, bob: httpx.Client, channel: str) -> None:
    """Coming online and saying how one is; nobody is told of themselves, and nothing of who is not there."""
    call(ana, "POST", "/user/presence", status="available")
    async with opened(server, bob) as watching, opened(server, ana) as talking:
        await talking.send('{"id": "1", "type": "presence", "data": {"status": "dnd", "text": "writing"}}')
        while (frame := await until(watching, "presence"))["data"]["status"] != "dnd":
            pass
        assert (frame["data"]["user_id"], frame["data"]["text"]) == (call(ana, "GET", "/user/me")["id"], "writing")
        await talking.send('{"id": "2", "type": "ping"}')
        async with asyncio.timeout(5):
            while (frame := json.loads(await talking.recv())).get("reply_to") != "2":
                assert frame.get("type") != "presence" or frame["data"]["text"] != "writing"
    assert channel
