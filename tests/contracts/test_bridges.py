"""What a bridge leaves to the host: links, the people elsewhere, and what comes in over a link. See `tests/support/loopback.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
import pytest

from crust.clock import ManualClock
from crust.errors import (
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    RateLimited,
    Rejected,
    Unauthenticated,
)
from crust.host.bridging import InstanceBridge
from crust.host.chat import Access
from crust.host.checkpoints import Checkpoints
from crust.plugin import Link, Remote, Trust
from crust.runtime import Node, opened
from crust.services import paging
from crust.services.actor import Actor
from crust.services.links import Bridge, Wish
from crust.services.lookalikes import skeleton
from crust.services.parts import OUT, Part, recorded
from crust.settings import Settings
from tests.support.people import channel, events, organisation, person, say

pytestmark = pytest.mark.asyncio

ANN = Remote(id="ann@elsewhere", name="Ann")
SURE = Trust("verified", "toy")
CAPABILITIES = frozenset({"read:public", "read:private", "bridge:inject", "bridge:ghosts"})


def room_of(name: str) -> str:
    if not name.startswith("#"):
        raise Invalid("A room begins with #.", field="room")
    return name.lower()


@dataclass
class Toy:
    """A node with a bridge that links can be made with, two people, and a channel."""

    node: Node
    clock: ManualClock
    ana: Actor
    ben: Actor
    room: int
    bridge: InstanceBridge
    known: Bridge

    async def linked(self, name: str = "#toy", channel_id: int | None = None, **wish: object) -> Link:
        made = await self.node.core.links.link(self.ana, channel_id or self.room, "toy", Wish(room=name, **wish))  # type: ignore[arg-type]  # a wish's own
        found = await self.bridge.link(made.remote_room)
        assert found is not None
        return found

    async def texts(self, where: int | None = None) -> list[str]:
        page = await self.node.core.messages.read(self.ana, where or self.room, before=None, after=None, around=None, limit=100)
        return [each.contents or "" for each in page.messages if each.type in ("MESSAGE", "FILE")]


@asynccontextmanager
async def toy_at(settings: Settings, capabilities: frozenset[str] = CAPABILITIES) -> AsyncIterator[Toy]:
    clock = ManualClock()
    async with opened(settings, clock) as node:
        ana, ben = await person(node, "ana", is_admin=True), await person(node, "ben")
        room = await channel(node, ana, ben)
        bot = await node.core.bots.of("toy")
        known = Bridge(
            name="toy", network="toy.example", user_id=bot.actor.user_id, organisations=bot.organisations,
            sees=frozenset({"public", "private"}), crossings={"edit": "native", "remove": "dropped", "characters": 200}, room=room_of,
        )  # fmt: skip
        node.core.links.bridges["toy"] = known
        access = Access("toy", capabilities)
        access.bot = bot
        yield Toy(node, clock, ana, ben, room, InstanceBridge(access, node.core, Checkpoints("toy", node.core, "here")), known)


# ---- links


async def test_a_room_is_linked_with_one_channel(settings: Settings) -> None:
    """A second channel is refused by name, under another spelling too; two rooms of one network in one channel are no matter."""
    async with toy_at(settings) as toy:
        link = await toy.linked()
        other = await channel(toy.node, toy.ana, name="other")
        with pytest.raises(Conflict, match="'#toy' of toy is linked with another channel"):
            await toy.linked("#TOY", other)
        second = await toy.linked("#second")
        shown = (await toy.node.core.channels.read(toy.ben, toy.room)).bridged
        assert [(each.link_id, each.bridge, each.network, each.room) for each in shown] == [
            (link.id, "toy", "toy.example", "#toy"), (second.id, "toy", "toy.example", "#second"),
        ]  # fmt: skip
        assert shown[0].crossings == {"edit": "native", "remove": "dropped"}
        assert shown[0].characters == 200


async def test_links_are_told_and_end(settings: Settings) -> None:
    """Making, changing and ending one are events of the channel that say so; the same again is none. An ended room can be linked anew."""
    async with toy_at(settings) as toy:
        link = await toy.linked()
        await toy.linked()
        await toy.linked(direction="in")
        await toy.node.core.links.unlink(toy.ana, int(link.id))
        with pytest.raises(NotFound):
            await toy.node.core.links.unlink(toy.ana, int(link.id))
        told = [msgspec.json.decode(each.body) for each in await events(toy.node) if each.event in ("linked", "unlinked")]
        assert [(each["link"]["direction"], len(each["bridged"]), each["by"]) for each in told] == [
            ("both", 1, str(toy.ana.user_id)), ("in", 1, str(toy.ana.user_id)), ("in", 0, str(toy.ana.user_id)),
        ]  # fmt: skip
        assert (await toy.node.core.channels.read(toy.ana, toy.room)).bridged == ()
        again = await toy.linked()
        assert again.id != link.id
        with pytest.raises(NotFound):
            await toy.bridge.inject(link, ANN, "too late", "m1")


@pytest.mark.parametrize("wish", [{"name": "toy"}, {"direction": "up"}, {"trust": "blind"}, {"crosses": frozenset({"jokes"})}])
async def test_what_cannot_be_linked_is_refused(settings: Settings, wish: dict[str, object]) -> None:
    """A room, direction, trust or crossing that cannot be is named, and nothing is made."""
    async with toy_at(settings) as toy:
        with pytest.raises(Invalid):
            await toy.linked(**wish)  # type: ignore[arg-type]  # a wish's own
        assert await toy.bridge.links() == []


async def test_who_may_link(settings: Settings) -> None:
    """The channel's owners and the organisation's admins; neither members, nor with a bridge that is not there, nor elsewhere."""
    async with toy_at(settings) as toy:
        links = toy.node.core.links
        with pytest.raises(Forbidden, match="owners"):
            await links.link(toy.ben, toy.room, "toy", Wish(room="#x"))
        with pytest.raises(NotFound, match="there are: toy"):
            await links.link(toy.ana, toy.room, "irc", Wish(room="#x"))
        far = await channel(toy.node, toy.ana, organisation_id=await organisation(toy.node, toy.ana))
        with pytest.raises(Forbidden, match="organisation"):
            await links.link(toy.ana, far, "toy", Wish(room="#x"))
        direct = await channel(toy.node, toy.ana, toy.ben, type_="direct")
        with pytest.raises((Invalid, Forbidden)):
            await links.link(toy.ana, direct, "toy", Wish(room="#x"))
        private = await channel(toy.node, toy.ben, type_="private", name="private")
        with pytest.raises(NotFound):
            await links.link(toy.ana, private, "toy", Wish(room="#x"))
        link = await links.link(toy.ben, private, "toy", Wish(room="#x"))
        with pytest.raises(NotFound):
            await links.unlink(toy.ana, link.id)


async def test_settings_make_and_end_links(settings: Settings) -> None:
    """Links that the settings name are made once and end when they are named no more; those that people made stay."""
    async with toy_at(settings) as toy:
        mine, core = await toy.linked("#mine"), toy.node.core
        wanted = [("room", Wish(room="#a")), ("#room", Wish(room="#b", direction="in")), ("nowhere", Wish(room="#c"))]
        assert await core.configured.configure(toy.known, wanted) == [
            "the link of #c with nowhere: There is no channel 'nowhere' where the bridge may be at work."
        ]
        before = len(await events(toy.node))
        await core.configured.configure(toy.known, wanted)
        assert len(await events(toy.node)) == before
        await core.configured.configure(toy.known, wanted[:1])
        assert {each.remote_room for each in await toy.bridge.links()} == {mine.remote_room, "#a"}


# ---- people elsewhere


async def test_a_ghost_comes_with_its_first_word(settings: Settings) -> None:
    """Who says something is there: a user of kind ghost with the network's badge, in the organisation as a guest, in the channel."""
    async with toy_at(settings) as toy:
        link = await toy.linked()
        came = await toy.bridge.inject(link, ANN, "hello", "m1")
        assert came.state == "posted"
        message = await toy.node.core.messages.read_one(toy.ben, int(came.message_id or 0))
        ghost = await toy.node.core.accounts.viewed(int(message.user_id))
        assert (ghost.kind, ghost.username, ghost.name, ghost.origin) == ("ghost", "Ann:toy.example", "Ann", "toy.example")
        assert message.origin == "toy.example"
        said = [each for each in await events(toy.node) if (each.type, each.event) == ("message", "created")][-1]
        assert (said.origin, said.via) == ("toy.example", (f"toy#{link.id}",))
        members = await toy.node.core.channels.members(toy.ana, toy.room, paging.Part())
        assert "Ann:toy.example" in {each.user.username for each in members}
        assert not await toy.node.database.fetch("SELECT 1 FROM audit WHERE object = $1", int(message.user_id)), "no administrative act"


