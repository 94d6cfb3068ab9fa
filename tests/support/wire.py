"""Bytes on the wire: what no well-behaved client would send, and what comes back."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.server import Server

SOON_S = 5.0
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # that of RFC 6455 1.3


@dataclass(frozen=True)
class Answer:
    """One HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The inside of the error envelope."""
        assert self.headers["content-type"] == "application/json", self
        found: dict[str, Any] = json.loads(self.body)["error"]
        assert found["message"], self
        assert found["request_id"], self
        return found


def connected(server: Server, receive_buffer: int | None = None) -> socket.socket:
    """A TCP connection, on which nothing is waited for longer than 5 s."""
    connection = socket.socket()
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(SOON_S)
    connection.connect(("127.0.0.1", server.port))
    return connection


def request(method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """A request as it should be; Content-Length is added unless it, or a Transfer-Encoding, is given."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in {"Host": "x", **headers}.items())]
    if method not in ("GET", "HEAD") and not {"Content-Length", "Transfer-Encoding"} & set(headers):
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def read_answer(connection: socket.socket) -> Answer:
    """The next response, to its end."""
    with connection.makefile("rb") as stream:
        return _answer(stream.readline, stream.read)


def answers(raw: bytes) -> list[Answer]:
    """All the responses in what came."""
    found = []
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        lines = iter([*head.split(b"\r\n"), b""])
        size = int(_headers(head.split(b"\r\n")[1:]).get("content-length", "0"))
        body, raw = raw[:size], raw[size:]
        found.append(_answer(lambda lines=lines: next(lines), lambda _, body=body: body))  # type: ignore[misc]  # bound early
    return found


def _answer(line: Callable[[], bytes], read: Callable[[int], bytes]) -> Answer:
    version, status = line().split(b" ")[:2]
    assert version == b"HTTP/1.1", version
    lines = []
    while text := line().strip():
        lines.append(text)
    headers = _headers(lines)
    return Answer(int(status), headers, read(int(headers.get("content-length", "0"))))


def _headers(lines: list[bytes]) -> dict[str, str]:
    return {name.decode().lower(): value.strip().decode("latin-1") for name, _, value in (line.partition(b":") for line in lines)}


def rest(connection: socket.socket) -> bytes:
    """Everything that still comes until the server hangs up."""
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


def exchange(server: Server, data: bytes) -> list[Answer]:
    """What comes back to these bytes on a connection that the server ends."""
    with connected(server) as connection:
        connection.sendall(data)
        return answers(rest(connection))


def seconds_until(condition: Callable[[], bool], most: float) -> float:
    """How long something in another process takes to come true."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < most, f"not within {most} s"
        time.sleep(0.02)
    return time.monotonic() - began


def held(server: Server, connection: socket.socket) -> bool:
    """Whether the server's process still has its end of a connection, by the table of Linux."""
    ours, its = f":{connection.getsockname()[1]:04X}", f":{server.port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1].endswith(its) and row[2].endswith(ours) and row[9] != "0" for row in rows)  # inode 0: it belongs to nobody


@contextmanager
def quietly(server: Server) -> Iterator[None]:
    """Whatever happens in the block, the server's log says nothing of errors."""
    before = len(server.log())
    yield
    said = server.log()[before:]
    assert "Traceback" not in said, said
    assert '"level": "error"' not in said, said


# ---- websockets


def frame(
    opcode: int, payload: bytes = b"", *, final: bool = True, reserved: int = 0, masked: bool = True, size: int | None = None
) -> bytes:
    """A websocket frame, masked with zeros; `size` is what it says of its length."""
    length = len(payload) if size is None else size
    mask = 0x80 if masked else 0
    if length < 126:
        said = bytes([mask | length])
    elif length < 65536:
        said = bytes([mask | 126]) + struct.pack("!H", length)
    else:
        said = bytes([mask | 127]) + struct.pack("!Q", length)
    return bytes([final << 7 | reserved << 4 | opcode]) + said + (bytes(4) if masked else b"") + payload


def upgrade(headers: Mapping[str, str], leave_out: str = "", path: str = "/websocket/client") -> bytes:
    """A websocket's opening handshake; `headers` win over what it should have."""
    usual = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": KEY}
    return request("GET", path, {name: value for name, value in {**usual, **headers}.items() if name != leave_out})


class Peer:
    """The client's end of a websocket."""

    def __init__(self, server: Server, headers: Mapping[str, str]) -> None:
        self.connection = connected(server)
        self.connection.sendall(upgrade(headers))
        self._stream = self.connection.makefile("rb")
        self.status = int(self._stream.readline().split()[1])
        while self._stream.readline().strip():
            pass

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stream.close()
        self.connection.close()

    def send(self, *frames: bytes) -> None:
        self.connection.sendall(b"".join(frames))

    def say(self, text: str | bytes) -> None:
        self.send(frame(TEXT, text if isinstance(text, bytes) else text.encode()))

    def next(self) -> tuple[int, bytes]:
        """The next frame that is no ping: opcode and payload."""
        while True:
            first, size = self._stream.read(2)
            if size == 126:
                (size,) = struct.unpack("!H", self._stream.read(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", self._stream.read(8))
            payload = self._stream.read(size)
            if first & 0x0F != PING:
                return first & 0x0F, payload

    def heard(self, member: str, value: object = ...) -> dict[str, Any]:
        """The next JSON frame that has a member, with that value if one is given."""
        while True:
            opcode, payload = self.next()
            assert opcode == TEXT, (opcode, payload)
            found: dict[str, Any] = json.loads(payload)
            if member in found and value in (..., found[member]):
                return found

    def ready(self) -> Peer:
        self.heard("type", "ready")
        return self

    def closed(self) -> int:
        """The code with which the server closes; the close is answered, and the server hangs up."""
        while (heard := self.next())[0] != CLOSE:
            pass
        (code,) = struct.unpack("!H", heard[1][:2])
        self.send(frame(CLOSE, struct.pack("!H", code)))
        assert self._stream.read() == b""
        return int(code)
