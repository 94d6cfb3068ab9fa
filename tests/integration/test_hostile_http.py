"""What the internet sends to an HTTP port: it is answered in the API's words or hung up on, and nobody else notices."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from tests.support.server import Server
from tests.support.wire import connected, exchange, quietly, read_answer, request

JSON, FORM, MULTIPART = "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=B"
BODY_BYTES = 1_048_576


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with ana on it."""
    server = Server(Path(tmp_path_factory.mktemp("hostile")), {"CRUST_LIMITS__ENABLED": "false"})
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


# ---- what is no HTTP


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x00\x01\x02\xff\xfe\r\n\r\n", "bad_request"),
        (b"\n" * 70_000, "bad_request"),
        (bytes.fromhex("16030100f8010000f40303") + bytes(range(200)) + b"\r\n\r\n", "bad_request"),  # a TLS ClientHello
        (b"GET /health/live\r\n\r\n", "bad_request"),  # HTTP/0.9
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", "bad_request"),  # HTTP/2
        (b"GET /health/live HTTP/3.7\r\nHost: x\r\n\r\n", "bad_request"),
        (b"GET /health/live HTTP/1.1\r\n\r\n", "bad_request"),  # no Host
        (b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", "bad_request"),
        (b"GET ?a=b HTTP/1.1\r\nHost: x\r\n\r\n", "bad_request"),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "bad_request"),
        (b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\nmore", "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", "bad_request"),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", "too_large"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 100_000 + b"\r\n\r\n", "too_large"),
    ],
)
def test_garbage_is_refused_and_hung_up_on(server: Server, data: bytes, code: str) -> None:
    """One answer in the envelope, with a status of the API's list, and the end of the connection."""
    [answer] = exchange(server, data)
    assert answer.error["code"] == code
    assert answer.status == {"bad_request": 400, "too_large": 413}[code]
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    "headers_and_body",
    [
        {"Content-Length": "2", "Transfer-Encoding": "chunked", "": "2\r\n{}\r\n0\r\n\r\n"},
        {"Content-Length": "2\r\nContent-Length: 3", "": "{}x"},
        {"Content-Length": "-2", "": "{}"},
        {"Content-Length": "0x2", "": "{}"},
        {"Transfer-Encoding": "gzip", "": "{}"},
        {"Transfer-Encoding": "chunked", "": "zz\r\n{}\r\n0\r\n\r\n"},
    ],
)
def test_a_body_has_one_length_that_can_be_read(server: Server, headers: Mapping[str, str], headers_and_body: dict[str, str]) -> None:
    """Two lengths, on which a proxy and we may disagree, none, or one that is no number: refused, never guessed at."""
    body = headers_and_body.pop("").encode()
    [answer] = exchange(server, request("POST", "/channel/edit", {**headers, "Content-Type": JSON, **headers_and_body}, body))
    assert (answer.status, answer.error["code"]) == (400, "bad_request")


def test_a_body_that_ends_too_early_is_refused(server: Server, headers: Mapping[str, str]) -> None:
    """The client says 50 bytes, sends 2 and hangs up its half."""
    with connected(server) as connection:
        connection.sendall(request("POST", "/channel/edit", {**headers, "Content-Type": JSON, "Content-Length": "50"}, b"{}"))
        connection.shutdown(socket.SHUT_WR)
        assert read_answer(connection).status == 400


def test_what_follows_the_length_is_the_next_request(server: Server, headers: Mapping[str, str]) -> None:
    """A body that is longer than it says: the first request is answered, the rest is refused as one that is none."""
    kept = {name: value for name, value in headers.items() if name != "Connection"}
    data = request("POST", "/channel/view", {**kept, "Content-Type": JSON, "Content-Length": "2"}, b"{}GARBAGE\r\n\r\n")
    assert [answer.status for answer in exchange(server, data)] == [422, 400]


def test_requests_in_a_row_are_answered_in_a_row(server: Server, headers: Mapping[str, str]) -> None:
    """Twenty at once on one connection: each is answered, in their order."""
    kept = {name: value for name, value in headers.items() if name != "Connection"}
    paths = ["/user/me", "/nothing", "/channel/search?query=%00", "/health/live"] * 5
    data = b"".join(request("GET", path, kept) for path in paths) + request("GET", "/user/me", headers)
    assert [answer.status for answer in exchange(server, data)] == [200, 404, 422, 200] * 5 + [200]


def test_http_2_is_not_begun(server: Server, headers: Mapping[str, str]) -> None:
    """An upgrade to h2c is an offer that one may pass over (RFC 9110 7.8)."""
    offer = {"Connection": "close, Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__"}
    [answer] = exchange(server, request("GET", "/user/me", {**headers, **offer}))
    assert answer.status == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/%00%ff%ed%a0%80", 404),
        ("//[::1/x", 404),
        ("http://[::1/x", 404),
        ("http://elsewhere/health/live", 200),
        ("/../../etc/passwd", 404),
        ("/channel/search?" + "&" * 8000, 400),
        ("/channel/search?" + "a=1&" * 2000, 400),
        ("/channel/search?%FF=1", 400),
        ("/channel/search?query=" + "x" * 15_000, 422),
        ("/channel/read?id=99999999999999999999", 422),
        ("/channel/read?id=" + "9" * 10_000, 422),
        ("/channel/read?id=1&id=2", 422),
        ("/websocket/client", 400),
    ],
)
def test_absurd_targets(server: Server, headers: Mapping[str, str], path: str, status: int) -> None:
    """Each is answered in the envelope; none is an error of the server's."""
    [answer] = exchange(server, request("GET", path, headers))
    assert answer.status == status
    assert set(json.loads(answer.body)) <= {"error", "response", "next"}


