"""What public links lead to: a message as a plain page, a file as it is. Open to whoever has the link, and to nobody's search engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from quart import Blueprint, Request, Response, request

from crust.clock import rfc3339
from crust.web.forms import rendered

HEADERS = {"X-Robots-Tag": "noindex, nofollow, noarchive", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}
PAGE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "private, no-store",  # it may be removed at any time
}


class Message(Protocol):
    """What is shown."""

    @property
    def author(self) -> str: ...
    @property
    def contents(self) -> str: ...
    @property
    def at(self) -> int: ...


Followed = Callable[[str], Awaitable[tuple[str, int]]]
ReadMessage = Callable[[int], Awaitable[Message]]
AnswerFile = Callable[[int, Request], Awaitable[Response]]


def blueprint(followed: Followed, message: ReadMessage, file: AnswerFile) -> Blueprint:
    """The address below which they are.

    Args:
        followed: a link → what it leads to and its id; raises NotFound.
        message: an id → what it says; raises NotFound.
        file: an id, a request → the bytes, as downloads are answered; raises NotFound.
    """
    page = Blueprint("public", __name__, template_folder="templates")

    @page.get("/public/<link>")
    async def show(link: str) -> Response:
        kind, id_ = await followed(link)
        if kind == "file":
            response = await file(id_, request._get_current_object())  # type: ignore[attr-defined]  # a proxy of Werkzeug's
        else:
            said = await message(id_)
            response = await rendered("public.html", author=said.author, contents=said.contents, at=rfc3339(said.at))
            response.headers.update(PAGE)
        response.headers.update(HEADERS)
        return response

    return page
