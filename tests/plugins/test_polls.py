"""polls: asked once, counted right, closed by who may."""

from __future__ import annotations

import asyncio

import pytest
from crust_polls import Polls, polls
from crust_polls.polls import KEYCAPS

from crust.errors import Forbidden, Invalid, NotFound
from crust.plugin import Message
from crust.settings import Settings
from crust.testing import Host, Person, hosted

pytestmark = pytest.mark.asyncio
LUNCH = '/poll "Lunch?" Pizza "Sushi, raw"'


async def vote(host: Host, who: Person, poll: Message, *options: int) -> None:
    for option in options:
        await host.assert_idempotent(who.reacts(poll, KEYCAPS[option]))


async def test_a_poll(settings: Settings) -> None:
    """Posted once with a reaction for each option; of each person the last vote counts, events that come again change nothing."""
    async with hosted(Polls, settings=settings) as host:
        ana, ben = host.user("ana"), host.user("ben")
        await host.assert_idempotent(ana.runs(LUNCH))
        [poll] = await host.messages("#general")
        assert poll.contents == f"**Lunch?** (a poll, by @ana)\n{KEYCAPS[0]} Pizza\n{KEYCAPS[1]} Sushi, raw"
        assert [(each.emoji, each.count) for each in poll.reactions] == [(KEYCAPS[0], 1), (KEYCAPS[1], 1)]
        await ben.joins("#general")
        await vote(host, ana, poll, 0, 1)
        await vote(host, ben, poll, 1, 0)
        await host.assert_idempotent(ben.unreacts(poll, KEYCAPS[0]))
        await host.assert_idempotent(ben.reacts(poll, "👍"))
        await ana.runs("/poll close")
        closed, result = await host.messages("#general")
        assert (result.contents, result.reply_to) == ("**Lunch?** Sushi, raw: 2, Pizza: 0", poll.id)
        assert closed.contents == f"**Lunch?** (closed, by @ana)\n{KEYCAPS[0]} Pizza: 0\n{KEYCAPS[1]} Sushi, raw: 2"
        await vote(host, ben, poll, 0)
        with pytest.raises(NotFound, match="no open poll"):
            await ana.runs("/poll close")


async def test_several_votes_shown_as_they_come(settings: Settings) -> None:
    """Where that is configured: all votes count, and the poll says how many there are."""
    async with hosted(Polls, config={"several": True, "live": True}, settings=settings) as host:
        ana, ben = host.user("ana"), host.user("ben")
        await ana.runs(LUNCH)
        await ben.joins("#general")
        [poll] = await host.messages("#general")
        await vote(host, ana, poll, 0, 1)
        await vote(host, ben, poll, 1)
        assert await host.said("#general") == [f"polls: **Lunch?** (a poll, by @ana)\n{KEYCAPS[0]} Pizza: 1\n{KEYCAPS[1]} Sushi, raw: 2"]


async def test_who_closes_it(settings: Settings) -> None:
    """Whoever made it, their last one; others only if they look after the channel."""
    async with hosted(Polls, settings=settings) as host:
        owner, ben = host.user("owner"), host.user("ben")
        await owner.runs(LUNCH)
        with pytest.raises(Forbidden, match="whoever made it"):
            await ben.runs("/poll close")
        await ben.runs('/poll "Tea?" Yes No')
        for _ in range(2):
            await owner.runs("/poll close")
        assert (await host.said("#general"))[2:] == ["polls: **Lunch?** Pizza: 0, Sushi, raw: 0", "polls: **Tea?** Yes: 0, No: 0"]


async def test_it_closes_by_itself(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """When its time is over, once, as after a crash too; one that was removed is forgotten."""
    monkeypatch.setattr(polls, "LOOK_S", 0.02)
    async with hosted(Polls, config={"hours": 1.5}, settings=settings) as host:
        await host.user("ana").runs(LUNCH)
        await host.user("ana").runs('/poll "Tea?" Yes No')
        first, second = await host.messages("#general")
        await host.user("owner").removes(second)
        collection = host.plugin().ctx.store.collection("polls")
        kept = await collection.get(first.id)
        await host.advance(hours=1.4)
        await asyncio.sleep(0.1)
        assert len(await host.documents("polls")) == 1
        await host.advance(hours=0.2)
        async with asyncio.timeout(20):
            while await host.documents("polls"):
                await asyncio.sleep(0.02)
        await host.plugin()._close(kept)
        assert (await host.said("#general"))[1:] == ["polls: **Lunch?** Pizza: 0, Sushi, raw: 0"]


@pytest.mark.parametrize(
    "line", ["/poll", '/poll "Lunch?"', "/poll Lunch? Pizza", "/poll Lunch? Pizza Pizza", '/poll "" a b', '/poll "a', "/poll q" + " x" * 11]
)
async def test_what_is_no_poll(settings: Settings, line: str) -> None:
    """It is refused, and nothing is posted."""
    async with hosted(Polls, settings=settings) as host:
        with pytest.raises(Invalid):
            await host.user("ana").runs(line)
        assert await host.said("#general") == []


async def test_a_poll_that_is_removed_is_none_any_more(settings: Settings) -> None:
    """The one before it is then the last."""
    async with hosted(Polls, settings=settings) as host:
        ana = host.user("ana")
        await ana.runs(LUNCH)
        await ana.runs('/poll "Tea?" Yes No')
        await host.user("owner").removes((await host.messages("#general"))[-1])
        await host.settle()
        await ana.runs("/poll close")
        assert "Lunch" in (await host.said("#general"))[-1]


async def test_where_no_poll_can_be(settings: Settings) -> None:
    """In a private channel it says who is to be invited, and does it then; in a direct one, that it is none."""
    async with hosted(Polls, settings=settings) as host:
        ana, ben = host.user("ana"), host.user("ben")
        room = await host.channel("#closed", type="private", members=[ana])
        with pytest.raises(Invalid, match="invite @polls first"):
            await ana.runs(LUNCH, room)
        with pytest.raises(Invalid, match="a direct one"):
            await ana.runs(LUNCH, ben)
