"""Work on the whole server, in the record of administrative acts: noted before it begins."""

from __future__ import annotations

from typing import Any

from crust.clock import SystemClock
from crust.log import Log
from crust.models.database import Database
from crust.settings import Settings
from crust.telemetry import Metrics

EXPORTED, IMPORTED, BACKED_UP, RESTORED, RECOUNTED = (
    "server exported", "server imported", "server backed up", "server restored", "server recounted",
)  # fmt: skip


async def note(log: Log, act: str, **details: Any) -> None:
    """Note an act, by whoever asks for it.

    Raises:
        Unavailable: it is not known whether it was noted; what it is about must not begin.
    """
    async with log.change() as change:
        change.audit(act, **details)


async def note_in(database: Database, settings: Settings, act: str, **details: Any) -> None:
    """The same where nothing else of the server is running."""
    log = Log(database, SystemClock(), settings.database, lambda events: None, Metrics())
    async with log.running():
        await note(log, act, **details)
