"""`crust retention`: what is old, by the settings, and its removal."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from crust.cli.common import Config, Json, core, print_json

app = App(name="retention", help="What is old, by the settings, and its removal.")


@app.command
async def run(
    *,
    dry_run: Annotated[bool, Parameter(help="Only tell how much would go.", negative="")] = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Remove what is old, as the server does by itself from time to time."""
    async with core(config) as node:
        counts = await (node.core.retention.due() if dry_run else node.core.retention.run())
    if json:
        print_json(counts)
    else:
        print(", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing is old")
