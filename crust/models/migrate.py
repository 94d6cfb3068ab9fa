"""Bring the database up to date: atomically, once, whoever comes first.

Migrations are Tortoise's own; its executor is run inside one transaction of ours together with its records, because by itself it records a
migration after that migration's transaction, and has no lock (four processes at once: three died with "table exists").
"""

from __future__ import annotations

import asyncio
import fcntl
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TextIO

import asyncpg
from tortoise.migrations.executor import MigrationExecutor, MigrationTarget
from tortoise.migrations.recorder import MigrationRecorder

from crust.errors import Unavailable
from crust.models import migrations
from crust.models.database import Database, StartRefused
from crust.settings import Settings

LOCK_WAIT_S = 30.0  # another process is migrating; more than that, and a person should look
ADVISORY_LOCK = 0x63727573  # "crus": any number will do, if all use the same


async def pending(database: Database) -> list[str]:
    """The names of the migrations that the database lacks, in order."""
    return [step.migration.name for step in await MigrationExecutor(database.writer, database.tortoise_apps).plan()]


async def applied(database: Database) -> list[str]:
    """The names of the migrations that the database has, in order."""
    return sorted(key.name for key in await MigrationRecorder(database.writer).applied_migrations())


def shipped() -> list[str]:
    """The names of all migrations that this Crust knows, in order."""
    return sorted(path.stem for path in Path(migrations.__file__).parent.glob("[0-9]*.py"))


async def migrate(database: Database, upto: str | None = None) -> list[str]:
    """Apply what is pending; gives the names.

    Args:
        upto: the last one to apply; left out, all.

    Raises:
        StartRefused: a server runs on this SQLite file, somebody else holds the lock for long, or a table is in use.
    """
    if not await pending(database):
        return []
    async with _lock(database):
        names = await pending(database)  # whoever had the lock before may have done it
        if names:
            await _apply(database, None if upto is None else [MigrationTarget("crust", upto)])
        return names


async def _apply(database: Database, targets: list[MigrationTarget] | None) -> None:
    outside = MigrationExecutor(database.writer, database.tortoise_apps)
    # Outside the transaction: on PostgreSQL a look at a table that is not there would abort it.
    await MigrationRecorder(database.writer).ensure_schema(outside._schema_editor(atomic=False))
    with _tables_in_use():
        async with database.migrating() as transaction:
            await MigrationExecutor(transaction, database.tortoise_apps).migrate(targets, direction="forward")
            sql = "INSERT INTO log (id, epoch, position, last_id) SELECT 1, $1, 0, 0 WHERE NOT EXISTS (SELECT 1 FROM log)"
            await database.execute(sql, new_epoch())


@contextmanager
def _tables_in_use() -> Iterator[None]:
    """Say what a migration waits for in vain. (A node that froze is not it: PostgreSQL ends its transaction before that.)"""
    try:
        yield
    except Unavailable as error:
        if isinstance(error.__cause__, asyncpg.LockNotAvailableError):
            raise StartRefused(
                "a table that has to be migrated is in use, as by a backup or an export: start again when that is done"
            ) from error
        raise


def new_epoch() -> str:
    """A name for a log that nobody has a cursor into."""
    return secrets.token_hex(8)


# ---- locks


def _lock(database: Database) -> AbstractAsyncContextManager[None]:
    return _postgres_lock(database) if database.dialect == "postgres" else _file_lock(database)


@asynccontextmanager
async def _postgres_lock(database: Database) -> AsyncIterator[None]:
    """An advisory lock on a connection of its own, so that it goes when the process does."""
    connection = await asyncpg.connect(**database.postgres_address())
    try:
        try:
            await connection.execute("SELECT pg_advisory_lock($1)", ADVISORY_LOCK, timeout=LOCK_WAIT_S)
        except TimeoutError:
            raise StartRefused(
                f"another process has been migrating this database for {LOCK_WAIT_S:.0f} s: start again when it is done"
            ) from None
        yield
    finally:
        await connection.close()


@asynccontextmanager
async def _file_lock(database: Database) -> AsyncIterator[None]:
    """The exclusive lock beside the file. A running server holds the shared one."""
    with lock_file(database.sqlite_path).open("a") as file:
        for _ in range(round(LOCK_WAIT_S / 0.1)):
            if _try_lock(file, fcntl.LOCK_EX):
                break
            shared = _try_lock(file, fcntl.LOCK_SH)
            if not await pending(database):
                break  # somebody else has done it meanwhile, and may serve already
            if shared and _try_lock(file, fcntl.LOCK_EX):
                break
            if shared:  # so who keeps us out is no migration, but a server
                raise StartRefused(f"{database.sqlite_path} has to be migrated, but a server runs on it: stop it first")
            await asyncio.sleep(0.1)
        else:
            raise StartRefused(f"another process has been migrating {database.sqlite_path} for {LOCK_WAIT_S:.0f} s")
        yield


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[None]:
    """Held by a server from before it opens its database, so that nobody migrates or replaces it meanwhile; it is migrated first.

    (PostgreSQL's nodes may be upgraded one by one.)

    Raises:
        StartRefused: as in `migrate`, or somebody migrates or replaces it for long.
    """
    path = settings.sqlite_path
    if path is None:
        yield
        return
    async with Database(settings).opened() as database:
        await migrate(database)
    with lock_file(path).open("a") as file:
        for _ in range(round(LOCK_WAIT_S / 0.1)):
            if _try_lock(file, fcntl.LOCK_SH):
                break
            await asyncio.sleep(0.1)  # a command that was started at the same moment looks whether there is something to migrate
        else:
            raise StartRefused(f"another process has been migrating or replacing {path} for {LOCK_WAIT_S:.0f} s")
        yield


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Held by who puts another SQLite file in this one's place, so that nobody serves or migrates it meanwhile.

    Raises:
        StartRefused: somebody does.
    """
    with lock_file(path).open("a") as file:
        if not _try_lock(file, fcntl.LOCK_EX):
            raise StartRefused(f"a server runs on {path}: stop it first")
        yield


def lock_file(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _try_lock(file: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
