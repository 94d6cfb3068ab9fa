"""Outgoing HTTP: the one client for requests to addresses that somebody else thought of (webhooks, link previews, plugins).

What it connects to is what was checked: names are resolved anew for every request, and only addresses that passed are handed on, so a name
that resolves differently the next time gains nothing. Literal addresses, which no resolver is asked for, are checked before. Redirects are
followed only when asked for, each checked like the first request. Neither proxies nor credentials of the environment count.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from crust import __version__
from crust.host.addresses import Network, literal, may_reach

ANSWER_BYTES = 1_048_576
TIMEOUT_S = 10.0
CONNECTIONS = 50  # at a time; more wait
URL_MAX = 2_048  # characters
PORT_MIN = 1_024  # below it only the two of HTTP: others speak protocols that a crafted request can be mistaken for
PORTS = frozenset({80, 443})
MOVED = frozenset({301, 302, 303, 307, 308})
SECRET = frozenset({"authorization", "cookie", "proxy-authorization"})  # headers that stay with the origin that they were meant for
AGENT = f"Crust/{__version__}"


class EgressError(Exception):
    """A request that got no whole answer; the message says why, in words for whoever wrote the URL."""


class EgressRefused(EgressError):
    """It may not be sent: to this address, or in this form. Nothing was sent, or nothing more than to an earlier redirect's address."""


class Unreachable(EgressError):
    """Nobody answered: no such name, no connection, no HTTP, or not in time. Trying again later may help."""


class AnswerTooLarge(EgressError):
    """The answer is longer than was asked for; it was dropped."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `headers`: by lower-case name, the last of each; `url`: what answered, after redirects."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


class Egress:
    """See the module. Must be made and closed in the loop that uses it.

    Args:
        allowed: networks that may be reached though they are not public.
        names: hosts that may be reached wherever their names lead, in small letters.
        resolver: asks for names; left out, the system's.
    """

    def __init__(
        self, allowed: Sequence[Network] = (), resolver: AbstractResolver | None = None, names: Collection[str] = frozenset()
    ) -> None:
        self._allowed = tuple(allowed)
        guarded = GuardedResolver(resolver or ThreadedResolver(), self._allowed, names)
        connector = TCPConnector(resolver=guarded, use_dns_cache=False, limit=CONNECTIONS, force_close=True)
        # Cookies of one request are nothing to another; bodies are taken as they come, because much can be compressed to little.
        self._session = ClientSession(connector=connector, cookie_jar=DummyCookieJar(), trust_env=False, auto_decompress=False)

    async def close(self) -> None:
        await self._session.close()

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None, redirects: int = 0,
        timeout: float = TIMEOUT_S, answer_bytes: int = ANSWER_BYTES,
    ) -> Answer:  # fmt: skip
        """Send a request; an answer of any status is an answer.

        Args:
            method: GET, HEAD, POST, PUT, PATCH or DELETE.
            url: http or https, absolute.
            redirects: how many to follow, at most.
            timeout: seconds, for everything.
            answer_bytes: the longest body that is taken.

        Raises:
            EgressRefused, Unreachable, AnswerTooLarge: see there.
        """
        sent = {"User-Agent": AGENT, "Accept-Encoding": "identity", **(headers or {})}
        try:
            async with asyncio.timeout(timeout):
                return await self._following(method, checked(url, self._allowed), sent, body, redirects, answer_bytes)
        except TimeoutError:
            raise Unreachable(f"There was no whole answer within {timeout:g} s.") from None
        except (ClientError, OSError, ValueError) as error:
            raise reason(error) from error

    async def _following(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None, redirects: int, answer_bytes: int
    ) -> Answer:
        for _ in range(redirects + 1):
            answer = await self._once(method, url, headers, body, answer_bytes)
            target = answer.headers.get("location")
            if not redirects or answer.status not in MOVED or target is None:
                return answer
            url, before = checked(str(url.join(URL(target))), self._allowed), url
            if url.origin() != before.origin():
                headers = {name: value for name, value in headers.items() if name.lower() not in SECRET}
            if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):  # RFC 9110 15.4
                method, body = "GET", None
        raise EgressRefused(f"There were more than {redirects} redirects.")

    async def _once(self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None, answer_bytes: int) -> Answer:
        whole = ClientTimeout(total=None)  # the caller's counts, over all redirects
        async with self._session.request(method, url, headers=headers, data=body, allow_redirects=False, timeout=whole) as response:
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise EgressRefused("The answer is compressed, which was not asked for.")
            received = bytearray()
            async for chunk in response.content.iter_any():
                received += chunk
                if len(received) > answer_bytes:
                    raise AnswerTooLarge(f"The answer has more than {answer_bytes} bytes.")
            found = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, found, bytes(received), str(url))


def checked(text: str, allowed: Sequence[Network]) -> URL:
    """A URL, as far as it can be judged without resolving its name.

    Raises:
        EgressRefused: it is no absolute http or https URL, bears a user or a wrong port, or names an address that may not be reached.
    """
    if len(text) > URL_MAX or any(ord(character) <= 32 or character == "\\" for character in text):
        raise EgressRefused(f"A URL has at most {URL_MAX} characters, and neither spaces nor backslashes.")
    try:
        url = URL(text)
        host, port = url.host, url.port
    except ValueError:
        raise EgressRefused("This is no URL.") from None
    if url.scheme not in ("http", "https") or not host or port is None:
        raise EgressRefused("A URL has to begin with http:// or https:// and name a host.")
    if url.raw_user is not None or url.raw_password is not None:
        raise EgressRefused("A URL with a user or a password in it is not followed.")
    if port not in PORTS and port < PORT_MIN:
        raise EgressRefused(f"Port {port} is none of HTTP's.")
    address = literal(host)
    if address is not None and not may_reach(address, allowed):
        raise EgressRefused(f"The address {address} is not a public one.")
    return url.with_fragment(None)


def reason(error: Exception) -> EgressError:
    """An error of the client below in our words; a refusal inside it is that refusal."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, NotPublic):
            return EgressRefused(str(cause))
        cause = cause.__cause__ or cause.__context__
    return Unreachable(f"There was no answer: {str(error) or type(error).__name__}.")


class NotPublic(OSError):
    """A name resolves to addresses of which none may be reached. An OSError, as resolvers have to raise."""


class GuardedResolver(AbstractResolver):
    """Resolves with another one, and hands on only addresses that may be reached."""

    def __init__(self, inner: AbstractResolver, allowed: Sequence[Network], names: Collection[str] = frozenset()) -> None:
        self._inner, self._allowed, self._names = inner, allowed, names

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if host.lower().rstrip(".") in self._names:
            return found
        good = [each for each in found if may_reach(ip_address(each["host"].partition("%")[0]), self._allowed)]
        if found and not good:
            raise NotPublic(f"The name {host} leads to no public address.")
        return good

    async def close(self) -> None:
        await self._inner.close()
