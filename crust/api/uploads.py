"""Uploads: bodies that are read while they come, and never as a whole in memory.

The framework collects a request's body as fast as it arrives, whether anybody reads it or not. So for calls that take a file it is given
an empty one, and the body is read past it (`pulling`): when the disk is slow, the sender waits.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from werkzeug.exceptions import HTTPException
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import NEED_DATA, Data, Epilogue, Event, Field, File, MultipartDecoder, State

from crust.api.params import FIELDS_MAX, Types, from_pairs
from crust.errors import BadRequest, Invalid, TooLarge

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]

BODY = "crust.body"  # where the scope of a request has its body
PART = "upload"  # the part of a form that is the file
HEAD_MAX = 65_536  # bytes of what stands before a part and after the last one
OPEN_LINE = re.compile(rb"-|[ \t\f\v]{0,1000}")
UNWANTED_S = 1.0  # for the rest of a body that nobody wants, so that who sends it gets to read why


@dataclass(frozen=True, slots=True)
class Pace:
    """How slow a body may be: `idle_s` between two pieces, `per_second` bytes in the long run, for which the first `free_s` don't count."""

    idle_s: float
    per_second: int
    free_s: float


class Body:
    """The body of one request, for one reader, who is waited for."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ended = asyncio.Event()
        self._told = self._gone = False

    async def chunks(self, pace: Pace) -> AsyncIterator[bytes]:
        """Its bytes.

        Raises:
            BadRequest: they came too slowly, or ended before they were complete.
        """
        began, size = monotonic(), 0
        while not self._ended.is_set():
            left = began + pace.free_s + size / pace.per_second - monotonic()
            try:
                async with asyncio.timeout(min(pace.idle_s, left)):
                    chunk = await self._next()
            except TimeoutError:
                raise BadRequest("The body came too slowly; nothing of it is kept.") from None
            size += len(chunk)
            if chunk:
                yield chunk
        if self._gone:
            raise BadRequest("The body ended before it was complete; nothing of it is kept.")

    async def _next(self) -> bytes:
        message = await self._receive()
        self._gone = message["type"] == "http.disconnect"
        if self._gone or not message.get("more_body", False):
            self._ended.set()
        return bytes(message.get("body", b""))

    async def receive(self) -> Message:
        """What the framework is given instead: nothing, and later that the client has gone."""
        if not self._told:
            self._told = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._ended.wait()
        return {"type": "http.disconnect"} if self._gone else await self._receive()

    async def discard(self) -> None:
        """After the answer: take what still comes, for a moment, or the sender would not get to read it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(UNWANTED_S):
                while not self._ended.is_set():
                    await self._next()


