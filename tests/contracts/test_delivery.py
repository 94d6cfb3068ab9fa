"""Delivery: every event that is wanted, in order, once; and what becomes of failures."""

from __future__ import annotations

import asyncio

import pytest

from crust.errors import EventRefused, TargetError, Unavailable
from crust.host.consumer import Delivery, Outcome
from tests.support.consumers import Listener, Place, delivering, engine_of, rows, states, text_of
from tests.support.people import person, position

pytestmark = pytest.mark.asyncio


async def test_it_begins_at_the_head_and_misses_nothing_from_there(place: Place) -> None:
    """What was said before is not delivered; what is said since is, once and in order, also what was said while nobody worked."""
    await place.say("before")
    listener, engine = Listener(), engine_of(place.node)
    async with delivering(engine, listener):
        await place.say("1", "2", "3")
        await engine.settled("echo")
    await place.say("4", "5")
    async with delivering(engine, listener):
        pass
    assert listener.texts == ["1", "2", "3", "4", "5"]
    assert await states(place.node) == ["done"] * 5
    [state] = await place.node.consumers.all()
    assert (state.name, state.lag) == ("echo", 0)


async def test_older_events_are_delivered_when_asked_for(place: Place) -> None:
    """From a position on, all there is."""
    await place.say(*map(str, range(20)))
    listener, engine = Listener(), engine_of(place.node)
    async with delivering(engine, listener, after=0):
        assert listener.texts == ["room", "other", *(str(number) for number in range(20))], "what channels begin with is a message too"


async def test_lanes_go_side_by_side_and_each_in_order(place: Place) -> None:
    """A lane in which something takes long holds up itself alone; no more lanes are at work than the settings say."""
    release, most, now = asyncio.Event(), 0, 0

    async def handler(delivery: Delivery) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        if delivery.lane == "slow":
            await release.wait()
        await asyncio.sleep(0.01)
        now -= 1

    listener = Listener(handler=handler, lane=lambda event: text_of(event).split()[0])
    engine = engine_of(place.node, lanes=3)
    async with delivering(engine, listener):
        await place.say("slow 1", "slow 2", *(f"{lane} {number}" for number in range(3) for lane in "abcdef"))
        async with asyncio.timeout(10):
            while len(listener.heard) < 19:
                await asyncio.sleep(0.02)
        assert listener.texts.count("slow 2") == 0
        release.set()
        await engine.settled("echo")
    assert most == 3
    for lane in ("slow", *"abcdef"):
        own = [text for name, text in listener.heard if name == lane]
        assert own == sorted(own)


async def test_a_target_that_fails_holds_back_its_lane_alone(place: Place) -> None:
    """By the schedule; it is tried with the same event first, and when it answers all is delivered in order and the lane is well."""
    failing = True

    async def handler(delivery: Delivery) -> None:
        if failing and delivery.lane == str(place.room):
            raise TargetError("connection refused")

    listener, engine = Listener(handler=handler), engine_of(place.node)
    async with delivering(engine, listener):
        await place.say("1", "2")
        await place.say("else", where=place.other)
        await engine.settled("echo")
        assert sorted(listener.texts) == ["1", "else"]
        for seconds in (3.9, 2.2):  # 5 s ± 20 %
            assert listener.texts.count("1") == 1
            place.clock.advance(seconds)
            await engine.settled("echo")
        assert listener.texts.count("1") == 2
        place.clock.advance(23)
        await engine.settled("echo")
        assert listener.texts.count("1") == 2
        [lane] = await place.node.database.fetch("SELECT * FROM lane")
        assert (lane["attempts"], lane["error"], lane["parked_at"]) == (2, "connection refused", None)
        failing = False
        place.clock.advance(14)
        await engine.settled("echo")
        assert [text for text in listener.texts if text != "else"] == ["1", "1", "1", "2"]
        assert not await place.node.database.fetch("SELECT 1 FROM lane")
        assert await states(place.node) == ["done"] * 3
    assert place.node.metrics.deliveries["echo", "target"] == 2


async def test_a_target_may_ask_for_more_time(place: Place) -> None:
    """Retry-After is honoured."""

    async def handler(delivery: Delivery) -> None:
        if delivery.attempt == 1:
            raise TargetError("too many requests", retry_after=300)

    listener, engine = Listener(handler=handler), engine_of(place.node)
    async with delivering(engine, listener):
        await place.say("1")
        await engine.settled("echo")
        place.clock.advance(299)
        await engine.settled("echo")
        assert listener.texts == ["1"]
        place.clock.advance(1)
        await engine.settled("echo")
        assert listener.texts == ["1", "1"]