async def test_a_ghost_is_called_by_its_handle(settings: Settings) -> None:
    """`@Ann:toy.example` is the ghost, and nobody here of that name; where nobody has the handle, the colon ends the name."""
    async with toy_at(settings) as toy:
        link, core = await toy.linked(), toy.node.core
        came = await toy.bridge.inject(link, ANN, "hello", "m1")
        ghost = (await core.messages.read_one(toy.ana, int(came.message_id or 0))).user_id
        local = await person(toy.node, "ann")
        await core.channels.join(local, toy.room)
        message = await say(toy.node, toy.ana, toy.room, "@Ann:toy.example, hello")
        assert message.mentions == [ghost]
        assert (await say(toy.node, toy.ana, toy.room, "@ann:hello, @ann")).mentions == [str(local.user_id)]
        await core.messages.edit(toy.ana, int(message.id), "@ann:look and @ann:toy.example", None, None)
        edited = await core.messages.read_one(toy.ana, int(message.id))
        assert sorted(edited.mentions) == sorted([ghost, str(local.user_id)])


async def test_nobody_signs_in_as_a_ghost(settings: Settings) -> None:
    """Not by a password, which it cannot be given; not by a token, an invitation, or by being brought into a channel."""
    async with toy_at(settings) as toy:
        link, core = await toy.linked(), toy.node.core
        came = await toy.bridge.inject(link, ANN, "hello", "m1")
        message = await core.messages.read_one(toy.ana, int(came.message_id or 0))
        ghost, name = int(message.user_id), "Ann:toy.example"
        with pytest.raises(Unauthenticated):
            await core.sessions.sign_in(name, "correct horse", None, "127.0.0.1", "test")
        with pytest.raises((NotFound, Invalid)):
            await core.profiles.set_password(name, "correct horse battery")
        with pytest.raises(NotFound):
            await core.tokens.create(name)
        other = await channel(toy.node, toy.ana, name="other")
        with pytest.raises(NotFound):
            await core.channels.invite(toy.ana, other, ghost)
        with pytest.raises((NotFound, Invalid)):
            await channel(toy.node, toy.ana, Actor(ghost, name, 0, "x"), type_="direct")
        elsewhere = await organisation(toy.node, toy.ana)
        with pytest.raises(NotFound):
            await core.organisations.invite(toy.ana, elsewhere, user_id=ghost, email=None, role="admin")
        with pytest.raises(Invalid, match="guest"):
            await core.organisations.give_role(toy.ana, next(iter(toy.known.organisations)), ghost, "owner")


