"""The log: one order, no holes, and whoever is refused leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from crust.clock import ManualClock
from crust.errors import CrustError, Invalid, Unavailable
from crust.events.objects import Flag as FlagBody
from crust.events.objects import Member, Pin, User
from crust.log import Change, NewEvent
from crust.models.database import inserting
from crust.models.tables import Flag
from crust.runtime import Node, opened
from crust.services.keys import KEY_COLUMNS
from crust.settings import Settings

pytestmark = pytest.mark.asyncio


def flagged(number: int, recipient: int = 7) -> NewEvent:
    return NewEvent(type="flag", event="added", body=FlagBody(message_id=str(number)), recipient=recipient, object=number)


async def write(node: Node, number: int) -> None:
    async with node.log.change() as change:
        await Flag.create(id=change.next_id(), user_id=1, message_id=number, at=change.now)
        change.record(flagged(number))
        if number % 10 == 0:
            raise Invalid("tens are refused")


async def test_positions_are_contiguous_and_who_is_refused_leaves_nothing(settings: Settings) -> None:
    """Many changes at once: one order without holes, and of a refused change neither rows nor events remain."""
    async with opened(settings) as node:
        results = await asyncio.gather(*(write(node, number) for number in range(200)), return_exceptions=True)
        events = await node.log.read(0, 1000, 1000)
        rows = await Flag.all()
    assert sum(isinstance(result, Invalid) for result in results) == 20
    assert [event.position for event in events] == list(range(1, 181))
    assert {row.message_id for row in rows} == {event.object for event in events} == {n for n in range(200) if n % 10}


async def test_ids_rise_whatever_the_clock_does(settings: Settings) -> None:
    """Id order is log order, also when the clock steps back an hour in between."""
    clock = ManualClock()
    ids = []
    async with opened(settings, clock) as node:
        for step in (0, 5, -3600, 0, 7200):
            clock.advance(step)
            async with node.log.change() as change:
                ids += [change.next_id(), change.next_id()]
                change.record(flagged(step))
    async with opened(settings, clock) as node, node.log.change() as change:
        ids.append(change.next_id())
    assert ids == sorted(set(ids))


async def test_what_is_written_together_keeps_the_order_of_the_calls(settings: Settings) -> None:
    """Items that share a change get their results one by one, in order; a refused one does not touch its neighbours."""
    sizes = []

    async def store(change: Change, numbers: Sequence[int]) -> list[int | CrustError]:
        sizes.append(len(numbers))
        return [change.record(flagged(number)) if number != 3 else Invalid("not three") for number in numbers]

    async with opened(settings) as node:
        results = await asyncio.gather(*(node.log.together(store, number) for number in range(50)), return_exceptions=True)
        objects = [event.object for event in await node.log.read(0, 100)]
    assert objects == [number for number in range(50) if number != 3]
    assert isinstance(results[3], Invalid)
    assert len(sizes) < 50, "they were written in groups"


async def test_a_bug_in_one_item_fails_that_item_alone(settings: Settings) -> None:
    """When a set cannot be written as a whole, its items are tried one by one."""

    async def store(change: Change, numbers: Sequence[int]) -> list[int]:
        for number in numbers:
            await Flag.create(id=change.next_id(), user_id=1, message_id=number, at=change.now)
        return [change.record(flagged(number)) for number in numbers]

    async with opened(settings) as node:
        results = await asyncio.gather(*(node.log.together(store, number) for number in (1, 2, 2, 3)), return_exceptions=True)
        events = await node.log.read(0, 100)
    assert [isinstance(result, Exception) for result in results].count(True) == 1
    assert [event.object for event in events] == [1, 2, 3]
    assert [event.position for event in events] == [1, 2, 3]


async def test_who_goes_away_while_waiting_blocks_nobody(settings: Settings) -> None:
    """A task that is cancelled before or inside its turn gives the writer back, and nothing of it is kept."""

    async def linger(node: Node) -> None:
        async with node.log.change() as change:
            change.record(flagged(1))
            await asyncio.sleep(30)

    async with opened(settings) as node:
        inside, waiting = asyncio.create_task(linger(node)), asyncio.create_task(linger(node))
        await asyncio.sleep(0.1)
        for task in (waiting, inside):
            task.cancel()
        async with asyncio.timeout(3), node.log.change() as change:
            change.record(flagged(2))
        events = await node.log.read(0, 100)
        assert [event.object for event in events] == [2]
        ended = await asyncio.gather(inside, waiting, return_exceptions=True)
        assert [type(each) for each in ended] == [asyncio.CancelledError] * 2


async def test_a_change_that_takes_too_long_is_given_up(settings: Settings) -> None:
    """Code that never ends inside a change costs its own group an error and the others a bounded wait."""
    short = settings.model_copy(update={"database": settings.database.model_copy(update={"statement_timeout_s": 0.3})})
    async with opened(short) as node:

        async def forever() -> None:
            async with node.log.change() as change:
                change.record(flagged(1))
                await asyncio.sleep(1)

        stuck = asyncio.create_task(forever())
        await asyncio.sleep(0.05)
        async with asyncio.timeout(3), node.log.change() as change:
            change.record(flagged(2))
        with pytest.raises(Unavailable):
            await stuck
        assert [event.object for event in await node.log.read(0, 100)] == [2]


async def test_nothing_is_written_outside_a_change(settings: Settings) -> None:
    """The reading connection refuses to write: the one gate cannot be passed by mistake."""
    async with opened(settings) as node:
        with pytest.raises(Unavailable):
            await node.database.execute("UPDATE log SET position = 99")
        assert (await node.log.head()).position == 0


async def test_visible_gives_each_person_what_goes_to_them(settings: Settings) -> None:
    """A channel's events to its members, a person's own to them alone, an organisation's to its members but not its guests."""
    body = FlagBody(message_id="1")
    pin = Pin(message_id="1", user_id="2")
    person = User(id="5", username="u", name="u", avatar=None, kind="person", origin=None, created_at="", suspended_at=None)
    member = Member(user=person, user_id="5", by="5", role=None)
    async with opened(settings) as node:
        async with node.log.change() as change:
            change.record(NewEvent(type="pin", event="added", body=pin, organisation=1, channel=10))
            change.record(NewEvent(type="flag", event="added", body=body, recipient=5))
            change.record(NewEvent(type="user", event="created", body=person, organisation=1))
            change.record(NewEvent(type="member", event="parted", body=member, organisation=1, channel=11, recipient=5))

        async def seen(user: int, channels: set[int], organisations: dict[int, str]) -> list[int]:
            return [event.position for event in await node.log.visible(user, channels, organisations, 0, 100, 10)]

        assert await seen(5, {10}, {1: "member"}) == [1, 2, 3, 4]
        assert await seen(6, {10}, {1: "guest"}) == [1]
        assert await seen(6, set(), {2: "owner"}) == []


async def test_what_a_change_leaves_to_be_written_fails_alone(settings: Settings) -> None:
    """Several in one group, of which one has left something that cannot be stored: the others are committed."""

    async def leave(node: Node, number: int) -> None:
        async with node.log.change() as change:
            change.record(flagged(number))
            if number in (1, 2):  # the first of them is stored, the second is a duplicate
                change.write(inserting("key", KEY_COLUMNS, [(change.next_id(), "scope", "key", "fingerprint", 1)]))

    async with opened(settings) as node:
        results = await asyncio.gather(*(leave(node, number) for number in range(4)), return_exceptions=True)
        events = await node.log.read(0, 100)
    assert [result is None for result in results] == [True, True, False, True]
    assert not isinstance(results[2], CrustError), "a bug of ours, not a failure of the database"
    assert [event.object for event in events] == [0, 1, 3]
