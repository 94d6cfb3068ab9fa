"""A bridge at work: the toy one over the whole host. What goes out, what crosses how, what authors are told, and what withdraws it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest

from crust.errors import NotFound
from crust.host.bridging import NoBridge
from crust.host.states import BRIDGES, states_of
from crust.runtime import opened
from crust.services import paging
from crust.services.actor import Actor
from crust.services.links import Wish
from crust.services.views import Delivery
from crust.settings import Settings
from tests.support.consumers import states
from tests.support.hosting import LOOPBACK, Hosted, hosted, loopback
from tests.support.people import channel, events, person, put, say
from tests.support.plugins import instance

pytestmark = pytest.mark.asyncio


@dataclass
class Toy:
    """A node with the toy bridge at work on a network of its own; #toy is linked with a channel of ana's and ben's."""

    at: Hosted
    network: Any
    ana: Actor
    ben: Actor
    room: int

    async def linked(self, name: str = "#toy", channel_id: int | None = None, **wish: object) -> int:
        made = await self.at.node.core.links.link(self.ana, channel_id or self.room, "toy", Wish(room=name, **wish))  # type: ignore[arg-type]  # a wish's own
        await self.at.settled("toy")
        return made.id

    async def say(self, text: str, who: Actor | None = None) -> int:
        message = await say(self.at.node, who or self.ana, self.room, text)
        await self.at.settled("toy")
        return int(message.id)

    async def comes(self, what: str, who: str, text: str | None = None, room: str = "#toy", **values: object) -> str:
        """Something happens on the network, and is brought in."""
        [id_] = self.network.do(what, room, who=who, text=text, **values)
        place = self.at.host.engine.store(self.at.host.instances[0]).collection("place")
        await until_so(lambda: _read(place, len(self.network.things)))
        return str(id_)

    async def texts(self) -> list[str]:
        page = await self.at.node.core.messages.read(self.ana, self.room, before=None, after=None, around=None, limit=100)
        return [each.contents or "" for each in page.messages if each.type in ("MESSAGE", "FILE")]

    async def delivery(self, message_id: int) -> list[Delivery]:
        return await self.at.node.core.messages.deliveries(self.ana, message_id, paging.Part())

    async def told(self, message_id: int) -> list[str]:
        """What the author of a message was told of it."""
        found = [each for each in await events(self.at.node) if (each.type, each.object) == ("delivery", message_id)]
        return [msgspec.json.decode(each.body)["state"] for each in found]

    def done(self, what: str) -> list[dict[str, Any]]:
        return [each for each in self.network.things if each["do"] == what and each.get("by_bridge")]


async def _read(place: Any, count: int) -> bool:
    document = await place.get("read")
    return document is not None and document.body["after"] >= count


