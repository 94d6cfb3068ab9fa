"""`crust consumers`: who reads the log, and how far they are."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from cyclopts import App, Parameter

from crust.cli.common import Config, Json, core, print_rows
from crust.cli.delivery import desk
from crust.clock import rfc3339_or_none
from crust.errors import NotFound
from crust.host.registration import registered
from crust.host.states import EVENTS
from crust.services.times import milliseconds
from crust.settings import load

app = App(name="consumers", help="List who reads the log: offset, lag, and which process does it; begin, forget.")

COLUMNS = ["name", "offset", "head", "lag", "owner", "generation", "since"]


@app.default
async def consumers(*, json: Json = False, config: Config = None) -> None:
    """List who reads the log: how far they are, how far it goes, and which process does it since when."""
    async with core(config) as node:
        rows = [{**dataclasses.asdict(state), "since": rfc3339_or_none(state.since)} for state in await node.consumers.all()]
    print_rows(rows, COLUMNS, json=json)


@app.command
async def forget(name: str, *, config: Config = None) -> None:
    """Be done with one that is to read no more: its place in the log, and what is not delivered to it yet. It must not be at work."""
    async with desk(config) as at:
        await at.forget(name)
    print(f"{name} is forgotten")


@app.command
async def begin(
    name: str, /, *, from_: Annotated[str, Parameter("--from", help="A position in the log, or a time such as 2026-11-24T00:00:00Z.")],
    config: Config = None,
) -> None:  # fmt: skip
    """Let an instance begin with older events than those to come, or leave some out. It must not be at work. What it has had it has had."""
    wanted, _ = registered(load(config), disabled=True)
    if not any(each.name == name and any(hook.startswith(EVENTS) for hook in each.hooks) for each in wanted):
        raise NotFound(f"There is no instance {name} that hears of events.")
    position = int(from_) if from_.isascii() and from_.isdigit() else None
    since = milliseconds(from_, "--from") if position is None else 0
    async with desk(config) as at:
        print(f"{name} begins with event {await at.begin(name, position, since)}")
