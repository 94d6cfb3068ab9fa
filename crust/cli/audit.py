"""`crust audit`: who administered the server and its organisations."""

from __future__ import annotations

from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from crust.cli.common import Config, Json, core, print_rows
from crust.services.times import milliseconds

app = App(name="audit", help="Who administered the server and its organisations.")


@app.command(name="list")
async def list_(
    *,
    user: Annotated[str | None, Parameter(help="Only what this one did.")] = None,
    since: Annotated[str | None, Parameter(help="Only from this time on, such as 2026-11-24T00:00:00Z.")] = None,
    limit: Annotated[int, Parameter(help="How many at most.")] = 100,
    json: Json = False,
    config: Config = None,
) -> None:
    """Administrative acts, newest first: who, when, from where, what, to what."""
    start = 0 if since is None else milliseconds(since, "since")
    async with core(config) as node:
        acts = [msgspec.to_builtins(act) for act in await node.core.audit.all(username=user, since=start, limit=max(1, limit))]
    print_rows(acts, ["at", "username", "client_id", "address", "act", "organisation_id", "object", "details"], json=json)
