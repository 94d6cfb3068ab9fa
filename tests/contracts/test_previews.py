"""Previews: what a link in a message leads to, shown wherever the message is, and gone with what it said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from crust.errors import Forbidden, Gone, Invalid, NotFound
from crust.events.objects import Preview
from crust.runtime import Node, opened
from crust.services.paging import Part
from crust.services.search import Wish
from crust.services.snapshots import Wanted
from crust.settings import Settings
from tests.support.hosting import hosted
from tests.support.people import channel, events, person, position, put, say
from tests.support.plugins import instance, written
from tests.support.transfer import exported, imported

pytestmark = pytest.mark.asyncio
PAGE = Preview(url="https://example.org/a", title="Quellwolke", description="About clouds", image="https://example.org/a.png")
PLUGIN = """
class It(Plugin[PluginConfig]):
    api = 1
    capabilities = frozenset({"read:public", "message:preview"})
"""


async def told(node: Node, after: int) -> list[dict[str, Any]]:
    """The edits of messages since."""
    return [msgspec.json.decode(e.body) for e in await events(node, after) if (e.type, e.event) == ("message", "edited")]


async def test_it_is_seen_wherever_the_message_is(settings: Settings) -> None:
    """History, one message, search, thread, pins, snapshot and event alike; the same again is nothing; it is no new version."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        room, messages = await channel(node, ana), node.core.messages
        head = await say(node, ana, room)
        said = await messages.post(ana, room, "word https://example.org/a", reply_to=int(head.id), client_msg_id=None, key=None)
        await messages.pin(ana, int(said.id))
        before = await position(node)
        for _ in range(2):
            await messages.preview(ana, int(said.id), PAGE)
        (frame,) = [msgspec.json.decode(raw) async for raw in node.core.snapshots.of(ana, [Wanted(room, 10)])]
        everywhere = [
            (await messages.read(ana, room, before=None, after=None, around=None, limit=1)).messages[0],
            await messages.read_one(ana, int(said.id)),
            (await messages.thread(ana, int(head.id), Part(limit=10)))[0],
            (await messages.pins(ana.user_id, room))[0],
            (await node.core.search.find(ana, Wish(query="word"), 10))[0],
        ]
        assert [each.preview for each in everywhere] == [PAGE] * 5
        [event] = await told(node, before)
        assert frame["messages"][-1]["preview"] == event["preview"] == msgspec.to_builtins(PAGE)
        assert (event["changed"], event["version"], event["edited_at"]) == (["preview"], 1, None)
        assert await messages.versions(ana, int(said.id), Part(limit=10)) == []
        await messages.preview(ana, int(said.id), None)
        assert (await messages.read_one(ana, int(said.id))).preview is None


async def test_an_edit_takes_it_away(settings: Settings) -> None:
    """And says so; what was made for an earlier version comes too late. A new file leaves it."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        room, messages = await channel(node, ana), node.core.messages
        said = await say(node, ana, room, "https://example.org/a")
        await messages.preview(ana, int(said.id), PAGE, 1)
        await put(node, ana, "file.txt", b"x", message_id=int(said.id))
        assert (await messages.read_one(ana, int(said.id))).preview == PAGE
        before = await position(node)
        await messages.edit(ana, int(said.id), "nothing", None)
        await messages.preview(ana, int(said.id), PAGE, 2)
        assert [(each["changed"], each["preview"]) for each in await told(node, before)] == [(["contents", "preview"], None)]
        assert (await messages.read_one(ana, int(said.id))).preview is None


async def test_it_goes_with_its_message(settings: Settings) -> None:
    """From the row, and from what earlier events told."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        said = await say(node, ana, await channel(node, ana))
        await node.core.messages.preview(ana, int(said.id), PAGE)
        await node.core.messages.remove(ana, int(said.id))
        assert not [event for event in await events(node) if b"Quellwolke" in bytes(event.body)]
        assert await node.database.fetch("SELECT 1 FROM message WHERE preview IS NOT NULL") == []
        with pytest.raises(NotFound):
            await node.core.messages.preview(ana, int(said.id), PAGE)


async def test_it_comes_along(settings: Settings, tmp_path: Path) -> None:
    """An export has it, and an import puts it back."""
    source = settings.model_copy(update={"data_dir": tmp_path / "source", "database_url": ""})
    async with opened(source) as node:
        ana = await person(node, "ana")
        said = await say(node, ana, await channel(node, ana), "word")
        await node.core.messages.preview(ana, int(said.id), PAGE)
    lines = await exported(source)
    async with opened(settings) as node:
        await imported(node, lines)
        ana = (await node.core.sessions.sign_in("ana", "correct horse", "c", "", "")).actor
        (found,) = await node.core.search.find(ana, Wish(query="word"), 10)
        assert found.preview == PAGE


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"url": "javascript:alert(1)"}, "url"),
        ({"url": "//example.org/"}, "url"),
        ({"url": "http://"}, "url"),
        ({"url": "http://[::1/"}, "url"),
        ({"url": "https://example.org/a b"}, "url"),
        ({"url": "https://example.org/" + "a" * 2048}, "url"),
        ({"title": "a" * 301}, "title"),
        ({"title": "a\u202eb"}, "title"),
        ({"description": "a" * 1001}, "description"),
        ({"description": "a\x00b"}, "description"),
        ({"image": "data:image/png;base64,AA"}, "image"),
    ],
)
async def test_what_cannot_be_shown(sqlite_in: Any, tmp_path: Path, wrong: dict[str, str], field: str) -> None:
    """It is refused by the part that is wrong."""
    async with opened(sqlite_in(tmp_path / "data")) as node:
        ana = await person(node, "ana")
        said = await say(node, ana, await channel(node, ana))
        with pytest.raises(Invalid) as refused:
            await node.core.messages.preview(ana, int(said.id), msgspec.structs.replace(PAGE, **wrong))
        assert refused.value.field == field


async def test_a_plugin_shows_it_where_its_bot_sees(settings: Settings, tmp_path: Path) -> None:
    """With others' messages, in public channels that it is no member of; keyed; neither in private nor in archived ones, nor undeclared."""
    plugins = {
        "it": instance(written(tmp_path / "plugins", PLUGIN)),
        "bare": instance(written(tmp_path / "plugins", PLUGIN.replace(', "message:preview"', ""))),
    }
    async with opened(settings) as node:
        ana = await person(node, "ana", is_admin=True)
        room, private = await channel(node, ana), await channel(node, ana, type_="private", name="private")
    async with hosted(settings, tmp_path / "plugins", plugins, running=False) as at:
        said, hidden = await say(at.node, ana, room), await say(at.node, ana, private)
        chat = at.plugin("it").ctx.chat
        await chat.preview(said.id, PAGE, version=1, key="one")
        await chat.preview(said.id, None, key="one")
        assert (await chat.message(said.id)).preview == PAGE
        with pytest.raises(NotFound):
            await chat.preview(hidden.id, PAGE)
        with pytest.raises(Forbidden, match="message:preview"):
            await at.plugin("bare").ctx.chat.preview(said.id, PAGE)
        await at.node.core.archiving.archive(ana, room)
        with pytest.raises(Gone):
            await chat.preview(said.id, None)