async def test_a_core_that_is_not_there_is_nobodys_bug(place: Place) -> None:
    """A handler whose documents or messages cannot be had for a while is tried again, however often, and nothing is parked."""

    async def handler(delivery: Delivery) -> None:
        if delivery.attempt < 6:
            raise Unavailable("the database did not answer", retry_after=1)

    listener, engine = Listener(handler=handler), engine_of(place.node)
    async with delivering(engine, listener):
        await place.say("1")
        for _ in range(6):
            await engine.settled("echo")
            place.clock.advance(3600)
        assert listener.texts == ["1"] * 6
        assert await states(place.node) == ["done"]


async def test_after_five_days_a_lane_is_parked(place: Place) -> None:
    """It is tried until then, not once afterwards, its instance is told, and other lanes are as they were."""

    async def handler(delivery: Delivery) -> None:
        if delivery.lane == str(place.room):
            raise TargetError("no route to host")

    listener, engine = Listener(handler=handler), engine_of(place.node)
    async with delivering(engine, listener):
        await place.say("1", "2")
        await engine.settled("echo")
        for _ in range(40):
            place.clock.advance(12 * 3600.0)
            await engine.settled("echo")
        assert listener.texts == ["1"] * 11, "at once, and every twelve hours for five days"
        await place.say("else", where=place.other)
        await engine.settled("echo")
    assert [(parked.lane, parked.position, parked.reason) for parked in listener.gone] == [(str(place.room), None, "no route to host")]
    assert await states(place.node) == ["waiting", "waiting", "done"]


async def test_what_is_refused_is_parked_and_its_lane_goes_on(place: Place) -> None:
    """At once, with the reason."""

    async def handler(delivery: Delivery) -> None:
        if text_of(delivery.event) == "bad":
            raise EventRefused("no such recipient")

    listener, engine = Listener(handler=handler), engine_of(place.node)
    async with delivering(engine, listener):
        await place.say("1", "bad", "2")
        await engine.settled("echo")
    assert listener.texts == ["1", "bad", "2"]
    assert [(row["state"], row["error"]) for row in await rows(place.node)] == [
        ("done", None),
        ("parked", "no such recipient"),
        ("done", None),
    ]
    assert [parked.reason for parked in listener.gone] == ["no such recipient"]


