"""The page that an invitation's link opens: a form that makes an account."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from quart import Blueprint, Request, Response, request

from crust.errors import CrustError, Gone
from crust.web.forms import read_form, rendered

Organisation = Callable[[str], Awaitable[str]]
Register = Callable[[str, dict[str, str], str], Awaitable[Any]]
Address = Callable[[Request], str]
FIELDS = ("username", "name", "email")


def blueprint(organisation: Organisation, register: Register, address: Address, url: str) -> Blueprint:
    """The page.

    Args:
        organisation: secret → the name of what it leads into; raises Gone.
        register: (secret, the form, the address it came from) → the account; raises CrustError.
        address: where a request comes from.
        url: the server's public address, shown in the end.
    """
    page = Blueprint("invitation", __name__, template_folder="templates")

    @page.get("/invitation")
    async def show() -> Response:
        token = request.args.get("token", "")
        try:
            return await rendered("invitation.html", token=token, typed={}, error=None, organisation=await organisation(token))
        except Gone as error:
            return await rendered("invitation_over.html", error.status, reason=error.message)

    @page.post("/invitation")
    async def create() -> Response:
        form = await read_form()
        typed = {name: form.get(name, "") for name in FIELDS}
        token = form.get("token", "")
        try:
            await register(token, {**typed, "password": form.get("password", "")}, address(request))
        except Gone as error:
            return await rendered("invitation_over.html", error.status, reason=error.message)
        except CrustError as error:
            name = await organisation(token)
            return await rendered("invitation.html", error.status, token=token, typed=typed, error=error, organisation=name)
        return await rendered("invitation_done.html", username=typed["username"], url=url)

    return page
