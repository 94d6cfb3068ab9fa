"""What comes in over a link is believed as far as it can be, stored as it can be, and harms nobody here."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from crust.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from crust.events.control import Typing
from crust.log import Lease
from crust.plugin import Link, Remote, Trust
from crust.services.actor import Actor
from crust.services.incoming import MARK
from crust.services.links import Wish
from crust.settings import Settings
from tests.contracts.test_bridges import ANN, SURE, Toy, toy_at
from tests.support.people import channel, events, person

pytestmark = pytest.mark.asyncio

MOE = Remote(id="moe@elsewhere", name="Moe")
BAD = "a\0b\ud800c"  # what no database takes

# ---- what can be stored


async def test_what_no_database_takes_is_replaced_and_nothing_lost(settings: Settings) -> None:
    """NUL and halves of surrogate pairs become U+FFFD; what can be no id is known by nobody, as an answer, a room or a confirmation."""
    async with toy_at(settings) as toy:
        link = await toy.linked()
        author = Remote(id="1", name=BAD, handle=BAD, account=BAD * 100, avatar=BAD)
        await toy.bridge.inject(link, author, BAD, "m1", reply_to=BAD, trust=Trust("verified", BAD * 100))
        await toy.bridge.edit(link, author, "m1", f"{BAD}!", trust=SURE)
        await toy.bridge.topic(link, author, BAD, trust=SURE)
        await toy.bridge.gap(link, BAD)
        await toy.bridge.state("degraded", BAD)
        assert await toy.bridge.link(f"#{BAD}") is None
        assert await toy.node.core.injects.parts.found(int(link.id), BAD) is None
        assert await toy.texts() == ["a\ufffdb\ufffdc!", "a\ufffdb\ufffdc"]
        [part] = await toy.node.database.fetch("SELECT trust FROM message_part")
        assert part["trust"] == f"verified {BAD * 100}".replace("\0", "\ufffd").replace("\ud800", "\ufffd")[: len("verified ") + 100]


@pytest.mark.parametrize("hop", ["", "a b", "far.example/1\n", "\0", "\ud800", "x" * 281, "é"])
async def test_a_hop_that_can_be_none_is_refused(settings: Settings, hop: str) -> None:
    """By the name of its field, and nothing is stored: the events of what it did would bear it everywhere."""
    async with toy_at(settings) as toy:
        with pytest.raises(Invalid) as refused:
            await toy.bridge.inject(await toy.linked(), ANN, "hello", "m1", via=(hop,))
        assert refused.value.field == "via"
        assert await toy.texts() == []


async def test_ids_and_verdicts_that_can_be_none_are_named(settings: Settings) -> None:
    """Of a message, of whoever says, parts or identifies; a verdict that there is not."""
    async with toy_at(settings) as toy:
        link, bad = await toy.linked(), Remote(id=BAD, name="Ann")
        for call, field in (
            (toy.bridge.inject(link, bad, "hello", "m1"), "author"), (toy.bridge.parted(link, bad), "author"),
            (toy.bridge.identify(bad, BAD, trust=SURE), "author"), (toy.bridge.remove(link, ANN, BAD), "source_id"),
            (toy.bridge.inject(link, ANN, "hello", "m1", trust=Trust("sure")), "trust"),  # type: ignore[arg-type]  # a bridge's bug
        ):  # fmt: skip
            with pytest.raises(Invalid) as refused:
                await call
            assert refused.value.field == field
        assert await toy.texts() == []


# ---- whose it is


async def test_what_a_person_said_from_there_only_they_change(settings: Settings) -> None:
    """Not another remote, and not they themselves as long as the network does not vouch for it; by revision, edit and removal alike."""
    async with toy_at(settings) as toy:
        link = await toy.linked()
        await toy.bridge.identify(ANN, (await toy.node.core.ghosts.code(toy.ben, "toy")).code, trust=SURE)
        await toy.bridge.inject(link, ANN, "I am Ben", "m1", trust=SURE)
        for author, trust in ((ANN, Trust()), (ANN, Trust("failed", "toy")), (MOE, SURE)):
            for call in (
                toy.bridge.inject(link, author, "I am not", "m1", revision=1, trust=trust),
                toy.bridge.edit(link, author, "m1", "I am not", trust=trust), toy.bridge.remove(link, author, "m1", trust=trust),
            ):  # fmt: skip
                with pytest.raises(Forbidden):
                    await call
        assert await toy.texts() == ["I am Ben"]
        await toy.bridge.inject(link, ANN, "I am Ben, indeed", "m1", revision=1, trust=SURE)
        assert await toy.texts() == ["I am Ben, indeed"]
        await toy.bridge.remove(link, ANN, "m1", trust=SURE)
        assert await toy.texts() == []


async def test_what_a_ghost_said_its_network_changes(settings: Settings) -> None:
    """Whoever did it there, unless it is known that they did not."""
    async with toy_at(settings) as toy:
        link = await toy.linked()
        await toy.bridge.inject(link, ANN, "hello", "m1")
        with pytest.raises(Forbidden, match="did not"):
            await toy.bridge.edit(link, ANN, "m1", "forged", trust=Trust("failed", "toy"))
        await toy.bridge.edit(link, MOE, "m1", "hello (moderated)")
        assert await toy.texts() == ["hello (moderated)"]
        await toy.bridge.remove(link, MOE, "m1")
        assert await toy.texts() == []


async def test_nobody_is_a_person_here_unless_their_network_vouches_for_them(settings: Settings) -> None:
    """A code that somebody unverified has said counts for nothing, and is good still when they are verified."""
    async with toy_at(settings) as toy:
        code = (await toy.node.core.ghosts.code(toy.ben, "toy")).code
        for trust in (Trust(), Trust("failed", "toy")):
            with pytest.raises(Forbidden, match="vouches"):
                await toy.bridge.identify(ANN, code, trust=trust)
        assert (await toy.bridge.identify(ANN, code, trust=SURE)).username == "ben"


async def test_an_operator_ends_what_somebody_is_elsewhere(settings: Settings) -> None:
    """Who it is is listed; then they are a ghost again, though the account that they were is suspended."""
    async with toy_at(settings) as toy:
        link, core = await toy.linked(), toy.node.core
        await toy.bridge.identify(ANN, (await core.ghosts.code(toy.ben, "toy")).code, trust=SURE)
        await core.profiles.suspend("ben")
        with pytest.raises(Forbidden, match="suspended"):
            await toy.bridge.inject(link, ANN, "hello?", "m1", trust=SURE)
        ben = await core.profiles.id_of("ben")
        assert await core.ghosts.linked_with(ben) == [{"bridge": "toy", "remote_user": ANN.id, "name": "Ann"}]
        assert [await core.ghosts.forget(ben, "toy") for _ in range(2)] == [1, 0]
        assert await core.ghosts.linked_with(ben) == []
        assert (await toy.bridge.inject(link, ANN, "hello", "m1", trust=SURE)).state == "posted"


async def test_a_known_forgery_is_marked_at_least(settings: Settings) -> None:
    """Over a link that accepts, marks what is not known, or refuses it; what can bear no mark changes nothing."""
    async with toy_at(settings) as toy:
        for trust in ("accept", "mark"):
            await toy.bridge.inject(await toy.linked(f"#{trust}", trust=trust), ANN, trust, "m1", trust=Trust("failed", "dmarc"))
        assert await toy.texts() == [f"{MARK}accept", f"{MARK}mark"]
        forged, link = Trust("failed", "dmarc"), await toy.linked("#accept")
        for call in (
            toy.bridge.inject(await toy.linked("#refuse", trust="refuse"), ANN, "x", "m1", trust=forged),
            toy.bridge.react(link, ANN, "m1", ":+1:", trust=forged), toy.bridge.topic(link, ANN, "forged", trust=forged),
        ):  # fmt: skip
            with pytest.raises(Forbidden, match="failed dmarc"):
                await call


# ---- in order


async def test_a_late_revision_overwrites_no_newer_one(settings: Settings) -> None:
    """Whatever comes in between, a message says what its highest revision does; what was posted as one is at that one."""
    async with toy_at(settings) as toy:
        link = await toy.linked()
        states = [
            (await toy.bridge.inject(link, ANN, f"revision {number}", "m1", revision=number)).state for number in (2, 1, 5, 4, 5, 6)
        ]  # fmt: skip
        assert states == ["posted", "duplicate", "edited", "duplicate", "duplicate", "edited"]
        assert await toy.texts() == ["revision 6"]


# ---- what has changed meanwhile


async def test_whose_lease_is_anothers_by_now_brings_nothing_in(settings: Settings) -> None:
    """Whoever thaws finds it out inside the change, whatever it is that came in; what is written under the lease is not held up."""
    async with toy_at(settings) as toy:
        link, bridge, over = await toy.linked(), toy.bridge, asyncio.Event()

        async def work(_: Lease) -> None:
            await bridge.inject(link, ANN, "in time", "m1")
            async with toy.node.database.transaction():
                await toy.node.database.execute("UPDATE lease SET owner = 'another', generation = generation + 1 WHERE name = 'toy'")
            for call in (
                bridge.inject(link, ANN, "too late", "m2"), bridge.inject(link, ANN, "too late", "m1", revision=1),
                bridge.edit(link, ANN, "m1", "too late"), bridge.remove(link, ANN, "m1"), bridge.react(link, ANN, "m1", ":+1:"),
                bridge.joined(link, MOE), bridge.parted(link, ANN), bridge.topic(link, ANN, "too late"), bridge.gap(link, "too late"),
            ):  # fmt: skip
                with pytest.raises(Unavailable):
                    await call
            over.set()
            await asyncio.Event().wait()

        keeping = asyncio.create_task(toy.node.leases.keep("toy", work))
        done = asyncio.create_task(over.wait())
        await asyncio.wait([keeping, done], return_when=asyncio.FIRST_COMPLETED)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        assert await done
        assert await toy.texts() == ["in time"]
        assert await bridge.present(link) == [ANN.id]


async def test_a_link_that_ends_or_moves_meanwhile_lets_nothing_in(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was on its way is not posted where the link was; told again, it is where the link is."""
    async with toy_at(settings) as toy:
        link, core = await toy.linked(), toy.node.core
        other, speaker = await channel(toy.node, toy.ana, name="other"), core.ghosts.speaker

        async def move() -> None:
            async with toy.node.log.change() as change:
                await core.links.rehome(change, toy.room, other, toy.ana.user_id)

        async def end() -> None:
            await core.links.unlink(toy.ana, int(link.id))

        def meanwhile(happens: Callable[[], Awaitable[None]]) -> None:
            async def spoken(*arguments: Any, **named: Any) -> Actor:
                actor = await speaker(*arguments, **named)
                monkeypatch.setattr(core.ghosts, "speaker", speaker)
                await happens()
                return actor

            monkeypatch.setattr(core.ghosts, "speaker", spoken)

        meanwhile(move)
        with pytest.raises(Unavailable, match="safe"):
            await toy.bridge.inject(link, ANN, "hello", "m1")
        await toy.bridge.inject(link, ANN, "hello", "m1")
        meanwhile(end)
        with pytest.raises(NotFound, match="ended"):
            await toy.bridge.inject(link, ANN, "too late", "m2")
        assert (await toy.texts(), await toy.texts(other)) == ([], ["hello"])


