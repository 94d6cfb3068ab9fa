"""Outgoing HTTP reaches public addresses and what is allowed, whatever a URL, a name server or an answer tries."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

import pytest
from aiohttp import ThreadedResolver, web
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from crust.host.addresses import may_reach, networks, split
from crust.host.egress import AnswerTooLarge, Egress, EgressRefused, GuardedResolver, Unreachable, checked
from crust.settings import Egress as Egress_

LOOPBACK = networks(["127.0.0.0/8"])
FORMS_RESOLVED = (  # what inet_aton takes for 127.0.0.1 and its like; the resolver is asked, and what it says is refused
    "http://2130706433/", "http://0x7f000001/", "http://0x7f.1/", "http://017700000001/", "http://127.1/", "http://127.0.1/",
    "http://0177.0.0.1/", "http://0x7f.0x0.0x0.0x1/", "http://localhost/", "http://LOCALHOST/", "http://localhost./", "http://0/", "http://127.0.0.1./",
)  # fmt: skip
HOSTILE = (
    "http://127.0.0.1/", "http://127.255.255.254:8080/", "https://127.0.0.1/", "http://[::1]/", "http://[::]/", "http://0.0.0.0/",
    "http://10.0.0.1/", "http://172.16.0.1/", "http://172.31.255.255/", "http://192.168.1.1/", "http://169.254.169.254/latest/meta-data/",
    "http://169.254.170.2/v2/credentials", "http://100.64.0.1/", "http://100.100.100.200/", "http://192.0.0.192/", "http://192.0.2.1/",
    "http://198.18.0.1/", "http://198.51.100.7/", "http://203.0.113.9/", "http://224.0.0.1/", "http://239.255.255.250/",
    "http://240.0.0.1/", "http://255.255.255.255/", "http://192.88.99.1/", "http://[fe80::1]/", "http://[fe80::1%25eth0]/",
    "http://[fc00::1]/", "http://[fd00:ec2::254]/", "http://[ff02::1]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/",
    "http://[::ffff:10.0.0.1]/", "http://[::127.0.0.1]/", "http://[64:ff9b::7f00:1]/", "http://[64:ff9b::10.0.0.1]/",
    "http://[64:ff9b:1::1]/", "http://[2002:7f00:1::1]/", "http://[2002:a9fe:a9fe::]/", "http://[2001:0:7f00:1::]/",
    "http://[2001:db8::1]/", "http://[fec0::1]/", "http://[5f00::1]/", "http://[100::1]/",
    "http://user:password@example.org/", "http://example.org@127.0.0.1/", "http://127.0.0.1:80@example.org/", "http://example.org:22/",
    "http://example.org:25/", "http://example.org:0/", "http://example.org:6/", "http://example.org:99999/", "ftp://example.org/",
    "file:///etc/passwd", "gopher://example.org/", "dict://example.org:11211/", "data:text/plain,hello", "javascript:alert(1)",
    "//example.org/", "/etc/passwd", "example.org", "", "http://", "http:///", "http://example.org\\@127.0.0.1/", "http://exa mple.org/",
    "http://example.org/\r\nX: y", "http://example.org/\x00", "http://[::1", "http://[nonsense]/", "http://" + "a" * 3000 + "/",
    "http://①②⑦.⓪.⓪.①/",
)  # fmt: skip


class Names(AbstractResolver):
    """A name server that says, for each question, the next of what it was told to; the last for ever."""

    def __init__(self, *answers: str | Sequence[str]) -> None:
        self._answers = [[answer] if isinstance(answer, str) else list(answer) for answer in answers]
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        self.asked.append(host)
        addresses = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        kinds = [(each, socket.AF_INET6 if ":" in each else socket.AF_INET) for each in addresses]
        return [
            ResolveResult(hostname=host, host=each, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST) for each, kind in kinds
        ]

    async def close(self) -> None:
        pass


@dataclass
class Peer:
    """A server on loopback, and what reached it."""

    port: int = 0
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def served(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[Peer]:
    peer = Peer()

    async def handle(request: web.Request) -> web.StreamResponse:
        peer.seen.append((request.method, request.path, {name.lower(): value for name, value in request.headers.items()}))
        return await answer(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    peer.port = runner.addresses[0][1]
    try:
        yield peer
    finally:
        await runner.cleanup()


@asynccontextmanager
async def going_out(*answers: str | Sequence[str], to_loopback: bool = True) -> AsyncIterator[Egress]:
    egress = Egress(LOOPBACK if to_loopback else (), Names(*answers) if answers else None)
    try:
        yield egress
    finally:
        await egress.close()


async def hello(_request: web.Request) -> web.StreamResponse:
    return web.Response(text="hello", headers={"X-Kind": "test"})


# ---- where it goes


@pytest.mark.parametrize("url", HOSTILE)
def test_hostile_urls_are_refused(url: str) -> None:
    """Whatever form an address takes, before anything is sent."""
    with pytest.raises(EgressRefused):
        checked(url, ())


@pytest.mark.asyncio
@pytest.mark.parametrize("url", FORMS_RESOLVED)
async def test_names_for_this_machine_are_refused(url: str) -> None:
    """The system's own resolver says 127.0.0.1, or nothing, to all of these; neither is handed on."""
    host = urlsplit(url).hostname or ""
    guarded = GuardedResolver(ThreadedResolver(), ())
    with pytest.raises(OSError, match=r"leads to no public address|\[Errno -"):
        await guarded.resolve(host, 80)


