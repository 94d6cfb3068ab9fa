"""`crust recount`: what is stored although it follows from other rows, counted anew."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from crust.cli.common import Config, Json, core, print_json, print_table
from crust.cli.progress import progress
from crust.operations.recount import Recount


async def recount(
    *,
    dry_run: Annotated[bool, Parameter(help="Only say what differs.", negative="")] = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Count members, newest messages, replies, reactions and mentions anew, and look at read marks and the search index.

    The server may run meanwhile: some rows are put right at a time.
    """
    async with core(config) as node:
        work = Recount(node.core, dry=dry_run)
        async for step in work.run():
            progress(step)
    progress.end()
    if json:
        shown = [{"part": each.part, "id": str(each.id), "stored": each.stored, "counted": each.counted} for each in work.shown]
        print_json({"looked": work.looked, "wrong": +work.wrong, "shown": shown})
        return
    if work.shown:
        print_table([each._asdict() for each in work.shown], ["part", "id", "stored", "counted"])
    put = "differ" if dry_run else "differed, and are put right"
    print(f"{work.looked.total()} rows looked at; {work.wrong.total()} {put}")
