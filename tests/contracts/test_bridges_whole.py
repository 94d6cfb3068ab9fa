"""A bridge at work where things go wrong or cross: what it raises and gives, links that change, confirmations, echoes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from crust.errors import EventRefused, Invalid, NotFound, TargetError
from crust.host import bridges
from crust.host.bridging import link_of
from crust.host.consumer import outside
from crust.host.desk import Desk
from crust.host.roster import lives_of
from crust.host.states import BRIDGES, states_of
from crust.plugin import Remote
from crust.services import paging, parts
from crust.services.links import Wish
from crust.settings import Settings
from tests.contracts.test_bridges_outward import Toy, _told, toy_at, until_so
from tests.contracts.test_erasing import everything
from tests.support.consumers import rows, states
from tests.support.hosting import LOOPBACK, hosted
from tests.support.people import channel, events, person, put, say

pytestmark = pytest.mark.asyncio


def acting(toy: Toy, act: Callable[[str], Any]) -> None:
    """Let the bridge do something else first, by what is said; None: go on as always."""
    plugin = toy.at.plugin("toy")
    always = plugin._do

    async def do(what: str, link: Any, **values: Any) -> list[str]:
        if what == "say" and (given := act(values["text"])) is not None:
            return list(given)
        return list(await always(what, link, **values))

    plugin._do = do


@asynccontextmanager
async def hosted_again(settings: Settings, toy: Toy, *, running: bool = True) -> AsyncIterator[None]:
    """The same server once more, in which the bridge is away unless it is `running`."""
    wanted = toy.at.host.instances[0].wanted.settings
    async with hosted(settings, LOOPBACK.parent, {"toy": wanted}, running=running) as toy.at:
        if running:
            await toy.at.settled("toy")
        yield


# ---- what a bridge raises and gives


@pytest.mark.parametrize("text", ["no \udcff pe", "no \0 pe"])
async def test_words_that_cannot_be_stored_park_no_lane(settings: Settings, text: str) -> None:
    """What a bridge raises is kept as well as it can be; it is tried once, and its lane goes on."""
    tried = []

    def refuse(said: str) -> None:
        if said == "bad":
            tried.append(said)
            raise EventRefused(text)

    async with toy_at(settings) as toy:
        await toy.linked()
        acting(toy, refuse)
        bad = await toy.say("bad")
        await toy.say("good")
        [state] = await toy.delivery(bad)
        assert (state.state, state.note, tried) == ("parked", "no \ufffd pe", ["bad"])
        assert toy.network.said("#toy") == ["ana: good"]


@pytest.mark.parametrize("ids", [["m1", "a\0b"], ["\udcff"], ["x" * 501], [""]])
async def test_ids_that_can_be_none_are_parked(settings: Settings, ids: list[str]) -> None:
    """An id there that nothing can be called: said once, not again, none of the ids is kept, and its lane goes on."""
    async with toy_at(settings) as toy:
        await toy.linked()
        acting(toy, lambda said: ids if said == "bad" else None)
        bad = await toy.say("bad")
        await toy.say("good")
        [state] = await toy.delivery(bad)
        assert state.state == "parked"
        assert "It was sent, but" in (state.note or "")
        assert len(await toy.at.node.database.fetch("SELECT 1 FROM message_part")) == 1
        assert [(row["state"], row["attempts"]) for row in await rows(toy.at.node, "toy")][1:] == [("parked", 1), ("done", 1)]
        assert await states(toy.at.node, "toy") == ["done", "parked", "done"]


# ---- links that change while the bridge is away


async def test_a_bridge_that_was_away_goes_by_what_was_true_then(settings: Settings) -> None:
    """Channels merged meanwhile: of either, each room hears what was said in its own channel before, and all that was said after."""
    async with toy_at(settings) as toy:
        source = await channel(toy.at.node, toy.ana, name="source")
        await toy.linked("#source", source)
        await toy.linked("#room")
    async with hosted_again(settings, toy, running=False):
        node = toy.at.node
        await say(node, toy.ana, source, "in the source")
        await say(node, toy.ana, toy.room, "in the room")
        await node.core.merging.merge(toy.ana, toy.room, source)
        await say(node, toy.ana, toy.room, "in both")
    async with hosted_again(settings, toy):
        assert toy.network.said("#source") == ["ana: in the source", "ana: in both"]
        assert toy.network.said("#room") == ["ana: in the room", "ana: in both"]


async def test_what_was_said_while_nothing_went_out_stays_here(settings: Settings) -> None:
    """A link let only in, and goes both ways later: what was said meanwhile does not go out, whether the bridge was there or away."""
    async with toy_at(settings) as toy:
        await toy.linked(direction="in")
        await toy.say("in")
    for there in (False, True):
        async with hosted_again(settings, toy, running=there):
            links = toy.at.node.core.links
            for direction in ("in", "both", "in", "both"):
                await links.link(toy.ana, toy.room, "toy", Wish(room="#toy", direction=direction))
                await say(toy.at.node, toy.ana, toy.room, direction if direction == "in" else f"out {there}")
                if there:
                    await toy.at.settled("toy")
    assert toy.network.said("#toy") == ["ana: out False"] * 2 + ["ana: out True"] * 2


async def test_each_topic_goes_out_as_who_set_it(settings: Settings) -> None:
    """Two of them set while the bridge is away, and the channel merged with another since: each under its own author's name."""
    async with toy_at(settings) as toy:
        source = await channel(toy.at.node, toy.ana, toy.ben, name="source")
        await toy.linked(channel_id=source)
    async with hosted_again(settings, toy, running=False):
        core = toy.at.node.core
        await core.channels.set_topic(toy.ana, source, "toys", None)
        await core.channels.change(toy.ben, source, name="games", topic="games", type_=None)
        await core.channels.set_topic(toy.ana, source, "more toys", None)
        await core.merging.merge(toy.ana, toy.room, source)
    async with hosted_again(settings, toy):
        assert [(each["who"], each["text"]) for each in toy.done("topic")] == [("ana", "toys"), ("ben", "games"), ("ana", "more toys")]