@pytest.mark.parametrize("how", ["raises", "exits", "hangs", "never ends", "cancels itself"])
async def test_a_bug_parks_the_event_within_a_minute(place: Place, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three tries, then it is parked with what happened, and the lane goes on; an event that is well meanwhile is delivered."""
    monkeypatch.setattr("crust.host.attempt.GRACE_S", 0.05)
    over = asyncio.Event()

    async def handler(delivery: Delivery) -> None:
        if text_of(delivery.event) != "poison":
            return
        if how == "raises":
            raise KeyError("nobody")
        if how == "exits":
            raise SystemExit(3)
        if how == "cancels itself":
            raise asyncio.CancelledError
        try:
            await over.wait()
        except asyncio.CancelledError:
            if how == "hangs":
                raise
            await over.wait()

    listener, engine = Listener(handler=handler), engine_of(place.node, handler_s=0.2)
    async with delivering(engine, listener):
        await place.say("1", "poison", "2")
        await engine.settled("echo")
        for _ in range(2):
            assert listener.texts[-1] == "poison"
            assert await states(place.node) == ["done", "waiting", "waiting"]
            place.clock.advance(25)
            await engine.settled("echo")
        over.set()
    assert listener.texts == ["1", "poison", "poison", "poison", "2"]
    parked = (await rows(place.node))[1]
    assert (parked["state"], parked["attempts"], parked["raised"]) == ("parked", 3, 3)
    said = {"raises": "KeyError: 'nobody'", "exits": "SystemExit: 3", "cancels itself": "cancelled"}
    assert said.get(how, "longer than 0.2 s") in parked["error"]
    assert await states(place.node) == ["done", "parked", "done"]


async def test_what_may_not_be_any_more_is_withdrawn(place: Place) -> None:
    """It is asked before each attempt, and no handler runs."""
    listener, engine = Listener(allowed=False), engine_of(place.node)
    async with delivering(engine, listener):
        await place.say("1")
        await engine.settled("echo")
    assert (listener.texts, await states(place.node)) == ([], ["withdrawn"])


async def test_what_was_removed_is_skipped_or_uncertain(place: Place) -> None:
    """A message that was removed before anybody began with it is not delivered; where somebody had begun, it may have been sent."""

    async def handler(delivery: Delivery) -> None:
        raise TargetError("timed out")

    listener, engine = Listener(handler=handler), engine_of(place.node)
    async with delivering(engine, listener):
        for message in await place.say("begun", "not begun"):
            await engine.settled("echo")
            await place.node.core.messages.remove(place.ana, message)
        place.clock.advance(10)
        await engine.settled("echo")
    assert (listener.texts, await states(place.node)) == (["begun"], ["uncertain", "skipped"])


async def test_outcomes_are_kept(place: Place) -> None:
    """A receipt, and a word for operators."""

    async def handler(delivery: Delivery) -> Outcome:
        return Outcome("skipped" if text_of(delivery.event) == "2" else "done", receipt="<id@remote>", note="as 3 lines")

    listener, engine = Listener(handler=handler), engine_of(place.node)
    async with delivering(engine, listener):
        await place.say("1", "2")
        await engine.settled("echo")
    found = [(row["state"], row["receipt"], row["error"]) for row in await rows(place.node)]
    assert found == [("done", "<id@remote>", "as 3 lines"), ("skipped", "<id@remote>", "as 3 lines")]


async def test_who_was_away_for_too_long_begins_at_the_head(place: Place) -> None:
    """After more than a day; less is caught up on."""
    listener, engine = Listener(), engine_of(place.node)

    async def away(hours: int) -> None:
        async with place.node.database.transaction():
            await place.node.database.execute("UPDATE consumer SET at = at - $1", hours * 3_600_000)

    async with delivering(engine, listener):
        pass
    await place.say("missed for 23 hours")
    await away(23)
    async with delivering(engine, listener):
        pass
    await place.say("missed for 25 hours")
    await away(25)
    async with delivering(engine, listener):
        await place.say("new")
        await engine.settled("echo")
        [gap] = engine.problems("echo")
        assert gap.startswith("it was away for 25 h and has not heard of events ")
    assert listener.texts == ["missed for 23 hours", "new"]


async def test_an_offset_beyond_the_head_stops_the_consumer(place: Place) -> None:
    """It says so, delivers nothing, and harms nobody else."""
    async with place.node.database.transaction():
        await place.node.database.execute("INSERT INTO consumer (name, position, at) VALUES ('echo', 1000000, 0)")
    engine, other = engine_of(place.node), Listener("other")
    stopped = asyncio.create_task(engine.run(Listener()))
    async with delivering(engine, other):
        await place.say("1")
        await engine.settled("other")
        assert "beyond the log's head" in str(engine.problems("echo"))
        assert engine.problems("other") == []
    stopped.cancel()
    await asyncio.gather(stopped, return_exceptions=True)
    assert (other.texts, await states(place.node)) == (["1"], [])


async def test_a_consumer_that_cannot_say_what_it_wants_loses_nothing(place: Place) -> None:
    """The event is parked with the reason, and the next ones are dispatched."""
    listener = Listener(lane=lambda event: {"good": "lane", "long": "x" * 256}[text_of(event)])
    engine = engine_of(place.node)
    async with delivering(engine, listener):
        await place.say("bad", "long", "good")
        await engine.settled("echo")
    assert listener.texts == ["good"]
    found = [(row["state"], (row["error"] or "").partition(":")[0]) for row in await rows(place.node)]
    assert found == [("parked", "KeyError"), ("parked", "ValueError"), ("done", "")]


async def test_names_that_cannot_be_had(place: Place) -> None:
    """The core's own, and one that runs already."""
    engine = engine_of(place.node)
    async with delivering(engine, Listener()):
        for name in ("relay", "echo", "Echo", ""):
            with pytest.raises(Exception, match="cannot be an instance's name"):
                await engine.run(Listener(name))


async def test_everything_is_looked_at_once_the_position_is_known(place: Place) -> None:
    """The offset follows also where nothing is wanted."""
    listener, engine = Listener(), engine_of(place.node)
    async with delivering(engine, listener):
        await person(place.node, "bob")
        head = await position(place.node)
        place.clock.advance(2)
        async with asyncio.timeout(10):
            while await place.node.consumers.offset("echo") < head:
                await asyncio.sleep(0.05)
    assert await states(place.node) == []