# ---- typing


async def test_who_types_is_not_made_by_it(settings: Settings) -> None:
    """Who is known is told of, a person here as themself; of others nothing is, and nobody comes into the channel because of it."""
    async with toy_at(settings) as toy:
        link, strict = await toy.linked(), await toy.linked("#strict", trust="refuse")
        heard: list[object] = []
        toy.node.broker.on_control(heard.append)

        async def typing(*calls: Awaitable[None]) -> list[int]:
            heard.clear()
            for call in calls:
                await call
            return [each.user_id for each in heard if isinstance(each, Typing)]

        assert await typing(toy.bridge.typing(link, ANN), toy.bridge.typing(link, ANN, trust=SURE)) == []
        assert await toy.bridge.present(link) == []
        await toy.bridge.inject(link, ANN, "hello", "m1")
        [ghost] = [row["user_id"] for row in await toy.node.database.fetch("SELECT user_id FROM ghost")]
        forged = toy.bridge.typing(link, ANN, trust=Trust("failed", "toy"))
        assert await typing(toy.bridge.typing(link, ANN), toy.bridge.typing(strict, ANN), forged) == [ghost]
        await toy.bridge.identify(ANN, (await toy.node.core.ghosts.code(toy.ben, "toy")).code, trust=SURE)
        assert await typing(toy.bridge.typing(link, ANN), toy.bridge.typing(strict, ANN, trust=SURE)) == [toy.ben.user_id]
        assert await toy.bridge.present(link) == []