# ---- what authors are told


async def test_what_was_removed_is_quoted_nowhere(settings: Settings) -> None:
    """A network's refusal that quotes a message: gone with the message from what its author was told, before and after; states stay."""

    def quote(said: str) -> None:
        if said.startswith("secret"):
            raise EventRefused(f"550 rejected: {said}")

    async with toy_at(settings) as toy:
        await toy.linked()
        acting(toy, quote)
        secret = await toy.say("secret words")
        await until_so(lambda: _told(toy, secret, ["parked"]))
        assert "550" in await everything(toy.at.node.database)
        core = toy.at.node.core
        await core.messages.remove(toy.ana, secret)
        assert await toy.told(secret) == ["parked"]
        checkpoints: Any = toy.at.host.instances[0]._checkpoints  # type: ignore[attr-defined]  # a bridge's
        [row] = [each for each in await rows(toy.at.node, "toy") if each["state"] == "parked"]
        await checkpoints._tell([(row["lane"], row["position"])])
        assert await toy.told(secret) == ["parked", "parked"]
        told = [each for each in await events(toy.at.node) if each.type == "delivery"]
        assert not any("550" in bytes(each.body).decode() for each in told)


async def confirmed(toy: Toy, link_id: int, state: str, remote: str) -> None:
    """The network says something of what was sent."""
    bridge = toy.at.host.bridges["toy"]
    link = link_of(await toy.at.node.core.links.one(link_id))
    await (bridge.delivered(link, remote) if state == "delivered" else bridge.failed(link, remote, state))


async def test_parts_arrive_one_by_one(settings: Settings) -> None:
    """A message has arrived when all its parts have; with one that failed it failed, whatever is said of the others, and when."""
    async with toy_at(settings) as toy:
        link = await toy.linked()
        well, ill = await toy.say("a\nb\nc"), await toy.say("d\ne\nf")
        ids = [each["id"] for each in toy.done("say")]
        for id_ in (ids[0], ids[2], ids[0]):
            await confirmed(toy, link, "delivered", id_)
        assert [each.state for each in await toy.delivery(well)] == ["fallback"]
        await confirmed(toy, link, "delivered", ids[1])
        for state, id_ in (("delivered", ids[3]), ("too rude", ids[4]), ("delivered", ids[4]), ("too \0 long", ids[5])):
            await confirmed(toy, link, state, id_)
        assert [(each.state, each.note) for each in await toy.delivery(well)] == [("delivered", "sent as 3 lines")]
        assert [(each.state, each.note) for each in await toy.delivery(ill)] == [("failed", "too rude")]
        await until_so(lambda: _told(toy, well, ["fallback", "delivered"]))
        await until_so(lambda: _told(toy, ill, ["fallback", "failed"]))


