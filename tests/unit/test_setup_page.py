"""The page behind the one-time link, on which the first administrator makes their account."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from quart import Quart, Response

from crust.api.app import create_app
from crust.api.calls import Registry
from crust.api.identity import Identity
from crust.clock import ManualClock
from crust.errors import CrustError, Gone, Invalid, NotFound, RateLimited
from crust.services.limits import TokenBuckets
from crust.settings import Settings
from crust.web import setup

URL = "https://chat.example.org"
TYPED = {"token": "tok", "username": "ana", "name": "Ana <b>", "email": "ana@example.org", "password": "correct horse"}


class Accounts:
    """Makes the first account, or fails as it is told to."""

    def __init__(self, error: CrustError | None = None) -> None:
        self.error = error
        self.made: list[tuple[str, ...]] = []

    async def create_first(self, token: str, username: str, name: str, email: str, password: str) -> None:
        if self.error is not None:
            raise self.error
        self.made.append((token, username, name, email, password))


def made(accounts: Accounts) -> Quart:
    """The page inside the API's app, whose error handling it lives with."""

    async def nobody(*_: Any) -> Any:
        raise NotFound("nobody")

    async def ready() -> None:
        return None

    settings = Settings()
    app = create_app(settings, Registry(TokenBuckets.of(settings.limits, ManualClock())), nobody, Identity(settings), ready)
    app.register_blueprint(setup.blueprint(accounts.create_first, URL))
    return app


async def post(accounts: Accounts, **fields: str) -> tuple[Response, str]:
    response = await made(accounts).test_client().post("/setup", form={**TYPED, **fields})
    return response, await response.get_data(as_text=True)


@pytest.mark.asyncio
async def test_the_form_bears_the_token_and_labels() -> None:
    """The link's token travels in the form; every field has a label, and the password is the browser's to fill."""
    response = await made(Accounts()).test_client().get("/setup", query_string={"token": 'a"<b'})
    page = await response.get_data(as_text=True)
    assert response.status_code == 200
    assert 'name="token" value="a&#34;&lt;b"' in page
    for name in ("username", "name", "email", "password"):
        assert f'<label for="{name}">' in page
        assert f'id="{name}"' in page
    assert 'autocomplete="new-password"' in page
    assert '<html lang="en">' in page


@pytest.mark.asyncio
async def test_the_page_asks_nobody_else_for_anything() -> None:
    """A strict policy, no script, no inline style, nothing from another host; the token leaks into no Referer and no cache."""
    client = made(Accounts()).test_client()
    response = await client.get("/setup?token=tok")
    page = await response.get_data(as_text=True)
    policy = response.headers["Content-Security-Policy"]
    for part in ("default-src 'none'", "style-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"):
        assert part in policy
    assert "unsafe" not in policy
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["Cache-Control"] == "no-store"
    assert not re.search(r"<script|<style|style=|https?://|//", page.replace("<!doctype", ""))
    (css,) = re.findall(r'href="([^"]+\.css)"', page)
    style = await client.get(css)
    assert style.status_code == 200
    assert "url(" not in await style.get_data(as_text=True)
    assert "prefers-color-scheme" in await style.get_data(as_text=True)


@pytest.mark.asyncio
async def test_making_the_account_tells_what_comes_next() -> None:
    """How to sign in, where the calls are described; the password is shown nowhere."""
    accounts = Accounts()
    response, page = await post(accounts)
    assert accounts.made == [("tok", "ana", "Ana <b>", "ana@example.org", "correct horse")]
    assert response.status_code == 200
    assert f"{URL}/user/login" in page
    assert "/docs" in page
    assert "correct horse" not in page


@pytest.mark.asyncio
@pytest.mark.parametrize("field", ["username", "name", "email", "password"])
async def test_what_is_wrong_is_said_beside_its_field(field: str) -> None:
    """The field is marked and described by the error; what was typed stays, but for the password."""
    response, page = await post(Accounts(Invalid(f"{field} must be <better>.", field=field)))
    assert response.status_code == 422
    assert f"{field} must be &lt;better&gt;." in page
    (shown,) = re.findall(r'<input id="(\w+)"[^>]*aria-invalid="true" aria-describedby="([\w-]+)"', page)
    assert shown == (field, f"{field}-error")
    assert f'<p class="error" id="{field}-error">' in page
    assert 'value="ana"' in page
    assert 'value="Ana &lt;b&gt;"' in page
    assert 'value="ana@example.org"' in page
    assert 'name="token" value="tok"' in page
    assert "correct horse" not in page


@pytest.mark.asyncio
async def test_an_error_without_a_field_is_an_alert() -> None:
    """It stands above the form."""
    response, page = await post(Accounts(RateLimited("Wait a moment.", retry_after=1)))
    assert response.status_code == 429
    assert re.search(r'role="alert">Wait a moment\.', page)


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [NotFound("This link is wrong."), Gone("This link has been used.")])
async def test_a_link_that_is_over_says_so(error: CrustError) -> None:
    """404 or 410, and no form: typing again would not help."""
    response, page = await post(Accounts(error))
    assert response.status_code == error.status
    assert error.message in page
    assert "<form" not in page


@pytest.mark.asyncio
async def test_the_form_has_a_limit() -> None:
    """It is open to everybody, so it reads no more than it needs, also where no length is told."""
    accounts = Accounts()
    client = made(accounts).test_client()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with client.request("/setup", method="POST", headers=headers) as connection:
        await connection.send(b"token=tok&name=")
        for _ in range(100):
            await connection.send(b"x" * 1000)
            await asyncio.sleep(0)
        await connection.send_complete()
    response = await connection.as_response()
    assert response.status_code == 413
    assert accounts.made == []


@pytest.mark.asyncio
@pytest.mark.parametrize("body", [b"", b"token", b"token=%FF&username=\xff", b"%", b"=&=&"])
async def test_any_form_is_answered(body: bytes) -> None:
    """Fields that are missing or unreadable are for `create_first` to refuse."""
    response = await made(Accounts(NotFound("This link is wrong."))).test_client().post("/setup", data=body)
    assert response.status_code == 404
