"""Messages: stored once, seen by those who may, gone when removed."""

from __future__ import annotations

import asyncio

import pytest

from crust.errors import Conflict, Forbidden, Gone, IdempotencyMismatch, NotFound
from crust.events.control import MarkMoved
from crust.models.tables import MessageVersion
from crust.runtime import Node, opened
from crust.services.actor import Actor
from crust.services.keys import Key
from crust.services.views import ViewedMessage
from crust.settings import Settings

pytestmark = pytest.mark.asyncio
EVERYTHING = 10**9


async def person(node: Node, name: str, *, is_admin: bool = False) -> Actor:
    user = await node.core.accounts.add(name, password="correct horse", is_admin=is_admin)
    return Actor(int(user.id), name, 1, f"client-{name}", is_admin)


async def room(node: Node, owner: Actor, *members: Actor, type_: str = "public") -> int:
    channel = await node.core.channels.create(
        owner, name="room", topic="", type_=type_, organisation_id=None, members=[member.user_id for member in members], key=None
    )
    return int(channel.id)


async def post(node: Node, actor: Actor, channel: int, text: str, *, reply_to: int | None = None, key: str | None = None) -> ViewedMessage:
    known = Key(actor.scope, key, text) if key else None
    return await node.core.messages.post(actor, channel, text, reply_to=reply_to, client_msg_id=key, key=known)


async def test_the_same_key_is_one_message_however_often_and_at_once(settings: Settings) -> None:
    """Repeats one by one, and twenty at the same moment, give one message and one event."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        channel = await room(node, ana)
        messages = await asyncio.gather(*(post(node, ana, channel, "once", key="k") for _ in range(20)))
        messages.append(await post(node, ana, channel, "once", key="k"))
        assert len({message.id for message in messages}) == 1
        assert [message.duplicate for message in messages].count(True) == 20
        with pytest.raises(IdempotencyMismatch):
            await post(node, ana, channel, "other", key="k")
        created = [e for e in await node.log.read(0, EVERYTHING) if (e.type, e.event) == ("message", "created")]
    assert len(created) == 2, "CREATE, and the message"


async def test_a_key_outlives_the_process_and_answers_gone_after_removal(settings: Settings) -> None:
    """The key of a message that was removed since is not used again."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        channel = await room(node, ana)
        first = await post(node, ana, channel, "once", key="k")
    async with opened(settings) as node:
        assert (await post(node, ana, channel, "once", key="k")).id == first.id
        await node.core.messages.remove(ana, int(first.id))
        with pytest.raises(Gone):
            await post(node, ana, channel, "once", key="k")


async def test_what_is_removed_is_gone_from_every_table(settings: Settings) -> None:
    """No column of any table still has the contents, edits and earlier events included."""
    async with opened(settings) as node:
        ana, bob = await person(node, "ana"), await person(node, "bob")
        channel = await room(node, ana, bob)
        message = await post(node, ana, channel, "marked-secret-1 @bob")
        await node.core.messages.edit(ana, int(message.id), "marked-secret-2", None)
        await node.core.messages.flag(bob, int(message.id), flagged=True)
        assert await MessageVersion.all().count() == 1
        await node.core.messages.remove(ana, int(message.id))
        names = "SELECT name FROM sqlite_master WHERE type = 'table'"
        if node.database.dialect == "postgres":
            names = "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'"
        for table in await node.database.fetch(names):
            for row in await node.database.fetch(f'SELECT * FROM "{table["name"]}"'):
                assert "marked-secret" not in str(dict(row)), table["name"]
        with pytest.raises(NotFound):
            await node.core.messages.read_one(bob, int(message.id))


async def test_rights_are_checked_at_the_moment_of_writing(settings: Settings) -> None:
    """Posts that wait in the same group as the kick of their author: those before it are stored, those after it refused."""
    async with opened(settings) as node:
        ana, bob = await person(node, "ana"), await person(node, "bob")
        channel = await room(node, ana, bob, type_="private")
        results = await asyncio.gather(
            post(node, bob, channel, "before"),
            node.core.channels.kick(ana, channel, bob.user_id),
            post(node, bob, channel, "after"),
            return_exceptions=True,
        )
        assert not isinstance(results[0], Exception)
        assert isinstance(results[2], NotFound)
        page = await node.core.messages.read(ana, channel, before=None, after=None, around=None, limit=10)
    assert [message.contents for message in page.messages] == ["room", "before"]


