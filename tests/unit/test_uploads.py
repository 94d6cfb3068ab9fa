"""Bodies that are read as they come: forms in any pieces, and how slow one may be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crust.api.uploads import HEAD_MAX, Body, Message, Pace, begun, pulling
from crust.errors import BadRequest, CrustError, Invalid, TooLarge

BOUNDARY = "limit-XyZ"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
QUICK = Pace(idle_s=1, per_second=1000, free_s=1)


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"'
    head += "" if filename is None else f'; filename="{filename}"\r\nContent-Type: text/html'
    return head.encode() + b"\r\n\r\n" + value + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def cut(body: bytes, places: Sequence[int]) -> list[bytes]:
    """A body in pieces."""
    edges = sorted({0, len(body), *(place % (len(body) + 1) for place in places)})
    return [body[start:end] for start, end in pairwise(edges)]


async def received(pieces: Sequence[bytes], fields_max: int = 1000, content_type: str = FORM) -> tuple[str | None, bytes, dict[str, Any]]:
    """Name, bytes and fields of what came."""

    async def chunks() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    upload = await begun(content_type, {"from": "query"}, chunks(), fields_max)
    data = b"".join([chunk async for chunk in upload.chunks])
    return upload.name, data, upload.fields


@settings(max_examples=300, deadline=None)
@given(
    body=st.binary(max_size=400)
    | st.lists(st.sampled_from([b"\r\n", b"--", b"-", BOUNDARY.encode()[:7], b"\r\n--limit-Xy", b"x"])).map(b"".join),
    places=st.lists(st.integers(0, 2000), max_size=12),
    before=st.text(st.characters(codec="utf-8", exclude_characters="\r\n-"), max_size=20),
)
def test_a_form_is_the_same_in_any_pieces(body: bytes, places: list[int], before: str) -> None:
    """The file's bytes are those that were sent, and the fields on both sides of it are there, wherever the network cuts."""
    sent = form(part("before", before.encode()), part("upload", body, "a.html"), part("after[]", b"1"), part("after[]", b"2"))
    name, data, fields = asyncio.run(received(cut(sent, places)))
    assert (name, data) == ("a.html", body)
    assert fields == {"from": "query", "before": before, "after": ["1", "2"]}


@settings(max_examples=300, deadline=None)
@given(junk=st.binary(max_size=300), at=st.integers(0, 300), places=st.lists(st.integers(0, 1000), max_size=5))
def test_a_broken_form_is_refused_in_our_words(junk: bytes, at: int, places: list[int]) -> None:
    """Whatever comes: it is read, or refused with an error of the API."""
    sent = form(part("a", b"1"), part("upload", b"x" * 100, "a"), part("b", b"2"))
    broken = sent[:at] + junk + sent[at + len(junk) :]
    with suppress(BadRequest, Invalid, TooLarge):
        asyncio.run(received(cut(broken, places)))


@pytest.mark.parametrize(
    ("sent", "error", "what"),
    [
        (form(part("a", b"1")), Invalid, "no file"),
        (form(part("file", b"1", "a")), Invalid, "named upload"),
        (form(part("upload", b"1", "a"), part("upload", b"2", "b")), Invalid, "One file"),
        (form(part("upload", b"1", "a"))[:-20], BadRequest, "cannot be read"),
        (form(part("a", b"x" * 1001), part("upload", b"1", "a")), TooLarge, "fields"),
        (form(part("upload", b"1", "a"), part("a", b"x" * 600), part("b", b"x" * 600)), TooLarge, "fields"),
        (b"x" * (HEAD_MAX + 1), TooLarge, "head"),
        (form(part("upload", b"1", "a")) + b"x" * (HEAD_MAX + 1), BadRequest, "behind"),
        (form(*[part("a", b"")] * 1001), BadRequest, "cannot be read"),
        (b"", BadRequest, "cannot be read"),
    ],
)
@pytest.mark.asyncio
async def test_what_is_wrong_with_a_form_is_said(sent: bytes, error: type[CrustError], what: str) -> None:
    """No file, two, in another part, cut off, too long beside the file."""
    with pytest.raises(error, match=what):
        await received([sent[start : start + 5000] for start in range(0, len(sent), 5000)])


@pytest.mark.asyncio
async def test_what_is_no_form_is_the_file() -> None:
    """Of whatever type; a form has to name its boundary."""
    for content_type in ("", "application/json", "text/html; charset=utf-8", "application/x-www-form-urlencoded"):
        assert await received([b"a", b"b"], content_type=content_type) == (None, b"ab", {"from": "query"})
    with pytest.raises(BadRequest, match="boundary"):
        await received([b"a"], content_type="multipart/form-data")


# ---- the body


def sending(*messages: Message | float) -> Body:
    """A body whose messages come one after the other, with pauses in seconds; then nothing more."""
    left = list(messages)

    async def receive() -> Message:
        while left:
            message = left.pop(0)
            if not isinstance(message, float):
                return message
            await asyncio.sleep(message)
        return await asyncio.Future[Message]()

    return Body(receive)


def some(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def taken(body: Body, pace: Pace = QUICK) -> bytes:
    return b"".join([chunk async for chunk in body.chunks(pace)])


@pytest.mark.asyncio
async def test_a_body_may_be_slow_as_long_as_it_moves() -> None:
    """Not idle for too long, and not too slow in the long run: a byte now and then does not keep it alive."""
    pace = Pace(idle_s=0.2, per_second=100, free_s=0.3)
    assert await taken(sending(*[each for _ in range(6) for each in (0.1, some(b"x" * 10))], some(b"", more=False)), pace) == b"x" * 60
    with pytest.raises(BadRequest, match="slow"):
        await taken(sending(some(b"x" * 1000)), pace)
    with pytest.raises(BadRequest, match="slow"):
        await taken(sending(*[each for _ in range(9) for each in (0.1, some(b"x"))], some(b"", more=False)), pace)


@pytest.mark.asyncio
async def test_a_body_whose_sender_goes_is_no_body() -> None:
    """What had come is not taken for all; the framework hears of it."""
    body = sending(some(b"half"), {"type": "http.disconnect"})
    assert await body.receive() == some(b"", more=False)
    with pytest.raises(BadRequest, match="complete"):
        await taken(body)
    assert await body.receive() == {"type": "http.disconnect"}


@pytest.mark.asyncio
async def test_only_uploads_are_pulled() -> None:
    """Other calls get what the server gives; of an upload the framework gets nothing, and what nobody read is taken after the answer."""
    got: list[Message] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        got.append(await receive())

    left = [some(b"one"), some(b"two", more=False)]

    async def receive() -> Message:
        return left.pop(0)

    async def send(message: Message) -> None:
        raise AssertionError

    asgi = pulling(app, {("PUT", "/a")})
    await asgi({"type": "http", "method": "POST", "path": "/a"}, receive, send)
    assert got == [some(b"one")]
    await asgi({"type": "http", "method": "PUT", "path": "/a"}, receive, send)
    assert got[1:] == [some(b"", more=False)]
    assert left == []
