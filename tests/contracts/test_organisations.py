"""Organisations: who sees them, who may change them, and that no membership ends unsaid."""

from __future__ import annotations

from collections.abc import Awaitable

import pytest

from crust.errors import Conflict, CrustError, Forbidden, Gone, NotFound
from crust.runtime import Node, opened
from crust.services.actor import Actor
from crust.services.keys import Key
from crust.services.paging import Part
from crust.settings import Organisations, Settings
from tests.support.people import channel, events, names, organisation, person, position, say

pytestmark = pytest.mark.asyncio


async def refused(attempt: Awaitable[object]) -> type[CrustError]:
    with pytest.raises(CrustError) as error:
        await attempt
    return type(error.value)


async def role(node: Node, who: Actor, organisation_id: int) -> str | None:
    return (await node.core.organisations.read(who, organisation_id)).role


async def test_administrators_make_organisations_and_own_them(settings: Settings) -> None:
    """Others where the settings say so; a repeat under the same key is the same one; the log says who came, then what was made."""
    async with opened(settings) as node:
        root, ana = await person(node, "root", is_admin=True), await person(node, "ana")
        assert await refused(node.core.organisations.create(ana, "Hers", None)) is Forbidden
        before = await position(node)
        key = Key(root.scope, "k", "same")
        made, again = [await node.core.organisations.create(root, "Elsewhere", key) for _ in range(2)]
        assert (made.role, made.id, again.id, again.duplicate) == ("owner", again.id, made.id, True)
        found = await events(node, before)
        assert names(found) == ["member joined", "organisation created"]
        assert {event.organisation for event in found} == {int(made.id)}
    everybody = settings.model_copy(update={"organisations": Organisations(open=True)})
    async with opened(everybody) as node:
        assert (await node.core.organisations.create(ana, "Hers", None)).role == "owner"


async def test_an_organisation_is_not_there_for_outsiders(settings: Settings) -> None:
    """Nor is anything in it; what is in it is not there for the server's administrators either."""
    async with opened(settings) as node:
        root, ana, bob = await person(node, "root", is_admin=True), await person(node, "ana"), await person(node, "bob")
        other = await organisation(node, root, ana)
        room = await channel(node, ana, organisation_id=other)
        await node.core.organisations.give_role(root, other, ana.user_id, "owner")
        await node.core.organisations.expel(root, other, root.user_id)
        own, channels = node.core.organisations, node.core.channels
        managing: list[Awaitable[object]] = [
            own.read(bob, other),
            own.rename(bob, other, "mine"),
            own.archive(bob, other, archived=True),
            own.remove(bob, other),
            own.members(bob, other, Part(limit=5)),
            own.invite(bob, other, user_id=bob.user_id, email=None, role="member"),
            own.give_role(bob, other, ana.user_id, "guest"),
            own.expel(bob, other, ana.user_id),
        ]
        for attempt in managing:
            assert await refused(attempt) is NotFound
        for stranger in (root, bob):
            inside: list[Awaitable[object]] = [
                channels.read(stranger, room),
                channels.join(stranger, room),
                channel(node, stranger, organisation_id=other),
            ]
            for attempt in inside:
                assert await refused(attempt) is NotFound
            assert await own.search(stranger, "else", archived=True, part=Part(limit=5)) == []
            found = await channels.search(stranger, "room", organisation_id=other, type_=None, archived=True, part=Part(limit=5))
            assert found == []


