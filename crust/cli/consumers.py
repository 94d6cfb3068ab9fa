"""`crust consumers`: who reads the log, and how far they are."""

from __future__ import annotations

import dataclasses

from crust.cli.common import Config, Json, core, print_rows
from crust.clock import rfc3339_or_none

COLUMNS = ["name", "offset", "head", "lag", "owner", "generation", "since"]


async def consumers(*, json: Json = False, config: Config = None) -> None:
    """List who reads the log: how far they are, how far it goes, and which process does it since when."""
    async with core(config) as node:
        rows = [{**dataclasses.asdict(state), "since": rfc3339_or_none(state.since)} for state in await node.consumers.all()]
    print_rows(rows, COLUMNS, json=json)