@pytest.mark.parametrize(
    "header",
    [
        {"Host": "a/b?c#d@e:99999999"},
        {"Cookie": '\xff=\xfe; crust_session="\\377\\000;;='},
        {"Content-Type": 'a/b; charset=\xff; =;"'},
        {"Accept": "\x80" * 5000},
        {"X-Forwarded-For": "::::, 1.2.3.4.5"},
        {"Expect": "200-maybe"},
    ],
)
def test_absurd_headers(server: Server, headers: Mapping[str, str], header: dict[str, str]) -> None:
    """What nobody asks for changes nothing."""
    [answer] = exchange(server, request("GET", "/user/me", {**headers, **header}))
    assert answer.status == 200


# ---- what is in a body


def part(name: str, value: str = "x") -> str:
    return f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'


@pytest.mark.parametrize(
    ("content_type", "body", "status", "field"),
    [
        (JSON, b"[" * 10_000, 400, None),
        (JSON, b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400, None),
        (JSON, b'{"name": "one", "topic": "", "name": "two"}', 400, "name"),
        (JSON, b'{"name": "one", "x": [{"deep": 1, "deep": 1}]}', 400, "deep"),
        (JSON, b'{"name": NaN}', 400, None),
        (JSON, b'{"name": 1e999}', 400, None),
        (JSON, b'{"id": ' + b"9" * 5000 + b"}", 400, None),
        (JSON, b'{"name": "\xff"}', 400, None),
        (JSON, '{"name": "x", "topic": ""}'.encode("utf-16"), 400, None),
        (JSON, b'{"name": "a\\ud800", "topic": ""}', 422, "name"),
        (JSON, b'{"name": "a\xed\xa0\x80", "topic": ""}', 422, "name"),
        (FORM, b"name=%ED%A0%80&topic=", 422, "name"),
        (JSON, b'{"name": "a\\u0000", "topic": ""}', 422, "name"),
        (JSON, '{"name": "nimda\u202e", "topic": ""}'.encode(), 422, "name"),
        (JSON, '{"name": "\u200b", "topic": ""}'.encode(), 422, "name"),
        (JSON, '{"name": "ok", "topic": "read \u2067this"}'.encode(), 422, "topic"),
        (JSON, ('{"name": "' + "a" + "\u0315\u0300" * 90_000 + '", "topic": ""}').encode(), 422, "name"),
        (JSON, b'{"name": "ok", "topic": "", "id": 9223372036854775808}', 422, "id"),
        (JSON, b'{"name": "ok", "topic": "", "id": -1}', 422, "id"),
        (FORM, "name=é&topic=".encode("latin-1"), 400, None),
        (FORM, b"&".join(b"a%d=1" % number for number in range(5000)), 400, None),
        (MULTIPART, part("name").encode(), 400, None),
        (MULTIPART, b"--B\r\n" + b"A: b\r\n" * 50_000, 400, None),
        (MULTIPART, part("name").encode() + b"\r\n--" * 200_000, 400, None),
        (MULTIPART, (part("a") * 2000 + "--B--").encode(), 400, None),
        (MULTIPART, (part("name", "\0") + part("topic") + "--B--").encode(), 422, "name"),
        ("multipart/form-data", part("name").encode(), 400, None),
        ("text/plain; charset=\xff", b"x", 400, None),
    ],
)  # fmt: skip
def test_a_body_that_means_no_good(
    server: Server, headers: Mapping[str, str], content_type: str, body: bytes, status: int, field: str | None
) -> None:
    """Refused in no time with the true status, its code, and the field wherever it is one field's fault."""
    began = time.monotonic()
    [answer] = exchange(server, request("POST", "/channel/edit", {**headers, "Content-Type": content_type}, body))
    assert time.monotonic() - began < 1
    assert (answer.status, answer.error["code"]) == (status, {400: "bad_request", 422: "invalid"}[status])
    assert answer.error.get("field") == field


def test_a_compressed_body_is_not_unpacked(server: Server, headers: Mapping[str, str]) -> None:
    """It says so, instead of calling it broken JSON."""
    packed = {**headers, "Content-Type": JSON, "Content-Encoding": "gzip"}
    [answer] = exchange(server, request("POST", "/channel/edit", packed, b"\x1f\x8b\x08\x00"))
    assert (answer.status, answer.error["field"]) == (400, "Content-Encoding")


@pytest.mark.parametrize("path", ["/user/login", "/nothing/here"])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_without_end_is_answered_and_the_answer_arrives(server: Server, path: str, chunked: bool) -> None:
    """Counted as it comes, whatever it says of its length; what the client still sends doesn't reset the connection under the answer."""
    length = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(10**12)}
    piece = b"x" * 50_000
    chunk = b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece
    with connected(server) as connection:
        connection.sendall(request("POST", path, {"Content-Type": JSON, **length}))
        for _ in range(BODY_BYTES // len(piece) + 1):
            connection.sendall(chunk)
        answer = read_answer(connection)
        assert (answer.status, answer.error["code"]) == ((413, "too_large") if path == "/user/login" else (404, "not_found"))
        assert connection.recv(1) == b"", "it has said its last"
        for _ in range(5):
            connection.sendall(chunk)