async def until_so(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not await true():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def toy_at(settings: Settings, links: list[dict[str, object]] | None = None, **config: object) -> AsyncIterator[Toy]:
    async with opened(settings) as node:
        ana, ben = await person(node, "ana", is_admin=True), await person(node, "ben")
        room = await channel(node, ana, ben)
    name, module = f"n{secrets.token_hex(4)}", loopback()
    module.NETWORKS[name] = network = module.Network()
    wanted = instance("loopback", config={"address": name, **config}, links=links or [])
    async with hosted(settings, LOOPBACK.parent, {"toy": wanted}) as at:
        await at.settled("toy")
        yield Toy(at, network, ana, ben, room)


# ---- there and back


async def test_a_channel_and_a_room_hear_each_other(settings: Settings) -> None:
    """What is said in one is said in the other, once; edits, removals, replies and reactions find their messages, both ways."""
    async with toy_at(settings) as toy:
        await toy.linked()
        ours = await toy.say("hello there")
        assert toy.network.said("#toy") == ["ana: hello there"]
        theirs = await toy.comes("say", "Cy", "hello back", reply_to=toy.done("say")[0]["id"])
        assert await toy.texts() == ["hello there", "hello back"]
        core = toy.at.node.core
        page = await core.messages.read(toy.ana, toy.room, before=None, after=None, around=None, limit=10)
        answer = page.messages[-1]
        assert answer.reply_to == str(ours)
        await core.messages.react(toy.ben, int(answer.id), ":wave:")
        await core.messages.edit(toy.ana, ours, "hello there!", None)
        await core.messages.post(toy.ben, toy.room, "an answer", reply_to=int(answer.id), client_msg_id=None, key=None)
        await toy.at.settled("toy")
        await core.messages.remove(toy.ana, ours)
        await toy.at.settled("toy")
        assert [each["targets"] for each in toy.done("react")] == [[theirs]]
        assert [(each["text"], each["targets"]) for each in toy.done("edit")] == [("hello there!", [toy.done("say")[0]["id"]])]
        assert toy.done("say")[1]["reply_to"] == toy.done("say")[0]["id"], "the head of the thread"
        assert [each["targets"] for each in toy.done("remove")] == [[toy.done("say")[0]["id"]]]
        await toy.comes("edit", "Cy", "hello back!", target=theirs)
        await toy.comes("react", "Di", ":+1:", target=toy.done("say")[1]["id"])
        await toy.comes("remove", "Cy", target=theirs)
        assert await toy.texts() == ["an answer"]
        assert len(toy.done("say")) == 2, "nothing comes back to where it came from"
        assert set(await states(toy.at.node, "toy")) == {"done"}


async def test_a_message_of_several_parts_is_one_message(settings: Settings) -> None:
    """Each part is known by its id, after a restart too: edits and removals address all, replies and reactions any of them."""
    async with toy_at(settings) as toy:
        link = await toy.linked()
        long = await toy.say("one\ntwo\nthree")
        parts = [each["id"] for each in toy.done("say")]
        assert len(parts) == 3
        [shown] = await toy.delivery(long)
        assert (shown.link_id, shown.room, shown.state, shown.note) == (str(link), "#toy", "fallback", "sent as 3 lines")
    async with hosted(settings, LOOPBACK.parent, {"toy": toy.at.host.instances[0].wanted.settings}) as again:
        toy.at = again
        await again.settled("toy")
        await again.node.core.messages.edit(toy.ana, long, "one\ntwo\nfour", None)
        await again.settled("toy")
        await again.node.core.messages.remove(toy.ana, long)
        await again.settled("toy")
        assert [each["targets"] for each in (*toy.done("edit"), *toy.done("remove"))] == [parts, parts]


async def test_two_rooms_of_one_network_hear_each_other(settings: Settings) -> None:
    """What comes in over one link goes out over the other, under its author's name, and not back over its own."""
    async with toy_at(settings) as toy:
        await toy.linked("#a")
        await toy.linked("#b")
        await toy.comes("say", "Cy", "from a", room="#a")
        await toy.at.settled("toy")
        assert toy.network.said("#b") == ["Cy: from a"]
        assert toy.network.said("#a") == ["Cy: from a"]


# ---- what authors are told


async def test_authors_are_told_how_their_messages_fare(settings: Settings) -> None:
    """Sent, in another form, waiting, parked: readable of each link, and told to the author; nothing is told of what ghosts said."""
    async with toy_at(settings) as toy:
        await toy.linked()
        well = await toy.say("well")
        toy.network.failing["#toy"] = "refuse"
        refused = await toy.say("refused")
        toy.network.failing["#toy"] = "away"
        waits = int((await say(toy.at.node, toy.ana, toy.room, "waits")).id)
        await until_so(lambda: _told(toy, waits, ["waiting"]))
        [state] = await toy.delivery(waits)
        assert (state.state, state.note) == ("waiting", "#toy does not answer")
        toy.network.failing.clear()
        toy.at.clock.advance(60)
        await toy.at.settled("toy")
        await until_so(lambda: _told(toy, waits, ["waiting", "sent"]))
        assert await toy.told(well) == ["sent"]
        assert await toy.told(refused) == ["parked"]
        [state] = await toy.delivery(refused)
        assert (state.state, state.note) == ("parked", "#toy takes nothing")
        theirs = [each for each in await events(toy.at.node) if each.type == "delivery"]
        assert {each.recipient for each in theirs} == {toy.ana.user_id}


async def _told(toy: Toy, message_id: int, wanted: list[str]) -> bool:
    return await toy.told(message_id) == wanted


async def test_what_the_network_confirms_is_delivered(settings: Settings) -> None:
    """A confirmation may come before the row's end is stored, or before anybody was told of that; what is told last is that it arrived."""
    async with toy_at(settings, confirms=True) as toy:
        await toy.linked()
        message = await toy.say("hello")

        async def arrived() -> bool:
            told = list(dict.fromkeys(await toy.told(message)))
            return told in (["sent", "delivered"], ["delivered"])

        await until_so(arrived)
        [state] = await toy.delivery(message)
        assert state.state == "delivered"


# ---- what withdraws it


async def test_a_link_begins_and_ends_where_it_is_said(settings: Settings) -> None:
    """What was said before it is not sent; what waits when it ends is withdrawn; the bridge is told of both, in order."""
    async with toy_at(settings) as toy:
        await toy.say("before")
        link = await toy.linked()
        await toy.say("within")
        toy.network.failing["#toy"] = "away"
        waits = int((await say(toy.at.node, toy.ana, toy.room, "waits")).id)
        await until_so(lambda: _told(toy, waits, ["waiting"]))
        await toy.at.node.core.links.unlink(toy.ana, link)
        await say(toy.at.node, toy.ana, toy.room, "after")
        toy.network.failing.clear()
        toy.at.clock.advance(60)
        await toy.at.settled("toy")
        assert toy.network.said("#toy") == ["ana: within"]
        assert [each["do"] for each in toy.network.things] == ["enter", "say", "leave"]
        assert await states(toy.at.node, "toy") == ["done", "done", "withdrawn", "done"]


async def test_what_its_maker_may_not_read_goes_nowhere(settings: Settings) -> None:
    """Who made a link may be suspended: then nothing goes out over it any more."""
    async with toy_at(settings) as toy:
        await toy.linked()
        await toy.at.node.core.profiles.suspend("ana")
        message = await say(toy.at.node, toy.ben, toy.room, "secret")
        await toy.at.settled("toy")
        assert toy.network.said("#toy") == []
        [row] = await toy.at.node.core.messages.deliveries(toy.ben, int(message.id), paging.Part())
        assert row.state == "withdrawn"


async def test_directions_and_crossings_hold_outward(settings: Settings) -> None:
    """Nothing goes out over a link that lets only in; joins, topics and files only where they cross."""
    async with toy_at(settings) as toy:
        await toy.linked("#in", direction="in")
        await toy.linked("#bare", crosses=frozenset())
        await toy.linked("#all")
        node = toy.at.node
        cy = await person(node, "cy")
        await node.core.channels.join(cy, toy.room)
        await node.core.channels.change(toy.ana, toy.room, name="room", topic="toys", type_=None)
        await put(node, toy.ana, "a.txt", b"text", channel_id=toy.room)
        await node.core.channels.part(cy, toy.room)
        await toy.at.settled("toy")
        assert toy.network.said("#in") == []
        assert toy.network.said("#bare") == ["ana: sent a file: a.txt"]
        all_ = [each["do"] for each in toy.network.things if each["room"] == "#all"]
        assert all_ == ["enter", "join", "topic", "say", "part"]


async def test_who_is_typing_is_told(settings: Settings) -> None:
    """There, and in other rooms of theirs what comes from one; not where it came from, nor over links that let only in."""
    async with toy_at(settings) as toy:
        for name, direction in (("#a", "both"), ("#b", "both"), ("#in", "in")):
            await toy.linked(name, direction=direction)
        await toy.at.node.core.typing(toy.ana, toy.room, "start")
        await until_so(lambda: _done(toy, "typing", 2))
        await toy.comes("join", "Cy", room="#a")
        await toy.comes("typing", "Cy", room="#a")
        await until_so(lambda: _done(toy, "typing", 3))
        told = [(each["who"], each["room"]) for each in toy.done("typing")]
        assert (sorted(told[:2]), told[2:]) == ([("ana", "#a"), ("ana", "#b")], [("Cy", "#b")])


async def _done(toy: Toy, what: str, count: int) -> bool:
    return len(toy.done(what)) >= count


async def test_a_channel_that_is_removed_or_moved_has_no_links(settings: Settings) -> None:
    """Removing a channel, or moving it to another organisation, ends its links; merging takes them along."""
    async with toy_at(settings) as toy:
        node = toy.at.node
        gone, left = await channel(node, toy.ana, name="gone"), await channel(node, toy.ana, name="left")
        merged = await channel(node, toy.ana, name="merged")
        for name, where in (("#gone", gone), ("#left", left), ("#merged", merged)):
            await toy.linked(name, where)
        elsewhere = await node.core.organisations.create(toy.ana, "Elsewhere", None)
        await node.core.archiving.remove(toy.ana, gone)
        await node.core.moving.move(toy.ana, left, team_id=None, organisation_id=int(elsewhere.id))
        await node.core.merging.merge(toy.ana, toy.room, merged)
        assert [(each.remote_room, each.channel_id) for each in await node.core.links.of_bridge("toy")] == [("#merged", toy.room)]
        await toy.say("all together")
        assert toy.network.said("#merged") == ["ana: all together"]
        assert [each.room for each in (await node.core.channels.read(toy.ana, toy.room)).bridged] == ["#merged"]
        assert (await node.core.channels.read(toy.ana, left)).bridged == ()
        with pytest.raises(NotFound):
            await node.core.channels.read(toy.ana, gone)


# ---- the bridge itself


async def test_settings_link_and_states_are_told(settings: Settings) -> None:
    """A link of the settings is there from the start; what the bridge says of itself is kept, and told to administrators alone."""
    async with toy_at(settings, links=[{"channel": "room", "room": "#toy"}]) as toy:
        await toy.say("hello")
        assert toy.network.said("#toy") == ["ana: hello"]
        document = await states_of(toy.at.node.database, toy.at.clock).collection(BRIDGES).get("toy")
        assert document is not None
        assert document.body["state"] == "connected"
        told = [each for each in await events(toy.at.node) if each.type == "bridge"]
        assert [msgspec.json.decode(each.body)["state"] for each in told] == ["connecting", "connected"]
        assert {each.recipient for each in told} == {toy.ana.user_id}


async def test_somebody_of_the_network_is_somebody_here(settings: Settings) -> None:
    """A code said on the network: what they say there is theirs here, and they are named by what they are there."""
    async with toy_at(settings) as toy:
        await toy.linked()
        await toy.comes("say", "Benny", "as a ghost")
        code = (await toy.at.node.core.ghosts.code(toy.ben, "toy")).code
        await toy.comes("say", "Benny", f"!me {code}")
        await toy.comes("say", "Benny", "as myself")
        page = await toy.at.node.core.messages.read(toy.ana, toy.room, before=None, after=None, around=None, limit=10)
        assert [(each.contents, each.user_id == str(toy.ben.user_id)) for each in page.messages[1:]] == [
            ("as a ghost", False), ("as myself", True),
        ]  # fmt: skip


async def test_a_plugin_that_is_no_bridge_is_told_so(settings: Settings) -> None:
    """`ctx.bridge` says which class it takes."""
    with pytest.raises(AttributeError, match=r"greeter is no bridge; its class has to derive from crust\.plugin\.Bridge"):
        await NoBridge("greeter").links()


async def test_one_that_was_away_for_too_long_says_so(settings: Settings) -> None:
    """It goes on with what is new; in its channels stands that what was said meanwhile has not gone out, once."""
    async with toy_at(settings) as toy:
        await toy.linked()
        wanted = toy.at.host.instances[0].wanted.settings
    async with opened(settings) as node:
        await say(node, toy.ana, toy.room, "missed")
        async with node.database.transaction():
            await node.database.execute("UPDATE consumer SET at = at - $1", 30 * 3_600_000)
    texts: list[str] = []
    for text in ("new", "newer"):
        async with hosted(settings, LOOPBACK.parent, {"toy": wanted}) as again:
            await again.settled("toy")
            await say(again.node, toy.ana, toy.room, text)
            await again.settled("toy")
            texts = await replace(toy, at=again).texts()
    assert toy.network.said("#toy") == ["ana: new", "ana: newer"]
    told = "The bridge to loop.example was away for too long: what was said here meanwhile has not gone there, and does not."
    assert texts == ["missed", told, "new", "newer"]
