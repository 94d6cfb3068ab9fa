"""linkpreview: shows what links lead to, and lets no page do harm."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from crust_linkpreview import LinkPreview
from crust_linkpreview.links import LINK_MAX, links_in
from crust_linkpreview.page import Page, page_of
from hypothesis import given
from hypothesis import strategies as st

from crust.plugin import Message, Preview
from crust.services.previews import checked
from crust.settings import Settings
from crust.testing import Host, hosted
from tests.unit.test_egress import Peer, going_out, served

HTML = "text/html; charset=utf-8"
PAGE = '<html><head><title>Plain</title><meta property="og:title" content="A &amp; B"><meta name="description" content="About\n it">'
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def pages(found: Mapping[str, str]) -> Answer:
    """Answers with these pages, by path; /moved leads to the first, nothing else is there."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/moved":
            raise web.HTTPFound("/page")
        if request.path == "/picture":
            return web.Response(body=b"\x89PNG", content_type="image/png")
        if request.path not in found:
            return web.Response(status=404)
        return web.Response(text=found[request.path], content_type="text/html")

    return answer


@asynccontextmanager
async def previewing(settings: Settings, peer: Peer, config: Mapping[str, object] | None = None) -> AsyncIterator[Host]:
    """The plugin at work; names are those of the peer, which no public server would have."""
    async with hosted(LinkPreview, config=config or {}, settings=settings) as host, going_out("127.0.0.1") as egress:
        host.plugin().ctx.http._egress = egress
        yield host


async def shown(host: Host, text: str) -> Preview | None:
    """The preview of a new message."""
    return await preview_on(host, await host.user("ana").says("#room", text))


async def preview_on(host: Host, message: Message) -> Preview | None:
    await host.settle()
    [found] = [each for each in await host.messages("#room") if each.id == message.id]
    return found.preview


@pytest.mark.asyncio
async def test_it_shows_what_a_link_leads_to(settings: Settings) -> None:
    """The first that can be shown, redirects followed; a picture itself; nothing of code, of what is not there, or of private addresses."""
    found = {"/page": PAGE + '<meta property="og:image" content="pics/a b.png">', "/empty": "<p>hello"}
    async with served(pages(found)) as peer, previewing(settings, peer) as host:
        base = f"http://example.org:{peer.port}"
        image = f"{base}/pics/a%20b.png"
        expected = Preview(url=f"{base}/page", title="A & B", description="About it", image=image)
        assert await shown(host, f"look ({base}/page), and {base}/picture.") == expected
        moved = await shown(host, f"{base}/gone {base}/empty {base}/moved")
        assert moved == Preview(url=f"{base}/moved", title="A & B", description="About it", image=image)
        assert await shown(host, f"{base}/picture") == Preview(url=f"{base}/picture", image=f"{base}/picture")
        before = len(peer.seen)
        assert await shown(host, f"`{base}/page`\n```\n{base}/page") is None
        assert await shown(host, f"http://10.0.0.1:{peer.port}/page http://user:word@example.org:{peer.port}/page") is None
        assert len(peer.seen) == before


@pytest.mark.asyncio
async def test_a_page_is_asked_once(settings: Settings) -> None:
    """For as long as it is kept, one that fails for a shorter time; what is kept bears no link."""
    async with served(pages({"/page": PAGE})) as peer, previewing(settings, peer) as host:
        good, bad = (f"http://example.org:{peer.port}/{path}" for path in ("page", "gone"))
        for minutes, asked in ((0, 2), (1, 2), (15, 3), (24 * 60, 5)):
            await host.advance(minutes=minutes)
            assert await shown(host, f"{bad} {good}") is not None
            assert len(peer.seen) == asked, minutes
        kept = await host.node.database.fetch("SELECT key, body FROM document WHERE instance = 'linkpreview'")
        assert len(kept) == 2
        assert not [row for row in kept if "example.org" in row["key"] + row["body"]]


@pytest.mark.asyncio
async def test_an_edit_and_a_repeat(settings: Settings) -> None:
    """An edit has the preview of what it says now; all of it again changes nothing."""
    other = PAGE.replace("A &amp; B", "Other")
    async with served(pages({"/page": PAGE, "/other": other})) as peer, previewing(settings, peer) as host:
        base = f"http://example.org:{peer.port}"
        ana = host.user("ana")
        message = await host.assert_idempotent(ana.says("#room", f"{base}/page"))
        assert (await preview_on(host, message) or Preview(url="")).title == "A & B"
        await host.assert_idempotent(ana.edits(message, f"{base}/other"))
        assert (await preview_on(host, message) or Preview(url="")).title == "Other"
        await host.assert_idempotent(ana.edits(message, "nothing"))
        assert await preview_on(host, message) is None


@pytest.mark.asyncio
async def test_what_is_configured(settings: Settings) -> None:
    """Hosts that are left alone with those below them, pages that are too long, pictures that are not named, links beyond the last."""
    found = {"/page": PAGE + '<meta property="og:image" content="/a.png">', "/long": PAGE + " " * 5000}
    config = {"ignore": ["Example.net"], "page_bytes": 4096, "images": False, "links": 2}
    async with served(pages(found)) as peer, previewing(settings, peer, config) as host:
        port = peer.port
        assert await shown(host, f"http://example.net:{port}/page http://www.example.net:{port}/page") is None
        assert await shown(host, f"http://example.org:{port}/picture") is None
        assert await shown(host, f"http://a.org:{port}/no http://b.org:{port}/no http://c.org:{port}/page") is None
        assert len(peer.seen) == 3
        here = await shown(host, f"http://example.org:{port}/long http://badexample.net:{port}/page")
        assert here == Preview(url=f"http://badexample.net:{port}/page", title="A & B", description="About it")