def pulling(app: App, calls: Collection[tuple[str, str]]) -> App:
    """The same app, with the bodies of these calls (method, path) left to whoever reads `Body` from the request's scope."""

    async def asgi(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (scope["method"], scope["path"]) not in calls:
            await app(scope, receive, send)
            return
        body = scope[BODY] = Body(receive)
        await app(scope, body.receive, send)
        await body.discard()

    return asgi


# ---- what comes in it


@dataclass(slots=True)
class Upload:
    """A file as it comes. `fields` are the request's parameters: all of them once `chunks` is at its end; `name` is the sender's."""

    name: str | None
    fields: dict[str, Any]
    chunks: AsyncIterator[bytes]


async def begun(content_type: str, query: Mapping[str, Any], chunks: AsyncIterator[bytes], fields_max: int) -> Upload:
    """A body's file, at its first byte.

    Args:
        query: the parameters that are known already.
        fields_max: the most bytes of a form's fields.

    Raises:
        BadRequest: it is a form that cannot be read.
        Invalid: it is a form without a file.
        TooLarge: a form's fields are too long.
    """
    kind, options = parse_options_header(content_type)
    if kind.lower() != Types.MULTIPART:
        return Upload(None, dict(query), chunks)
    form = Form(chunks, options.get("boundary", ""), fields_max, dict(query))
    name = await form.begin()
    return Upload(name, form.fields, form.file())


@dataclass(slots=True)
class _Part:
    """A field that is being read."""

    name: str
    value: bytearray = field(default_factory=bytearray)


class Form:
    """A multipart form, read while it comes: fields, one file, fields. `fields` are kept in the dictionary that it is given."""

    def __init__(self, chunks: AsyncIterator[bytes], boundary: str, fields_max: int, fields: dict[str, Any]) -> None:
        if not boundary:
            raise BadRequest("The multipart form cannot be read: its Content-Type names no boundary.")
        self._chunks, self._left = chunks, fields_max
        self._boundary = b"--" + boundary.encode("utf-8", "surrogateescape")
        self._decoder = MultipartDecoder(self._boundary[2:], max_parts=FIELDS_MAX)
        self._pairs: list[tuple[str, str]] = []
        self.fields = fields

    async def begin(self) -> str:
        """Read up to the file; gives what its sender calls it.

        Raises:
            BadRequest, Invalid, TooLarge: as in `begun`.
        """
        event = await self._fields()
        if not isinstance(event, File):
            raise Invalid(f"The form has no file: it belongs into the part named {PART}.", field=PART)
        return event.filename

    async def file(self) -> AsyncIterator[bytes]:
        """The file's bytes; then the fields behind it are read.

        Raises:
            BadRequest, TooLarge: as in `begun`.
            Invalid: there is a second file.
        """
        while True:
            event = await self._event()
            if isinstance(event, Data):
                if event.data:
                    yield event.data
                if not event.more_data:
                    break
        if isinstance(await self._fields(), File):
            raise Invalid("One file is taken at a time.", field=PART)

    async def _fields(self) -> File | None:
        """Read fields up to a file or the end."""
        part: _Part | None = None
        while True:
            event = await self._event()
            if isinstance(event, File):
                self.fields.update(from_pairs(self._pairs))
                if event.name != PART:
                    raise Invalid(f"The file belongs into the part named {PART}.", field=PART)
                return event
            if isinstance(event, Epilogue):
                self.fields.update(from_pairs(self._pairs))
                return None
            if isinstance(event, Field):
                part = _Part(event.name) if event.name else None
            elif isinstance(event, Data) and part is not None:
                self._take(part, event)

    def _take(self, part: _Part, event: Data) -> None:
        part.value += event.data
        if len(part.value) > self._left:
            raise TooLarge("The fields of the form are too long.")
        if not event.more_data:
            self._left -= len(part.value)
            try:
                self._pairs.append((part.name, part.value.decode("utf-8", "surrogatepass")))
            except ValueError as error:
                raise unreadable(error) from None

    async def _event(self) -> Event:
        """What comes next in the form; its end as `Epilogue`, whatever stands behind it."""
        decoder = self._decoder
        while True:
            try:
                event = NEED_DATA if self._at_a_border() else decoder.next_event()
                if event is not NEED_DATA:
                    return event
                if decoder.state is State.EPILOGUE:
                    await self._rest()
                    return Epilogue(b"")
                if len(decoder.buffer) > HEAD_MAX and decoder.state in (State.PREAMBLE, State.PART):
                    raise TooLarge("The head of a part of the form is too long.")
                decoder.receive_data(await anext(self._chunks, None))
            except (ValueError, HTTPException) as error:
                raise unreadable(error) from None

    def _at_a_border(self) -> bool:
        """Whether what has come ends between a boundary and the rest of its line.

        Werkzeug 3.1.9 then hands out a part of the boundary as data: its search for one that is cut off begins one line break too late.
        """
        decoder = self._decoder
        if decoder.complete or decoder.state not in (State.DATA_START, State.DATA):
            return False
        _, found, behind = decoder.buffer.rpartition(self._boundary)
        return bool(found) and OPEN_LINE.fullmatch(behind) is not None

    async def _rest(self) -> None:
        """What stands behind the form."""
        size = len(self._decoder.buffer)
        async for chunk in self._chunks:
            size += len(chunk)
            if size > HEAD_MAX:
                raise BadRequest("The multipart form cannot be read: much stands behind its end.")


def unreadable(error: Exception) -> BadRequest:
    """A form that is none."""
    return BadRequest(f"The multipart form cannot be read: {error}")
