"""Search: what was said is found at once, by those who may see it, the same on every database."""

from __future__ import annotations

import asyncio

import pytest

from crust.models.search_index import SearchIndex
from crust.runtime import Node, opened
from crust.services import search
from crust.services.actor import Actor
from crust.services.search import Wish
from crust.settings import Settings

pytestmark = pytest.mark.asyncio


async def person(node: Node, name: str) -> Actor:
    user = await node.core.accounts.add(name, password="correct horse")
    return Actor(int(user.id), name, 1, f"client-{name}")


async def room(node: Node, owner: Actor, *members: Actor, name: str = "room", type_: str = "public") -> int:
    channel = await node.core.channels.create(
        owner, name=name, topic="", type_=type_, organisation_id=None, members=[member.user_id for member in members], key=None
    )
    return int(channel.id)


async def post(node: Node, actor: Actor, channel: int, text: str) -> int:
    return int((await node.core.messages.post(actor, channel, text, reply_to=None, client_msg_id=None, key=None)).id)


async def found(node: Node, actor: Actor, query: str = "", limit: int = 100, **wish: object) -> list[str | None]:
    messages = await node.core.search.find(actor, Wish(query=query, **wish), limit)  # type: ignore[arg-type]  # as the tests give it
    return [message.contents for message in messages]


async def test_words_are_found_in_every_script(settings: Settings) -> None:
    """Whatever the case, the accents and the spaces; only whole words, and phrases in their order."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        channel = await room(node, ana)
        texts = ["The quick FOXES of Größe", "привет мир", "東京都に住む", "it's a café", r"quote ' back \ slash:1", "हिन्दी में"]
        await asyncio.gather(*(post(node, ana, channel, text) for text in texts))
        for query, at in (
            ("foxes", 0), ("groSSe quick", 0), ("größe", 0), ('"quick foxes"', 0), ("ПРИВЕТ", 1), ("東京", 2), ("京都", 2), ("住", 2),
            ("む", 2), ("cafe", 3), ("it's", 3), ("back slash", 4), ("slash:1", 4), ("हिन्दी", 5),
        ):  # fmt: skip
            assert await found(node, ana, query) == [texts[at]], query
        for query in (
            "fox",
            '"foxes quick"',
            "quick привет",
            "東都",
            "slash:2",
            "'",
            "NEAR(quick foxes)",
            "quic*",
            "foxes -quick",
        ):
            assert await found(node, ana, query) == [], query
        assert await found(node, ana, "-quick -café -room -привет -slash -東京") == [texts[5]]


async def test_an_edit_replaces_and_a_removal_takes_away(settings: Settings) -> None:
    """What a message said before is not found any more, what it says now is, and nothing of it once it is removed."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        message = await post(node, ana, await room(node, ana), "first words")
        await node.core.messages.pin(ana, message)
        await node.core.messages.flag(ana, message, flagged=True)
        await node.core.messages.edit(ana, message, "second words", None)
        assert await found(node, ana, "first") == []
        assert await found(node, ana, "second is:pinned", flagged=True) == ["second words"]
        await node.core.messages.flag(ana, message, flagged=False)
        await node.core.messages.unpin(ana, message)
        assert await found(node, ana, "second", flagged=True) == await found(node, ana, "is:pinned") == []
        await node.core.messages.remove(ana, message)
        assert await found(node, ana, "words") == []
        key = "rowid" if node.database.dialect == "sqlite" else "id"
        assert not await node.database.fetch(f"SELECT 1 FROM message_search WHERE {key} = $1", message)


async def test_only_what_the_caller_may_see(settings: Settings) -> None:
    """Public channels of one's organisation and what one is in, as of now: nothing of private and direct ones, nor after leaving them."""
    async with opened(settings) as node:
        ana, bob, eve = await person(node, "ana"), await person(node, "bob"), await person(node, "eve")
        public, private = await room(node, ana), await room(node, ana, bob, type_="private")
        direct = await room(node, ana, bob, type_="direct")
        for channel in (public, private, direct):
            await post(node, ana, channel, f"word {channel}")
        everything = [f"word {channel}" for channel in (direct, private, public)]
        assert await found(node, ana, "word") == await found(node, bob, "word") == everything
        assert await found(node, eve, "word") == everything[2:]
        assert await found(node, eve, "word", channel_id=private) == await found(node, eve, "word in:nowhere") == []
        await node.core.channels.part(bob, private)
        assert await found(node, bob, "word") == [everything[0], everything[2]]
        assert await found(node, eve, "word", flagged=True) == []


