"""A client that costs little: whatever it takes is missing where the server is to be measured. No library's own work is between."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable, Mapping
from typing import Self
from urllib.parse import urlencode

HOST = "127.0.0.1"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10  # opcodes (RFC 6455 5.2)


class Http:
    """One kept-alive connection; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection(HOST, port, limit=2**24))

    async def request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, fields: Mapping[str, object] | None = None
    ) -> tuple[int, bytes]:
        """The status and the body; `fields` go as a form."""
        body = urlencode(fields).encode() if fields else b""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
        if fields:
            lines += ["Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(body)}"]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return int(head[9:12]), await self._reader.readexactly(length)

    def close(self) -> None:
        self._writer.close()


class Websocket(asyncio.Protocol):
    """A websocket; `on_text` is called with the bytes of every text frame.

    Args:
        path: with its query.
        headers: of the upgrade.
        on_text: may be replaced later.
    """

    transport: asyncio.Transport

    def __init__(self, path: str, headers: Mapping[str, str], on_text: Callable[[bytes], None]) -> None:
        self._path, self._headers, self.on_text = path, headers, on_text
        self._upgraded = False
        self._buffer = b""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._code = 1006

    @classmethod
    async def open(cls, port: int, path: str, headers: Mapping[str, str], on_text: Callable[[bytes], None]) -> Self:
        """Connect and upgrade."""
        _, socket = await asyncio.get_running_loop().create_connection(lambda: cls(path, headers, on_text), HOST, port)
        await socket.opened
        return socket

    def send(self, text: str) -> None:
        self._send(TEXT, text.encode())

    def drop(self) -> None:
        """End the connection without a farewell."""
        self.transport.abort()

    def _send(self, opcode: int, payload: bytes) -> None:
        """With a mask of zeros, which leaves the payload as it is."""
        length = len(payload)
        size = bytes((0x80 | length,)) if length < 126 else bytes((0xFE,)) + length.to_bytes(2)
        self.transport.write(bytes((0x80 | opcode,)) + size + b"\0\0\0\0" + payload)

    # ---- asyncio's

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {self._path} HTTP/1.1", f"Host: {HOST}", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13", *(f"{name}: {value}" for name, value in self._headers.items()),
        ]  # fmt: skip
        transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        if not self._upgraded:
            head, end, buffer = buffer.partition(b"\r\n\r\n")
            if not end:
                self._buffer = head
                return
            self._upgraded = head.startswith(b"HTTP/1.1 101")
            if not self._upgraded:
                self.opened.set_exception(ConnectionError(head.decode()))
                self.transport.abort()
                return
            self.opened.set_result(None)
        self._buffer = self._frames(buffer)

    def _frames(self, buffer: bytes) -> bytes:
        """Deal with all whole frames; gives the rest."""
        at, end = 0, len(buffer)
        while end - at >= 2:
            length, start = buffer[at + 1], at + 2
            if length == 126:
                length, start = int.from_bytes(buffer[at + 2 : at + 4]), at + 4
            elif length == 127:
                length, start = int.from_bytes(buffer[at + 2 : at + 10]), at + 10
            if end < start + length:
                break
            self._frame(buffer[at] & 15, buffer[start : start + length])
            at = start + length
        return buffer[at:]

    def _frame(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            self.on_text(payload)
        elif opcode == PING:
            self._send(PONG, payload)
        elif opcode == CLOSE:
            self._code = int.from_bytes(payload[:2])
            self._send(CLOSE, payload[:2])

    def connection_lost(self, error: Exception | None) -> None:
        for future in (self.opened, self.closed):
            if not future.done() and future is self.closed:
                self.closed.set_result(self._code)
            elif not future.done():
                future.cancel()
