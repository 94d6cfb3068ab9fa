"""`crust backup`, `crust restore`: the whole server into a folder, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from crust.cli.common import Config, configured
from crust.cli.progress import progress
from crust.operations.backup import back_up, set_aside
from crust.operations.backup import restore as restored
from crust.operations.replacing import name_of_now


async def backup(folder: Path, *, config: Config = None) -> None:
    """Write the whole server, as it is now, into a folder that is not there yet. It may run meanwhile.

    The folder holds all that people said, and what they sign in with (hashed): keep it like the server itself.
    """
    settings = configured(config)
    made = await back_up(settings, folder, progress)
    progress.end()
    print(f"{folder}: {len(made.parts)} files, {made.size / 2**20:.1f} MiB, up to position {made.position} of the log")


async def restore(
    folder: Path,
    *,
    replace: Annotated[bool, Parameter(help="Where a server is already, set it aside, and say where.", negative="")] = False,
    config: Config = None,
) -> None:
    """Make the server that a backup is of: into an empty data folder, or an empty PostgreSQL database."""
    settings = configured(config)
    name = name_of_now() if replace else ""
    found = await restored(settings, folder, progress, replace=name)
    progress.end()
    if places := set_aside(settings, name) if replace else []:
        print(f"what was there is now in {' and '.join(places)}; remove it when it is not needed")
    print(f"restored the server {found.server_name} as it was at {found.made_at}; now: crust serve")
