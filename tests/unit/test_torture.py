"""`crust torture` finds each thing that must not be: a ledger that finds nothing would prove nothing. And what it is made of."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crust.torture import killing, links, poison, services
from crust.torture.faults import REGISTRY, chosen
from crust.torture.ledger import (
    WRONGS,
    Changed,
    Handled,
    Heard,
    Logged,
    Said,
    Stored,
    Wrongs,
    compare_came,
    compare_changed,
    compare_confirmed,
    compare_handled,
    compare_heard,
    compare_stored,
    compare_taken,
)
from crust.torture.mischief import DROPPED, LATE, TWICE, Mischief
from crust.torture.node import SteppingClock
from crust.torture.nodes import Node
from crust.torture.plan import Plan
from crust.torture.report import GROUPS, as_json, reasons, table
from crust.torture.stage import Stage
from crust.torture.stores import SQLite
from crust.torture.trial import Outcome

SAID = [Said("ana", 7, f"trial ana {n}", 100 + n, began=2 * n, acknowledged=2 * n + 1) for n in range(1, 5)]
STORED = [Stored(each.id, each.channel, each.text) for each in SAID]
LOGGED = [Logged(10 * n, each.id) for n, each in enumerate(STORED, 1)]
EVENTS = [(position, 1000 + position) for position in range(1, 6)]


def found(wrongs: Wrongs) -> dict[str, int]:
    return {kind: count for kind, count in wrongs.counts.items() if count}


def stored(said: list[Said] = SAID, rows: list[Stored] = STORED, logged: list[Logged] = LOGGED) -> dict[str, int]:
    wrongs = Wrongs()
    compare_stored(wrongs, said, rows, logged)
    assert bool(wrongs.details) is not wrongs.none
    return found(wrongs)


def test_what_is_right_is() -> None:
    assert stored() == {}


def test_loss() -> None:
    """A message that is not there, or under another id, in another channel, with another text."""
    assert stored(rows=STORED[1:], logged=LOGGED[1:]) == {"lost": 1}
    assert stored(rows=[STORED[0]._replace(channel=8), *STORED[1:]]) == {"lost": 1}
    assert stored(rows=[STORED[0]._replace(text="trial ana 9"), *STORED[1:]]) == {"lost": 1, "from nowhere": 1}
    assert stored(said=[replace(SAID[0], id=99), *SAID[1:]]) == {"lost": 1}


def test_doubles() -> None:
    """A message that is there twice, or that nobody said."""
    again = STORED[2]._replace(id=200)
    assert stored(rows=[*STORED, again], logged=[*LOGGED, Logged(90, 200)]) == {"stored twice": 1}
    assert stored(said=SAID[:3]) == {"from nowhere": 1}


def test_disorder() -> None:
    """What was said after something else was acknowledged comes after it; what was said meanwhile may come before."""
    first, second = replace(SAID[0], id=102), replace(SAID[1], id=101)
    rows = [Stored(each.id, each.channel, each.text) for each in (first, second, *SAID[2:])]
    assert stored(said=[first, second, *SAID[2:]], rows=rows) == {"out of order": 1}
    meanwhile = replace(second, began=1, acknowledged=4)
    assert stored(said=[replace(first, began=2, acknowledged=3), meanwhile, *SAID[2:]], rows=rows) == {}
    assert stored(said=[first, replace(second, author="bob"), *SAID[2:]], rows=rows) == {}


def test_disorder_on_one_connection() -> None:
    """What was sent together over one websocket keeps its order, unless it had to be sent again."""
    first, second = replace(SAID[0], id=102, began=1, acknowledged=8), replace(SAID[1], id=101, began=2, acknowledged=9)
    rows = [Stored(each.id, each.channel, each.text) for each in (first, second)]
    logged = LOGGED[:2]
    assert stored(said=[first, second], rows=rows, logged=logged) == {}
    assert stored(said=[replace(first, wire=3), replace(second, wire=3)], rows=rows, logged=logged) == {"out of order": 1}
    assert stored(said=[replace(first, wire=3), replace(second, wire=4)], rows=rows, logged=logged) == {}


def test_the_log() -> None:
    """Each message is in the log once, and nothing that is not stored is."""
    assert stored(logged=LOGGED[1:]) == {"not in the log": 1}
    assert stored(logged=[*LOGGED, Logged(90, SAID[0].id)]) == {"not in the log": 1}
    assert stored(logged=[*LOGGED, Logged(90, 555)]) == {"not in the log": 1}


def test_changes() -> None:
    """Each edit and each reaction is in the log once, as it was acknowledged."""
    done = [Changed(101, "message", "edited"), Changed(102, "reaction", "added")]

    def changes(logged: list[Changed]) -> dict[str, int]:
        wrongs = Wrongs()
        compare_changed(wrongs, done, logged)
        return found(wrongs)

    assert changes(done) == {}
    assert changes(done[1:]) == {"lost": 1}
    assert changes([*done, done[0]]) == {"stored twice": 1}
    assert changes([*done, Changed(103, "message", "removed")]) == {"from nowhere": 1}


def heard(positions: list[int], since: int = 0, created: list[Logged] = LOGGED) -> dict[str, int]:
    wrongs = Wrongs()
    compare_heard(wrongs, LOGGED, Heard("bob", since, created, positions))
    return found(wrongs)


def test_listeners() -> None:
    assert heard([5, 10, 20, 30, 40]) == {}
    assert heard([20, 30, 40], 10, LOGGED[1:]) == {}
    assert heard([20, 30, 40], 0, LOGGED[1:]) == {"not received": 1}
    assert heard([10, 20, 30, 40], 0, [Logged(10, 999), *LOGGED[1:]]) == {"not received": 1}
    assert heard([10, 20, 20, 30, 40]) == {"received twice": 1}
    assert heard([10, 30, 20, 40]) == {"received out of order": 1}
    assert heard([10, 20, 10, 20, 30, 40]) == {"received twice": 2, "received out of order": 1}


def taken(events: list[tuple[int, int]]) -> dict[str, int]:
    wrongs = Wrongs()
    compare_taken(wrongs, EVENTS, events)
    return found(wrongs)


def test_the_reader() -> None:
    assert taken(EVENTS) == {}
    assert taken(EVENTS[:-1]) == {"missed by the reader": 1}
    assert taken([(1, 7), *EVENTS[1:]]) == {"missed by the reader": 1}
    assert taken([*EVENTS, EVENTS[-1]]) == {"taken twice": 1}
    assert taken([EVENTS[1], EVENTS[0], *EVENTS[2:]]) == {"taken out of order": 1}


def came(positions: list[int]) -> dict[str, int]:
    wrongs = Wrongs()
    compare_came(wrongs, EVENTS, positions)
    return found(wrongs)


def test_what_comes_by_rabbitmq() -> None:
    """Each event at least once; repeats are harmless, holes are not, nor is a first time out of order."""
    assert came([1, 2, 3, 2, 3, 4, 5]) == {}
    assert came([1, 2, 4, 5]) == {"never came by RabbitMQ": 1}
    assert came([1, 2, 4, 3, 5]) == {"never came by RabbitMQ": 1}


def test_what_rabbitmq_has_confirmed() -> None:
    """It has come, in whatever order, and more may have."""
    wrongs = Wrongs()
    compare_confirmed(wrongs, [2, 3, 4], {4, 3, 2, 9})
    assert found(wrongs) == {}
    compare_confirmed(wrongs, [2, 3, 4], {3})
    assert found(wrongs) == {"never came by RabbitMQ": 2}


ROWS = [
    Handled(1, "7", 101, "trial ana 1", "done", 0),
    Handled(2, "7", 102, "trial ana 2 hangs", "parked", 2),
    Handled(3, "7", 103, "trial ana 3", "done", 1),
]
ACTED = [("7", 1), ("7", 3)]
EFFECTS: dict[str, Any] = {"kept": {1: 1, 3: 1}, "sums": {"7": 2}, "spoken": {101: 1, 103: 1}}


def handled(rows: list[Handled] = ROWS, acted: list[tuple[str, int]] = ACTED, **other: Any) -> dict[str, int]:
    wrongs = Wrongs()
    compare_handled(wrongs, {1, 2, 3}, rows, **{**EFFECTS, **other}, acted=acted)
    return found(wrongs)


def test_what_a_plugin_has_done() -> None:
    """Exactly the poison is parked, all else has its effect once; outward it is allowed once more for each death."""
    assert handled() == {}
    assert handled(acted=[*ACTED, ("7", 3), ("7", 3), ("7", 1)]) == {}
    assert handled(acted=[*ACTED, ("7", 3), ("7", 3), ("7", 1), ("7", 1)]) == {"acted too often": 1}
    assert handled(acted=ACTED[::-1]) == {"handled out of order": 1}
    assert handled(ROWS[:-1], sums={"7": 1}, acted=ACTED[:1]) == {"not handled": 1}
    assert handled([ROWS[0]._replace(state="parked"), *ROWS[1:]], sums={"7": 1}) == {"innocents parked": 1}
    assert handled([ROWS[0]._replace(state="waiting"), *ROWS[1:]], sums={"7": 1}) == {"not handled": 1}
    assert handled([ROWS[0], ROWS[1]._replace(state="done"), ROWS[2]]) == {"poison not parked": 1}
    assert handled(kept={1: 2, 3: 1}) == handled(spoken={101: 1, 103: 2}) == handled(sums={"7": 3}) == {"effects not once": 1}
    assert handled(spoken={101: 1, 102: 1, 103: 1}) == {"effects not once": 1}


def test_the_verdict() -> None:
    """Whatever is not 0, late, broken or untried fails, and says why."""
    good = Outcome("kill-node", 1, "node-1", 10, 10, head_s=3.0)
    assert good.passed
    assert reasons(good) == []
    for bad in (
        replace(good, head_s=31.0), replace(good, head_s=None, late=["the relay"]), replace(good, acknowledged=0),
        replace(good, broken="it broke"),
    ):  # fmt: skip
        assert not bad.passed
        assert reasons(bad)
    for kind in WRONGS:
        wrongs = Wrongs()
        wrongs.note(kind, "this one")
        bad = replace(good, wrongs=wrongs)
        assert not bad.passed
        assert reasons(bad) == [f"{kind}: this one"]
        [_, line] = table([bad]).splitlines()
        assert line.endswith("FAILED")
        assert line.split()[5 : 5 + len(GROUPS)].count("1") == 1


def test_the_verdict_is_about_what_was_done() -> None:
    """One that failed fails all; what was not reached counts neither way, but nothing at all has not passed."""
    good = Outcome("kill-node", 1, "node-1", 10, 10, head_s=3.0)
    assert as_json(Plan(), [good], ["storm"])["passed"]
    assert not as_json(Plan(), [good, replace(good, head_s=None)], [])["passed"]
    assert not as_json(Plan(), [], ["storm"])["passed"]


def test_the_registry() -> None:
    """Every fault says what it does; their modules are there."""
    assert {each.do.__module__ for each in REGISTRY.values()} == {module.__name__ for module in (killing, links, poison, services)}
    assert all(each.about for each in REGISTRY.values())
    assert len(REGISTRY) >= 30


def test_what_can_be_done_depends_on_what_is_there() -> None:
    """Without names, all for which everything is there; a name that cannot be done is refused with the reason."""
    little = {each.name for each in chosen(Plan(broker="none"), [])}
    assert {"kill-node", "sqlite-full", "clients-cut"} <= little
    assert not little & {"kill-relay", "broker-cut", "postgres-terminate", "kill-broker"}
    given = {each.name for each in chosen(Plan(database="postgres://db/x", broker="amqp://mq/"), [])}
    assert {"postgres-terminate", "clear-broker", "freeze-relay"} <= given
    assert not given & {"postgres-restart", "kill-broker", "sqlite-full"}
    own = {each.name for each in chosen(Plan(database="postgres"), [])}
    assert given < own | {"postgres-terminate"}
    assert {"postgres-restart", "wipe-broker"} <= own
    assert [each.name for each in chosen(Plan(), ["storm", "deaf", "storm"])] == ["storm", "deaf"]
    for names, why in ((["storms"], "no fault storms"), (["postgres-restart"], "needs own postgres")):
        with pytest.raises(LookupError, match=why):
            chosen(Plan(), names)


def test_short_trials_come_to_the_point(tmp_path: Path) -> None:
    """What a fault is about takes its time, however short the trial; else faults last a share of their length."""
    short, long = (Stage(Plan(scale=scale), tmp_path, SQLite(tmp_path), None) for scale in (0.1, 2.0))
    assert (short.lasting(60), short.lasting(60, at_least=35), long.lasting(60, at_least=35)) == (6, 35, 120)


@pytest.mark.asyncio
@pytest.mark.parametrize("taken", [True, False])
async def test_a_lease_that_nobody_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: bool) -> None:
    """While the relay's node is frozen another has to take its lease; it is reported if none does."""
    monkeypatch.setattr(killing, "TAKEN_S", 0.5)
    stage = Stage(Plan(scale=0.001), tmp_path, SQLite(tmp_path), None)
    node = Node("node-1", {}, tmp_path, seed=1)
    stage.nodes.append(node)
    node.process.command = ["/bin/sleep", "60"]
    node.process.start()
    try:
        await stage.store.rows("CREATE TABLE lease AS SELECT 'relay' AS name, $1 AS owner, 7 AS generation", f"a-{node.process.pid}-b")
        freezing = asyncio.ensure_future(killing.freeze_relay(stage))
        while taken and not freezing.done():
            await stage.store.rows("UPDATE lease SET generation = generation + 1")
        assert await freezing == "node-1, which was the relay"
    finally:
        node.process.kill()
    assert found(stage.wrongs) == ({} if taken else {"not taken over": 1})


