"""A frame that goes to many sockets, with all that is the same for each of them made once."""

from __future__ import annotations

from typing import Any

TEXT = 0x81  # FIN and opcode 1 (RFC 6455 5.2)


class Message(dict[str, Any]):
    """The ASGI message that sends a text. For every ASGI server it is a dict like any other; `wire` is for one that knows of it."""

    __slots__ = ("_wire",)

    def __init__(self, text: str) -> None:
        super().__init__(type="websocket.send", bytes=None, text=text)
        self._wire: bytes | None = None

    @property
    def wire(self) -> bytes:
        """The frame as a server sends it: unmasked, whole, uncompressed (RFC 6455 5.2)."""
        if self._wire is None:
            payload = self["text"].encode()
            self._wire = header(len(payload)) + payload
        return self._wire


class Frame(str):
    """The text of a frame; `message` sends it."""

    __slots__ = ("message",)
    message: Message

    def __new__(cls, text: str) -> Frame:
        frame = super().__new__(cls, text)
        frame.message = Message(text)
        return frame


def message_of(text: str) -> Message:
    """The ASGI message that sends a text: a shared frame's own."""
    return text.message if isinstance(text, Frame) else Message(text)


def header(length: int) -> bytes:
    """What stands before a text of `length` bytes."""
    if length < 126:
        return bytes((TEXT, length))
    return bytes((TEXT, 126)) + length.to_bytes(2) if length < 65_536 else bytes((TEXT, 127)) + length.to_bytes(8)
