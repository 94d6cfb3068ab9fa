"""What operators see of deliveries, and what they can do, beside the processes at work; and the commands for it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from crust.errors import Conflict, EventRefused, Invalid, NotFound, TargetError
from crust.host.consumer import Delivery
from crust.host.desk import Desk
from crust.host.engine import Engine
from crust.runtime import opened
from crust.services.core import Core
from crust.settings import Retention, Settings
from tests.support.consumers import Listener, Place, delivering, engine_of, states, text_of
from tests.support.people import events

pytestmark = pytest.mark.asyncio


class Target:
    """What a handler speaks to: as well as a test says."""

    def __init__(self) -> None:
        self.well = False

    async def handler(self, delivery: Delivery) -> None:
        if self.well:
            return
        if text_of(delivery.event) == "bad":
            raise EventRefused("no such recipient")
        if delivery.lane == text_of(delivery.event):
            raise TargetError("connection refused")


def desk_of(place: Place) -> Desk:
    node = place.node
    return Desk(node.database, node.log, node.leases, node.consumers, node.clock)


@asynccontextmanager
async def troubled(place: Place) -> AsyncIterator[tuple[Desk, Engine, Listener, Target]]:
    """An instance with one event done, one parked, and one in a lane that fails."""
    target = Target()
    listener = Listener(handler=target.handler, lane=lambda event: "down" if text_of(event) == "down" else "up")
    engine = engine_of(place.node)
    async with delivering(engine, listener):
        await place.say("good", "bad", "down")
        await engine.settled("echo")
        yield desk_of(place), engine, listener, target


async def test_operators_see_what_became_of_everything(place: Place) -> None:
    """By instance, lane and state; one event with its whole error and what it says."""
    async with troubled(place) as (desk, _, _, _):
        rows = await desk.deliveries(consumer="echo")
        assert [(row["lane"], row["state"], row["error"]) for row in rows] == [
            ("down", "waiting", "connection refused"), ("up", "parked", "no such recipient"), ("up", "done", None),
        ]  # fmt: skip
        assert rows[0]["next_at"] > rows[0]["made_at"]
        assert [row["state"] for row in await desk.deliveries(lane="up", state="done")] == ["done"]
        assert len(await desk.deliveries(limit=1)) == 1
        assert await desk.deliveries(consumer="nobody") == []
        [row] = await desk.delivery("echo", rows[1]["position"])
        assert (row["error"], row["event"]["body"]["contents"]) == ("no such recipient", "bad")
        with pytest.raises(NotFound):
            await desk.delivery("echo", 1)
        counts = await desk.counts()
        assert counts.rows == {("echo", "waiting"): 1, ("echo", "parked"): 1}
        assert counts.lanes == {("echo", "failing"): 1}


async def test_what_waits_is_tried_at_once(place: Place) -> None:
    """A whole instance, or one event; what was parked stays parked."""
    async with troubled(place) as (desk, engine, listener, target):
        await desk.retry("echo")
        await engine.settled("echo")
        assert listener.texts.count("down") == 2
        target.well = True
        [waiting] = await desk.deliveries(state="waiting")
        assert await desk.retry("echo", waiting["position"]) == 1
        await engine.settled("echo")
        assert await states(place.node) == ["done", "parked", "done"]


async def test_what_is_dropped_is_not_delivered(place: Place) -> None:
    """It is kept that it was dropped, and noted who did it."""
    async with troubled(place) as (desk, engine, listener, target):
        [waiting] = await desk.deliveries(state="waiting")
        assert await desk.drop("echo", waiting["position"]) == 1
        target.well = True
        place.clock.advance(60)
        await engine.settled("echo")
        assert listener.texts.count("down") == 1
        assert await states(place.node) == ["done", "parked", "dropped"]
        with pytest.raises(NotFound):
            await desk.drop("echo", waiting["position"])
        acts = await place.node.core.audit.all(username=None, since=0, limit=1)
        assert [act.act for act in acts] == ["delivery dropped"]


async def test_what_is_parked_is_replayed(place: Place) -> None:
    """An event as if for the first time; a lane that was given up, in order."""
    async with troubled(place) as (desk, engine, listener, target):
        await place.say("down")
        for _ in range(14):
            place.clock.advance(12 * 3600.0)
            await engine.settled("echo")
        lane, event = await desk.parked()
        assert (lane["lane"], lane["position"], lane["waiting"], lane["error"]) == ("down", None, 2, "connection refused")
        assert (event["lane"], event["error"]) == ("up", "no such recipient")
        target.well = True
        assert await desk.replay(consumer="nobody") == (0, 0)
        assert await desk.replay(consumer="echo", position=event["position"]) == (1, 0)
        await engine.settled("echo")
        assert await states(place.node) == ["done", "done", "waiting", "waiting"]
        assert await desk.replay(consumer="echo") == (0, 1)
        await engine.settled("echo")
        assert await states(place.node) == ["done"] * 4
        assert await desk.parked() == []
        assert listener.texts[-3:] == ["bad", "down", "down"]


async def test_a_consumer_is_forgotten_once_nobody_is_at_it(place: Place) -> None:
    """Its place in the log, its rows and lanes go; its documents stay. Should it come again it begins at the head."""
    async with troubled(place) as (desk, engine, listener, _):
        await engine.store(listener).collection("kept").put("1", {})
        with pytest.raises(Conflict, match="at work"):
            await desk.forget("echo")
    await desk.forget("echo")
    assert await place.node.consumers.all() == []
    assert await states(place.node) == []
    with pytest.raises(NotFound):
        await desk.forget("echo")
    again = Listener()
    async with delivering(engine, again):
        await place.say("new")
        await engine.settled("echo")
    assert again.texts == ["new"]
    assert await engine.store(again).collection("kept").get("1") is not None


async def test_retention_waits_for_what_is_not_delivered(place: Place, settings: Settings) -> None:
    """The log keeps its events from the first one on that waits or is parked."""
    ages = settings.model_copy(update={"retention": Retention(events_days=1)})
    async with troubled(place) as (desk, engine, _, target):
        core = Core(
            ages, place.clock, place.node.database, place.node.log, place.node.core.known, None, "node", lambda message: None,  # type: ignore[arg-type]  # nobody signs in
        )  # fmt: skip
        [parked] = await desk.deliveries(state="parked")
        place.clock.advance(3 * 86_400.0)
        await engine.settled("echo")
        await place.say("new")
        await core.retention.run()
        assert (await events(place.node))[0].position == parked["position"]
        target.well = True
        await desk.replay(consumer="echo")
        await desk.retry("echo")
        await engine.settled("echo")
        await core.retention.run()
        assert (await events(place.node))[0].position > parked["position"]


async def command(settings: Settings, *arguments: str) -> str:
    """What a command prints that succeeds."""
    environment = {"PATH": os.environ["PATH"], "CRUST_DATA_DIR": str(settings.data_dir), "CRUST_DATABASE_URL": settings.database_url}
    if "PYTHONPATH" in os.environ:
        environment["PYTHONPATH"] = os.environ["PYTHONPATH"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "crust.cli.main", *arguments,
        env=environment, cwd=settings.data_dir.parent, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, error = await process.communicate()
    assert process.returncode == 0, error.decode()
    return out.decode()


async def test_the_commands(place: Place, settings: Settings) -> None:
    """Each does what its help says, beside a process at work; lists as JSON too."""
    async with troubled(place) as (_, _, _, target):
        listed = json.loads(await command(settings, "delivery", "list", "--json"))
        assert [row["state"] for row in listed] == ["waiting", "parked", "done"]
        table = await command(settings, "delivery", "list", "--state", "parked")
        assert table.split("\n")[0].split() == ["CONSUMER", "LANE", "POSITION", "STATE", "ATTEMPTS", "NEXT_AT", "ERROR"]
        assert "no such recipient" in table
        position = str(listed[1]["position"])
        assert "no such recipient" in await command(settings, "parked", "show", "echo", position)
        [shown] = json.loads(await command(settings, "delivery", "show", "echo", position, "--json"))
        assert shown["event"]["body"]["contents"] == "bad"
        assert [row["position"] for row in json.loads(await command(settings, "parked", "list", "--json"))] == [listed[1]["position"]]
        target.well = True
        assert await command(settings, "parked", "replay", "--consumer", "echo") == "1 events and 0 lanes are tried again\n"
        assert await command(settings, "delivery", "drop", "echo", str(listed[0]["position"])) == "1 dropped\n"
        assert await command(settings, "delivery", "retry", "echo") == "0 are tried now\n"
    [consumer] = json.loads(await command(settings, "consumers", "--json"))
    assert consumer["name"] == "echo"
    assert await command(settings, "consumers", "forget", "echo") == "echo is forgotten\n"
    async with opened(settings) as node:
        assert await node.consumers.all() == []


async def test_a_consumer_begins_with_older_events(place: Place) -> None:
    """With that at a position, or the first one from a time on, once it is not at work; what it has been delivered it is not again."""
    await place.say("old")
    place.clock.advance(3600)
    await place.say("older than none")
    desk, listener, engine = desk_of(place), Listener(), engine_of(place.node)
    async with delivering(engine, listener):
        await place.say("new")
        await engine.settled("echo")
        with pytest.raises(Conflict, match="at work"):
            await desk.begin("echo", 1)
    head = (await place.node.log.head()).position
    with pytest.raises(Invalid, match=f"the next one is {head + 1}"):
        await desk.begin("echo", head + 2)
    assert await desk.begin("echo", since=place.clock.now() - 1000) == head - 1
    async with delivering(engine, listener):
        await engine.settled("echo")
    assert listener.texts == ["new", "older than none"]
    assert await desk.begin("echo", 1) == 1
    async with delivering(engine, listener):
        await engine.settled("echo")
    assert [listener.texts[2], listener.texts[-1]] == ["room", "old"], "what was before is from when the channels were made"


async def test_the_command_to_begin(place: Place, settings: Settings) -> None:
    """It takes a position or a time, of an instance that hears of events."""
    (settings.data_dir.parent / "config.toml").write_text("[plugins.welcome]\n[plugins.wordfilter]\n")
    assert await command(settings, "consumers", "begin", "welcome", "--from", "2") == "welcome begins with event 2\n"
    assert await command(settings, "consumers", "begin", "welcome", "--from", "2001-01-01T00:00:00Z") == "welcome begins with event 1\n"
    with pytest.raises(AssertionError, match="There is no instance wordfilter that hears of events"):
        await command(settings, "consumers", "begin", "wordfilter", "--from", "1")
