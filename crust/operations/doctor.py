"""An examination of the whole server: what was looked at, what was found, and what to do where it is wrong. Nothing is changed by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from crust.models.database import Database, StartRefused
from crust.models.migrate import applied
from crust.operations import soundness, surroundings
from crust.operations.findings import Finding, good, note, wrong
from crust.operations.progress import Progress
from crust.settings import Settings, SettingsError, load


async def examine(config: Path | None, progress: Progress) -> AsyncIterator[Finding]:
    """Look at everything, with or without a running server.

    Args:
        config: as in `load`.
        progress: told where it is.
    """
    try:
        settings = load(config)
    except SettingsError as error:
        for problem in error.problems:
            yield wrong("settings", problem, "correct it; crust config show tells where each comes from")
        return
    yield good("settings", "they can be used")
    for finding in await asyncio.to_thread(lambda: list(surroundings.examine(settings))):
        yield finding
    async for finding in _database(settings, progress):
        yield finding


async def _database(settings: Settings, progress: Progress) -> AsyncIterator[Finding]:
    path = settings.sqlite_path
    if path is not None and not await asyncio.to_thread(path.exists):
        yield note("database", f"there is none at {path} yet", "crust serve makes it, or crust restore")
        return
    if path is not None and path.stat().st_mode & 0o007 and path.parent.stat().st_mode & 0o007:
        yield wrong("database file", f"{path} is open to every user of this machine", f"chmod o-rwx {path} {path.parent}")
    try:
        async with Database(settings).opened() as database:
            if not await applied(database):
                yield note("database", "it is empty", "crust serve fills it, or crust restore")
                return
            async for finding in soundness.examine(database, progress):
                yield finding
    except StartRefused as error:
        yield wrong("database", str(error), "see that it runs, that database_url names it, and that it may be used")
