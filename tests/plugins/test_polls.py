"""polls: asked once, counted right, closed by who may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from crust_polls import polls
from crust_polls.polls import KEYCAPS

from crust.clock import ManualClock
from crust.errors import Forbidden, Invalid, NotFound
from crust.runtime import opened
from crust.services.actor import Actor
from crust.services.keys import Key, fingerprint
from crust.services.views import ViewedMessage
from crust.settings import Settings
from tests.support.hosting import Hosted, hosted
from tests.support.people import channel, person
from tests.support.plugins import instance

pytestmark = pytest.mark.asyncio
FOLDER = Path(__file__).parents[2] / "plugins"
LUNCH = '/poll "Lunch?" Pizza "Sushi, raw"'


@asynccontextmanager
async def polling(
    settings: Settings, clock: ManualClock | None = None, **config: object
) -> AsyncIterator[tuple[Hosted, Actor, Actor, int]]:
    async with opened(settings) as node:
        ana, ben = await person(node, "ana", is_admin=True), await person(node, "ben")
        room = await channel(node, ana, ben)
    async with hosted(settings, FOLDER, {"polls": instance("polls", config=config)}, clock) as at:
        await at.settled("polls")
        yield at, ana, ben, room


async def run(at: Hosted, who: Actor, room: int, line: str, key: str | None = None) -> None:
    await at.node.core.commands.run(who, room, line, None if key is None else Key(f"{who.user_id}", key, fingerprint(line)))


async def said(at: Hosted, who: Actor, room: int) -> list[ViewedMessage]:
    page = await at.node.core.messages.read(who, room, before=None, after=None, around=None, limit=50)
    return [each for each in page.messages if each.type == "MESSAGE"]


async def vote(at: Hosted, who: Actor, poll: ViewedMessage, *options: int) -> None:
    for option in options:
        await at.node.core.messages.react(who, int(poll.id), KEYCAPS[option])


async def again(at: Hosted) -> None:
    """Hand it every event once more."""
    await at.settled("polls")
    async with at.node.database.transaction():
        await at.node.database.execute("UPDATE delivery SET state = 'waiting', claim = 0 WHERE consumer = 'polls'")
    at.host.engine.wake("polls")
    await asyncio.sleep(0.1)
    await at.settled("polls")


async def test_a_poll(settings: Settings) -> None:
    """Posted once with a reaction for each option; of each person the last vote counts, events that come again change nothing."""
    async with polling(settings) as (at, ana, ben, room):
        for _ in range(2):
            await run(at, ana, room, LUNCH, "one")
        [poll] = await said(at, ana, room)
        assert poll.contents == f"**Lunch?** (a poll, by @ana)\n{KEYCAPS[0]} Pizza\n{KEYCAPS[1]} Sushi, raw"
        assert [(each.emoji, each.count) for each in poll.reactions] == [(KEYCAPS[0], 1), (KEYCAPS[1], 1)]
        await vote(at, ana, poll, 0, 1)
        await vote(at, ben, poll, 1, 0)
        await at.node.core.messages.unreact(ben, int(poll.id), KEYCAPS[0])
        await at.node.core.messages.react(ben, int(poll.id), "👍")
        await again(at)
        await run(at, ana, room, "/poll close")
        closed, result = await said(at, ana, room)
        assert (result.contents, result.reply_to) == ("**Lunch?** Sushi, raw: 2, Pizza: 0", poll.id)
        assert closed.contents == f"**Lunch?** (closed, by @ana)\n{KEYCAPS[0]} Pizza: 0\n{KEYCAPS[1]} Sushi, raw: 2"
        await vote(at, ben, poll, 0)
        await at.settled("polls")
        with pytest.raises(NotFound, match="no open poll"):
            await run(at, ana, room, "/poll close")


async def test_several_votes_shown_as_they_come(settings: Settings) -> None:
    """Where that is configured: all votes count, and the poll says how many there are."""
    async with polling(settings, several=True, live=True) as (at, ana, ben, room):
        await run(at, ana, room, LUNCH)
        [poll] = await said(at, ana, room)
        await vote(at, ana, poll, 0, 1)
        await vote(at, ben, poll, 1)
        await again(at)
        [poll] = await said(at, ana, room)
        assert poll.contents == f"**Lunch?** (a poll, by @ana)\n{KEYCAPS[0]} Pizza: 1\n{KEYCAPS[1]} Sushi, raw: 2"


async def test_who_closes_it(settings: Settings) -> None:
    """Whoever made it, their last one; others only if they look after the channel."""
    async with polling(settings) as (at, ana, ben, room):
        await run(at, ana, room, LUNCH)
        with pytest.raises(Forbidden, match="whoever made it"):
            await run(at, ben, room, "/poll close")
        await run(at, ben, room, '/poll "Tea?" Yes No')
        for _ in range(2):
            await run(at, ana, room, "/poll close")
        assert [each.contents for each in (await said(at, ana, room))[2:]] == [
            "**Lunch?** Pizza: 0, Sushi, raw: 0",
            "**Tea?** Yes: 0, No: 0",
        ]


async def test_it_closes_by_itself(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """When its time is over, once, as after a crash too; one that was removed is forgotten."""
    monkeypatch.setattr(polls, "LOOK_S", 0.02)
    clock = ManualClock()
    async with polling(settings, clock, hours=1.5) as (at, ana, _, room):
        await run(at, ana, room, LUNCH)
        await run(at, ana, room, '/poll "Tea?" Yes No')
        first, second = await said(at, ana, room)
        await at.node.core.messages.remove(ana, int(second.id))
        collection = at.plugin("polls").ctx.store.collection("polls")
        kept = await collection.get(first.id)
        clock.advance(1.4 * 3600)
        await asyncio.sleep(0.1)
        assert len(await collection.find()) == 2
        clock.advance(0.2 * 3600)
        async with asyncio.timeout(20):
            while await collection.find():
                await asyncio.sleep(0.02)
        await at.plugin("polls")._close(kept)
        assert [each.contents for each in (await said(at, ana, room))[1:]] == ["**Lunch?** Pizza: 0, Sushi, raw: 0"]


@pytest.mark.parametrize(
    "line", ["/poll", '/poll "Lunch?"', "/poll Lunch? Pizza", "/poll Lunch? Pizza Pizza", '/poll "" a b', '/poll "a', "/poll q" + " x" * 11]
)
async def test_what_is_no_poll(settings: Settings, line: str) -> None:
    """It is refused, and nothing is posted."""
    async with polling(settings) as (at, ana, _, room):
        with pytest.raises(Invalid):
            await run(at, ana, room, line)
        assert await said(at, ana, room) == []