@pytest.mark.parametrize("name", ["ana", "ANA", "Аnа", "áná", "a.n.a", "\uff41\uff4e\uff41"])
async def test_no_ghost_looks_like_somebody_here(settings: Settings, name: str) -> None:
    """Case, accents, other scripts, separators and full width: the name gets the network's, the handle has it anyway."""
    async with toy_at(settings) as toy:
        link = await toy.linked()
        came = await toy.bridge.inject(link, Remote(id="1", name=name), "I am ana", "m1")
        message = await toy.node.core.messages.read_one(toy.ana, int(came.message_id or 0))
        ghost = await toy.node.core.accounts.viewed(int(message.user_id))
        assert ghost.name.endswith(" (toy.example)")
        assert ghost.username.endswith(":toy.example")


async def test_skeletons_tell_what_is_read_alike() -> None:
    """What is drawn alike is the same, what is not is not."""
    assert skeleton("Paypal") == skeleton("Ρаураl") == skeleton("pаypa1") == skeleton("Pay-Pal")
    assert skeleton("modern") == skeleton("modem")
    assert skeleton("ana") != skeleton("anna")


async def test_names_follow_and_twins_are_numbered(settings: Settings) -> None:
    """Another name there is another one here, told as such; two people of one name have two handles."""
    async with toy_at(settings) as toy:
        link, core = await toy.linked(), toy.node.core
        one = await toy.bridge.inject(link, ANN, "hello", "m1")
        other = await toy.bridge.inject(link, Remote(id="ann@third", name="Ann"), "hello too", "m2")
        await toy.bridge.inject(link, Remote(id=ANN.id, name="Anna", avatar="https://example.org/a.png"), "again", "m3")
        users = [
            await core.accounts.viewed(int((await core.messages.read_one(toy.ana, int(each.message_id or 0))).user_id))
            for each in (one, other)
        ]  # fmt: skip
        assert [(each.username, each.name) for each in users] == [("Ann:toy.example", "Anna"), ("Ann-2:toy.example", "Ann")]
        assert users[0].avatar == "https://example.org/a.png"
        assert ("user", "edited") in [(each.type, each.event) for each in await events(toy.node)]