async def test_archived_it_is_read_but_nothing_in_it_is_changed(settings: Settings) -> None:
    """Posting, also by those who did a moment ago, joining, making channels, renaming, inviting: gone; unarchived, all is as before."""
    async with opened(settings) as node:
        root, ana, bob = await person(node, "root", is_admin=True), await person(node, "ana"), await person(node, "bob")
        other = await organisation(node, root, ana)
        room = await channel(node, ana, root, organisation_id=other)
        await say(node, ana, room)
        own = node.core.organisations
        assert await refused(own.archive(ana, other, archived=True)) is Forbidden
        before = await position(node)
        for _ in range(2):
            await own.archive(root, other, archived=True)
        assert names(await events(node, before)) == ["organisation archived"]
        for attempt in (
            say(node, ana, room),
            node.core.channels.change(ana, room, name="hall", topic="", type_=None),
            node.core.archiving.archive(ana, room),
            node.core.archiving.remove(ana, room),
            channel(node, ana, organisation_id=other),
            own.rename(root, other, "x"),
            own.invite(root, other, user_id=bob.user_id, email=None, role="member"),
            own.give_role(root, other, ana.user_id, "admin"),
            own.expel(root, other, ana.user_id),
        ):
            assert await refused(attempt) is Gone
        page = await node.core.messages.read(ana, room, before=None, after=None, around=None, limit=5)
        assert [message.contents for message in page.messages] == ["room", "hi"]
        assert (await own.read(ana, other)).archived_at is not None
        assert await own.search(ana, "else", archived=False, part=Part(limit=5)) == []
        assert [each.id for each in await own.search(ana, "else", archived=True, part=Part(limit=5))] == [str(other)]
        await own.archive(root, other, archived=False)
        await say(node, ana, room)


async def test_removed_it_is_gone_with_all_that_is_in_it(settings: Settings) -> None:
    """Each channel's and each membership's end is in the log; then nobody finds anything."""
    async with opened(settings) as node:
        root, ana = await person(node, "root", is_admin=True), await person(node, "ana")
        other = await organisation(node, root, ana)
        room = await channel(node, ana, root, organisation_id=other)
        message = await say(node, ana, room)
        team = await node.core.teams.create(root, "Team", [ana.user_id], other, None)
        before = await position(node)
        await node.core.organisations.remove(root, other)
        found = await events(node, before)
        assert names(found) == [
            "channel removed", "member parted", "member parted", "team removed", "organisation removed", "member parted", "member parted",
        ]  # fmt: skip
        assert {(event.channel, event.recipient) for event in found if event.type == "member"} == {
            (where, who.user_id) for where in (room, 0) for who in (root, ana)
        }
        for attempt in (
            node.core.organisations.read(root, other),
            node.core.organisations.archive(root, other, archived=False),
            node.core.channels.read(ana, room),
            node.core.teams.read(ana, int(team.id)),
            node.core.messages.read_one(ana, int(message.id)),
            say(node, ana, room),
        ):
            assert await refused(attempt) is NotFound
        assert (await node.core.memberships(ana.user_id)).channels == {}
        assert other not in (await node.core.memberships(ana.user_id)).organisations


async def test_the_home_organisation_stays(settings: Settings) -> None:
    """Whoever is added comes into it, so it is neither archived nor removed."""
    async with opened(settings) as node:
        root = await person(node, "root", is_admin=True)
        home = int((await node.core.accounts.me(root)).organisation_id or 0)
        assert await refused(node.core.organisations.archive(root, home, archived=True)) is Conflict
        assert await refused(node.core.organisations.remove(root, home)) is Conflict


async def test_people_are_invited_by_id_or_address(settings: Settings) -> None:
    """Once, however often; an address that nobody has is named; only owners bring owners."""
    async with opened(settings) as node:
        root, ana, bob = await person(node, "root", is_admin=True), await person(node, "ana"), await person(node, "bob")
        other = await organisation(node, root)
        own = node.core.organisations
        before = await position(node)
        for _ in range(2):
            await own.invite(root, other, user_id=ana.user_id, email=None, role="admin")
            await own.invite(ana, other, user_id=None, email="Bob@example.org ", role="guest")
        found = await events(node, before)
        assert names(found) == ["member joined", "member joined"]
        assert [event.recipient for event in found] == [ana.user_id, bob.user_id]
        assert (await role(node, ana, other), await role(node, bob, other)) == ("admin", "guest")
        with pytest.raises(NotFound) as error:
            await own.invite(root, other, user_id=None, email="nobody@example.org", role="member")
        assert error.value.field == "email"
        assert await refused(own.invite(bob, other, user_id=ana.user_id, email=None, role="member")) is Forbidden
        cem = await person(node, "cem")
        assert await refused(own.invite(ana, other, user_id=cem.user_id, email=None, role="owner")) is Forbidden
        assert [(member.user.username, member.role) for member in await own.members(bob, other, Part(limit=10))] == [
            ("root", "owner"), ("ana", "admin"), ("bob", "guest"),
        ]  # fmt: skip