@pytest.mark.asyncio
async def test_a_name_that_leads_inside_is_refused() -> None:
    """Also when one of several addresses would do: only that one is tried."""
    async with served(hello) as peer, going_out("127.0.0.1", "::1", "10.0.0.1", to_loopback=False) as egress:
        for _ in range(3):
            with pytest.raises(EgressRefused, match="leads to no public address"):
                await egress.request("GET", f"http://inside.example.org:{peer.port}/")
    assert peer.seen == []


@pytest.mark.asyncio
async def test_a_name_that_is_allowed_leads_where_it_will() -> None:
    """That name alone, whatever its case; neither what it leads to under another name, nor the address itself."""
    inner = GuardedResolver(Names("127.0.0.1"), (), frozenset({"ci.internal"}))
    for name in ("ci.internal", "CI.internal."):
        assert [each["host"] for each in await inner.resolve(name, 80)] == ["127.0.0.1"]
    for name in ("x.ci.internal", "ci.internal.example", "internal"):
        with pytest.raises(OSError, match="leads to no public address"):
            await inner.resolve(name, 80)
    with pytest.raises(EgressRefused):
        checked("http://127.0.0.1/", ())


def test_what_may_be_allowed() -> None:
    """Networks, addresses and names, each as what it is; anything else is refused at start."""
    settings = Egress_.model_validate({"allow": ["10.1.2.0/24", "::1", "CI.internal"]})
    found, names = split(settings.allow)
    assert [str(each) for each in found] == ["10.1.2.0/24", "::1/128"]
    assert names == {"ci.internal"}
    for wrong in ("10.1.2.3/24", "http://x", "a b", "", "1.2.3", "*.internal"):
        with pytest.raises(ValidationError):
            Egress_.model_validate({"allow": [wrong]})


@pytest.mark.asyncio
async def test_a_name_that_changes_its_mind_gains_nothing() -> None:
    """It is resolved once a request, and what was checked is what is connected to: public first and inside then never gets inside."""
    async with served(hello) as peer:
        names = Names("127.0.0.2", "127.0.0.1")  # the first is public as far as this test goes, and nobody answers there
        egress = Egress(networks(["127.0.0.2/32"]), names)
        try:
            for expected in (Unreachable, EgressRefused):
                with pytest.raises(expected):
                    await egress.request("GET", f"http://rebinding.example.org:{peer.port}/", timeout=1)
        finally:
            await egress.close()
    assert names.asked == ["rebinding.example.org"] * 2
    assert peer.seen == []


@pytest.mark.asyncio
async def test_what_is_allowed_is_reached() -> None:
    """By address and by name; the answer comes whole, and a status that is an error is an answer too."""
    async with served(hello) as peer, going_out("127.0.0.1") as egress:
        answer = await egress.request("GET", peer.url + "/there#fragment")
        assert (answer.status, answer.body, answer.headers["x-kind"]) == (200, b"hello", "test")
        assert (await egress.request("PUT", f"http://name.example.org:{peer.port}/by-name", body=b"x")).status == 200
    assert [(method, path) for method, path, _ in peer.seen] == [("GET", "/there"), ("PUT", "/by-name")]
    assert peer.seen[1][2]["host"] == f"name.example.org:{peer.port}"


@given(st.ip_addresses(v=4))
def test_an_address_means_the_same_in_any_clothes(address: IPv4Address) -> None:
    """Mapped into IPv6, or behind NAT64, an address is judged like itself."""
    bare = may_reach(address, ())
    assert may_reach(IPv6Address(f"::ffff:{address}"), ()) == bare
    assert may_reach(IPv6Address(f"64:ff9b::{address}"), ()) == bare
    assert not may_reach(IPv6Address((0x2002 << 112) | (int(address) << 80)), ())