async def test_confirmations_hold_up_nobody(settings: Settings) -> None:
    """Of an id that nobody knows the caller hears at once; of what a ghost said, which went on to another room, nobody is told."""
    async with toy_at(settings) as toy:
        link, other = await toy.linked(), await toy.linked("#other")
        await toy.comes("say", "Cy", "hello", room="#other")
        await toy.at.settled("toy")
        async with asyncio.timeout(1):
            await confirmed(toy, link, "delivered", "unknown")
            await confirmed(toy, link, "delivered", toy.done("say")[0]["id"])
            with pytest.raises(Invalid):
                await confirmed(toy, other, "delivered", "a\0b")
        [receipt] = await toy.at.node.database.fetch("SELECT receipt FROM delivery WHERE receipt LIKE '%delivered%'")
        assert receipt
        assert [each for each in await events(toy.at.node) if each.type == "delivery"] == []


async def test_a_link_that_is_given_up_is_said(settings: Settings) -> None:
    """After days of failures: its maker and administrators hear what to do, authors that theirs is parked; replayed, all goes on."""
    async with toy_at(settings) as toy:
        cy = await person(toy.at.node, "cy")
        private = await channel(toy.at.node, cy, type_="private", name="private")
        link = await toy.at.node.core.links.link(cy, private, "toy", Wish(room="#toy"))
        await toy.at.settled("toy")
        toy.network.failing["#toy"] = "away"
        first = int((await say(toy.at.node, cy, private, "first")).id)
        await until_so(lambda: _told(toy, first, ["waiting"]))
        second = int((await say(toy.at.node, cy, private, "second")).id)
        toy.at.clock.advance(6 * 86_400)
        await toy.at.settled("toy")
        await until_so(lambda: _told(toy, second, ["parked"]))
        await until_so(lambda: _told(toy, first, ["waiting", "parked"]))
        deliveries = toy.at.node.core.messages.deliveries
        [state] = await deliveries(cy, second, paging.Part())
        assert (state.state, state.note) == ("parked", "#toy does not answer")
        told = [each for each in await events(toy.at.node) if (each.type, each.object) == ("bridge", link.id)]
        assert [each.recipient for each in told] == [toy.ana.user_id, cy.user_id]
        said = msgspec.json.decode(told[0].body)
        assert said["state"] == "needs-attention"
        assert f"crust parked replay --consumer toy --lane link/{link.id}" in said["reason"]
        wanted = [each.wanted for each in toy.at.host.instances]
        lives = await lives_of(toy.at.node.database, toy.at.node.leases, toy.at.clock)
        _, shown = await bridges.status(toy.at.node.core, wanted, lives)
        assert (shown["state"], shown["reason"], shown["waiting"]) == ("needs-attention", said["reason"], 2)
        toy.network.failing.clear()
        node = toy.at.node
        assert ("toy", str(link.id), "needs-attention") in await bridges.states(node.database, node.leases, node.clock)
        await Desk(node.database, node.log, node.leases, node.consumers, node.clock).replay(consumer="toy", lane=f"link/{link.id}")
        await toy.at.settled("toy")
        await until_so(lambda: _told(toy, second, ["parked", "sent"]))
        assert toy.network.said("#toy") == ["cy: first", "cy: second"]
        both = [("connected", toy.ana.user_id), ("connected", cy.user_id)]
        await until_so(lambda: _told_of_link(toy, link.id, both))


async def _told_of_link(toy: Toy, link_id: int, last: list[tuple[str, int]]) -> bool:
    told = [each for each in await events(toy.at.node) if (each.type, each.object) == ("bridge", link_id)]
    return [(msgspec.json.decode(each.body)["state"], each.recipient) for each in told][-len(last) :] == last


async def test_what_was_parked_goes_out_as_it_is_now(settings: Settings) -> None:
    """Edited while it was parked, and replayed: the words that it has by now, once; a later edit goes out as one."""
    async with toy_at(settings) as toy:
        await toy.linked()
        toy.network.failing["#toy"] = "refuse"
        ours = await toy.say("the pasword is 1234")
        toy.network.failing.clear()
        node = toy.at.node
        await node.core.messages.edit(toy.ana, ours, "never mind", None)
        await toy.at.settled("toy")
        await Desk(node.database, node.log, node.leases, node.consumers, node.clock).replay()
        await toy.at.settled("toy")
        assert toy.network.said("#toy") == ["ana: never mind"]
        await node.core.messages.edit(toy.ana, ours, "never you mind", None)
        await toy.at.settled("toy")
        assert [each["text"] for each in toy.done("edit")] == ["never you mind"]


