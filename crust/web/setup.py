"""The one-time link by which the first administrator of an empty server makes their account."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from quart import Blueprint, Response, request

from crust.errors import CrustError, Gone, NotFound
from crust.web.forms import read_form, rendered

CreateFirst = Callable[[str, str, str, str, str], Awaitable[Any]]


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
