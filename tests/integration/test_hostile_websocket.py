"""What the internet sends to a websocket: it is answered and the socket lives, or it is closed with the code that says why."""

from __future__ import annotations

import json
import os
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.server import Server
from tests.support.wire import BINARY, CLOSE, PING, PONG, TEXT, Peer, answers, connected, frame, quietly, rest, upgrade

LIMITS = {
    "CRUST_LIMITS__ENABLED": "false",
    "CRUST_HTTP__IDLE_S": "1.5",
    "CRUST_WEBSOCKET__PING_INTERVAL_S": "0.5",
    "CRUST_WEBSOCKET__SILENCE_S": "2",
    "CRUST_WEBSOCKET__LOGIN_TIMEOUT_S": "1",
    "CRUST_WEBSOCKET__CONNECTIONS_PER_USER": "3",
}
FRAME_BYTES = 262_144
PING_TEXT = '{"id": "alive", "type": "ping"}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with short times, and ana on it."""
    server = Server(Path(tmp_path_factory.mktemp("hostile")), LIMITS)
    server.add_user("ana")
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def headers(server: Server) -> dict[str, str]:
    """What signs ana in."""
    ana = server.sign_in("ana")
    return {name: ana.headers[name] for name in ("X-Session-ID", "X-Client-ID")}


@pytest.fixture(autouse=True)
def unharmed(server: Server, headers: Mapping[str, str]) -> Iterator[None]:
    """After each test: the log has no error, and a well-behaved client is served."""
    with quietly(server):
        yield
        with Peer(server, headers) as peer:
            peer.ready().say(PING_TEXT)
            assert peer.heard("reply_to", "alive")["response"]["time"]
            peer.send(frame(CLOSE, struct.pack("!H", 1000)))
            assert peer.closed() == 1000


# ---- the opening handshake


@pytest.mark.parametrize(
    ("wrong", "missing"),
    [
        ({"Sec-WebSocket-Version": "12"}, ""),
        ({"Sec-WebSocket-Version": "13, 8"}, ""),
        ({}, "Sec-WebSocket-Version"),
        ({}, "Sec-WebSocket-Key"),
        ({"Sec-WebSocket-Key": "abc"}, ""),
        ({"Sec-WebSocket-Key": "\xff\xfe"}, ""),
        ({"Sec-WebSocket-Key": "AAAA"}, ""),
        ({"Connection": "Upgrade, \xff"}, ""),
        ({"Sec-WebSocket-Protocol": "\xff"}, ""),
        ({"Sec-WebSocket-Extensions": "\xff"}, ""),
    ],
)
def test_an_upgrade_that_is_none_is_refused(server: Server, headers: Mapping[str, str], wrong: dict[str, str], missing: str) -> None:
    """400 in the envelope, the version that is spoken (RFC 6455 4.4), and the end of the connection."""
    with connected(server) as connection:
        connection.sendall(upgrade({**headers, **wrong}, leave_out=missing))
        [answer] = answers(rest(connection))
    assert (answer.status, answer.error["code"]) == (400, "bad_request")
    assert answer.headers["sec-websocket-version"] == "13"


@pytest.mark.parametrize("missing", ["Upgrade", "Connection"])
def test_half_an_upgrade_is_a_request(server: Server, headers: Mapping[str, str], missing: str) -> None:
    """Without one of the two headers it is a GET of a path that takes none."""
    with connected(server) as connection:
        connection.sendall(upgrade(headers, leave_out=missing))
        [answer] = answers(rest(connection))  # until it was idle for long enough
    assert (answer.status, answer.error["code"]) == (400, "bad_request")


def test_who_speaks_before_the_answer_is_refused(server: Server, headers: Mapping[str, str]) -> None:
    """RFC 6455 4.1 has the client wait. No ghost of such a connection counts against the three that ana may have."""
    for early in (frame(TEXT, PING_TEXT.encode()), b"\xff" * 100, frame(TEXT, b"", size=2**40)) * 2:
        with connected(server) as connection:
            connection.sendall(upgrade(headers) + early)
            [answer] = answers(rest(connection))
        assert (answer.status, answer.error["code"]) == (400, "bad_request")
    with Peer(server, headers) as one, Peer(server, headers) as two:
        one.ready()
        two.ready()