async def test_an_edit_before_it_was_sent_is_in_it(settings: Settings) -> None:
    """While the network is away: what was said goes out once, as it is by then, and no edit follows that says the same."""
    async with toy_at(settings) as toy:
        await toy.linked()
        toy.network.failing["#toy"] = "away"
        ours = int((await say(toy.at.node, toy.ana, toy.room, "wrong")).id)
        await until_so(lambda: _told(toy, ours, ["waiting"]))
        await toy.at.node.core.messages.edit(toy.ana, ours, "right", None)
        toy.network.failing.clear()
        toy.at.clock.advance(60)
        await toy.at.settled("toy")
        assert (toy.network.said("#toy"), toy.done("edit")) == (["ana: right"], [])
        assert [each.state for each in await toy.delivery(ours)] == ["sent"]


@pytest.mark.parametrize("remove", ["native", "dropped"])
async def test_what_may_have_been_sent_is_taken_back(settings: Settings, remove: str) -> None:
    """Removed after it was tried: by the key that it bore, where removals cross; else its author alone sees that it may be there."""
    async with toy_at(settings) as toy:
        node = toy.at.node
        known = await node.core.links.one(await toy.linked())
        await node.core.links.cross(known, {**known.crossings, "remove": remove})
        keys: list[str] = []
        plugin = toy.at.plugin("toy")
        always = plugin._do

        async def do(what: str, link: Any, **values: Any) -> list[str]:
            if what == "say":
                keys.append(values["key"])
                raise TargetError("nobody knows whether it arrived")
            return list(await always(what, link, **values))

        plugin._do = do
        ours = int((await say(node, toy.ana, toy.room, "hello")).id)
        await until_so(lambda: _told(toy, ours, ["waiting"]))
        await node.core.messages.remove(toy.ana, ours)
        toy.at.clock.advance(60)
        await toy.at.settled("toy")
        [state] = await toy.delivery(ours)
        with pytest.raises(NotFound):
            await node.core.messages.deliveries(toy.ben, ours, paging.Part())
        removals = [(each["targets"], each["target_key"]) for each in toy.done("remove")]
        assert (state.state, removals) == (("withdrawn", [([], keys[0])]) if remove == "native" else ("uncertain", []))


# ---- echoes


