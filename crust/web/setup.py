"""The one-time link by which the first administrator of an empty server makes their account."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

from quart import Blueprint, Response, make_response, render_template, request

from crust.errors import BadRequest, CrustError, Gone, NotFound, TooLarge

CreateFirst = Callable[[str, str, str, str, str], Awaitable[Any]]
FORM_BYTES = 16_384  # five short fields; the page is open to everybody, so it reads no more
FORM_S = 60.0  # for the whole form to come
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",  # the token is in the address
}


def blueprint(create_first: CreateFirst, url: str) -> Blueprint:
    """The page.

    Args:
        create_first: (token, username, name, email, password) → the account; raises CrustError.
        url: the server's public address, shown in the first steps.
    """
    page = Blueprint("setup", __name__, template_folder="templates", static_folder="static", static_url_path="/setup/static")

    @page.get("/setup")
    async def show() -> Response:
        return await rendered("setup.html", token=request.args.get("token", ""), typed={}, error=None)

    @page.post("/setup")
    async def create() -> Response:
        form = await read_form()
        typed = {name: form.get(name, "") for name in ("username", "name", "email")}
        token = form.get("token", "")
        try:
            await create_first(token, typed["username"], typed["name"], typed["email"], form.get("password", ""))
        except (Gone, NotFound) as error:
            return await rendered("setup_over.html", error.status, reason=error.message)
        except CrustError as error:
            return await rendered("setup.html", error.status, token=token, typed=typed, error=error)
        return await rendered("setup_done.html", username=typed["username"], url=url)

    return page


async def read_form() -> dict[str, str]:
    """The fields of the form, counted as they come: Quart does not count a body without Content-Length.

    Raises:
        TooLarge: it is longer than this form ever is.
        BadRequest: it does not come in time.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(FORM_S):
            async for chunk in request.body:
                body += chunk
                if len(body) > FORM_BYTES:
                    raise TooLarge(f"The form must have at most {FORM_BYTES} bytes.")
    except TimeoutError:
        raise BadRequest(f"The form did not come within {FORM_S:.0f} s.") from None
    return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))


async def rendered(template: str, status: int = 200, **values: Any) -> Response:
    response = await make_response(await render_template(template, **values), status)
    assert isinstance(response, Response)
    response.headers.update(HEADERS)
    return response