async def test_who_says_the_code_speaks_as_themself(settings: Settings) -> None:
    """A code of one's own, said once, links a remote identity: what they say is the person's, what they had said stays the ghost's."""
    async with toy_at(settings) as toy:
        link, core = await toy.linked(), toy.node.core
        before = await toy.bridge.inject(link, ANN, "as a ghost", "m1", trust=SURE)
        code = (await core.ghosts.code(toy.ben, "toy")).code
        with pytest.raises(NotFound):
            await toy.bridge.identify(ANN, "another code", trust=SURE)
        assert (await toy.bridge.identify(ANN, f" {code} ", trust=SURE)).username == "ben"
        with pytest.raises(NotFound):
            await toy.bridge.identify(Remote(id="x", name="X"), code, trust=SURE)
        after = await toy.bridge.inject(link, ANN, "as myself", "m2", trust=SURE)
        forged = await toy.bridge.inject(link, ANN, "not me", "m3", trust=Trust("failed", "toy"))
        authors = [(await core.messages.read_one(toy.ana, int(each.message_id or 0))).user_id for each in (before, after, forged)]
        assert authors[1] == str(toy.ben.user_id)
        assert authors[0] == authors[2] != authors[1], "nobody speaks as a person unless the network vouches for it"
        late = (await core.ghosts.code(toy.ben, "toy")).code
        toy.clock.advance(901)
        with pytest.raises(NotFound):
            await toy.bridge.identify(ANN, late, trust=SURE)
        await core.profiles.suspend("ben")
        with pytest.raises(Forbidden, match="suspended"):
            await toy.bridge.inject(link, ANN, "let me in", "m4", trust=SURE)


# ---- what comes in


async def test_what_is_told_again_is_posted_once(settings: Settings) -> None:
    """The same id gives the first message, in other words too and after it was removed; a revision changes it, each once."""
    async with toy_at(settings) as toy:
        link, core = await toy.linked(), toy.node.core
        first = await toy.bridge.inject(link, ANN, "hello", "m1")
        again = await toy.bridge.inject(link, ANN, "hello!", "m1")
        assert (again.message_id, again.state) == (first.message_id, "duplicate")
        edited = await toy.bridge.inject(link, ANN, "hello all", "m1", revision=1)
        repeated = await toy.bridge.inject(link, ANN, "hello all", "m1", revision=1)
        assert (edited.state, repeated.state) == ("edited", "duplicate")
        assert await toy.texts() == ["hello all"]
        await core.messages.remove(toy.ana, int(first.message_id or 0))
        assert (await toy.bridge.inject(link, ANN, "hello", "m1")).state == "duplicate"
        assert await toy.texts() == []
        assert (await toy.bridge.inject(await toy.linked("#second"), ANN, "hello", "m1")).state == "posted", "ids are a link's own"


