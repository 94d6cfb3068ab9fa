"""Who a request or an upgrade comes from: Session ID, Client ID, address, and whether another site's page may have made it."""

from __future__ import annotations

import ipaddress
from typing import Any

from quart.wrappers.base import BaseRequestWebsocket

from crust.services import names
from crust.settings import Settings

DEFAULT_PORTS = {"http": ":80", "https": ":443"}
FORWARDING = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "Via")


class Identity:
    """Reads what a request says of where it comes from.

    Args:
        settings: `public_url`, `allowed_origins` and `trusted_proxies` count.
    """

    def __init__(self, settings: Settings) -> None:
        self._origins = set(map(origin_of, (settings.effective_public_url, *settings.allowed_origins)))
        self._proxies = [ipaddress.ip_network(each) for each in settings.trusted_proxies]

    def secret(self, source: BaseRequestWebsocket) -> tuple[str | None, bool]:
        """The Session ID, and whether a cookie bore it. Never taken from the query, which lands in logs."""
        scheme, _, bearer = source.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and bearer.strip():
            return bearer.strip(), False
        if header := source.headers.get("X-Session-ID"):
            return header, False
        cookie = source.cookies.get("crust_session")
        return cookie or None, cookie is not None

    def client_id(self, source: BaseRequestWebsocket, parameter: Any = None) -> str | None:
        """The Client ID: of the header, else of the parameters, else of the cookie.

        Raises:
            Invalid: it is not 1 to 64 of the characters that it may have.
        """
        value = source.headers.get("X-Client-ID") or source.args.get("client_id") or parameter or source.cookies.get("crust_client")
        if value is None or value == "":
            return None
        return names.client_id(value if isinstance(value, str) else "")

    def from_here(self, source: BaseRequestWebsocket) -> bool:
        """Whether its Origin, which browsers send truly, is this site's or one that is allowed."""
        origin = source.headers.get("Origin")
        own = origin_of(f"{'https' if self.secure(source) else 'http'}://{source.headers.get('Host', '')}")
        return origin is not None and origin_of(origin) in {own, *self._origins}

    def secure(self, source: BaseRequestWebsocket) -> bool:
        """Whether the client speaks TLS, to us or to a trusted proxy."""
        forwarded = source.headers.get("X-Forwarded-Proto", "") if self._is_proxy(source.remote_addr or "") else ""
        return (forwarded.rpartition(",")[2].strip().lower() or source.scheme) in ("https", "wss")

    def address(self, source: BaseRequestWebsocket) -> str:
        """The peer's address, or what trusted proxies say of it: the right-most that is not one of them."""
        chain = [part.strip() for part in ",".join(source.headers.getlist("X-Forwarded-For")).split(",") if part.strip()]
        chain.append(source.remote_addr or "")
        while len(chain) > 1 and self._is_proxy(chain[-1]):
            chain.pop()
        return without_port(chain[-1])

    def local(self, source: BaseRequestWebsocket) -> bool:
        """Whether it comes from this machine. What a proxy here passed on does only where it is trusted, and says so of the client."""
        passed_on = any(name in source.headers for name in FORWARDING)
        if passed_on and not (self._is_proxy(source.remote_addr or "") and "X-Forwarded-For" in source.headers):
            return False
        address = parsed(self.address(source))
        return address is not None and address.is_loopback

    def _is_proxy(self, address: str) -> bool:
        found = parsed(without_port(address))
        return found is not None and any(found in network for network in self._proxies)


def parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address, as IPv4 where it is that in IPv6's clothes; None where it is none."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def origin_of(url: str) -> str:
    """Scheme, host and port of an address as a browser's Origin has them: lower case, and no port where it is the scheme's own."""
    scheme, _, rest = url.lower().partition("://")
    host = rest.partition("/")[0]
    return f"{scheme}://{host.removesuffix(DEFAULT_PORTS.get(scheme, ' '))}"


def without_port(address: str) -> str:
    """An address as some proxies forward it, with the port of the connection: `192.0.2.1:5555`, `[2001:db8::1]:5555`."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    host, colon, port = address.partition(":")
    return host if colon and port.isdigit() else address
