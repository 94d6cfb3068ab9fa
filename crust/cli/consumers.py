"""`crust consumers`: who reads the log, and how far they are."""

from __future__ import annotations

import dataclasses

from cyclopts import App

from crust.cli.common import Config, Json, core, print_rows
from crust.cli.delivery import desk
from crust.clock import rfc3339_or_none

app = App(name="consumers", help="List who reads the log: offset, lag, and which process does it.")

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
