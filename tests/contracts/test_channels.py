"""Channels: who sees, joins, leaves; what an event says of it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import msgspec
import pytest

from crust.errors import Conflict, Forbidden, Invalid, NotFound
from crust.events.objects import Member
from crust.runtime import Node, opened
from crust.services.actor import Actor
from crust.services.paging import Part
from crust.services.snapshots import Wanted
from crust.services.views import ViewedChannel
from crust.settings import Settings
from tests.support.people import organisation

pytestmark = pytest.mark.asyncio


async def person(node: Node, name: str, *, is_admin: bool = False) -> Actor:
    user = await node.core.accounts.add(name, password="correct horse", is_admin=is_admin)
    return Actor(int(user.id), name, 1, f"client-{name}", is_admin)


async def make(node: Node, owner: Actor, *members: Actor, type_: str = "public") -> ViewedChannel:
    return await node.core.channels.create(
        owner, name="Room", topic="", type_=type_, organisation_id=None, members=[member.user_id for member in members], key=None
    )


async def test_two_who_open_a_direct_channel_at_once_get_the_same_one(settings: Settings) -> None:
    """A pair has one direct channel, whoever asks, however often, at the same moment too."""
    async with opened(settings) as node:
        ana, bob = await person(node, "ana"), await person(node, "bob")
        made = await asyncio.gather(
            *(make(node, one, other, type_="direct") for one, other in [(ana, bob), (bob, ana), (ana, bob), (bob, ana)])
        )
        assert len({channel.id for channel in made}) == 1
        for members in ([], [ana], [ana, bob, await person(node, "cem")]):
            with pytest.raises(Invalid):
                await make(node, ana, *members, type_="direct")


async def test_when_the_last_owner_leaves_the_longest_standing_member_takes_over(settings: Settings) -> None:
    """A channel always has an owner as long as anybody is in it, and the log says who."""
    async with opened(settings) as node:
        ana, bob, cem = await person(node, "ana"), await person(node, "bob"), await person(node, "cem")
        channel = int((await make(node, ana)).id)
        await node.core.channels.join(cem, channel)
        await node.core.channels.join(bob, channel)
        await node.core.channels.part(ana, channel)
        roles = {member.id: member.role for member in await node.core.channels.members(bob, channel, Part())}
        assert roles == {str(cem.user_id): "owner", str(bob.user_id): "member"}
        last = (await node.log.read(0, 10**6, 1000))[-1]
        body = msgspec.json.decode(last.body, type=Member)
        assert (last.event, body.user_id, body.role, body.members_count) == ("role", str(cem.user_id), "owner", 2)


async def test_a_private_channel_is_not_there_for_others(settings: Settings) -> None:
    """Whoever is not in it gets the answer of a channel that does not exist, server administrators included."""
    async with opened(settings) as node:
        root, ana, bob = await person(node, "root", is_admin=True), await person(node, "ana"), await person(node, "bob")
        channel = int((await make(node, ana, type_="private")).id)
        for stranger in (root, bob):
            for attempt in (
                node.core.channels.read(stranger, channel),
                node.core.channels.join(stranger, channel),
                node.core.channels.members(stranger, channel, Part()),
                node.core.channels.kick(stranger, channel, ana.user_id),
                node.core.channels.change(stranger, channel, name="mine", topic="", type_=None),
                node.core.messages.read(stranger, channel, before=None, after=None, around=None, limit=5),
                node.core.marks.move(stranger, channel, None),
                node.core.typing(stranger, channel, "start"),
            ):
                with pytest.raises(NotFound):
                    await attempt
            assert [shown async for shown in node.core.snapshots.of(stranger, [Wanted(channel, 5)])] == []
        found = await node.core.channels.search(bob, "roo", organisation_id=None, type_=None, archived=False, part=Part(limit=5))
        assert found == []


async def test_kicking_is_for_owners_and_admins(settings: Settings) -> None:
    """A member may not; the organisation's admin may in a public channel; the parted event reaches who was kicked."""
    async with opened(settings) as node:
        root, ana, bob = await person(node, "root", is_admin=True), await person(node, "ana"), await person(node, "bob")
        channel = int((await make(node, ana, bob)).id)
        with pytest.raises(Forbidden):
            await node.core.channels.kick(bob, channel, ana.user_id)
        await node.core.channels.kick(root, channel, bob.user_id)
        last = (await node.log.read(0, 10**6, 1000))[-1]
        assert (last.type, last.event, last.recipient, last.channel) == ("member", "parted", bob.user_id, channel)
        with pytest.raises(NotFound):
            await node.core.channels.kick(root, channel, bob.user_id)


