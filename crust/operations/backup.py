"""Backups: the whole server as it was in one moment, taken while it runs; and how one becomes a server again.

A restored server has a log of another epoch, so that no client goes on from a place in a history that may have ended differently.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path

import asyncpg
import msgspec

from crust import __version__
from crust.clock import SystemClock, rfc3339
from crust.errors import Conflict, Invalid
from crust.files.storage import sync
from crust.models.database import APPLICATION as SERVER
from crust.models.database import Database
from crust.models.migrate import alone, applied, migrate, new_epoch, shipped
from crust.models.snapshot import APPLICATION, Snapshot, columns_of, snapshot_of
from crust.operations import manifest
from crust.operations.bytes import copied_in, copied_out, kept_count
from crust.operations.manifest import Manifest, Part, part_of
from crust.operations.noting import BACKED_UP, RESTORED, note_in
from crust.operations.progress import Progress, Step
from crust.operations.replacing import files_aside, schema_aside
from crust.settings import Settings

PARTIAL = ".partial"  # at the end of the name of what is not whole yet
PRIVATE = 0o700  # a backup holds everything, secrets' hashes included
SQLITE_FILE = "crust.db"
ACTS = "0007_accounts"  # the migration since which there is a record of acts: what is older is backed up, too, before it is migrated
FILES = "files"  # the folder of people's files in a backup
OPEN = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1)"

PutFiles = Callable[[], Awaitable[None]]
"""Puts people's files in their place."""


# ---- backing up


async def back_up(settings: Settings, folder: Path, progress: Progress) -> Manifest:
    """Write everything that the server keeps into a folder that is not there yet, or empty.

    Raises:
        Conflict: there is something in the folder.
        StartRefused: there is no database to back up.
        OSError: it cannot be written; the folder is not there then.
    """
    with being_made(folder) as partial:
        async with snapshot_of(settings) as (database, taken):
            if ACTS in await applied(database):
                await note_in(database, settings, BACKED_UP)
            progress(Step("the database"))
            (partial / "database").mkdir(mode=PRIVATE)
            tables = await taken.write_to(partial / "database")
            epoch, position = await head_of(taken)
            copied = told(copied_out(taken, settings, partial / FILES), progress, await kept_count(taken))
            missing = [key async for key, there in copied if not there]
            made = Manifest(
                format=manifest.FORMAT,
                crust=__version__,
                made_at=rfc3339(SystemClock().now()),
                server_name=settings.server_name,
                dialect=database.dialect,
                epoch=epoch,
                position=position,
                migrations=await applied(database),
                tables=tables,
                parts=await asyncio.to_thread(parts_of, partial),
                missing=missing,
            )
        (partial / manifest.NAME).write_bytes(msgspec.json.format(msgspec.json.encode(made), indent=2))
    return made


async def told(copied: AsyncIterator[tuple[str, bool]], progress: Progress, total: int) -> AsyncIterator[tuple[str, bool]]:
    """The same, with word of how far it is."""
    count = 0
    async for each in copied:
        count += 1
        progress(Step("files", count, total))
        yield each