def test_mischief() -> None:
    """It does what it says to about as many, loses nothing else, and the same again with the same seed."""
    mischief: Mischief[int] = Mischief(5)
    given = [each for start in range(0, 10_000, 10) for each in mischief.done_to(range(start, start + 10))]
    given += mischief.done_to([])
    tally = mischief.tally
    assert (tally.passed + tally.late, tally.dropped) == (len(set(given)), 10_000 - len(set(given)))
    assert len(given) - len(set(given)) == tally.twice
    for count, share in ((tally.twice, TWICE), (tally.late, LATE), (tally.dropped, DROPPED)):
        assert count == pytest.approx(share * 10_000, rel=0.15)
    assert given != sorted(given)
    again: Mischief[int] = Mischief(5)
    repeated = [each for start in range(0, 10_000, 10) for each in again.done_to(range(start, start + 10))]
    assert [*repeated, *again.done_to([])] == given


def test_the_clock_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes wrong by up to so much, either way, in steps; time itself does not go back."""
    at = 1000.0
    monkeypatch.setattr("crust.torture.node.time.monotonic", lambda: at)
    clock = SteppingClock(3600, 1)
    true = SteppingClock(0, 1)
    offs = []
    for _ in range(50):
        offs.append((clock.now() - true.now()) / 1000)
        at += 3.0
    assert clock.steps == 50
    assert min(offs) < -600
    assert max(offs) > 600
    assert all(abs(off) < 3601 for off in offs)
    assert true.steps == 0