# ---- links


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("https://example.org/a, and http://b.example.org.", ["https://example.org/a", "http://b.example.org"]),
        ("[text](https://example.org/a_(b)) <https://example.org/c>", ["https://example.org/a_(b)", "https://example.org/c"]),
        ("**https://example.org/a** _https://example.org/b_", ["https://example.org/a", "https://example.org/b"]),
        ("`https://example.org/a` ``https://example.org/b``\n```\nhttps://example.org/c\n```", []),
        ("ftp://example.org https:// xhttps://example.org/a http://[::1 https://example.org/\u200bb", []),
        ("https://example.org/a " * 3, ["https://example.org/a"]),
        ("https://example.org/" + "a" * LINK_MAX, []),
    ],
)
def test_links_in_a_text(text: str, links: list[str]) -> None:
    """Outside of code, without the punctuation around them, each once."""
    assert links_in(text, 5) == links


@given(st.text(alphabet=st.sampled_from("h`https://[](). \n@a:ﬁ\u202e")), st.integers(1, 5))
def test_links_of_any_text(text: str, most: int) -> None:
    """There is none that the core would not show."""
    found = links_in(text + "http://" + text, most)
    assert len(found) <= most
    for link in found:
        assert checked(Preview(url=link)).url == link


# ---- pages


@pytest.mark.parametrize(
    ("head", "page"),
    [
        ("<TITLE>\n A &lt;b&gt; \n</TITLE>", Page("A <b>", None, None)),
        ("<title>plain</title><meta content='Card' name='twitter:title'>", Page("Card", None, None)),
        ("<meta property=og:title content=Bare><meta property='og:title' content='second'>", Page("Bare", None, None)),
        ('<meta property="og:title" content=" "><title>kept</title>', Page("kept", None, None)),
        ('<meta property="og:title" content="a > b">', Page("a > b", None, None)),
        ("<!-- <title>not</title> --><script>'<title>nor</title>'</script><title>this</title>", Page("this", None, None)),
        ("<title>one</title></head><meta property='og:title' content='too late'>", Page("one", None, None)),
        ('<meta name="description" content="x\u202ey\x07z">', Page(None, "xyz", None)),
        ('<base href="/deep/"><meta property="og:image" content="a.png">', Page(None, None, "https://example.org/deep/a.png")),
        ('<meta property="og:image" content="javascript:alert(1)">', Page(None, None, None)),
        ('<meta property="og:image" content="http://[::1">', Page(None, None, None)),
        (f"<title>{'a ' * 300}</title>", Page("a " * 99 + "a…", None, None)),
    ],
)
def test_what_a_page_says(head: str, page: Page) -> None:
    """Open Graph before cards before HTML's own, the first of each, cleaned."""
    assert page_of(f"<html><head>{head}".encode(), HTML, "https://example.org/page") == page


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("<title>Grüße</title>".encode("iso-8859-1"), "text/html; charset=ISO-8859-1"),
        ('<meta charset="windows-1252"><title>Grüße</title>'.encode("cp1252"), "text/html"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=latin1"><title>Grüße</title>'.encode("latin-1"), "text/html"),
        ("\ufeff<title>Grüße</title>".encode("utf-16-le"), "text/html; charset=utf-8"),
        ("<title>Grüße</title>".encode(), "text/html; charset=unicode_escape"),
        ("<title>Grüße</title>".encode(), "text/html; charset=cp999"),
        ("<title>Grüße</title>".encode(), "text/html"),
    ],
)
def test_charsets(body: bytes, kind: str) -> None:
    """By mark, header and page, in that order; what is unknown is UTF-8."""
    assert page_of(body, kind, "https://example.org/").title == "Grüße"


PIECES = st.sampled_from(
    [
        "<meta ", "property=", '"og:title"', "'og:image'", "content=", '"', "'", ">", "<!--", "-->", "<title>", "</title>", "<base href=",
        "<script>", "</", "&#x110000;", "&amp", "\x00", "\u202e", "http://[", "javascript:", "//x", "é", " ", "=", "name=description",
    ]
)  # fmt: skip


@given(st.one_of(st.lists(PIECES).map(lambda some: "".join(some).encode()), st.binary(max_size=300)), st.text(max_size=30))
def test_any_page(body: bytes, charset: str) -> None:
    """Whatever a page says, it raises nothing, and the core shows what comes out of it."""
    page = page_of(body, f"text/html; charset={charset}", "https://example.org/")
    preview = Preview(url="https://example.org/", title=page.title, description=page.description, image=page.image)
    assert checked(preview) == preview


@pytest.mark.parametrize(
    "piece",
    ["<!--", "<", "</", "<meta ", '<meta a="', "<meta a='", "<title>", "<script>", "<a a=", "&", "&#", "<base href=x>", "<meta a=b "],
)
def test_a_page_that_is_made_to_take_long(piece: str) -> None:
    """Its length counts, and no power of it."""
    body = (piece * 1_000_000).encode()
    began = time.perf_counter()
    page_of(body, HTML, "https://example.org/")
    assert time.perf_counter() - began < 2
