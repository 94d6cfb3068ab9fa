"""Frames for many sockets: the same bytes as a server would have made for each."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from crust.ws.frame import Frame, Run, message_of, texts, wire_of

sizes = st.sampled_from([0, 1, 124, 125, 126, 127, 65_534, 65_535, 65_536, 65_537])
characters = st.sampled_from(["x", "ж", "✓", "🎉"])


def by_wsproto(text: str) -> bytes:
    return Connection(ConnectionType.SERVER).send(TextMessage(text))


@given(sizes, characters, st.text())
def test_the_bytes_are_those_of_the_protocol(size: int, character: str, rest: str) -> None:
    """RFC 6455 5.2, at every border between its lengths; a shared frame's bytes are a plain text's."""
    text = character * (size // len(character.encode())) + rest
    assert wire_of(text) == wire_of(Frame(text)) == by_wsproto(text)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_a_run_is_its_frames_one_after_another_or_joined(contents: list[str]) -> None:
    """Its bytes are those of each; joined, it is an array of the same, and of one frame that frame."""
    frames = [Frame(json.dumps({"data": each})) for each in contents]
    run = Run(frames)
    assert run.wire == wire_of(run) == b"".join(map(by_wsproto, frames))
    assert json.loads(run.joined) == ([json.loads(each) for each in frames] if len(frames) > 1 else json.loads(frames[0]))
    assert run.size == sum(map(len, frames))
    assert list(texts(["a", run, "b"])) == ["a", *frames, "b"]


def test_the_message_of_a_shared_frame_is_made_once() -> None:
    """And is the one that ASGI knows."""
    frame = Frame("hello")
    assert message_of(frame) is message_of(frame)
    assert message_of(frame) == message_of("hello") == {"type": "websocket.send", "bytes": None, "text": "hello"}
