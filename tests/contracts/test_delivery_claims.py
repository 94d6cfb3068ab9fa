"""Claims: an effect is written once, whoever dies, thaws or loses its lease."""

from __future__ import annotations

import asyncio

import pytest

from crust.errors import Conflict, EventRefused, TargetError
from crust.host.consumer import Delivery, Outcome, current
from crust.host.engine import WORK
from crust.host.held import HandlerOver
from crust.host.sweeping import DAY_MS, sweep
from crust.models.database import writing
from tests.support.consumers import Listener, Place, delivering, engine_of, rows, states, text_of

pytestmark = pytest.mark.asyncio


async def left_by_the_dead(place: Place, texts: tuple[str, ...], deaths: int = 0) -> None:
    """As if a process had been killed while it was at these."""
    async with place.node.database.transaction():
        for text, row in zip(texts, (await rows(place.node))[-len(texts) :], strict=True):
            await place.node.database.execute(
                "UPDATE delivery SET state = 'running', owner = 'dead', claim = 1, attempts = 1, deaths = $2 WHERE position = $1",
                row["position"], deaths if text == "poison" else 0,
            )  # fmt: skip


async def dispatched(place: Place, listener: Listener, *texts: str) -> None:
    """Rows of these, which a process has given back that could end none of them."""
    listener.handler, own = (lambda delivery: asyncio.sleep(3600)), listener.handler
    async with delivering(engine_of(place.node), listener):
        await place.say(*texts)
        async with asyncio.timeout(10):
            while len(listener.heard) < len(texts):
                await asyncio.sleep(0.02)
    listener.handler, listener.heard = own, []


async def test_what_a_dead_process_left_is_done_alone(place: Place) -> None:
    """One after the other, and only then what is new, side by side again."""
    now, together = 0, []

    async def handler(delivery: Delivery) -> None:
        nonlocal now
        now += 1
        await asyncio.sleep(0.02)
        together.append(now)
        now -= 1

    listener = Listener(handler=handler, lane=text_of)
    texts = ("a", "b", "c", "poison")
    await dispatched(place, listener, *texts)
    await left_by_the_dead(place, texts, deaths=2)
    async with delivering(engine_of(place.node), listener):
        assert sorted(listener.texts) == ["a", "b", "c"]
        assert together == [1, 1, 1]
        await place.say("d", "e", "f")
    assert (await states(place.node))[:4] == ["done", "done", "done", "parked"]
    [parked] = listener.gone
    assert (parked.lane, "process ended" in parked.reason) == ("poison", True)
    assert [row["deaths"] for row in (await rows(place.node))[:4]] == [1, 1, 1, 3]


async def test_what_is_given_back_is_no_death(place: Place) -> None:
    """A process that ends as it should lets others have what it had begun; nothing is held against it."""
    stuck = True

    async def handler(delivery: Delivery) -> None:
        if stuck:
            await asyncio.sleep(3600)

    listener = Listener(handler=handler)
    await dispatched(place, listener, "1")
    [row] = await rows(place.node)
    assert (row["state"], row["deaths"], row["attempts"], row["owner"]) == ("waiting", 0, 0, None)
    assert row["claim"] == 1, "whoever had it can write nothing any more"
    stuck = False
    async with delivering(engine_of(place.node, "another"), listener):
        pass
    assert (listener.texts, await states(place.node)) == (["1"], ["done"])


