"""The bytes of people's files, copied out of the storage and back into it, whichever kind it is."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from crust.files.place import place
from crust.files.storage import Missing, Storage, make_private
from crust.models.database import Row
from crust.models.snapshot import Snapshot
from crust.settings import Settings

KEPT = """
SELECT f.key, f.size FROM file f LEFT JOIN message x ON x.id = f.message_id LEFT JOIN channel c ON c.id = x.channel_id
WHERE f.message_id IS NULL OR (x.removed_at IS NULL AND c.removed_at IS NULL) ORDER BY f.id
"""
"""The files that somebody may still read: those of messages, and avatars. Previews are made anew."""


async def kept_count(taken: Snapshot) -> int:
    """How many files `copied_out` will give."""
    return await taken.count(f"SELECT count(*) AS n FROM ({KEPT}) kept")  # a constant


async def copied_out(taken: Snapshot, settings: Settings, folder: Path) -> AsyncIterator[tuple[str, bool]]:
    """Copy every file into a folder, under its key; gives each key, and whether its bytes were there.

    They may not be: what was removed after the snapshot was taken is gone from the storage.
    """
    storage, _ = place(settings)
    async for rows in taken.rows(KEPT):
        for row in rows:
            yield row["key"], await _copied_out(storage, row, folder / row["key"])


async def _copied_out(storage: Storage, row: Row, target: Path) -> bool:
    try:
        async with storage.local(row["key"]) as source:
            make_private(target.parent)
            return await asyncio.to_thread(_same, source, target, int(row["size"]))
    except (Missing, FileNotFoundError):
        return False


def _same(source: Path, target: Path, size: int) -> bool:
    """Copy; tells whether it has become as many bytes as it should."""
    shutil.copyfile(source, target)
    return target.stat().st_size == size


async def copied_in(settings: Settings, folder: Path, keys: Iterable[str]) -> AsyncIterator[tuple[str, bool]]:
    """Copy files out of such a folder into the storage; gives each key, and whether there was such a file. What is stored already stays."""
    storage, spool = place(settings)
    for key in keys:
        source, copy = folder / key, spool.new_path()
        there = await asyncio.to_thread(source.is_file)
        if there and await storage.size(key) is None:
            try:
                await asyncio.to_thread(shutil.copyfile, source, copy)
                await storage.keep(copy, key)
            finally:
                copy.unlink(missing_ok=True)
        yield key, there