# ---- who is let in no more


async def _refused(toy: Toy, link: Link, author: Remote, match: str) -> None:
    """Whatever they do; typing is nothing to raise for."""
    bridge = toy.bridge
    for call in (
        bridge.inject(link, author, "again", "x1", trust=SURE), bridge.inject(link, author, "again", "m1", revision=1, trust=SURE),
        bridge.edit(link, author, "m1", "again", trust=SURE), bridge.remove(link, author, "m1", trust=SURE),
        bridge.react(link, author, "m1", ":+1:", trust=SURE), bridge.unreact(link, author, "m1", ":+1:", trust=SURE),
        bridge.joined(link, author, trust=SURE), bridge.topic(link, author, "again", trust=SURE),
    ):  # fmt: skip
        with pytest.raises(Forbidden, match=match):
            await call
    await bridge.typing(link, author, trust=SURE)


async def test_a_ghost_that_is_suspended_does_nothing_any_more(settings: Settings) -> None:
    """In no channel, nor as a person here instead; once it is let in again, as before. By its id and by its name."""
    async with toy_at(settings) as toy:
        link, core = await toy.linked(), toy.node.core
        first = await toy.bridge.inject(link, ANN, "hello", "m1", trust=SURE)
        ghost = int((await core.messages.read_one(toy.ana, int(first.message_id or 0))).user_id)
        await core.profiles.suspend_by(toy.ana, ghost, suspended=True)
        await _refused(toy, link, ANN, "suspended")
        with pytest.raises(Forbidden, match="suspended"):
            await toy.bridge.identify(ANN, (await core.ghosts.code(toy.ben, "toy")).code, trust=SURE)
        assert await toy.texts() == ["hello"]
        await core.profiles.unsuspend("Ann:toy.example")
        await toy.bridge.inject(link, ANN, "thank you", "m2", trust=SURE)
        assert await toy.texts() == ["hello", "thank you"]