@pytest.mark.parametrize("how", ["claim", "dropped", "lease"])
async def test_who_has_lost_its_claim_writes_nothing(place: Place, how: str) -> None:
    """Another has claimed the row meanwhile, an operator has dropped it, or the lease is another's: what was held back is dropped."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def handler(delivery: Delivery) -> None:
        await delivery.store.collection("seen").put(text_of(delivery.event), {"attempt": delivery.attempt})
        begun.set()
        await go_on.wait()

    listener, engine = Listener(handler=handler), engine_of(place.node)
    async with delivering(engine, listener):
        await place.say("1")
        await asyncio.wait_for(begun.wait(), 10)
        sql = {
            "claim": "UPDATE delivery SET claim = claim + 1, owner = 'another'",
            "dropped": "UPDATE delivery SET state = 'dropped', owner = NULL",
            "lease": f"UPDATE lease SET owner = 'another', generation = generation + 1 WHERE name = '{WORK}echo'",
        }
        async with place.node.database.transaction():
            await place.node.database.execute(sql[how])
        go_on.set()
        await asyncio.sleep(0.5)
    assert await engine.store(listener).collection("seen").get("1") is None
    assert await states(place.node) == [{"claim": "running", "dropped": "dropped", "lease": "running"}[how]]


async def test_documents_are_written_with_the_end(place: Place) -> None:
    """Nobody else sees them before; the handler does; one that fails leaves nothing, and the next attempt begins from what is stored."""
    seen: list[object] = []

    async def handler(delivery: Delivery) -> None:
        counts = engine.store(listener).collection("counts")  # as a plugin has it, for the length of its life
        before = await counts.get("all")
        number = int(str(before.body["number"])) if before else 0
        await counts.put("all", {"number": number + 1, "text": text_of(delivery.event)})
        inside = await counts.get("all")
        seen.append((inside.body["number"] if inside else None, await stored()))
        if delivery.attempt == 1 and text_of(delivery.event) == "2":
            raise RuntimeError("a bug")

    async def stored() -> object:
        found = await place.node.database.fetch("SELECT body FROM document WHERE collection = 'counts'")
        return [row["body"] for row in found]

    listener, engine = Listener(handler=handler), engine_of(place.node)
    async with delivering(engine, listener):
        await place.say("1", "2")
        await engine.settled("echo")
        place.clock.advance(7)
        await engine.settled("echo")
        first = '{"number":1,"text":"1"}'
        assert seen == [(1, []), (2, [first]), (2, [first])]
        assert await stored() == ['{"number":2,"text":"2"}']


async def test_lanes_that_write_the_same_document_count_every_one(place: Place) -> None:
    """Side by side they read the same version; one is stored, the others are done again."""

    async def handler(delivery: Delivery) -> None:
        counts = delivery.store.collection("counts")
        before = await counts.get("all")
        await asyncio.sleep(0.01)
        await counts.put("all", {"number": int(str(before.body["number"])) + 1 if before else 1})

    listener = Listener(handler=handler, lane=text_of)
    engine = engine_of(place.node)
    async with delivering(engine, listener):
        await place.say(*map(str, range(8)))
        for _ in range(100):
            await engine.settled("echo")
            if await states(place.node) == ["done"] * 8:
                break
            place.clock.advance(0.5)
        found = await engine.store(listener).collection("counts").get("all")
    assert found is not None
    assert found.body == {"number": 8}
    assert place.node.metrics.deliveries["echo", "conflict"] > 0
    assert {row["raised"] for row in await rows(place.node)} == {0}


async def test_a_handler_that_is_over_writes_nothing(place: Place) -> None:
    """Nor do the tasks that it has left behind: their writes are refused, as they would be done without its end."""
    refused: list[BaseException] = []

    async def late(delivery: Delivery) -> None:
        await asyncio.sleep(0.1)
        assert current.get() is delivery
        try:
            await engine.store(listener).collection("late").put("1", {})
        except HandlerOver as error:
            refused.append(error)

    async def handler(delivery: Delivery) -> None:
        tasks.append(asyncio.create_task(late(delivery)))

    tasks: list[asyncio.Task[None]] = []
    listener, engine = Listener(handler=handler), engine_of(place.node)
    async with delivering(engine, listener):
        await place.say("1")
        await engine.settled("echo")
        await asyncio.gather(*tasks)
    assert len(refused) == 1
    assert not await place.node.database.fetch("SELECT 1 FROM document WHERE collection = 'late'")


async def test_two_processes_share_nothing(place: Place) -> None:
    """Of two that host one instance one dispatches and one works; each event is handled once, also when they change over."""
    one, two = Listener(), Listener()
    first, second = engine_of(place.node, "first"), engine_of(place.node, "second")
    async with delivering(first, one):
        other = asyncio.create_task(second.run(two))
        await place.say(*map(str, range(20)))
        await first.settled("echo")
        assert two.texts == []
    await place.say(*map(str, range(20, 40)))
    async with asyncio.timeout(15):
        while len(two.texts) < 20:
            await asyncio.sleep(0.05)
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)
    assert one.texts + two.texts == [str(number) for number in range(40)]


async def test_what_is_old_is_swept(place: Place) -> None:
    """Thirty days after its end; what waits or is parked stays."""

    async def handler(delivery: Delivery) -> Outcome:
        if text_of(delivery.event) == "bad":
            raise EventRefused("no")
        return Outcome()

    listener, engine = Listener(handler=handler), engine_of(place.node)
    async with delivering(engine, listener):
        await place.say("1", "bad")
        await engine.settled("echo")
        assert await sweep(place.node.database, place.clock.now() + 29 * DAY_MS, 30) == {}
        assert await sweep(place.node.database, place.clock.now() + 31 * DAY_MS, 30) == {"deliveries": 1}
        assert await states(place.node) == ["parked"]


async def test_a_conflict_that_a_handler_does_not_catch_is_its_bug(place: Place) -> None:
    """Who passes a wrong version is told so; it is parked after three times like any other bug."""

    async def handler(delivery: Delivery) -> None:
        with pytest.raises(Conflict):
            await delivery.store.collection("polls").cas("1", 17, {})
        await delivery.store.collection("polls").cas("1", 17, {})

    listener, engine = Listener(handler=handler), engine_of(place.node)
    async with delivering(engine, listener):
        await place.say("1")
        for _ in range(3):
            await engine.settled("echo")
            place.clock.advance(25)
    [row] = await rows(place.node)
    assert (row["state"], "Conflict" in row["error"]) == ("parked", True)


async def test_an_end_that_cannot_be_stored_is_nobody_elses(place: Place) -> None:
    """It parks its own row, which says why, and is tried no more; those that end together with it are done."""

    async def handler(delivery: Delivery) -> Outcome:
        text = text_of(delivery.event)
        if text == "number":
            raise TargetError("away", retry_after=float("nan"))
        return Outcome(writes=(writing("INSERT INTO nowhere VALUES ($1)", 1),) if text == "write" else ())

    engine, listener = engine_of(place.node), Listener(handler=handler, lane=text_of)
    async with delivering(engine, listener):
        await place.say("a", "write", "number", "b")
        await engine.settled(listener.name)
    assert await states(place.node) == ["done", "parked", "parked", "done"]
    assert [row["attempts"] for row in await rows(place.node)] == [1, 1, 1, 1]
    assert all("cannot be stored" in row["error"] for row in await rows(place.node) if row["state"] == "parked")
