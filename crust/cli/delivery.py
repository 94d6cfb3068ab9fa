"""`crust delivery` and `crust parked`: what is delivered to plugins and bridges, and what is not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import App, Parameter

from crust.cli.common import Config, Json, core, print_json, print_rows
from crust.errors import Invalid
from crust.host.desk import Desk, Shown
from crust.services.times import milliseconds

app = App(name="delivery", help="What is delivered to plugins and bridges: look, try again now, drop.")
parked = App(name="parked", help="What is tried no more: look, try again.")

State = Literal["waiting", "running", "done", "skipped", "withdrawn", "uncertain", "parked", "dropped"]
Consumer = Annotated[str | None, Parameter(help="Only of this instance.")]
Lane = Annotated[str | None, Parameter(help="Only in this lane.")]
Since = Annotated[str | None, Parameter(help="Only from this time on, such as 2026-11-24T00:00:00Z.")]
Limit = Annotated[int, Parameter(help="How many at most.")]
COLUMNS = ["consumer", "lane", "position", "state", "attempts", "next_at", "error"]
PARKED_COLUMNS = ["consumer", "lane", "position", "waiting", "attempts", "error"]


@asynccontextmanager
async def desk(config: Path | None) -> AsyncIterator[Desk]:
    """The desk of the server that the settings name, beside its processes if any run."""
    async with core(config) as node:
        yield Desk(node.database, node.log, node.leases, node.consumers, node.clock)


@app.command(name="list")
async def list_(
    *, consumer: Consumer = None, lane: Lane = None, state: State | None = None, limit: Limit = 100, json: Json = False,
    config: Config = None,
) -> None:  # fmt: skip
    """Deliveries, those of the newest events first."""
    async with desk(config) as at:
        rows = await at.deliveries(consumer=consumer, lane=lane, state=state, limit=limit)
    print_rows(in_short(rows, json=json), COLUMNS, json=json)


@app.command
async def show(consumer: str, position: int, *, lane: Lane = None, json: Json = False, config: Config = None) -> None:
    """Everything about the delivery of one event to one instance, the whole error and the event included."""
    async with desk(config) as at:
        print_all(await at.delivery(consumer, position, lane), json=json)


@app.command
async def retry(consumer: str, position: int | None = None, *, lane: Lane = None, config: Config = None) -> None:
    """Try now what waits for later: all of an instance, one lane, or one event. What is parked is replayed: crust parked replay."""
    async with desk(config) as at:
        count = await at.retry(consumer, position, lane)
    print(f"{count} are tried now")


@app.command
async def drop(consumer: str, position: int, *, lane: Lane = None, config: Config = None) -> None:
    """Do not deliver an event after all."""
    async with desk(config) as at:
        count = await at.drop(consumer, position, lane)
    print(f"{count} dropped")


@parked.command(name="list")
async def parked_list(
    *, consumer: Consumer = None, since: Since = None, limit: Limit = 100, json: Json = False, config: Config = None
) -> None:
    """Lanes that were given up, with how much waits there, and events, newest first."""
    async with desk(config) as at:
        rows = await at.parked(consumer=consumer, since=start_of(since), limit=limit)
    print_rows(in_short(rows, json=json), PARKED_COLUMNS, json=json)


@parked.command(name="show")
async def parked_show(consumer: str, position: int, *, lane: Lane = None, json: Json = False, config: Config = None) -> None:
    """Why an event is parked: the whole error, and the event."""
    await show(consumer, position, lane=lane, json=json, config=config)


@parked.command
async def replay(
    position: int | None = None,
    *,
    consumer: Consumer = None,
    lane: Lane = None,
    since: Since = None,
    all: Annotated[bool, Parameter(help="Everything that is parked.", negative="")] = False,  # the option's name
    config: Config = None,
) -> None:
    """Try what is parked again, as if for the first time."""
    if not (all or consumer or lane or since or position is not None):
        raise Invalid("Say what is to be replayed: a position, --consumer, --lane, --since, or --all.")
    async with desk(config) as at:
        events, lanes = await at.replay(consumer=consumer, lane=lane, position=position, since=start_of(since))
    print(f"{events} events and {lanes} lanes are tried again")


def start_of(since: str | None) -> int:
    return 0 if since is None else milliseconds(since, "since")


def in_short(rows: Sequence[Shown], *, json: bool) -> list[dict[str, Any]]:
    """For people the last line of an error: there it says what happened."""
    if json:
        return list(rows)
    return [{**row, "error": (row["error"] or "").strip().rpartition("\n")[2][:120] or None} for row in rows]


def print_all(rows: Sequence[Shown], *, json: bool) -> None:
    """Everything, for people one line a field."""
    if json:
        print_json(rows)
        return
    for row in rows:
        for name, value in row.items():
            print(f"{name:10} {'-' if value is None else msgspec.json.encode(value).decode() if name == 'event' else value}")