async def test_replies_edits_removals_and_reactions_find_their_message(settings: Settings) -> None:
    """By the id of a part there; what nobody knows is left out of a reply, and not found otherwise. What was said here is safe."""
    async with toy_at(settings) as toy:
        link, core = await toy.linked(), toy.node.core
        first = await toy.bridge.inject(link, ANN, "hello", "m1")
        reply = await toy.bridge.inject(link, Remote(id="2", name="Bea"), "yes?", "m2", reply_to="m1")
        lost = await toy.bridge.inject(link, ANN, "what?", "m3", reply_to="gone")
        assert (await core.messages.read_one(toy.ana, int(reply.message_id or 0))).reply_to == first.message_id
        assert (await core.messages.read_one(toy.ana, int(lost.message_id or 0))).reply_to is None
        await toy.bridge.edit(link, ANN, "m1", "hello there")
        await toy.bridge.react(link, Remote(id="2", name="Bea"), "m1", ":wave:")
        shown = await core.messages.read_one(toy.ana, int(first.message_id or 0))
        assert (shown.contents, [(each.emoji, each.count) for each in shown.reactions]) == ("hello there", [(":wave:", 1)])
        await toy.bridge.unreact(link, Remote(id="2", name="Bea"), "m1", ":wave:")
        await toy.bridge.remove(link, ANN, "m2")
        await toy.bridge.remove(link, ANN, "m2")
        assert await toy.texts() == ["hello there", "what?"]
        with pytest.raises(NotFound):
            await toy.bridge.edit(link, ANN, "unknown", "x")
        ours = await say(toy.node, toy.ana, toy.room, "ours")
        async with toy.node.database.transaction():
            await toy.node.database.run([recorded([(Part(link_id=int(link.id), remote_id="o1", direction=OUT), int(ours.id))])])
        for refused in (toy.bridge.edit(link, ANN, "o1", "x"), toy.bridge.remove(link, ANN, "o1")):
            with pytest.raises(Forbidden, match="said here"):
                await refused
        await toy.bridge.react(link, ANN, "o1", ":+1:")
        assert (await toy.bridge.inject(link, ANN, "an echo", "o1")).message_id == ours.id, "an echo is no second message"


async def test_directions_trust_and_capabilities_hold(settings: Settings) -> None:
    """A link that lets nothing in, a sender of whom nothing is known where that counts, a plugin that did not say so: refused."""
    async with toy_at(settings) as toy:
        with pytest.raises(Forbidden, match="direction"):
            await toy.bridge.inject(await toy.linked("#out", direction="out"), ANN, "x", "m1")
        strict = await toy.linked("#strict", trust="refuse")
        with pytest.raises(Forbidden, match="unverified"):
            await toy.bridge.inject(strict, ANN, "x", "m1")
        await toy.bridge.inject(strict, ANN, "known", "m1", trust=SURE)
        await toy.bridge.inject(await toy.linked("#mark", trust="mark"), ANN, "unknown", "m1", trust=Trust("failed", "dmarc"))
        assert [each.rpartition(": ")[2] for each in await toy.texts()] == ["known", "unknown"]
        assert "unverified" in (await toy.texts())[1]
        await toy.node.core.archiving.archive(toy.ana, toy.room)
        with pytest.raises(Gone):
            await toy.bridge.inject(strict, Remote(id="new", name="New"), "x", "m2", trust=SURE)
        assert not await toy.node.database.fetch("SELECT 1 FROM ghost WHERE remote_user = 'new'")


async def test_without_the_capabilities_nothing_comes_in(settings: Settings) -> None:
    """bridge:inject and bridge:ghosts have to be declared."""
    async with toy_at(settings, frozenset({"read:public", "bridge:inject"})) as toy:
        with pytest.raises(Forbidden, match="bridge:ghosts"):
            await toy.bridge.inject(await toy.linked(), ANN, "x", "m1")