async def test_a_guest_sees_what_they_were_let_into(settings: Settings) -> None:
    """Who becomes one loses sight of the public channels that they have not joined, keeps the others, and still writes to people."""
    async with opened(settings) as node:
        root, ana = await person(node, "root", is_admin=True), await person(node, "ana")
        other = await organisation(node, root, ana)
        joined, seen = await channel(node, root, ana, organisation_id=other), await channel(node, root, organisation_id=other)
        await node.core.channels.read(ana, seen)
        before = await position(node)
        for _ in range(2):
            await node.core.organisations.give_role(root, other, ana.user_id, "guest")
        assert names(await events(node, before)) == ["member role"]
        assert await refused(node.core.channels.read(ana, seen)) is NotFound
        assert await refused(node.core.channels.join(ana, seen)) is NotFound
        assert await refused(channel(node, ana, organisation_id=other)) is Forbidden
        await say(node, ana, joined)
        await channel(node, ana, root, type_="direct", organisation_id=other)


async def test_an_organisation_has_an_owner(settings: Settings) -> None:
    """The last one neither goes nor steps down; admins touch no owner."""
    async with opened(settings) as node:
        root, ana = await person(node, "root", is_admin=True), await person(node, "ana")
        other = await organisation(node, root, ana)
        own = node.core.organisations
        assert await refused(own.give_role(root, other, root.user_id, "member")) is Conflict
        assert await refused(own.expel(root, other, root.user_id)) is Conflict
        await own.give_role(root, other, ana.user_id, "admin")
        assert await refused(own.give_role(ana, other, root.user_id, "member")) is Forbidden
        assert await refused(own.expel(ana, other, root.user_id)) is Forbidden
        await own.give_role(root, other, ana.user_id, "owner")
        await own.expel(ana, other, root.user_id)
        assert await role(node, ana, other) == "owner"


async def test_who_leaves_leaves_everything_in_it_and_it_is_told(settings: Settings) -> None:
    """Each channel and the organisation have their own parted; a direct channel is archived, and a new one can be made later."""
    async with opened(settings) as node:
        root, ana, bob = await person(node, "root", is_admin=True), await person(node, "ana"), await person(node, "bob")
        other = await organisation(node, root, ana, bob)
        public, private = [await channel(node, ana, bob, organisation_id=other, type_=type_) for type_ in ("public", "private")]
        team = await node.core.teams.create(root, "Team", [ana.user_id, bob.user_id], other, None)
        direct = await channel(node, ana, root, organisation_id=other, type_="direct")
        elsewhere = await channel(node, ana)
        await say(node, ana, direct, "between us")
        assert await refused(node.core.organisations.expel(bob, other, ana.user_id)) is Forbidden
        before = await position(node)
        await node.core.organisations.expel(root, other, ana.user_id)
        found = await events(node, before)
        assert names(found) == [
            "member parted", "member role", "member parted", "member role", "member parted", "member role", "channel archived",
            "team edited", "member parted",
        ]  # fmt: skip
        parted = [(event.channel, event.recipient) for event in found if event.event == "parted"]
        assert parted == [(where, ana.user_id) for where in (public, private, direct, 0)]
        for room in (public, private, direct):
            assert await refused(node.core.channels.read(ana, room)) is NotFound
            assert await refused(say(node, ana, room)) is NotFound
        await say(node, ana, elsewhere)
        assert [user.id for user in (await node.core.teams.read(bob, int(team.id))).members] == [str(bob.user_id)]
        page = await node.core.messages.read(root, direct, before=None, after=None, around=None, limit=5)
        assert [message.contents for message in page.messages] == ["between us"]
        await node.core.organisations.invite(root, other, user_id=ana.user_id, email=None, role="member")
        assert await channel(node, ana, root, organisation_id=other, type_="direct") != direct


async def test_whose_home_it_was_has_another_one_for_it(settings: Settings) -> None:
    """The oldest of the organisations that are left."""
    async with opened(settings) as node:
        root, ana = await person(node, "root", is_admin=True), await person(node, "ana")
        home = int((await node.core.accounts.me(ana)).organisation_id or 0)
        other = await organisation(node, root, ana)
        await node.core.organisations.expel(ana, home, ana.user_id)
        assert (await node.core.accounts.me(ana)).organisation_id == str(other)