def test_who_upgrades_and_vanishes_is_forgotten(server: Server) -> None:
    """In the middle of the handshake, and before signing in."""
    with connected(server) as connection:
        connection.sendall(upgrade({})[:60])
        assert rest(connection) == b""
    with Peer(server, {}) as peer:
        assert peer.status == 101
        assert peer.closed() == 4001


# ---- frames


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (frame(TEXT, b"{}", masked=False), 1002),
        (frame(TEXT, b"{}", reserved=4), 1002),
        (frame(TEXT, b"{}", reserved=1), 1002),
        (frame(3), 1002),
        (frame(11), 1002),
        (frame(PING, b"", final=False), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(0, b"a continuation of nothing"), 1002),
        (frame(TEXT, b"one", final=False) + frame(TEXT, b"two"), 1002),
        (frame(TEXT, b"one", final=False) + frame(BINARY, b"two"), 1002),
        (b"\x81\xfe\x00\x01" + bytes(4) + b"x", 1002),  # a length in more bytes than it takes
        (b"\x81\xff" + b"\xff" * 8 + bytes(4), 1002),
        (frame(CLOSE, b"x"), 1002),
        (frame(CLOSE, struct.pack("!H", 999)), 1002),
        (frame(CLOSE, struct.pack("!H", 1005)), 1002),
        (frame(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b'"\xed\xa0\x80"'), 1007),
        (frame(TEXT, b"\xe2\x82", final=False) + frame(0, b"x"), 1007),
        (frame(BINARY, b"x"), 4000),
        (frame(BINARY), 4000),
        (frame(TEXT, b"x" * (FRAME_BYTES + 1)), 1009),
        (frame(TEXT, b"x" * (FRAME_BYTES + 1), size=2**62), 1009),
        (frame(TEXT, b"x", final=False) + frame(0, b"x" * 60_000, final=False) * 5, 1009),
    ],
)
@pytest.mark.parametrize("signed_in", [True, False])
def test_what_breaks_the_protocol_is_closed_with_its_code(
    server: Server, headers: Mapping[str, str], raw: bytes, code: int, signed_in: bool
) -> None:
    """1002 for frames that RFC 6455 does not allow, 1007 for what is no UTF-8, 1009 for too much, however it is cut; 4000 for binary."""
    with Peer(server, headers if signed_in else {}) as peer:
        peer.send(raw)
        assert peer.closed() == code


def test_fragments_are_a_message(server: Server, headers: Mapping[str, str]) -> None:
    """Cut anywhere, in the middle of a character too, with empty ones and with pings and pongs in between."""
    text = json.dumps({"id": "ж", "type": "ping"}, ensure_ascii=False).encode()
    with Peer(server, headers) as peer:
        peer.ready()
        peer.send(frame(TEXT, text[:1], final=False), frame(PING, b"in between"), frame(0, b"", final=False))
        for byte in text[1:-1]:
            peer.send(frame(0, bytes([byte]), final=False), frame(PONG))
        peer.send(frame(0, text[-1:]))
        assert peer.next() == (PONG, b"in between")
        assert peer.heard("reply_to", "ж")["response"]["time"]


