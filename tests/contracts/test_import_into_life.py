"""An import into a server where people live already: they see what is right at its end, and nobody is taken for another."""

from __future__ import annotations

from pathlib import Path

import pytest

from crust.errors import Invalid
from crust.runtime import Node, opened
from crust.services.actor import Actor
from crust.services.paging import Part
from crust.services.search import Wish
from crust.settings import Settings
from tests.support.people import channel, events, names, person, position, say
from tests.support.recounting import recounted
from tests.support.transfer import a_life, as_lines, exported, imported, records

pytestmark = pytest.mark.asyncio


@pytest.fixture
def source(tmp_path: Path, settings: Settings) -> Settings:
    """Another server, where the export comes from."""
    return settings.model_copy(update={"data_dir": tmp_path / "source", "database_url": ""})


async def test_counters_are_counted_here(settings: Settings, source: Settings) -> None:
    """Whatever the file says of them."""
    await a_life(source)
    lies: dict[str, dict[str, object]] = {
        "channel": {"members_count": 99, "last_message_id": "7", "team_ids": "8"},
        "message": {"replies": 99, "reactions": 99},
    }
    found = [{**record, **lies.get(record["record"], {})} for record in records(await exported(source))]
    async with opened(settings) as node:
        await imported(node, as_lines(found))
        assert await recounted(node) == {}
        rows = await node.database.fetch("SELECT max(members_count) AS members, max(last_message_id) AS last FROM channel")
        assert (rows[0]["members"], rows[0]["last"] > 8) == (2, True)


async def test_what_was_said_since_comes_with_a_second_import(settings: Settings, source: Settings) -> None:
    """Into channels that have members: they are told that there is something new, and find it in its place, unread."""
    async with opened(source) as there:
        ana, ben = await person(there, "ana", is_admin=True), await person(there, "ben")
        place = await channel(there, ana, ben)
        first = await say(there, ana, place, "before")
        early = await exported(source)
        await there.core.messages.post(ben, place, "@ana since", reply_to=int(first.id), client_msg_id=None, key=None)
        cleo = await person(there, "cleo")
        await there.core.channels.join(cleo, place)
        late = await exported(source)
    async with opened(settings) as node:
        await imported(node, early)
        head = await position(node)
        work = await imported(node, late)
        assert +work.made == {"user": 1, "organisation_member": 1, "message": 1, "mention": 1, "channel_member": 1}
        told = await events(node, head)
        assert names(told) == ["channel edited", "channel edited"]
        assert [event.channel for event in told] == [place, place]
        seen = await node.core.channels.read(ana, place)
        assert (seen.unread, seen.mentions, seen.members_count) == (1, 1, 3)
        page = await node.core.messages.read(ana, place, before=None, after=None, around=None, limit=10)
        assert [message.contents for message in page.messages][-2:] == ["before", "@ana since"]
        assert page.messages[-2].replies == 1
        assert [each.contents for each in await node.core.search.find(ana, Wish(query="since"), 10)] == ["@ana since"]
        assert await recounted(node) == {}


async def same_people(node: Node) -> None:
    """A server where people of the export are already, under other ids, and talk to each other."""
    user = await node.core.accounts.add("anna", password="correct horse", email="ana@example.org", is_admin=True)
    ana, ben = Actor(int(user.id), "anna", 1, "c", True), await person(node, "ben")
    made = await node.core.channels.create(ana, name="", topic="", type_="direct", organisation_id=None, members=[ben.user_id], key=None)
    await say(node, ana, int(made.id), "here")


async def test_people_who_are_here_already(settings: Settings, source: Settings) -> None:
    """They are refused, by line, unless they are to be mapped: then theirs is what the file says of them, and they talk on in one place."""
    await a_life(source)
    async with opened(source) as there:
        rows = await there.database.fetch("SELECT id, pair FROM channel WHERE pair IS NOT NULL")
        ana, ben = map(int, rows[0]["pair"].split(":"))
        actor = (await there.core.sessions.sign_in("ana", "correct horse", "c", "", "")).actor
        await say(there, actor, rows[0]["id"], "there")
        assert actor.user_id in (ana, ben)
    lines = await exported(source)
    async with opened(settings) as node:
        await same_people(node)
        with pytest.raises(Invalid, match=r"Line \d+: there is another user with the (username|email)"):
            await imported(node, lines)
        work = await imported(node, lines, map_users=True)
        assert "user" not in +work.made
        ben_here = (await node.core.sessions.sign_in("ben", "correct horse", "c", "", "")).actor
        (direct,) = await node.core.channels.search(ben_here, "", organisation_id=None, type_="direct", archived=False, part=Part(limit=10))
        page = await node.core.messages.read(ben_here, int(direct.id), before=None, after=None, around=None, limit=10)
        assert sorted(message.contents or "" for message in page.messages) == ["here", "there"]
        (found,) = await node.core.search.find(ben_here, Wish(query="grusse from:anna"), 10)
        assert str(ben_here.user_id) in found.mentions
        again = await imported(node, lines, map_users=True)
        assert +again.made == {}
        assert await recounted(node) == {}
