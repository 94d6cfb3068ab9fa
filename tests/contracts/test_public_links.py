"""A public link opens exactly one thing, to anybody, until it expires or that is removed."""

from __future__ import annotations

import base64

import pytest
from quart import Response
from quart.typing import TestClientProtocol as Client

from crust.clock import ManualClock
from crust.errors import NotFound
from crust.runtime import Faces, Node, opened
from crust.services.actor import Actor
from crust.settings import Settings
from tests.support.people import channel, person, put, say
from tests.support.transfer import exported

pytestmark = pytest.mark.asyncio
TEXT = "first line\n<script>alert(1)</script> & *so on*\n" + "long " * 50
DAY = 86_400


class Here:
    """A node with its faces, a person, and a private channel in which there is a message and a file."""

    def __init__(self, node: Node, clock: ManualClock, ana: Actor, message: int, file: int, room: int) -> None:
        self.node, self.clock, self.ana, self.message, self.file, self.room = node, clock, ana, message, file, room
        self.client: Client = None  # type: ignore[assignment]  # set before it is used

    async def path(self, *, file: bool = False) -> str:
        """Of a link that is made now."""
        links = self.node.core.public_links
        made = await (links.to_file(self.ana, self.file) if file else links.to_message(self.ana, self.message))
        assert made.startswith(self.node.settings.effective_public_url + "/public/")
        return made.removeprefix(self.node.settings.effective_public_url)


async def here(node: Node, clock: ManualClock) -> Here:
    ana = await person(node, "ana", is_admin=True)
    room = await channel(node, ana, type_="private")
    said = await say(node, ana, room, TEXT)
    sent = await put(node, ana, "notes.txt", b"0123456789", channel_id=room)
    found = Here(node, clock, ana, int(said.id), int(sent.attachments[0].id), room)
    found.client = Faces(node, await node.log.head()).app.test_client()
    return found


async def status(at: Here, path: str, method: str = "GET", **headers: str) -> int:
    answer: Response = await getattr(at.client, method.lower())(path, headers=headers)
    return answer.status_code


async def test_a_message_is_a_plain_page(settings: Settings) -> None:
    """With who said it, all of its text and nothing that could act; not for search engines. Made again that day, the link is the same."""
    clock = ManualClock()
    async with opened(settings, clock) as node:
        at = await here(node, clock)
        path = await at.path()
        assert path == await at.path()
        answer = await at.client.get(path)
        text = await answer.get_data(as_text=True)
        assert (answer.status_code, answer.mimetype) == (200, "text/html")
        assert "<script" not in text
        assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; *so on*" in text
        assert "long " * 49 in text
        assert "noindex" in answer.headers["X-Robots-Tag"]
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'")
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "room" not in text, "where it was said is nobody's business"


async def test_a_file_is_as_it_is_for_its_readers(settings: Settings) -> None:
    """Whole and in part, with the headers that let it do nothing."""
    clock = ManualClock()
    async with opened(settings, clock) as node:
        at = await here(node, clock)
        path = await at.path(file=True)
        whole = await at.client.get(path)
        assert (whole.status_code, await whole.get_data()) == (200, b"0123456789")
        assert "sandbox" in whole.headers["Content-Security-Policy"]
        assert "noindex" in whole.headers["X-Robots-Tag"]
        part = await at.client.get(path, headers={"Range": "bytes=2-4"})
        assert (part.status_code, await part.get_data()) == (206, b"234")
        assert await status(at, path, Range="bytes=99-") == 416
        assert await status(at, path, "HEAD") == 200
        for method in ("POST", "PUT", "DELETE"):
            assert await status(at, path, method) == 405


async def test_nothing_else_can_be_reached(settings: Settings) -> None:
    """Every other spelling, every other id, and a key of another server: 404 as the API has it, one and the same."""
    clock = ManualClock()
    async with opened(settings, clock) as node:
        at = await here(node, clock)
        path = await at.path()
        link = path.removeprefix("/public/")
        data = base64.urlsafe_b64decode(link + "=" * (-len(link) % 4))
        bad = ["", "x", "%00", "..", link[:-1], link + "A", link + "=", link.swapcase(), "é" * 44, "A" * 44, "A" * 5000, f"{link}/x"]
        bad += [base64.urlsafe_b64encode(data[:n] + bytes([data[n] ^ 1]) + data[n + 1 :]).decode().rstrip("=") for n in range(len(data))]
        told = set()
        for each in bad:
            answer = await at.client.get(f"/public/{each}")
            assert answer.status_code == 404, each
            error = (await answer.get_json())["error"]
            told.add((error["code"], error["message"]))
        assert told == {("not_found", "There is nothing here, or not any more."), ("not_found", "There is no such path.")}
        async with node.database.transaction():
            await node.database.execute("UPDATE secret SET value = $1", "00" * 32)
        assert await status(at, path) == 404


async def test_a_link_ends(settings: Settings) -> None:
    """With its days; with its message, and with the channel of that; a file's with the message that it is on."""
    clock = ManualClock()
    async with opened(settings, clock) as node:
        at = await here(node, clock)
        message, file = await at.path(), await at.path(file=True)
        clock.advance(settings.public_links.days * DAY)
        assert [await status(at, message), await status(at, file)] == [200, 200]
        clock.advance(DAY)
        assert [await status(at, message), await status(at, file)] == [404, 404]
        message, file = await at.path(), await at.path(file=True)
        await node.core.messages.remove(at.ana, at.message)
        assert [await status(at, message), await status(at, file)] == [404, 200]
        await node.core.archiving.remove(at.ana, at.room)
        assert await status(at, file) == 404


async def test_only_who_sees_it_makes_a_link(settings: Settings) -> None:
    """Of what one does not see, there is none to be had."""
    clock = ManualClock()
    async with opened(settings, clock) as node:
        at = await here(node, clock)
        eve, links = await person(node, "eve"), node.core.public_links
        with pytest.raises(NotFound):
            await links.to_message(eve, at.message)
        with pytest.raises(NotFound):
            await links.to_file(eve, at.file)


async def test_the_key_is_made_once_and_leaves_with_no_export(settings: Settings) -> None:
    """It outlives the process; what is exported has it not."""
    clock = ManualClock()
    async with opened(settings, clock) as node:
        at = await here(node, clock)
        path = await at.path()
        [row] = await node.database.fetch("SELECT value FROM secret")
    async with opened(settings, clock) as node:
        at.client = Faces(node, await node.log.head()).app.test_client()
        assert await status(at, path) == 200
    assert row["value"].encode() not in await exported(settings)