@pytest.mark.parametrize(
    ("text", "reply_to", "code", "field"),
    [
        ("", None, "bad_request", None),
        ("[" * 10_000, None, "bad_request", None),
        ('{"id": "1", "x":' + '{"a":' * 10_000 + "1" + "}" * 10_001, None, "bad_request", None),
        ('{"id": "1", "id": "2", "type": "ping"}', None, "bad_request", "id"),
        ('{"id": "1", "type": "ping", "type": "quit"}', "1", "bad_request", "type"),
        ('{"id": "1", "type": "join", "data": {"channel_id": "1", "channel_id": "2"}}', "1", "bad_request", "channel_id"),
        ('{"id": "1", "type": "ping", "data": NaN}', None, "bad_request", None),
        ('{"id": "1", "type": "join", "data": {"channel_id": ' + "9" * 5000 + "}}", None, "bad_request", None),
        ('{"id": "\\ud800", "type": "ping"}', None, "bad_request", "id"),
        ('{"id": "\\u0000", "type": "ping"}', None, "bad_request", "id"),
        ('{"id": 1, "type": "ping"}', None, "bad_request", "id"),
        ('{"id": "1", "type": "\\ud800"}', "1", "bad_request", "type"),
        ('{"id": "1", "type": "join", "data": {"channel_id": 9223372036854775808}}', "1", "invalid", "channel_id"),
        ('{"id": "1", "type": "join", "data": {"channel_id": "\\ud800"}}', "1", "invalid", "channel_id"),
        ('{"id": "1", "type": "typing", "data": {"channel_id": -1, "state": "start"}}', "1", "invalid", "channel_id"),
        ('{"id": "1", "type": "message", "data": {"channel_id": 1, "contents": "\\udfff"}}', "1", "invalid", "contents"),
        ('{"id": "1", "type": "message", "data": {"channel_id": 1, "contents": "\\u0000"}}', "1", "invalid", "contents"),
        ('{"id": "1", "type": "message", "data": {"user_id": {"a": []}, "contents": "x"}}', "1", "invalid", "user_id"),
        ('{"id": "1", "type": "presence", "data": {"status": "dnd", "text": "a\\u202eb"}}', "1", "invalid", "text"),
        ('{"id": "1", "type": "presence", "data": {"status": "dnd", "until": "9999-12-31T23:59:59-23:59"}}', "1", "invalid", "until"),
        ('{"id": "1", "type": "call", "data": {"method": "GET", "path": "/\\ud800"}}', "1", "invalid", "path"),
        (
            '{"id": "1", "type": "call", "data": {"method": "GET", "path": "/user/search", "params": {"query": "'
            + "\u0315\u0300" * 60_000 + '"}}}', "1", "invalid", "query",
        ),
    ],
)  # fmt: skip
def test_a_frame_that_means_no_good_is_answered_and_the_socket_lives(
    server: Server, headers: Mapping[str, str], text: str, reply_to: str | None, code: str, field: str | None
) -> None:
    """In no time, with its code, the field wherever it is one field's fault, and under its id wherever that can be read."""
    with Peer(server, headers) as peer:
        peer.ready()
        began = time.monotonic()
        peer.say(text)
        answer = peer.heard("error")
        assert time.monotonic() - began < 1
        assert (answer.get("reply_to"), answer["error"]["code"], answer["error"].get("field")) == (reply_to, code, field)
        peer.say(PING_TEXT)
        assert peer.heard("reply_to", "alive")["response"]["time"]


def test_a_secret_that_cannot_be_one_is_named(server: Server) -> None:
    """Half a character in a `login`: the field is told, and there is still time to sign in."""
    with Peer(server, {}) as peer:
        peer.say('{"id": "1", "type": "login", "data": {"session_id": "\\ud800"}}')
        assert peer.heard("error")["error"]["field"] == "session_id"
        assert peer.closed() == 4001


def test_nothing_is_kept_of_who_goes_on_after_a_close(server: Server, headers: Mapping[str, str]) -> None:
    """The server closes, the client sends on without answering: it is hung up on, and what it sends is dropped."""
    with Peer(server, headers) as peer:
        peer.ready().send(frame(BINARY, b"x"))
        while peer.next()[0] != CLOSE:
            pass
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() - began < 10:
                peer.send(frame(TEXT, PING_TEXT.encode()) * 100)
                time.sleep(0.01)


def test_a_peer_that_vanishes_within_a_message_is_closed(server: Server, headers: Mapping[str, str]) -> None:
    """Half a message and then silence, no FIN: 4009 after the time of silence."""
    with Peer(server, headers) as peer:
        peer.ready().send(frame(TEXT, b'{"id": ', final=False))
        peer.connection.settimeout(15)
        while (heard := peer.next())[0] != CLOSE:
            pass
    assert struct.unpack("!H", heard[1][:2]) == (4009,)


# ---- too much of it


def test_a_flood_before_signing_in_stays_where_it_came_from(server: Server) -> None:
    """Frames that nobody reads are not kept: the sender is held up or hung up on, and the server's memory stays as it is."""
    before = rss_mib(server)
    small = frame(TEXT, b'{"id": "1", "type": "ping", "data": {"x": "' + b"y" * 100 + b'"}}')
    large = frame(TEXT, b"x" * 250_000)
    with connected(server, receive_buffer=4096) as connection:
        connection.sendall(upgrade({}))
        connection.settimeout(0.5)
        sent = 0
        try:
            for _ in range(2000):
                connection.sendall(small)
            while sent < 300_000_000:
                connection.sendall(large)
                sent += len(large)
        except OSError:
            pass  # held up, or hung up on
    assert rss_mib(server) - before < 40


def rss_mib(server: Server) -> float:
    assert server.process is not None
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
