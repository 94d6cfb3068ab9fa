"""What plugins said of a message, or of what was in a channel, is blanked once that was removed; that there was a delivery stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from crust.errors import TargetError
from crust.host import eraser
from crust.host.consumer import Delivery, Outcome
from crust.host.eraser import Eraser
from crust.log import Consumers, Leases
from tests.contracts.test_erasing import everything
from tests.support.consumers import Listener, Place, delivering, engine_of, rows, text_of
from tests.support.people import channel

pytestmark = pytest.mark.asyncio
WORD = "Quellwolke"


async def quoting(delivery: Delivery) -> Outcome:
    """Says what the message says, whichever way."""
    text = text_of(delivery.event)
    if "down" in text:
        raise TargetError(f"refused: {text}")
    if "bug" in text:
        raise ValueError(text)
    return Outcome(receipt=f"sent {text}", note=f"as {text}")


@asynccontextmanager
async def erasing(place: Place, owner: str | None = None) -> AsyncIterator[None]:
    """An eraser at work for the length of a block, in this process or in another."""
    node = place.node
    leases = node.leases if owner is None else Leases(node.database, owner)
    task = asyncio.create_task(Eraser(node.database, node.log, leases, Consumers(node.database, leases)).always())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def erased(place: Place) -> None:
    """Until it has dealt with everything that the log has now."""
    head = (await place.node.log.head()).position
    async with asyncio.timeout(10):
        while not any(each.name == eraser.NAME and each.offset >= head for each in await place.node.consumers.all()):
            await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eraser, "LOOK_S", 0.02)
    monkeypatch.setattr(eraser, "SAVE_S", 0.0)


async def test_what_quotes_a_removed_message_is_blanked(place: Place) -> None:
    """Errors, receipts and notes, of rows and of lanes; rows and their states stay, and so does what is said of other messages."""
    engine, listener = engine_of(place.node), Listener(handler=quoting, lane=lambda event: text_of(event).split()[0])
    async with delivering(engine, listener), erasing(place):
        messages = await place.say(f"down {WORD}", f"bug {WORD}", f"well {WORD}", "other Landregen")
        await engine.settled(listener.name)
        before = await rows(place.node)
        assert all(WORD in (row["error"] or row["receipt"]) for row in before[:3])
        [lane] = await place.node.database.fetch("SELECT error FROM lane")
        assert WORD in lane["error"]
        for message in messages[:3]:
            await place.node.core.messages.remove(place.ana, message)
        await erased(place)
        assert WORD not in await everything(place.node.database)
        after = await rows(place.node)
        assert [(row["position"], row["attempts"]) for row in after[:4]] == [(row["position"], row["attempts"]) for row in before]
        assert after[3]["receipt"] == "sent other Landregen"
        assert after[2]["state"] == "done"
        [held] = [each for each in await place.node.consumers.all() if each.name == eraser.NAME]
        assert held.owner is not None, "operators see who does it"


async def test_what_is_said_while_it_is_removed_is_not_kept(place: Place) -> None:
    """A handler that was at work when its message was removed ends after the eraser was there."""
    going, go = asyncio.Event(), asyncio.Event()

    async def slow(delivery: Delivery) -> Outcome:
        going.set()
        await go.wait()
        return await quoting(delivery)

    engine, listener = engine_of(place.node), Listener(handler=slow)
    async with delivering(engine, listener), erasing(place):
        for text in ("well", "down"):
            [message] = await place.say(f"{text} {WORD}")
            await going.wait()
            await place.node.core.messages.remove(place.ana, message)
            await erased(place)
            go.set()
            async with asyncio.timeout(10):
                while (await rows(place.node))[-1]["state"] == "running":
                    await asyncio.sleep(0.02)
            going.clear()
            go.clear()
        assert [row["attempts"] for row in await rows(place.node)] == [1, 1]
        assert WORD not in await everything(place.node.database)


async def test_what_was_said_of_a_removed_channel_is_blanked(place: Place) -> None:
    """Also of what was said in one that was merged into it; other channels keep theirs."""
    core, ana = place.node.core, place.ana
    engine, listener = engine_of(place.node), Listener(handler=quoting)
    async with delivering(engine, listener):
        await place.say(f"well {WORD}")
        await place.say(f"bug {WORD}", where=place.other)
        await place.say("well Landregen", where=await channel(place.node, ana, name="third"))
        await engine.settled(listener.name)
    await core.merging.merge(ana, place.other, place.room)
    await core.archiving.remove(ana, place.other)
    async with erasing(place):
        await erased(place)
    await core.erasing.run()
    assert WORD not in await everything(place.node.database)
    assert {row["receipt"] for row in await rows(place.node) if row["receipt"]} >= {"sent well Landregen"}


async def test_another_goes_on_where_one_was_killed(place: Place) -> None:
    """Its lease is taken over, and what it had not dealt with is erased."""
    database, consumers = place.node.database, place.node.consumers
    engine, listener = engine_of(place.node), Listener(handler=quoting)
    async with delivering(engine, listener):
        [message] = await place.say(f"well {WORD}")
        await engine.settled(listener.name)
    dead = Leases(database, "dead")
    lease = await dead.take(eraser.NAME)
    assert lease is not None
    await consumers.begin(eraser.NAME, 0)
    await place.node.core.messages.remove(place.ana, message)
    async with erasing(place):
        await asyncio.sleep(0.2)
        assert WORD in await everything(database), "while it is the other's, nobody does it"
        async with database.transaction():
            await database.execute("UPDATE lease SET until = 0 WHERE name = $1", eraser.NAME)
        await erased(place)
    assert WORD not in await everything(database)