@given(st.text(max_size=80))
def test_no_text_breaks_the_check(text: str) -> None:
    """What is no URL is refused, and nothing else happens."""
    try:
        url = checked(text, ())
    except EgressRefused:
        return
    assert url.scheme in ("http", "https")
    assert url.host


# ---- redirects


def moved(status: int, *targets: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Answers /0 with a redirect to the first target, /1 to the second …; everything else with hello."""

    async def answer(request: web.Request) -> web.StreamResponse:
        at = request.path.removeprefix("/")
        if at.isdigit() and int(at) < len(targets):
            return web.Response(status=status, headers={"Location": targets[int(at)]})
        return await hello(request)

    return answer


@pytest.mark.asyncio
async def test_redirects_are_followed_only_when_asked_for() -> None:
    """And only so many."""
    async with served(moved(302, "/1", "/2", "/there")) as peer, going_out() as egress:
        assert (await egress.request("GET", peer.url + "/0")).status == 302
        assert (await egress.request("GET", peer.url + "/0", redirects=3)).url == peer.url + "/there"
        with pytest.raises(EgressRefused, match="more than 2 redirects"):
            await egress.request("GET", peer.url + "/0", redirects=2)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "target", ["http://10.0.0.1/", "file:///etc/passwd", "http://[::1]:9999/", "//169.254.169.254/", "http://u:p@example.org/"]
)
async def test_a_redirect_is_checked_like_the_first_address(target: str) -> None:
    """Nothing is sent to where it leads."""
    async with served(moved(307, target)) as peer, going_out() as egress:
        with pytest.raises(EgressRefused):
            await egress.request("POST", peer.url + "/0", body=b"x", redirects=5)


@pytest.mark.asyncio
async def test_secrets_stay_with_their_origin() -> None:
    """Authorization and cookies are not sent on to another origin; a POST becomes a GET where HTTP says so."""
    async with served(hello) as other, going_out() as egress, served(moved(303, other.url + "/there")) as peer:
        headers = {"Authorization": "Bearer secret", "Cookie": "a=b", "X-Own": "kept"}
        await egress.request("POST", peer.url + "/0", headers=headers, body=b"x", redirects=1)
    assert peer.seen[0][2]["authorization"] == "Bearer secret"
    ((method, _, seen),) = other.seen
    assert method == "GET"
    assert not {"authorization", "cookie"} & set(seen)
    assert seen["x-own"] == "kept"


@pytest.mark.asyncio
async def test_cookies_are_not_kept() -> None:
    """What one answer sets, the next request does not send."""

    async def cookie(_request: web.Request) -> web.StreamResponse:
        return web.Response(headers={"Set-Cookie": "tracked=1"})

    async with served(cookie) as peer, going_out() as egress:
        await egress.request("GET", peer.url)
        await egress.request("GET", peer.url)
    assert "cookie" not in peer.seen[1][2]


# ---- answers


@pytest.mark.asyncio
async def test_an_answer_without_end_is_cut_off() -> None:
    """By its size, counted as it comes."""

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)

    async with served(endless) as peer, going_out() as egress:
        with pytest.raises(AnswerTooLarge, match="more than 100000 bytes"):
            await egress.request("GET", peer.url, answer_bytes=100_000)


@pytest.mark.asyncio
async def test_an_answer_that_drips_is_cut_off() -> None:
    """By its time, which runs over all of the request."""

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.05)

    async with served(drip) as peer, going_out() as egress:
        with pytest.raises(Unreachable, match=r"within 0\.3 s"):
            await egress.request("GET", peer.url, timeout=0.3)


@pytest.mark.asyncio
async def test_a_compressed_answer_is_refused() -> None:
    """It was not asked for, and could make much of little."""

    async def squeezed(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=gzip.compress(b"0" * 10_000_000), headers={"Content-Encoding": "gzip"})

    async with served(squeezed) as peer, going_out() as egress:
        with pytest.raises(EgressRefused, match="compressed"):
            await egress.request("GET", peer.url)
    assert peer.seen[0][2]["accept-encoding"] == "identity"


@pytest.mark.asyncio
async def test_nobody_there_is_said() -> None:
    """A closed port and garbage for HTTP are errors of the other side."""

    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail.example.org ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(garbage, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with going_out() as egress:
        with pytest.raises(Unreachable):
            await egress.request("GET", f"http://127.0.0.1:{port}/")
        server.close()
        await server.wait_closed()
        with pytest.raises(Unreachable):
            await egress.request("GET", f"http://127.0.0.1:{port}/")