async def test_a_ghost_that_is_kicked_stays_away_until_it_is_invited(settings: Settings) -> None:
    """From that channel; what it said elsewhere goes on. Whoever leaves by themselves comes back as they like."""
    async with toy_at(settings) as toy:
        link, core = await toy.linked(), toy.node.core
        other = await channel(toy.node, toy.ana, name="other")
        elsewhere = await toy.linked("#other", other)
        first = await toy.bridge.inject(link, ANN, "hello", "m1", trust=SURE)
        ghost = int((await core.messages.read_one(toy.ana, int(first.message_id or 0))).user_id)
        await toy.bridge.parted(link, ANN)
        await toy.bridge.inject(link, ANN, "I am back", "m2", trust=SURE)
        await core.channels.kick(toy.ana, toy.room, ghost)
        await _refused(toy, link, ANN, "invites")
        assert await toy.bridge.present(link) == []
        await toy.bridge.inject(elsewhere, ANN, "hello, others", "o1", trust=SURE)
        await core.channels.invite(toy.ana, toy.room, ghost)
        await toy.bridge.inject(link, ANN, "thank you", "m3", trust=SURE)
        assert await toy.texts() == ["hello", "I am back", "thank you"]
        await core.organisations.expel(toy.ana, next(iter(toy.known.organisations)), ghost)
        await _refused(toy, link, ANN, "invites")