async def test_narrowed_by_parameters_and_operators(settings: Settings) -> None:
    """Both say the same, and both together narrow further."""
    async with opened(settings) as node:
        ana, bob = await person(node, "ana"), await person(node, "bob")
        one, other = await room(node, ana, bob, name="One"), await room(node, ana, bob, name="other")
        ids = [await post(node, ana, one, "word a"), await post(node, bob, one, "word b"), await post(node, bob, other, "word c")]
        await node.core.messages.pin(bob, ids[0])
        await node.core.messages.flag(bob, ids[2], flagged=True)
        for query, wish, texts in (
            ("word from:bob", {}, "cb"), ("word", {"user_id": bob.user_id}, "cb"), ("word -from:@BOB", {}, "a"),
            ("word from:nobody", {}, ""), ("word in:#one", {}, "ba"), ("word in:one in:other", {}, ""), ("word -in:one", {}, "c"),
            ("word", {"channel_id": other}, "c"), ("from:me word", {}, "cb"), ("word is:pinned", {}, "a"),
            ("word", {"pinned": True}, "a"), ("word -is:pinned", {}, "cb"), ("word", {"flagged": True}, "c"),
            ("word", {"before": ids[1]}, "a"), ("word", {"after": ids[1]}, "c"), ("has:file", {}, ""),
            ("word before:2020-01-01", {}, ""), ("word after:2020-01-01 before:9999-01-01", {}, "cba"), ("*!*", {}, ""),
            ("word", {"message_type": "message"}, "cba"), ("word", {"message_type": "history"}, ""),
            ("", {"message_type": "MESSAGE"}, "cba"),
        ):  # fmt: skip
            assert await found(node, bob, query, **wish) == [f"word {text}" for text in texts], (query, wish)
        assert await found(node, bob, message_type="history") == ["other", "One"]
        assert await found(node, bob, "word", limit=2) == ["word c", "word b"]


async def test_rare_finds_behind_many_of_others(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many newer matches one may not see, one's own are found, with few channels and with many."""
    monkeypatch.setattr(search, "WINDOWS", (2, 4))
    monkeypatch.setattr(search, "WINDOW_MAX", 8)
    async with opened(settings) as node:
        ana, bob = await person(node, "ana"), await person(node, "bob")
        shared, secret = await room(node, ana, bob), await room(node, ana, type_="private")
        for number in range(3):
            await post(node, ana, shared, f"word {number}")
        await asyncio.gather(*(post(node, ana, secret, "word hidden") for _ in range(40)))
        for narrow, most in ((20, 300), (0, 300), (0, 0)):
            monkeypatch.setattr(search, "NARROW", narrow)
            monkeypatch.setattr(search, "CHANNELS_MAX", most)
            assert await found(node, bob, "word") == ["word 2", "word 1", "word 0"]
            assert await found(node, bob, "word", limit=2) == ["word 2", "word 1"]
            assert len(await found(node, ana, "word")) == 43


async def test_what_moves_to_another_channel_is_found_there(settings: Settings) -> None:
    """The index follows, when all messages of a channel are put into another."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        source, destination = await room(node, ana, name="source"), await room(node, ana, name="destination")
        await post(node, ana, source, "word")
        async with node.log.change() as change:
            await node.database.execute("UPDATE message SET channel_id = $1 WHERE channel_id = $2", destination, source)
            change.write(SearchIndex(node.database.dialect).rehoming(source, destination))
        assert await found(node, ana, "word", channel_id=destination) == ["word"]
        assert await found(node, ana, "word", channel_id=source) == []


async def test_messages_from_before_the_index_are_found(settings: Settings) -> None:
    """The migration fills it, in batches, with what there is."""
    from importlib import import_module

    step = import_module("crust.models.migrations.0004_search")
    async with opened(settings) as node:
        ana = await person(node, "ana")
        channel = await room(node, ana)
        ids = [await post(node, ana, channel, f"word {number}") for number in range(5)]
        await node.core.messages.remove(ana, ids[0])
        await node.core.messages.pin(ana, ids[1])
        await node.core.messages.flag(ana, ids[2], flagged=True)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(step, "TOGETHER", 2)
            async with node.database.transaction() as transaction:
                await transaction.execute_query("DROP TABLE message_search")

                class Editor:
                    DIALECT = node.database.dialect
                    client = transaction

                await step.create(None, Editor)
        assert await found(node, ana, "word") == ["word 4", "word 3", "word 2", "word 1"]
        assert await found(node, ana, "word is:pinned") == ["word 1"]
        assert await found(node, ana, "word", flagged=True) == ["word 2"]