async def test_a_stale_version_overwrites_nothing(settings: Settings) -> None:
    """Of two edits of one version the second is refused."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        message = await post(node, ana, await room(node, ana), "one")
        results = await asyncio.gather(
            *(node.core.messages.edit(ana, int(message.id), text, message.version) for text in ("two", "three")), return_exceptions=True
        )
        assert [type(result) for result in results].count(Conflict) == 1


async def test_a_reply_to_a_reply_joins_the_thread(settings: Settings) -> None:
    """The head counts all living replies, whichever of them was answered."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        channel, elsewhere = await room(node, ana), await room(node, ana)
        head = await post(node, ana, channel, "question")
        reply = await post(node, ana, channel, "answer", reply_to=int(head.id))
        deeper = await post(node, ana, channel, "thanks", reply_to=int(reply.id))
        assert deeper.reply_to == head.id
        assert (await node.core.messages.read_one(ana, int(head.id))).replies == 2
        await node.core.messages.remove(ana, int(reply.id))
        assert (await node.core.messages.read_one(ana, int(head.id))).replies == 1
        with pytest.raises(NotFound):
            await post(node, ana, elsewhere, "lost", reply_to=int(head.id))


async def test_mentions_call_members_alone_and_not_from_code(settings: Settings) -> None:
    """`@name` in markdown counts for a member; in code, or of somebody outside, it is just text."""
    async with opened(settings) as node:
        ana, bob, eve = await person(node, "ana"), await person(node, "bob"), await person(node, "eve")
        channel = await room(node, ana, bob, type_="private")
        told: list[object] = []
        node.broker.on_control(told.append)
        message = await post(node, ana, channel, "@bob and @eve, see `@ana` and mail@bob.example")
        assert message.mentions == [str(bob.user_id)]
        (moved,) = told
        assert isinstance(moved, MarkMoved)
        assert (moved.user_id, moved.channel_id, moved.unread, moved.mentions) == (bob.user_id, channel, 1, 1)
        assert (await node.core.channels.read(bob, channel)).mentions == 1
        await node.core.marks.move(bob, channel, None)
        assert (await node.core.channels.read(bob, channel)).mentions == 0
        assert all(not isinstance(each, MarkMoved) or each.user_id != eve.user_id for each in told)


async def test_pages_go_both_ways_without_gap_or_repeat(settings: Settings) -> None:
    """`next` leads through the whole history, from either end."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        channel = await room(node, ana)
        for number in range(7):
            await post(node, ana, channel, f"n{number}")
        everything = await node.core.messages.read(ana, channel, before=None, after=1, around=None, limit=200)
        ids = [message.id for message in everything.messages]
        for way in ("before", "after"):
            got: list[str] = []
            where: dict[str, int | None] = {"before": None, "after": None}
            where |= {"after": 1} if way == "after" else {}
            while True:
                page = await node.core.messages.read(ana, channel, before=where["before"], after=where["after"], around=None, limit=3)
                part = [message.id for message in page.messages]
                got = got + part if way == "after" else part + got
                if page.next is None:
                    break
                where[way] = int(page.next)
            assert got == ids


async def test_only_members_pin_and_only_their_own_pins_are_unpinned(settings: Settings) -> None:
    """Others' pins are removed by the channel's owners."""
    async with opened(settings) as node:
        ana, bob, cem = await person(node, "ana"), await person(node, "bob"), await person(node, "cem")
        channel = await room(node, ana, bob)
        message = int((await post(node, ana, channel, "remember")).id)
        with pytest.raises(Forbidden):
            await node.core.messages.pin(cem, message)
        await node.core.messages.pin(ana, message)
        with pytest.raises(Forbidden):
            await node.core.messages.unpin(bob, message)
        await node.core.messages.unpin(ana, message)
        await node.core.messages.pin(bob, message)
        await node.core.messages.unpin(ana, message)
        assert not (await node.core.messages.read_one(bob, message)).pinned