# ---- one network twice


async def test_two_bridges_of_one_network_link_no_room_twice(settings: Settings) -> None:
    """Neither with two channels nor with one; the other bridge is named. Once it has let go of the room, this one may have it."""
    async with toy_at(settings) as toy:
        links = toy.node.core.links
        links.bridges["twin"] = replace(toy.known, name="twin")
        other = await channel(toy.node, toy.ana, name="other")
        first = await toy.linked()
        for where in (toy.room, other):
            with pytest.raises(Conflict, match="linked by toy"):
                await links.link(toy.ana, where, "twin", Wish(room="#TOY"))
        await links.link(toy.ana, other, "twin", Wish(room="#second"))
        links.bridges["far"] = replace(toy.known, name="far", network="far.example")
        await links.link(toy.ana, other, "far", Wish(room="#toy"))
        await links.unlink(toy.ana, int(first.id))
        assert (await links.link(toy.ana, other, "twin", Wish(room="#toy"))).instance == "twin"


# ---- names


async def test_a_ghost_gives_way_to_whoever_takes_its_name(settings: Settings) -> None:
    """Who gets an account or another name is not taken for somebody elsewhere who was there before; all who know these are told."""
    async with toy_at(settings) as toy:
        link, core = await toy.linked(), toy.node.core

        async def shown(name: str, id_: str = "") -> str:
            came = await toy.bridge.inject(link, Remote(id=id_ or name, name=name), f"I am {name}", secrets.token_hex(4))
            return (await core.accounts.viewed(int((await core.messages.read_one(toy.ana, int(came.message_id or 0))).user_id))).name

        before = [await shown(name) for name in ("Boss", "B\u043ess", "Zo\u00e9", "Bossy")]
        assert before == ["Boss", "B\u043ess", "Zo\u00e9", "Bossy"]
        await person(toy.node, "boss")
        told = len(await events(toy.node))
        await core.profiles.edit(toy.ben, "Zoe", None)
        assert [each.event for each in (await events(toy.node))[told:] if each.type == "user"] == ["edited", "edited"]
        after = [await shown(name) for name in ("Boss", "B\u043ess", "Zo\u00e9", "Bossy")]
        assert after == ["Boss (toy.example)", "B\u043ess (toy.example)", "Zo\u00e9 (toy.example)", "Bossy"]
        assert await shown("Boss", "another") == "Boss (toy.example)"


async def test_a_ghosts_name_is_looked_at_again_where_it_comes_to(settings: Settings) -> None:
    """One from before names were compared, or from whose name somebody here has gone, has the right one in the next channel."""
    async with toy_at(settings) as toy:
        link, core = await toy.linked(), toy.node.core
        other = await channel(toy.node, toy.ana, name="other")
        elsewhere = await toy.linked("#other", other)
        first = await toy.bridge.inject(link, Remote(id="1", name="Boss"), "hello", "m1")
        async with toy.node.database.transaction():
            await toy.node.database.execute("UPDATE ghost SET skeleton = ''")
        await person(toy.node, "boss")
        await toy.bridge.inject(elsewhere, Remote(id="1", name="Boss"), "hello", "m1")
        ghost = int((await core.messages.read_one(toy.ana, int(first.message_id or 0))).user_id)
        assert (await core.accounts.viewed(ghost)).name == "Boss (toy.example)"
