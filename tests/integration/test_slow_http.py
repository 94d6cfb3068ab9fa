"""Slow, stuck and too many HTTP clients: each is cut off in bounded time, and holds nothing that others need."""

from __future__ import annotations

import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from tests.support.server import Server
from tests.support.wire import connected, held, quietly, read_answer, request, rest, seconds_until

IDLE_S, BODY_S, ANSWER_S = 1.5, 1.0, 1.0
LIMITS = {
    "CRUST_LIMITS__ENABLED": "false",
    "CRUST_HTTP__IDLE_S": str(IDLE_S),
    "CRUST_HTTP__BODY_S": str(BODY_S),
    "CRUST_HTTP__ANSWER_S": str(ANSWER_S),
}
JSON = "application/json"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with short times, and ana on it."""
    server = Server(Path(tmp_path_factory.mktemp("slow")), LIMITS)
    server.add_user("ana")
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def headers(server: Server) -> dict[str, str]:
    """What signs ana in, on a connection of one request."""
    ana = server.sign_in("ana")
    return {"Connection": "close", **{name: ana.headers[name] for name in ("X-Session-ID", "X-Client-ID")}}


@pytest.fixture(autouse=True)
def unharmed(server: Server, headers: Mapping[str, str]) -> Iterator[None]:
    """After each test: the log has no error, and a well-behaved client is served."""
    with quietly(server):
        yield
        assert httpx.get(server.url + "/user/me", headers=headers).status_code == 200


def test_a_head_that_drips_is_cut_off(server: Server) -> None:
    """A byte now and then keeps nothing open: the time runs from the connection, not from the last byte."""
    with connected(server) as connection:
        began = time.monotonic()
        connection.settimeout(0.2)
        received = None
        for byte in b"GET / HTTP/1.1\r\nHost: x\r\nA-header-that-takes-its-time: and then some more":
            connection.sendall(bytes([byte]))
            try:
                received = connection.recv(1)
                break
            except TimeoutError:
                pass
    assert received == b""
    assert IDLE_S - 0.2 < time.monotonic() - began < IDLE_S + 1


def test_a_body_that_drips_is_cut_off(server: Server, headers: Mapping[str, str]) -> None:
    """The same for a body, which is told so; meanwhile others are served."""
    with connected(server) as connection:
        began = time.monotonic()
        connection.sendall(request("POST", "/channel/edit", {**headers, "Content-Type": JSON, "Content-Length": "500"}))
        connection.settimeout(0.1)
        for _ in range(200):
            connection.sendall(b" ")
            assert httpx.get(server.url + "/health/live", timeout=1).status_code == 200
            try:
                connection.recv(1, 2)  # looks without taking
                break
            except TimeoutError:
                pass
        assert BODY_S - 0.2 < time.monotonic() - began < BODY_S + 1
        connection.settimeout(5)
        answer = read_answer(connection)
        assert (answer.status, answer.error["code"]) == (400, "bad_request")
        assert rest(connection) == b""


@pytest.mark.parametrize("sent", [b"", b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /user/login HTTP/1.1\r\nContent-Le"])
def test_a_client_that_hangs_up_holds_nothing(server: Server, sent: bytes) -> None:
    """Its connection is gone at once, not when it would have been idle for too long."""
    with connected(server) as connection:
        connection.sendall(sent)
        seconds_until(lambda: held(server, connection), 1)
        connection.shutdown(socket.SHUT_WR)
        seconds_until(lambda: not held(server, connection), IDLE_S / 2)


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHo", b"POST /user/login HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"])
def test_a_peer_that_vanishes_is_forgotten(server: Server, sent: bytes) -> None:
    """Nothing more comes, no FIN either: before, in the middle of a head, in the middle of a body."""
    with connected(server) as connection:
        connection.sendall(sent)
        rest(connection)


def test_a_peer_that_reads_no_answer_is_dropped(server: Server, headers: Mapping[str, str]) -> None:
    """Megabytes of answers that nobody takes are not kept: the sockets are gone in bounded time."""
    kept = {name: value for name, value in headers.items() if name != "Connection"}
    asking = request("GET", "/openapi.json", kept) * 400
    peers = [connected(server, receive_buffer=4096) for _ in range(3)]
    try:
        for peer in peers:
            peer.sendall(asking)
        seconds_until(lambda: all(held(server, peer) for peer in peers), 5)
        assert seconds_until(lambda: not any(held(server, peer) for peer in peers), 2 * ANSWER_S + 4) > ANSWER_S / 2
    finally:
        for peer in peers:
            peer.close()


def test_more_connections_than_files_may_be_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Further ones are dropped, which is said once and not a thousand times; when there is room again, everybody is served."""
    server = Server(tmp_path)
    monkeypatch.setattr(
        server, "command", lambda *arguments: ["prlimit", "--nofile=800", sys.executable, "-m", "crust.cli.main", *arguments]
    )
    server.start()
    peers = [connected(server) for _ in range(700)]
    try:
        assert rest(peers[-1]) == b""
        seconds_until(lambda: "too many connections" in server.log(), 5)
        assert held(server, peers[0])
        for peer in peers:
            peer.close()
        seconds_until(server.ready, 5)
        assert server.log().count("too many connections") == 1
        assert "Traceback" not in server.log()
    finally:
        for peer in peers:
            peer.close()
        server.close()


def test_the_server_ends_in_time_whoever_is_slow(tmp_path: Path) -> None:
    """SIGTERM with a head, a body and an answer under way that never end: it exits within the 20 s of the operations contract."""
    server = Server(tmp_path, {"CRUST_LIMITS__ENABLED": "false"})
    server.start()
    slow = [connected(server) for _ in range(2)] + [connected(server, receive_buffer=4096)]
    try:
        slow[0].sendall(b"GET / HTTP/1.1\r\nHost")
        slow[1].sendall(request("POST", "/user/login", {"Content-Type": JSON, "Content-Length": "500"}, b"{"))
        slow[2].sendall(request("GET", "/openapi.json", {}) * 400)
        assert httpx.get(server.url + "/health/live").status_code == 200
        server.signal(signal.SIGTERM)
        assert server.process is not None
        assert server.process.wait(20) == 0
        assert "Traceback" not in server.log()
    finally:
        for peer in slow:
            peer.close()
        server.close()