@contextmanager
def being_made(folder: Path) -> Iterator[Path]:
    """A folder beside the one that is wanted, which becomes it at the end: what was cut off is never taken for a backup."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(f"{folder} is there already, and stays as it is; name another folder.")
    partial = folder.with_name(folder.name + PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)  # of a backup that was cut off
    partial.mkdir(mode=PRIVATE, parents=True)
    try:
        yield partial
        for path in (*partial.rglob("*"), partial):
            sync(path)
        partial.replace(folder)
        sync(folder.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def parts_of(folder: Path) -> dict[str, Part]:
    return {str(path.relative_to(folder)): part_of(path) for path in sorted(folder.rglob("*")) if path.is_file()}


async def head_of(taken: Snapshot) -> tuple[str, int]:
    """Where the log ended."""
    async for rows in taken.rows("SELECT epoch, position FROM log WHERE id = 1"):
        return rows[0]["epoch"], rows[0]["position"]
    raise Invalid("The database has no log: it was never migrated.")


# ---- restoring


async def restore(settings: Settings, folder: Path, progress: Progress, *, replace: str = "") -> Manifest:
    """Make the server that a backup is of, where there is none.

    Args:
        replace: where there is one, set it aside under this name: a folder beside what was in the way, with PostgreSQL a schema.

    Raises:
        NotFound, Invalid: the folder is no backup, or not whole, or not for this database.
        Conflict: there is a server already, which is left as it is.
        StartRefused: the database cannot be reached.
    """
    found = manifest.read(folder)
    fits(found, settings)
    done = 0
    for size in manifest.check(folder, found):
        done += size
        progress(Step("checked, in KiB", done // 1024, found.size // 1024))

    async def put_files() -> None:
        names = [name.removeprefix(f"{FILES}/") for name in found.parts if name.startswith(f"{FILES}/")]
        async for _ in told(copied_in(settings, folder / FILES, names), progress, len(names)):
            pass
        progress(Step("the database"))

    if found.dialect == "sqlite":
        await restore_sqlite(settings, folder, put_files, replace)
    else:
        await restore_postgres(settings, folder, found, put_files, replace)
    async with Database(settings).opened() as database:
        await migrate(database)
        await note_in(database, settings, RESTORED, made_at=found.made_at)
    return found


def set_aside(settings: Settings, name: str) -> list[str]:
    """Where that lies which `restore` has set aside under this name."""
    kept = [*([settings.sqlite_path] if settings.sqlite_path else []), *kept_files(settings)]
    folders = sorted({path.absolute().parent / name for path in kept})
    schemas = [] if settings.sqlite_path else [f"the schema {name} of the database"]
    return [*(str(folder) for folder in folders if folder.is_dir()), *schemas]


def fits(found: Manifest, settings: Settings) -> None:
    """Refuse what is of another kind of database, or of a newer schema."""
    dialect = "sqlite" if settings.sqlite_path else "postgres"
    if found.dialect != dialect:
        names = {"sqlite": "SQLite", "postgres": "PostgreSQL"}
        raise Invalid(
            f"This backup is of {names[found.dialect]}, and database_url names {names[dialect]}. Restore it there, and take its contents "
            "over with crust export and crust import."
        )
    if beyond := sorted(set(found.migrations) - {*shipped()}):
        raise Invalid(f"This backup was made by a newer Crust, {found.crust}: {beyond[0]} is not known here. Update Crust first.")


async def restore_sqlite(settings: Settings, folder: Path, put_files: PutFiles, replace: str) -> None:
    """Put the file in its place, once people's files are in theirs: under its name only when it is whole."""
    path = settings.sqlite_path
    assert path is not None
    path.parent.mkdir(parents=True, exist_ok=True, mode=PRIVATE)
    with alone(path):
        if path.exists() and not replace:
            raise Conflict(f"{path} is there already, and stays as it is; with --replace it is set aside.")
        beside = [path.with_name(path.name + end) for end in ("", "-wal", "-shm")]
        with files_aside([*beside, *kept_files(settings)] if replace else [], replace):
            await put_files()
            coming = path.with_name(path.name + PARTIAL)
            await asyncio.to_thread(shutil.copyfile, folder / "database" / SQLITE_FILE, coming)
            coming.chmod(0o600)
            with closing(sqlite3.connect(coming)) as connection, connection:
                connection.execute("UPDATE log SET epoch = ?", (new_epoch(),))
            sync(coming)
            coming.replace(path)
            sync(path.parent)


def kept_files(settings: Settings) -> list[Path]:
    """The folder of people's files. What is in a bucket stays there, until the sweep finds that nobody has it."""
    return [] if settings.files.store else [settings.effective_files_dir]


async def restore_postgres(settings: Settings, folder: Path, found: Manifest, put_files: PutFiles, replace: str) -> None:
    """Make the tables as they were, and fill them in one transaction."""
    whole = Database(settings)
    connection = await asyncpg.connect(**whole.postgres_address(), server_settings={"application_name": APPLICATION})
    try:
        if await connection.fetchval(OPEN, SERVER):
            raise Conflict("A server or a command has this database open: stop it first.")
        if not replace:
            await refuse_used(connection)
        async with AsyncExitStack() as stack:
            if replace:
                stack.enter_context(files_aside(kept_files(settings), replace))
                await stack.enter_async_context(schema_aside(connection, replace))
            async with whole.opened():
                await migrate(whole, upto=found.migrations[-1])
                if await applied(whole) != found.migrations:
                    raise Conflict("The database has the tables of another Crust already; name an empty one in database_url.")
                await put_files()
                await fill(connection, folder / "database", found)
    finally:
        await connection.close(timeout=5)


async def refuse_used(connection: asyncpg.Connection) -> None:
    """Refuse a database that has people in it."""
    if "user" in await columns_of(connection) and await connection.fetchval('SELECT EXISTS (SELECT 1 FROM "user")'):
        raise Conflict("The database has people in it, and stays as it is; with --replace it is set aside.")


async def fill(connection: asyncpg.Connection, folder: Path, found: Manifest) -> None:
    """Fill the tables, and renew the epoch."""
    tables = await columns_of(connection)
    for table, columns in found.tables.items():
        if not set(columns) <= set(tables.get(table, ())):
            raise Invalid(f"The backup has a table {table}({', '.join(columns)}), which the database has not.")
    async with connection.transaction():
        for table, columns in found.tables.items():
            await connection.execute(f'TRUNCATE "{table}"')
            await connection.copy_to_table(table, source=folder / f"{table}.copy", columns=columns, format="binary")
        await connection.execute("UPDATE log SET epoch = $1", new_epoch())
