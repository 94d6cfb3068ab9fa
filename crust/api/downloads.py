"""Downloads: answers that are bytes, handed out as they are read, whole or in part, and never as something that could act in a browser."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from urllib.parse import quote

from quart import Request, Response
from werkzeug.http import parse_range_header

from crust.errors import Invalid
from crust.services.files import Content

ATTR_CHAR = "!#$&+-.^_`|~"  # RFC 8187 3.2.1, beside letters and digits
# What is shown may do nothing: no script, no form, no other address, whatever its type is taken for.
POLICY = "default-src 'none'; sandbox"


class RangeNotSatisfiable(Invalid):
    """A range that begins behind the end of the bytes, of which there are `size`."""

    status = 416

    def __init__(self, size: int) -> None:
        super().__init__(f"There are {size} bytes.", field="Range")
        self.size = size


def disposition(name: str, *, inline: bool) -> str:
    """The header that says what to call a file, and whether to show or to save it (RFC 6266), whatever the name has in it."""
    kind = "inline" if inline else "attachment"
    plain = "".join(each if " " <= each <= "~" and each not in '"\\%' else "_" for each in name)
    if plain == name:
        return f'{kind}; filename="{plain}"'
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe=ATTR_CHAR, errors='replace')}"


def part(asked: str | None, if_range: str | None, etag: str, size: int) -> tuple[int, int] | None:
    """The [start, end) that a request wants; None: all. Several ranges, and what cannot be read, count as all (RFC 9110 14.2).

    Raises:
        RangeNotSatisfiable: it begins behind the end.
    """
    wanted = parse_range_header(asked)
    if wanted is None or wanted.units != "bytes" or len(wanted.ranges) != 1 or (if_range is not None and if_range.strip() != etag):
        return None
    start, end = wanted.ranges[0]
    start = max(0, size + start) if start < 0 else start  # the last so many
    if start >= size:
        raise RangeNotSatisfiable(size)
    return start, min(size if end is None else end, size)


async def answered(content: Content, source: Request) -> Response:
    """Content as a response.

    Raises:
        CrustError: it cannot be read after all; later than this, the connection is cut.
    """
    headers = {
        "ETag": f'"{content.version}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",  # kept, but shown only after we have said again that it may be
        "Content-Disposition": disposition(content.name, inline=content.inline),
        "Content-Security-Policy": POLICY,
        "Cross-Origin-Resource-Policy": "same-site",
    }
    type_ = "text/plain; charset=utf-8" if content.media_type == "text/plain" else content.media_type
    if source.if_none_match.contains_weak(content.version):
        return Response(nothing(), 304, headers, content_type=type_)
    wanted = part(source.headers.get("Range"), source.headers.get("If-Range"), headers["ETag"], content.size)
    start, end = wanted or (0, content.size)
    headers["Content-Length"] = str(end - start)
    if wanted:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{content.size}"
    body = nothing() if source.method == "HEAD" else await begun(content.read(start, end))
    return Response(body, 206 if wanted else 200, headers, content_type=type_)


def downloading(file: Callable[[int], Awaitable[Content]]) -> Callable[[int, Request], Awaitable[Response]]:
    """The download of a file by its id, for an address beside the calls."""

    async def answer(file_id: int, source: Request) -> Response:
        return await answered(await file(file_id), source)

    return answer


async def nothing() -> AsyncGenerator[bytes, None]:
    """No bytes, of which the framework does not know, so that it leaves Content-Length alone."""
    none: tuple[bytes, ...] = ()
    for each in none:
        yield each


async def begun(chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The same bytes, once the first are there: what cannot be read at all gets an answer that says so."""
    return following(await anext(chunks, b""), chunks)


async def following(first: bytes, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(chunks):
        yield first
        async for chunk in chunks:
            yield chunk
