"""Of a channel or an organisation that was removed nothing is left to be found, by whatever way."""

from __future__ import annotations

import pytest

from crust.events.objects import Preview
from crust.models.database import Database
from crust.models.tables import Channel
from crust.runtime import Node, opened
from crust.services.actor import Actor
from crust.settings import Settings
from tests.support.files import kept
from tests.support.people import channel, events, names, organisation, person, position, put, say
from tests.support.transfer import exported

pytestmark = pytest.mark.asyncio
WORD = "Quellwolke"


async def lived(node: Node, who: Actor, other: Actor, place: int | None = None) -> int:
    """A channel in which everything bears the word: name, topic, messages, earlier versions, mentions, pins, reactions, a file."""
    room = await channel(node, who, other, type_="private", organisation_id=place, name=f"{WORD} room")
    await node.core.channels.change(who, room, name=f"{WORD} two", topic=f"{WORD} topic", type_=None)
    said = await say(node, other, room, f"{WORD} @ana")
    await node.core.messages.edit(other, int(said.id), f"{WORD} @ana again", None)
    await node.core.messages.preview(who, int(said.id), Preview(url="https://example.org/", title=f"{WORD} page"))
    await node.core.messages.pin(who, int(said.id))
    await node.core.messages.react(who, int(said.id), "👍")
    await put(node, other, f"{WORD}.txt", WORD.encode(), channel_id=room)
    return room


async def everything(database: Database) -> str:
    """All that stands in any table, but for what administrators did."""
    tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'message_search_%'"
    if database.dialect == "postgres":
        tables = "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'"
    found = [row["name"] for row in await database.fetch(tables) if row["name"] != "audit"]
    return str([[dict(row) for row in await database.fetch(f'SELECT * FROM "{name}"')] for name in found])


async def test_a_removed_channel(settings: Settings) -> None:
    """No table, event, export or folder bears what was in it; a second look finds nothing to do; others' words stay."""
    async with opened(settings) as node:
        ana, ben = await person(node, "ana", is_admin=True), await person(node, "ben")
        room, stays = await lived(node, ana, ben), await channel(node, ana, ben, name="stays")
        await say(node, ben, stays, "Landregen")
        assert WORD in await everything(node.database)
        await node.core.archiving.remove(ana, room)
        before = await position(node)
        await node.core.erasing.run()
        assert WORD.casefold() not in (await everything(node.database)).casefold()
        assert kept(node) == []
        assert names(await events(node, before)) == []
        assert len(await events(node)) == before, "that there were events stays"
    lines = await exported(settings)
    assert WORD.casefold().encode() not in lines.lower()
    assert b"Landregen" in lines


async def test_a_removed_organisation(settings: Settings) -> None:
    """The same for all its channels and teams, and for its name."""
    async with opened(settings) as node:
        ana, ben = await person(node, "ana", is_admin=True), await person(node, "ben")
        place = await organisation(node, ana, ben, name=f"{WORD} Ltd")
        await node.core.teams.create(ana, f"{WORD} team", [ben.user_id], place, None)
        await lived(node, ana, ben, place)
        await node.core.organisations.remove(ana, place)
        await node.core.erasing.run()
        assert WORD.casefold() not in (await everything(node.database)).casefold()


async def test_what_was_merged_into_a_removed_channel(settings: Settings) -> None:
    """Its messages went over and go with it, and its name goes, too."""
    async with opened(settings) as node:
        ana, ben = await person(node, "ana", is_admin=True), await person(node, "ben")
        room, into = await lived(node, ana, ben), await channel(node, ana, ben, type_="private", name="into")
        await node.core.merging.merge(ana, into, room)
        await node.core.archiving.remove(ana, into)
        await node.core.erasing.run()
        assert WORD.casefold() not in (await everything(node.database)).casefold()
        assert await Channel.filter(id=room).exists(), "its id is not given again"
