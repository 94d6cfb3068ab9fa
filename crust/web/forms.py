"""Forms of pages that are open to everybody: read within limits, shown without a script or anything from elsewhere."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qsl

from quart import Response, make_response, render_template, request

from crust.errors import BadRequest, TooLarge

FORM_BYTES = 16_384  # five short fields; the page is open to everybody, so it reads no more
FORM_S = 60.0  # for the whole form to come
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",  # the token is in the address
}


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
