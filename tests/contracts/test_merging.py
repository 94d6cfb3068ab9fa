"""Two channels become one, and nobody loses a message, a mark or the way to it."""

from __future__ import annotations

import asyncio

import pytest

from crust.errors import Conflict, Forbidden, Gone, Invalid, NotFound
from crust.runtime import Node, opened
from crust.services import merging
from crust.services.actor import Actor
from crust.services.keys import Key
from crust.services.paging import Part
from crust.services.search import Wish
from crust.services.snapshots import Wanted
from crust.settings import Settings
from tests.support.people import channel, events, names, organisation, person, position, say

pytestmark = pytest.mark.asyncio


async def texts(node: Node, who: Actor, channel_id: int) -> list[str | None]:
    page = await node.core.messages.read(who, channel_id, before=None, after=None, around=None, limit=50)
    return [message.contents for message in page.messages if message.type == "MESSAGE"]


async def test_messages_lie_in_the_order_of_their_times(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many portions they are taken over in; threads, pins, mentions and flags with them."""
    monkeypatch.setattr(merging, "PORTION", 3)
    async with opened(settings) as node:
        ana, bob = await person(node, "ana"), await person(node, "bob")
        one, two = await channel(node, ana), await channel(node, ana, bob)
        said = [await say(node, ana, (one, two)[number % 2], f"{number} @bob") for number in range(8)]
        reply = await node.core.messages.post(bob, two, "reply", reply_to=int(said[1].id), client_msg_id=None, key=None)
        await node.core.messages.pin(bob, int(said[3].id))
        await node.core.messages.flag(bob, int(said[3].id), flagged=True)
        merged = await node.core.merging.merge(ana, one, two)
        assert (merged.id, merged.last_message_id, merged.members_count) == (str(one), reply.id, 2)
        assert await texts(node, bob, one) == [*(f"{number} @bob" for number in range(8)), "reply"]
        third = await node.core.messages.read_one(bob, int(said[3].id))
        assert (third.channel_id, third.pinned, third.flagged) == (str(one), True, True)
        assert (await node.core.messages.read_one(bob, int(said[1].id))).replies == 1
        assert [pin.id for pin in (await node.core.channel_page(bob, two)).pins] == [third.id]
        await node.core.messages.remove(ana, int(said[5].id))
        assert "5 @bob" not in await texts(node, bob, one)
        assert all(b"5 @bob" not in bytes(event.body) for event in await events(node))


async def test_the_sources_id_is_read_and_written_as_the_destinations(settings: Settings) -> None:
    """By every verb, at once, under the same key too, and through several merges; it is found by no search, archived or not."""
    async with opened(settings) as node:
        ana, bob = await person(node, "ana"), await person(node, "bob")
        one, two, three = [await channel(node, ana, bob, name=name) for name in ("one", "two", "three")]
        key = Key(ana.scope, "k", "same")
        first = await node.core.messages.post(ana, three, "kept", reply_to=None, client_msg_id="k", key=key)
        await node.core.merging.merge(ana, two, three)
        await node.core.merging.merge(ana, one, two)
        again = await node.core.messages.post(ana, three, "kept", reply_to=None, client_msg_id="k", key=key)
        assert (again.id, again.duplicate) == (first.id, True)
        posted = await asyncio.gather(*(say(node, bob, room, "late @ana") for room in (one, two, three)))
        assert {message.channel_id for message in posted} == {str(one)}
        for forwarding in (two, three):
            assert (await node.core.channels.read(bob, forwarding)).id == str(one)
            assert await texts(node, bob, forwarding) == ["kept", *["late @ana"] * 3]
            assert len(await node.core.channels.members(bob, forwarding, Part())) == 2
            await node.core.marks.move(bob, forwarding, int(posted[-1].id))
            await node.core.typing(bob, forwarding, "start")
        assert (await node.core.channels.read(ana, one)).mentions == 3
        await node.core.channels.change(ana, three, name="renamed", topic="", type_=None)
        found = await node.core.channels.search(ana, "", organisation_id=None, type_=None, archived=True, part=Part(limit=9))
        assert [(each.id, each.name) for each in found] == [(str(one), "renamed")]
        await node.core.channels.part(bob, two)
        with pytest.raises(Forbidden):
            await say(node, bob, three)
        await node.core.archiving.archive(ana, two)
        with pytest.raises(Gone):
            await say(node, ana, three)
        await node.core.archiving.remove(ana, one)
        with pytest.raises(NotFound):
            await node.core.channels.read(ana, three)


async def test_what_was_unread_stays_unread(settings: Settings) -> None:
    """Who had read both has nothing unread; who had not finds the first that they missed; who was in one alone has read the other."""
    async with opened(settings) as node:
        ana, bob, cem, dan = [await person(node, name) for name in ("ana", "bob", "cem", "dan")]
        one, two = await channel(node, ana, bob, cem), await channel(node, ana, bob, dan)
        for number in range(6):
            await say(node, ana, (one, two)[number % 2], f"m{number}")
        await node.core.marks.move(bob, one, None)
        await node.core.marks.move(cem, one, None)
        await node.core.merging.merge(ana, one, two)
        unread = {who.username: (await node.core.channels.read(who, one)).unread for who in (ana, bob, cem, dan)}
        assert unread == {"ana": 0, "bob": 5, "cem": 0, "dan": 5}, "bob and dan missed m1 and what came after"
        (shown,) = [frame async for frame in node.core.snapshots.of(dan, [Wanted(one, 9)])]
        assert b'"m0"' in bytes(shown)


async def test_everybody_of_the_source_comes_over_and_it_is_told(settings: Settings) -> None:
    """Joined for those who were not there, then merged, then parted for all of the source; owners of the source are members."""
    async with opened(settings) as node:
        ana, bob, cem = await person(node, "ana"), await person(node, "bob"), await person(node, "cem")
        one, two = await channel(node, ana, bob), await channel(node, cem, bob)
        home = int((await node.core.accounts.me(ana)).organisation_id or 0)
        root = await person(node, "root", is_admin=True)
        with pytest.raises(Forbidden):
            await node.core.merging.merge(ana, one, two)
        before = await position(node)
        merged = await node.core.merging.merge(root, one, two)
        found = await events(node, before)
        assert names(found) == ["member joined", "channel merged", "member parted", "member parted"]
        assert [(event.channel, event.recipient, event.organisation) for event in found] == [
            (one, cem.user_id, home), (one, 0, home), (two, cem.user_id, home), (two, bob.user_id, home),
        ]  # fmt: skip
        assert f'"source_id":"{two}"'.encode() in bytes(found[1].body)
        assert merged.members_count == 3
        assert {member.user.username: member.role for member in await node.core.channels.members(cem, one, Part())} == {
            "ana": "owner", "bob": "member", "cem": "member",
        }  # fmt: skip
        assert two not in (await node.core.memberships(bob.user_id)).channels


async def test_only_two_of_one_kind_and_organisation_are_merged(settings: Settings) -> None:
    """Never one with itself, with a direct one, an archived one, one that the caller does not see."""
    async with opened(settings) as node:
        root, bob = await person(node, "root", is_admin=True), await person(node, "bob")
        one, private = await channel(node, root), await channel(node, root, type_="private")
        direct, archived = await channel(node, root, bob, type_="direct"), await channel(node, root)
        away = await channel(node, root, organisation_id=await organisation(node, root))
        await node.core.archiving.archive(root, archived)
        hidden = await channel(node, bob, type_="private")
        for error, into, source in (
            (Invalid, one, one), (Invalid, one, private), (Invalid, one, direct), (Invalid, direct, one), (Invalid, one, away),
            (Gone, one, archived), (Gone, archived, one), (NotFound, one, hidden), (NotFound, hidden, one),
        ):  # fmt: skip
            with pytest.raises(error):
                await node.core.merging.merge(root, into, source)
        merged = await channel(node, root)
        await node.core.merging.merge(root, one, merged)
        with pytest.raises(Invalid):
            await node.core.merging.merge(root, one, merged)


async def test_what_was_said_in_either_is_found_in_the_one(settings: Settings) -> None:
    """The search index follows in the same change: by the destination's id, and by the source's, which stands for it."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        one, two = await channel(node, ana, name="one"), await channel(node, ana, name="two")
        for room in (one, two):
            await say(node, ana, room, f"walnut in {room}")
        await node.core.merging.merge(ana, one, two)
        await say(node, ana, two, "walnut afterwards")
        found = await node.core.search.find(ana, Wish(query="walnut", channel_id=one), 10)
        assert await node.core.search.find(ana, Wish(query="walnut", channel_id=two), 10) == found
        everywhere = await node.core.search.find(ana, Wish(query="walnut"), 10)
    assert [message.contents for message in found] == ["walnut afterwards", f"walnut in {two}", f"walnut in {one}"]
    assert {message.channel_id for message in everywhere} == {str(one)}


async def test_a_teams_channel_is_not_opened_by_a_merge(settings: Settings) -> None:
    """Into one that people outside its teams see, only an admin of the organisation merges it; into one of the same team its owner may."""
    async with opened(settings) as node:
        root, ana, bob = [await person(node, name, is_admin=name == "root") for name in ("root", "ana", "bob")]
        team = int((await node.core.teams.create(root, "Builders", [ana.user_id], None, None)).id)

        async def room(team_id: int | None) -> int:
            made = await node.core.channels.create(
                ana, name="room", topic="", type_="public", organisation_id=None, members=[], key=None, team_id=team_id
            )
            return int(made.id)

        closed, same, everybody = await room(team), await room(team), await room(None)
        message = await say(node, ana, closed, "ours")
        with pytest.raises(Conflict):
            await node.core.merging.merge(ana, everybody, closed)
        with pytest.raises(NotFound):
            await node.core.messages.read_one(bob, int(message.id))
        await node.core.merging.merge(ana, same, closed)
        await node.core.merging.merge(root, everybody, same)
        assert (await node.core.messages.read_one(bob, int(message.id))).contents == "ours"