async def test_only_what_changed_is_told(settings: Settings) -> None:
    """A change writes one message for each thing that changed, and none for what did not."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        channel = int((await make(node, ana)).id)
        for name, topic in (("Room", ""), ("Hall", ""), ("Hall", "talk"), ("Hall", "talk")):
            await node.core.channels.change(ana, channel, name=name, topic=topic, type_=None)
        page = await node.core.messages.read(ana, channel, before=None, after=None, around=None, limit=10)
        assert [(message.type, message.contents) for message in page.messages] == [
            ("CREATE", "Room"),
            ("RENAME", "Hall"),
            ("TOPIC", "talk"),
        ]


async def test_only_name_and_topic_are_changed(settings: Settings) -> None:
    """All else may be said as it is; said otherwise it is refused by name, with the call that changes it, and nothing is changed."""
    async with opened(settings) as node:
        root, bob = await person(node, "root", is_admin=True), await person(node, "bob")
        place = await organisation(node, root, bob)
        made = await make(node, root, bob)
        change = partial(node.core.channels.change, root, int(made.id), name="Hall", topic="", type_=None)
        others: dict[str, Any] = {"type_": "private", "organisation_id": place, "team_id": place, "members": [root.user_id]}
        for field, value in others.items():
            with pytest.raises(Conflict) as refused:
                await change(**{field: value})
            assert refused.value.field == field.removesuffix("_")
            assert field == "type_" or "/channel/" in refused.value.message
        assert (await node.core.channels.read(root, int(made.id))).name == made.name
        for members in ([bob.user_id], [bob.user_id, root.user_id, bob.user_id]):
            changed = await change(type_="public", organisation_id=int(made.organisation_id), members=members)
            assert changed.name == "Hall"


async def test_who_is_suspended_is_not_brought_in(settings: Settings) -> None:
    """It is said of them what is said of somebody who is not there; what they were in before stays."""
    async with opened(settings) as node:
        ana, bob, eve = await person(node, "ana"), await person(node, "bob"), await person(node, "eve")
        nobody = Actor(4611686018427387904, "nobody", 1, "client")
        home = int((await make(node, ana, eve)).organisation_id)
        direct = await node.core.channels.create(
            ana, name="", topic="", type_="direct", organisation_id=None, members=[eve.user_id], key=None
        )
        await node.core.profiles.suspend("bob")
        await node.core.profiles.suspend("eve")
        room = int((await make(node, ana)).id)

        async def attempts(who: Actor) -> list[tuple[str, str | None, str]]:
            create = partial(node.core.channels.create, ana, name="Room", topic="", members=[who.user_id], key=None)
            found = []
            for attempt in (
                node.core.channels.invite(ana, room, who.user_id),
                create(type_="private", organisation_id=None),
                create(type_="direct", organisation_id=None),
                create(type_="direct", organisation_id=home),
            ):
                with pytest.raises((NotFound, Invalid)) as refused:
                    await attempt
                found.append((refused.value.code, refused.value.field, refused.value.message.replace(str(who.user_id), "")))
            return found

        assert await attempts(bob) == await attempts(nobody)
        again = await node.core.channels.create(
            ana, name="", topic="", type_="direct", organisation_id=None, members=[eve.user_id], key=None
        )
        assert again.id == direct.id


async def test_joining_reads_what_was_said_before(settings: Settings) -> None:
    """Unread counts what others have said since one joined, not what one said oneself."""
    async with opened(settings) as node:
        ana, bob = await person(node, "ana"), await person(node, "bob")
        channel = int((await make(node, ana)).id)

        async def say(who: Actor) -> int:
            return int((await node.core.messages.post(who, channel, "hi", reply_to=None, client_msg_id=None, key=None)).id)

        await say(ana)
        assert (await node.core.channels.join(bob, channel)).unread == 0
        first = await say(ana)
        await say(bob)
        await say(ana)
        assert (await node.core.channels.read(bob, channel)).unread == 2
        await node.core.marks.move(bob, channel, first)
        assert (await node.core.channels.read(bob, channel)).unread == 1
        await node.core.marks.move(bob, channel, None)
        assert (await node.core.channels.read(bob, channel)).unread == 0


async def test_muting_is_ones_own(settings: Settings) -> None:
    """A member says so and takes it back; others do not see it, no event tells of it, and who is no member has nothing to mute."""
    async with opened(settings) as node:
        ana, bob, cem = await person(node, "ana"), await person(node, "bob"), await person(node, "cem")
        channel = int((await make(node, ana, bob)).id)
        before = await node.log.head()
        for muted in (True, True, False, True):
            await node.core.marks.mute(bob, channel, muted=muted)
            assert (await node.core.channels.read(bob, channel)).muted is muted
        assert (await node.core.channels.read(ana, channel)).muted is False
        assert await node.log.head() == before
        with pytest.raises(Forbidden):
            await node.core.marks.mute(cem, channel, muted=True)