@pytest.mark.parametrize("source_id", ["", "x" * 501, "a\nb", "a\x00b"])
async def test_ids_that_can_be_none_are_refused(settings: Settings, source_id: str) -> None:
    """Empty, too long, unprintable: named, and nothing is stored."""
    async with toy_at(settings) as toy:
        with pytest.raises(Invalid, match="1 to 500"):
            await toy.bridge.inject(await toy.linked(), ANN, "x", source_id)
        assert await toy.texts() == []


async def test_long_ids_are_told_apart(settings: Settings) -> None:
    """Ids that differ only at their ends, beyond what a key holds."""
    async with toy_at(settings) as toy:
        link = await toy.linked()
        for ending in "ab":
            await toy.bridge.inject(link, ANN, ending, "x" * 499 + ending)
            await toy.bridge.inject(link, ANN, ending, "x" * 499 + ending)
        assert await toy.texts() == ["a", "b"]


# ---- loops


async def test_a_fourth_hop_is_refused(settings: Settings) -> None:
    """What has come through three links is not posted; what was in this very channel is answered as if it were."""
    async with toy_at(settings) as toy:
        link = await toy.linked()
        with pytest.raises(Rejected, match="loop"):
            await toy.bridge.inject(link, ANN, "x", "m1", via=("a.example/1", "b.example/2", "c.example/3"))
        own = toy.bridge.came_through(f"far.example/1, localhost/{toy.room}")
        assert (await toy.bridge.inject(link, ANN, "x", "m1", via=own)).state == "own"
        long = toy.bridge.came_through(", ".join([f"localhost/{toy.room}", *(f"far.example/{n}" for n in range(50))]))
        assert (await toy.bridge.inject(link, ANN, "x", "m1", via=long)).state == "own"
        assert await toy.texts() == []
        assert (await toy.bridge.inject(link, ANN, "x", "m1", via=toy.bridge.came_through("far.example/1, nonsense"))).state == "posted"


async def test_who_says_the_same_again_and_again_is_paused_alone(settings: Settings) -> None:
    """Five times in ten seconds: they wait for a minute, and the channel is told once; others do not."""
    async with toy_at(settings) as toy:
        link = await toy.linked()
        for number in range(5):
            await toy.bridge.inject(link, ANN, "ping", f"m{number}")
        with pytest.raises(RateLimited):
            await toy.bridge.inject(link, ANN, "anything", "m5")
        await toy.bridge.inject(link, Remote(id="2", name="Bea"), "what is it?", "m6")
        toy.clock.advance(61)
        await toy.bridge.inject(link, ANN, "better now", "m5")
        texts = await toy.texts()
        assert texts[:5] == ["ping"] * 5
        assert texts[5].startswith("Ann (toy.example) says the same again and again")
        assert texts[6:] == ["what is it?", "better now"]


# ---- beside messages


async def test_joins_parts_topics_and_typing(settings: Settings) -> None:
    """Who comes is there, who leaves is gone; a topic follows, with its author; where the link says so they do not."""
    async with toy_at(settings) as toy:
        link = await toy.linked()
        await toy.bridge.joined(link, ANN)
        await toy.bridge.topic(link, ANN, "all about\r\ntoys" + "x" * 2000)
        channel_now = await toy.node.core.channels.read(toy.ana, toy.room)
        assert channel_now.topic.startswith("all about toys")
        assert channel_now.members_count == 4
        await toy.bridge.typing(link, ANN)
        assert await toy.bridge.present(link) == [ANN.id]
        await toy.bridge.parted(link, ANN)
        assert await toy.bridge.present(link) == []
        await toy.bridge.parted(link, Remote(id="nobody", name="Nobody"))
        assert (await toy.node.core.channels.read(toy.ana, toy.room)).members_count == 3
        silent = await toy.linked("#silent", crosses=frozenset())
        await toy.bridge.joined(silent, Remote(id="3", name="Cy"))
        await toy.bridge.topic(silent, ANN, "another")
        assert (await toy.node.core.channels.read(toy.ana, toy.room)).members_count == 3
        assert (await toy.node.core.channels.read(toy.ana, toy.room)).topic.startswith("all about toys")
