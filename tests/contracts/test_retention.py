"""What is old goes, from everywhere, and nothing else does."""

from __future__ import annotations

import asyncio

import pytest

from crust.clock import ManualClock
from crust.errors import NotFound
from crust.runtime import opened
from crust.services.search import Wish
from crust.settings import Retention, Settings
from tests.support.people import channel, events, names, person, position, put, say

pytestmark = pytest.mark.asyncio
DAY_S = 86_400


def keeping(settings: Settings, **days: int) -> Settings:
    return settings.model_copy(update={"retention": Retention(**days)})


async def test_old_messages_go_from_everywhere(settings: Settings) -> None:
    """From history, search, threads, earlier events and the storage of files; who is connected is told. Newer ones stay."""
    clock = ManualClock(1_800_000_000_000)
    async with opened(keeping(settings, messages_days=30), clock) as node:
        ana = await person(node, "ana", is_admin=True)
        room = await channel(node, ana)
        old = await say(node, ana, room, "Quellwolke")
        file = await put(node, ana, "Quellwolke.txt", b"Quellwolke", channel_id=room)
        clock.advance(31 * DAY_S)
        answer = await node.core.messages.post(ana, room, "new", reply_to=int(old.id), client_msg_id=None, key=None)
        before = await position(node)
        assert (await node.core.retention.due())["messages"] == 3  # the two, and the channel's first
        assert (await node.core.retention.run())["messages"] == 3
        assert names(await events(node, before)) == ["message removed"] * 3
        page = await node.core.messages.read(ana, room, before=None, after=None, around=None, limit=50)
        assert [message.id for message in page.messages] == [answer.id]
        assert await node.core.search.find(ana, Wish(query="quellwolke"), 10) == []
        with pytest.raises(NotFound):
            await node.core.files.read(ana, int(file.attachments[0].id))
        assert "Quellwolke" not in str([bytes(event.body) for event in await events(node)])
        assert await node.core.retention.run() == {}


async def test_the_log_forgets_but_its_end(settings: Settings) -> None:
    """Old events go, oldest first; the newest stays, however old, and positions go on."""
    clock = ManualClock(1_800_000_000_000)
    async with opened(keeping(settings, events_days=30), clock) as node:
        ana = await person(node, "ana", is_admin=True)
        room = await channel(node, ana)
        clock.advance(31 * DAY_S)
        head = await position(node)
        assert (await node.core.retention.run())["events"] == head - 1
        assert await node.log.oldest() == head
        assert await position(node) == head
        assert await node.core.retention.run() == {}
        await say(node, ana, room)
        assert await node.core.retention.run() == {"events": 1}
        assert await node.log.oldest() > head


async def test_what_a_consumer_has_yet_to_read_stays(settings: Settings) -> None:
    """However old it is: the slowest consumer of the log is waited for."""
    clock = ManualClock(1_800_000_000_000)
    async with opened(keeping(settings, events_days=30), clock) as node:
        await node.consumers.begin("slow")
        start = await position(node)
        ana = await person(node, "ana", is_admin=True)
        await say(node, ana, await channel(node, ana))
        clock.advance(31 * DAY_S)
        assert (await node.core.retention.run()).get("events", 0) == start
        assert await node.log.oldest() == start + 1


async def test_what_has_run_out_is_swept(settings: Settings) -> None:
    """Sessions and links that hold no more; tokens without an end stay."""
    clock = ManualClock(1_800_000_000_000)
    async with opened(settings, clock) as node:
        ana = await person(node, "ana", is_admin=True)
        await node.core.sessions.sign_in("ana", "correct horse", None, "", "")
        await node.core.tokens.create("ana")
        home = int((await node.core.accounts.me(ana)).organisation_id or 0)
        await node.core.invitations.make(ana, home, role="member", email=None, uses=1)
        assert await node.core.retention.run() == {}
        clock.advance(400 * DAY_S)
        assert await node.core.retention.run() == {"sessions": 1, "invitations": 1}
        assert len(await node.core.tokens.all()) == 1


async def test_nothing_goes_by_default(settings: Settings) -> None:
    """Messages, events and the record of acts are kept for ever unless the settings say otherwise; then the record goes too."""
    clock = ManualClock(1_800_000_000_000)
    async with opened(settings, clock) as node:
        ana = await person(node, "ana", is_admin=True)
        await say(node, ana, await channel(node, ana))
        clock.advance(4000 * DAY_S)
        assert await node.core.retention.due() == {"messages": 0, "events": 0, "acts": 0}
        assert await node.core.retention.run() == {}
        assert await node.core.audit.all(username=None, since=0, limit=10)
    async with opened(keeping(settings, audit_days=30), clock) as node:
        assert (await node.core.retention.run())["acts"] > 0
        assert [act.act for act in await node.core.audit.all(username=None, since=0, limit=10)] == ["retention"]


async def test_nothing_goes_without_a_record(settings: Settings) -> None:
    """What is to go is noted before the first of it goes, so wherever it is interrupted; of what stays nothing is noted."""
    clock = ManualClock(1_800_000_000_000)
    async with opened(keeping(settings, messages_days=30, events_days=30), clock) as node:
        ana = await person(node, "ana", is_admin=True)
        room = await channel(node, ana)
        for _ in range(150):  # more than go at once
            await say(node, ana, room)
        clock.advance(31 * DAY_S)
        due, before = await node.core.retention.due(), await position(node)
        run = asyncio.create_task(node.core.retention.run())
        while await position(node) == before:
            await asyncio.sleep(0.001)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        assert 0 < (await node.core.retention.due())["messages"] < due["messages"] == 151
        (act,) = [act for act in await node.core.audit.all(username=None, since=0, limit=10) if act.act == "retention"]
        assert act.details == {name: due[name] for name in ("messages", "events")}
        await node.core.retention.run()
        acts = await node.core.audit.all(username=None, since=0, limit=10)
        assert await node.core.retention.run() == {}
        assert await node.core.audit.all(username=None, since=0, limit=10) == acts
