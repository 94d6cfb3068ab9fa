"""Where a request says it comes from, behind proxies and from browsers."""

from __future__ import annotations

import pytest
from quart import Quart, request

from crust.api.identity import Identity, origin_of, without_port
from crust.settings import Settings

BEHIND = Settings(trusted_proxies=["10.0.0.0/8"], public_url="https://Chat.example.org:443")


async def seen(headers: dict[str, str], peer: str) -> tuple[str, bool, bool]:
    """Address, secure, from here."""
    app = Quart(__name__)
    # Quart keeps the peer's address as this header, before those that came in.
    async with app.test_request_context("/", headers={"Remote-Addr": peer, **headers}):
        identity = Identity(BEHIND)
        source = request._get_current_object()  # type: ignore[attr-defined]  # a proxy of Werkzeug's
        return identity.address(source), identity.secure(source), identity.from_here(source)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("forwarded", "peer", "address"),
    [
        ("9.9.9.9", "10.1.1.1", "9.9.9.9"),
        ("9.9.9.9", "8.8.8.8", "8.8.8.8"),
        ("1.1.1.1, 9.9.9.9, 10.2.2.2", "10.1.1.1", "9.9.9.9"),
        ("9.9.9.9:5555", "::ffff:10.1.1.1", "9.9.9.9"),
        ("[2001:db8::1]:5555", "10.1.1.1", "2001:db8::1"),
    ],
)
async def test_only_trusted_proxies_say_who_it_is(forwarded: str, peer: str, address: str) -> None:
    """The right-most address that is no trusted proxy's counts, and only where the peer is one."""
    assert (await seen({"X-Forwarded-For": forwarded}, peer))[0] == address


@pytest.mark.asyncio
async def test_tls_and_origin_behind_a_proxy() -> None:
    """A trusted proxy's word for https counts; the public address is this site's, however it is written."""
    for value in ("https", "HTTPS", "http, https"):
        assert (await seen({"X-Forwarded-Proto": value}, "10.1.1.1"))[1] is True
    assert (await seen({"X-Forwarded-Proto": "https"}, "8.8.8.8"))[1] is False
    assert (await seen({"Origin": "https://chat.example.org"}, "8.8.8.8"))[2] is True
    for origin in ("null", "https://chat.example.org.evil.example", "http://chat.example.org", ""):
        assert (await seen({"Origin": origin, "Host": "localhost"}, "8.8.8.8"))[2] is False


def test_forms_of_addresses() -> None:
    """As browsers and proxies write them."""
    assert origin_of("HTTPS://Chat.Example.org:443/path") == "https://chat.example.org"
    assert origin_of("http://[::1]:8400") == "http://[::1]:8400"
    assert without_port("2001:db8::1") == "2001:db8::1"
    assert without_port("192.0.2.1:80") == "192.0.2.1"
