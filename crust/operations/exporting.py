"""Export: everything that people share and own, as JSON Lines, from one moment of a server that may go on.

The first line says what the file is, the last that it is whole; between them stands one record a line, those that others refer to first.
Sessions, idempotency keys and the log are no part of it: what is imported begins a history of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from crust import __version__
from crust.clock import SystemClock, rfc3339
from crust.files.storage import sync
from crust.models.database import StartRefused
from crust.models.migrate import pending
from crust.models.snapshot import Snapshot, snapshot_of
from crust.operations.backup import PARTIAL, head_of
from crust.operations.bytes import copied_out, kept_count
from crust.operations.noting import EXPORTED, note_in
from crust.operations.progress import Step
from crust.operations.records import FORMAT, KINDS, Kind
from crust.settings import Settings

HEADER, END = "crust", "end"  # the kinds of the first and the last line
RECORDS = "records"


async def export(settings: Settings, out: BinaryIO, *, passwords: bool = False, files: Path | None = None) -> AsyncIterator[Step]:
    """Write it all; gives, now and then, how many `records` have been written, and then how many `files`.

    Args:
        out: where to.
        passwords: whether the hashes of people's passwords are in it.
        files: the folder to copy the bytes of people's files into; left out, they are not copied.

    Raises:
        StartRefused: there is no database, or one that has to be migrated first.
    """
    async with snapshot_of(settings) as (database, taken):
        if names := await pending(database):
            raise StartRefused(f"the database lacks {names[0]}: crust migrate brings it up to date")
        await note_in(database, settings, EXPORTED, passwords=passwords)
        epoch, position = await head_of(taken)
        head = {"format": FORMAT, "crust": __version__, "server_name": settings.server_name, "exported_at": rfc3339(SystemClock().now())}
        out.write(line({"record": HEADER, **head, "epoch": epoch, "position": position}))
        count, total = 0, sum([await taken.count(f'SELECT count(*) AS n FROM "{kind.table}"') for kind in KINDS])
        for kind in KINDS:
            async for lines in records(taken, kind, passwords=passwords):
                out.write(b"".join(lines))
                count += len(lines)
                yield Step(RECORDS, count, total)
        out.write(line({"record": END, "records": count}))
        if files is not None:
            done, of = 0, await kept_count(taken)
            async for _ in copied_out(taken, settings, files):
                yield Step("files", done := done + 1, of)


async def records(taken: Snapshot, kind: Kind, *, passwords: bool) -> AsyncIterator[list[bytes]]:
    """The lines of one kind, some at a time, by id."""
    async for rows in taken.rows(f'SELECT * FROM "{kind.table}" ORDER BY id'):
        yield [line(kind.record(row, secrets=passwords)) for row in rows]


def line(value: object) -> bytes:
    return msgspec.json.encode(value) + b"\n"


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A file that only its owner reads, under its name only once it is whole and on the disk."""
    partial = path.with_name(path.name + PARTIAL)
    partial.touch(0o600)
    try:
        with partial.open("wb") as file:
            yield file
        sync(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
