"""Frames that go to many sockets, with all that is the same for each of them made once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

TEXT = 0x81  # FIN and opcode 1 (RFC 6455 5.2)


class Frame(str):
    """The text of a frame. `message` is the ASGI message that sends it, `wire` the bytes that a server makes of that."""

    __slots__ = ("_message", "_wire")
    _message: dict[str, Any] | None
    _wire: bytes | None

    def __new__(cls, text: str) -> Frame:
        frame = super().__new__(cls, text)
        frame._message = frame._wire = None
        return frame

    @property
    def message(self) -> dict[str, Any]:
        if self._message is None:
            self._message = message_of(str(self))  # of a plain text: the message would hold the frame that holds it
        return self._message

    @property
    def wire(self) -> bytes:
        if self._wire is None:
            self._wire = _encoded(self)
        return self._wire


class Run:
    """Frames that follow each other for everybody who gets one of them.

    Args:
        frames: at least one.
    """

    def __init__(self, frames: Iterable[Frame]) -> None:
        self.frames = tuple(frames)
        self.size = sum(map(len, self.frames))

    @cached_property
    def joined(self) -> Frame:
        """All in one frame, for clients that asked for that."""
        return Frame(f"[{','.join(self.frames)}]") if len(self.frames) > 1 else self.frames[0]

    @cached_property
    def wire(self) -> bytes:
        """All of them, one after another, as bytes."""
        return b"".join(frame.wire for frame in self.frames)


def texts(parts: Iterable[str | Run]) -> Iterator[str]:
    """Frame by frame."""
    for part in parts:
        if isinstance(part, Run):
            yield from part.frames
        else:
            yield part


def up_to(parts: Sequence[str | Run], most: int) -> list[list[str | Run]]:
    """Frames in groups as large as possible, none with more than `most` characters unless it is one frame or run."""
    groups: list[list[str | Run]] = []
    size = most
    for part in parts:
        length = (part.size if isinstance(part, Run) else len(part)) + 1
        size += length
        if size > most:
            groups.append([])
            size = length
        groups[-1].append(part)
    return groups


def joined_up_to(parts: Sequence[str | Run], most: int) -> list[list[str]]:
    """The same with each group joined into one frame."""
    return [
        [group[0].joined] if len(group) == 1 and isinstance(group[0], Run) else [joined(tuple(texts(group)))]
        for group in up_to(parts, most)
    ]


def joined(frames: tuple[str, ...]) -> str:
    """Several frames as one, of the encoded texts."""
    return f"[{','.join(frames)}]" if len(frames) > 1 else frames[0]


def message_of(text: str) -> dict[str, Any]:
    """The ASGI message that sends a text."""
    return text.message if isinstance(text, Frame) else {"type": "websocket.send", "bytes": None, "text": text}


def wire_of(text: str | Run) -> bytes:
    """A text frame as a server sends it: unmasked, whole, uncompressed (RFC 6455 5.2); or all of a run."""
    return text.wire if isinstance(text, Frame | Run) else _encoded(text)


def _encoded(text: str) -> bytes:
    payload = text.encode()
    length = len(payload)
    if length < 126:
        return bytes((TEXT, length)) + payload
    if length < 65_536:
        return bytes((TEXT, 126)) + length.to_bytes(2) + payload
    return bytes((TEXT, 127)) + length.to_bytes(8) + payload
