"""Counting anew: what does not follow from the other rows is found and put right, and nothing else is touched."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from crust.runtime import Node, opened
from crust.services.search import Wish
from crust.settings import Settings
from tests.support.people import channel, events, names, person, position, say
from tests.support.recounting import recounted

pytestmark = pytest.mark.asyncio


async def spoil(node: Node, sql: str, *values: Any) -> None:
    async with node.log.change():
        await node.database.execute(sql, *values)


async def test_a_healthy_server_is_left_alone(settings: Settings) -> None:
    """After replies, reactions, removals, edits, mentions, leaving, flags, pins, a merge and a team: nothing differs or is told."""
    async with opened(settings) as node:
        core = node.core
        ana, ben = await person(node, "ana", is_admin=True), await person(node, "ben")
        place, other = await channel(node, ana, ben), await channel(node, ana, name="other")
        await core.teams.create(ana, "Builders", [ben.user_id], None, None)
        first = await say(node, ana, place, "@ben, @ana and @nobody: 你好 Grüße")
        for text in ("one", "two"):
            await core.messages.post(ben, place, text, reply_to=int(first.id), client_msg_id=None, key=None)
        gone = await core.messages.post(ben, place, "gone", reply_to=int(first.id), client_msg_id=None, key=None)
        await core.messages.remove(ben, int(gone.id))
        for emoji in ("👍", "🎉"):
            await core.messages.react(ben, int(first.id), emoji)
        await core.messages.pin(ben, int(first.id))
        await core.messages.flag(ben, int(first.id), flagged=True)
        await core.messages.edit(ana, int(first.id), "@ben once more", None)
        await say(node, ana, other, "@ana")
        await core.merging.merge(ana, place, other)
        await core.channels.part(ben, place)
        await core.channels.join(ben, place)
        before = await position(node)
        assert await recounted(node) == {}
        assert await position(node) == before


async def test_what_was_spoilt_is_counted_anew(settings: Settings) -> None:
    """Every counted column, by its true count; a dry run only tells; the channel's members are told how it is."""
    async with opened(settings) as node:
        core = node.core
        ana, ben = await person(node, "ana", is_admin=True), await person(node, "ben")
        team = await core.teams.create(ana, "Builders", [ben.user_id], None, None)
        made = await core.channels.create(
            ana, name="ours", topic="", type_="public", organisation_id=None, members=[ben.user_id], key=None, team_id=int(team.id)
        )
        place = int(made.id)
        first = await say(node, ana, place, "hello")
        answer = await core.messages.post(ben, place, "hi", reply_to=int(first.id), client_msg_id=None, key=None)
        await core.messages.react(ben, int(first.id), "👍")
        await spoil(node, "UPDATE channel SET members_count = 7, last_message_id = 3, team_ids = '5' WHERE id = $1", place)
        await spoil(node, "UPDATE message SET replies = 9, reactions = 0 WHERE id = $1", int(first.id))
        await spoil(node, "UPDATE channel_member SET last_read_id = $1 WHERE user_id = $2", 2**62, ben.user_id)
        expected = dict.fromkeys(
            ("channel.members_count", "channel.last_message_id", "channel.team_ids", "message.replies", "message.reactions"), 1
        ) | {"channel_member.last_read_id": 1}
        before = await position(node)
        assert await recounted(node, dry=True) == expected
        assert await position(node) == before
        assert await recounted(node) == expected
        assert set(names(await events(node, before))) == {"channel edited"}
        seen = await core.channels.read(ben, place)
        assert (seen.members_count, seen.last_message_id, seen.team_ids, seen.unread) == (2, answer.id, [team.id], 0)
        read = await core.messages.read_one(ana, int(first.id))
        assert (read.replies, [each.count for each in read.reactions]) == (1, [1])
        await say(node, ana, place, "and on")
        assert (await core.channels.read(ben, place)).unread == 1
        assert await recounted(node) == {}


async def test_mentions_are_made_anew(settings: Settings) -> None:
    """One that is missing, doubled, of a message that is gone or of somebody who was not named; those who left are not called."""
    async with opened(settings) as node:
        ana, ben = await person(node, "ana", is_admin=True), await person(node, "ben")
        cleo = await person(node, "cleo")
        place = await channel(node, ana, ben, cleo)
        for _ in range(3):
            await say(node, ana, place, "@ben @cleo")
        lost, doubled, extra = [int((await say(node, ana, place, text)).id) for text in ("@ben", "@ben", "nobody")]
        await node.core.channels.part(cleo, place)
        await spoil(node, "DELETE FROM mention WHERE message_id = $1", lost)
        insert = "INSERT INTO mention (id, user_id, channel_id, message_id) VALUES ($1, $2, $3, $4)"
        for number, (user, message) in enumerate([(ben, doubled), (ben, extra), (ben, 77), (cleo, doubled)], 1):
            await spoil(node, insert, number, user.user_id, place, message)
        assert await recounted(node) == {"mention": 4}
        assert (await node.core.channels.read(ben, place)).mentions == 5
        assert await recounted(node) == {}


async def test_the_search_index_is_put_in_step(settings: Settings) -> None:
    """A message that is not found, one that is found by other words or labels, and one that is found though it is gone."""
    async with opened(settings) as node:
        ana = await person(node, "ana", is_admin=True)
        place = await channel(node, ana)
        lost, changed, pinned, gone = [int((await say(node, ana, place, text)).id) for text in ("plum", "pear", "fig", "sloe")]
        key = "rowid" if node.database.dialect == "sqlite" else "id"
        await spoil(node, f"DELETE FROM message_search WHERE {key} = $1", lost)
        await spoil(node, "UPDATE message SET contents = 'Größe' WHERE id = $1", changed)
        await spoil(node, "UPDATE message SET pinned_by = $1 WHERE id = $2", ana.user_id, pinned)
        await spoil(node, "UPDATE message SET removed_at = 1 WHERE id = $1", gone)
        assert await recounted(node) == {"message_search": 4}

        async def found(query: str) -> list[str]:
            return [each.id for each in await node.core.search.find(ana, Wish(query=query), 10)]

        assert [await found(query) for query in ("plum", "grosse", "pear", "is:pinned", "sloe")] == [
            [str(lost)], [str(changed)], [], [str(pinned)], []
        ]  # fmt: skip
        assert await recounted(node) == {}


async def test_beside_people_who_talk_nothing_seems_wrong(settings: Settings) -> None:
    """What changes while it is looked at is not taken for a difference."""
    async with opened(settings) as node:
        ana, ben = await person(node, "ana", is_admin=True), await person(node, "ben")
        place = await channel(node, ana, ben)
        first = int((await say(node, ana, place, "begin")).id)
        stop = asyncio.Event()

        async def talk() -> None:
            while not stop.is_set():
                await node.core.messages.post(ben, place, "@ana yes", reply_to=first, client_msg_id=None, key=None)
                said = await say(node, ana, place, "@ben no")
                await node.core.messages.react(ben, first, "👍")
                await node.core.messages.unreact(ben, first, "👍")
                await node.core.messages.remove(ana, int(said.id))

        talking = asyncio.create_task(talk())
        for _ in range(20):
            assert await recounted(node) == {}
        stop.set()
        await talking
