"""A websocket client that keeps one number, may behave badly on purpose, and notes whatever comes that should not."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from array import array
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from crust.errors import CODES
from tests.e2e.soak.ledger import Answer, Ledger

ANSWER_S = 20.0  # within which every request has its reply; the machine may be busy
NARROW = 4096  # bytes that the kernel keeps for a client that reads slowly
GONE = 1006  # what a client says of a connection that ended without a close frame

Frame = Mapping[str, Any]


class Ended(Exception):
    """The socket ended before the answer came."""


class Refused(Exception):
    """The first frame was no login; the answer is the argument."""


class Wire:
    """One client: it may be opened again and again, and resumes from where it was.

    Args:
        headers: who it is; without a session it signs in by its first frame (`login`).
        heard: called with every event.
    """

    def __init__(
        self, name: str, url: str, headers: Mapping[str, str], ledger: Ledger, heard: Callable[[Frame], None] | None = None
    ) -> None:
        self.name, self._url, self._headers, self._ledger = name, url, dict(headers), ledger
        self.heard = heard or (lambda frame: None)
        self.epoch, self.position = "", 0
        self.positions = array("q")
        self.starts: list[int] = []
        self.resumes = self.fresh = 0
        self._socket: ClientConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiting: dict[str, asyncio.Future[Frame]] = {}
        self._number = 0
        self._ready = asyncio.Event()
        self._reading = asyncio.Event()
        self._may_close: set[int] = set()
        self._resuming = False

    @property
    def open(self) -> bool:
        return self._task is not None and not self._task.done() and self._ready.is_set()

    # ---- coming

    async def connect(
        self, *, resume: bool = True, batch: bool = False, narrow: bool = False, place: str | None = None,
        login: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Open it, and wait until it is ready.

        Args:
            resume: from where it was, if it was open before.
            narrow: with so little room in the kernel that not reading is soon noticed.
            place: resume from here instead, which cannot be done.
            login: the data of a first frame, in place of headers.
        """
        self._resuming = resume and bool(self.epoch) and place is None
        query = f"?resume={place or f'{self.epoch}.{self.position}'}" if self._resuming or place else ""
        options: dict[str, Any] = {"max_size": None, "ping_interval": None, "open_timeout": ANSWER_S, "compression": None}
        if narrow:
            options |= {"sock": narrow_socket(self._url), "max_queue": 1}
        headers = {} if login else self._headers
        self._socket = await self._upgraded(self._url + query, headers, options)
        self._ledger.opened += 1
        self._may_close = set()
        self._ready.clear()
        self._reading.set()
        self._task = asyncio.create_task(self._read(self._socket), name=f"wire {self.name}")
        if login:
            await self._sign_in(login)
        await self._until_ready()
        if batch:
            await self.ask("options", {"batch": True})

    async def _sign_in(self, login: Mapping[str, str]) -> None:
        answer = await self.ask("login", login)
        if answer.status != 200:
            self.may_close(4001)
            raise Refused(answer)

    async def _upgraded(self, url: str, headers: Mapping[str, str], options: Mapping[str, Any]) -> ClientConnection:
        try:
            return await connect(url, additional_headers=headers, **options)
        except InvalidStatus as error:
            self._ledger.fault("unexpected status", f"{self.name}: the upgrade was answered {error.response.status_code}")
            raise Ended(str(error)) from None

    async def _until_ready(self) -> None:
        assert self._task is not None
        ready = asyncio.ensure_future(self._ready.wait())
        await asyncio.wait([ready, self._task], timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if not self._ready.is_set():
            raise Ended(f"{self.name} was never ready")

    async def _read(self, connection: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            while True:
                await self._reading.wait()
                self._take(json.loads(await connection.recv()))
        self._closed(connection.close_code or GONE)

    def _closed(self, code: int) -> None:
        self._ledger.closes[str(code)] += 1
        if code not in self._may_close:
            self._ledger.fault("unexpected close", f"{self.name}: {code} ({self._socket.close_reason if self._socket else ''})")
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(Ended(f"{self.name}: {code}"))
                waiting.exception()  # whoever has given up waiting does not look
        self._waiting.clear()

    def _take(self, frames: Any) -> None:
        for frame in frames if isinstance(frames, list) else [frames]:
            if "reply_to" in frame:
                waiting = self._waiting.pop(frame["reply_to"], None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(frame)
            elif "position" in frame:
                self._take_event(frame)
            elif frame.get("type") == "hello":
                self._hello(frame["data"])
            elif frame.get("type") == "ready":
                self._ready.set()
            elif "error" in frame and (waiting := self._waiting.pop("", None)):
                waiting.set_result(frame)

    def _hello(self, data: Mapping[str, Any]) -> None:
        if data["resumed"]:
            self.resumes += 1
            self._ledger.resumes += 1
            return
        if self._resuming:
            self._ledger.fault("fresh start instead of a resume", f"{self.name} from {self.position} at {data['position']}")
        self.fresh += 1
        self._ledger.fresh += 1
        self.epoch, self.position = data["epoch"], data["position"]
        self.starts.append(self.position)

    def _take_event(self, frame: Frame) -> None:
        position: int = frame["position"]
        if position == self.position:
            self._ledger.fault("event twice", f"{self.name} at {position}")
        elif position < self.position:
            kind = "event twice" if position in self.positions else "event out of order"
            self._ledger.fault(kind, f"{self.name}: {position} after {self.position}")
        self.position = max(self.position, position)
        self.positions.append(position)
        self.heard(frame)

    # ---- asking

    async def ask(self, verb: str, data: Mapping[str, Any]) -> Answer:
        """One request, and its reply as an answer.

        Raises:
            Ended: the socket ended first.
        """
        return await (await self.begin(verb, data))

    async def begin(self, verb: str, data: Mapping[str, Any]) -> asyncio.Task[Answer]:
        """Send a request; the task has its answer. So several may be under way."""
        self._number += 1
        number = str(self._number)
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self.send(json.dumps({"id": number, "type": verb, "data": data}))
        return asyncio.create_task(self._answer(waiting, f"{verb} {data}"))

    async def _answer(self, waiting: asyncio.Future[Frame], what: str) -> Answer:
        try:
            async with asyncio.timeout(ANSWER_S):
                frame = await waiting
        except TimeoutError:
            self._ledger.fault("unanswered request", f"{self.name}: {what[:200]}")
            raise Ended(what) from None
        body = {name: value for name, value in frame.items() if name != "reply_to"}
        return Answer(CODES[frame["error"]["code"]] if "error" in frame else 200, body)

    async def error_of(self, text: str) -> Answer:
        """Send what has no usable id; the next error without one is its answer."""
        waiting = self._waiting[""] = asyncio.get_running_loop().create_future()
        await self.send(text)
        return await self._answer(waiting, text)

    async def send(self, text: str | bytes) -> None:
        """Any frame.

        Raises:
            Ended: the socket has ended.
        """
        assert self._socket is not None
        try:
            await self._socket.send(text)
        except ConnectionClosed as error:
            raise Ended(str(error)) from None

    # ---- going

    def may_close(self, *codes: int) -> None:
        """From now on it may end with one of these."""
        self._may_close |= set(codes)

    async def close(self) -> None:
        """A clean end."""
        self.may_close(1000, 1001, 1005)
        if self._socket is not None:
            await self._socket.close()
        await self.ended()

    async def reset(self) -> None:
        """An abrupt end: a TCP reset, as of a crashed machine that came back."""
        self.may_close(GONE)
        if self._socket is not None:
            linger = struct.pack("ii", 1, 0)
            with suppress(OSError, AttributeError):
                self._socket.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self._socket.transport.abort()
        await self.ended()

    async def hang_up(self) -> None:
        """Half of a farewell: no more is sent, without a close frame, but what comes is read to its end."""
        self.may_close(1000, GONE)
        if self._socket is not None:
            with suppress(OSError, RuntimeError):
                self._socket.transport.write_eof()
        await self.ended()

    def freeze(self) -> None:
        """Stop reading, pings included: to the server it is slow, then silent."""
        self.may_close(4008, 4009, GONE)
        self._reading.clear()
        if self._socket is not None:
            self._socket.transport.pause_reading()

    def thaw(self) -> None:
        """Read on."""
        self._reading.set()
        if self._socket is not None:
            with suppress(RuntimeError):
                self._socket.transport.resume_reading()

    async def ended(self, seconds: float = ANSWER_S) -> bool:
        """Wait for the end; whether it came."""
        if self._task is None:
            return True
        self._reading.set()
        done, _ = await asyncio.wait([self._task], timeout=seconds)
        return bool(done)

    def successor(self) -> Wire:
        """The same client on a new connection; what this one still reads counts no more."""
        new = Wire(self.name, self._url, self._headers, self._ledger, self.heard)
        new.epoch, new.position, new.positions, new.starts = self.epoch, self.position, self.positions, self.starts
        new.resumes, new.fresh = self.resumes, self.fresh
        self.positions, self.heard = array("q"), lambda frame: None
        return new

    async def drop(self) -> None:
        """Whatever state it is in: no more of it."""
        with suppress(WebSocketException, OSError):
            await self.reset()


def narrow_socket(url: str) -> socket.socket:
    """A TCP connection that takes little in before it is read."""
    parts = urlsplit(url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW)
    connection.connect((parts.hostname or "", parts.port or 0))
    return connection