@pytest.mark.parametrize("late", [False, True])
async def test_an_echo_is_no_second_message(settings: Settings, late: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own words that come back before it is stored what they became there are waited for; come what may, our edits find them."""
    if late:
        monkeypatch.setattr(parts, "PAUSES_S", (0.01,))
    async with toy_at(settings) as toy:
        link_id, echoes = await toy.linked(), []
        link = link_of(await toy.at.node.core.links.one(link_id))
        plugin, bridge = toy.at.plugin("toy"), toy.at.host.bridges["toy"]
        always = plugin._do

        async def do(what: str, link_: Any, **values: Any) -> list[str]:
            ids: list[str] = await always(what, link_, **values)
            if what == "say":
                echoes.append(asyncio.create_task(bridge.inject(link, Remote(id="us", name="us"), "hello", ids[0]), context=outside()))
                await asyncio.sleep(0.3)
            return ids

        plugin._do = do
        ours = await toy.say("hello")
        echo = await echoes[0]
        assert echo.state == ("posted" if late else "duplicate")
        assert await toy.texts() == ["hello"] * (2 if late else 1)
        await toy.at.node.core.messages.edit(toy.ana, ours, "hello there", None)
        await toy.at.settled("toy")
        assert [each["targets"] for each in toy.done("edit")] == [[toy.done("say")[0]["id"]]]


# ---- what else a bridge has


async def test_files_cross_both_ways(settings: Settings) -> None:
    """With what they hold and what was said of them; where files don't cross, what they are called goes out, and nothing else."""
    async with toy_at(settings) as toy:
        await toy.linked()
        await toy.linked("#bare", crosses=frozenset())
        await put(toy.at.node, toy.ana, "a.txt", b"ours", channel_id=toy.room, contents="look")
        await toy.at.settled("toy")
        sent = {each["room"]: (each["text"], each["files"]) for each in toy.done("say")}
        assert sent["#toy"] == ("look", {"a.txt": "ours"})
        assert "sent a file: a.txt" in [each["text"] for each in toy.done("say") if each["room"] == "#bare"]
        assert all(each["files"] == {} for each in toy.done("say") if each["room"] == "#bare")
        await toy.comes("say", "Cy", "see", file="b.txt", bytes="theirs")
        await toy.comes("say", "Cy", "see", room="#bare", file="c.txt", bytes="theirs")
        page = await toy.at.node.core.messages.read(toy.ana, toy.room, before=None, after=None, around=None, limit=10)
        assert [[file.name for file in each.attachments] for each in page.messages if each.type == "FILE"] == [["a.txt"], ["b.txt"]]
        content = await toy.at.node.core.files.read(toy.ana, int(page.messages[-1].attachments[0].id))
        assert content.size == len(b"theirs")


async def test_people_are_named_and_pictured_both_ways(settings: Settings) -> None:
    """Handle and picture of somebody there; here, how people are called in the room, if somebody has said so. A revision is an edit."""
    async with toy_at(settings) as toy:
        await toy.linked(relay_format="<{name}>")
        await toy.say("hello")
        [said] = toy.done("say")
        assert (said["who"], said["handle"]) == ("<ana>", "ana")
        theirs = await toy.comes("say", "Cy", "hello", handle="cy", avatar="https://example.org/cy.png")
        page = await toy.at.node.core.messages.read(toy.ana, toy.room, before=None, after=None, around=None, limit=1)
        ghost = await toy.at.node.core.accounts.viewed(int(page.messages[0].user_id))
        assert (ghost.username, ghost.avatar) == ("cy:loop.example", "https://example.org/cy.png")
        for revision, text in ((2, "hello all"), (2, "again")):
            await toy.comes("say", "Cy", text, target=theirs, revision=revision)
        assert await toy.texts() == ["hello", "hello all"]


async def test_what_a_network_says_of_a_room(settings: Settings) -> None:
    """What it has refused afterwards, what is missing, what it can, how it is: told to whom it concerns, and not sent back."""
    async with toy_at(settings) as toy:
        link = await toy.linked()
        ours = await toy.say("hello")
        await toy.comes("failed", "#toy", "too rude", target=toy.done("say")[0]["id"])
        [state] = await toy.delivery(ours)
        assert (state.state, state.note) == ("failed", "too rude")
        await toy.comes("gap", "#toy", "An hour is missing.")
        await toy.at.settled("toy")
        assert (await toy.texts())[-1] == "An hour is missing."
        assert toy.network.said("#toy") == ["ana: hello"]
        await toy.comes("can", "#toy", can={"edit": "fallback", "characters": 80})
        [shown] = (await toy.at.node.core.channels.read(toy.ben, toy.room)).bridged
        assert (shown.crossings["edit"], shown.crossings["react"], shown.characters) == ("fallback", "dropped", 80)
        await toy.comes("state", "#toy", "invite the bridge", state="needs-attention")
        document = await states_of(toy.at.node.database, toy.at.clock).collection(BRIDGES).get(f"toy/{link}")
        assert document is not None
        assert (document.body["state"], document.body["reason"]) == ("needs-attention", "invite the bridge")
        told = [msgspec.json.decode(each.body) for each in await events(toy.at.node) if (each.type, each.object) == ("bridge", link)]
        assert [(each["state"], each["link_id"]) for each in told] == [("needs-attention", str(link))]


async def test_a_room_that_cannot_be_entered_yet_holds_its_words(settings: Settings) -> None:
    """While it is away, what was said waits behind, in order; where it never can be entered, that alone is parked."""
    async with toy_at(settings) as toy:
        toy.network.failing = {"#away": "away", "#shut": "refuse"}
        for room in toy.network.failing:
            await toy.at.node.core.links.link(toy.ana, toy.room, "toy", Wish(room=room))
        await until_so(lambda: _parked(toy, 1))
        toy.network.failing.pop("#shut")
        await say(toy.at.node, toy.ana, toy.room, "hello")
        await until_so(lambda: _said(toy, "#shut", ["ana: hello"]))
        assert toy.network.said("#away") == []
        toy.network.failing.clear()
        toy.at.clock.advance(60)
        await toy.at.settled("toy")
        assert [each["do"] for each in toy.network.things if each["room"] == "#away"] == ["enter", "say"]


async def _parked(toy: Toy, count: int) -> bool:
    return (await states(toy.at.node, "toy")).count("parked") == count


async def _said(toy: Toy, room: str, texts: list[str]) -> bool:
    return list(toy.network.said(room)) == texts
