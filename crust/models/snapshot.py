"""One moment of the whole database, read at leisure while others go on writing."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, cast

import asyncpg

from crust.models.database import Database, Row, StartRefused
from crust.models.migrate import applied
from crust.settings import Settings

TOGETHER = 500  # rows that are in memory at once
MIGRATIONS = "tortoise_migrations"  # which were applied is told by whoever migrates; the table counts its rows by itself
APPLICATION = "crust snapshot"  # as PostgreSQL lists it


class Snapshot(Protocol):
    """The database as it was when the snapshot was taken."""

    def rows(self, sql: str) -> AsyncIterator[Sequence[Row]]:
        """What a query gives, some rows at a time. One query at a time."""

    async def count(self, sql: str) -> int:
        """The one number `n` that a query gives."""

    async def write_to(self, folder: Path) -> dict[str, list[str]]:
        """Write everything into files in a folder.

        Returns:
            the columns of each table's file, `<table>.copy`; nothing for SQLite, whose one file is `crust.db`.
        """


@asynccontextmanager
async def snapshot_of(settings: Settings) -> AsyncIterator[tuple[Database, Snapshot]]:
    """Take one of the database that the settings name, beside its server if one runs.

    Raises:
        StartRefused: it cannot be opened, or there is none.
    """
    path = settings.sqlite_path
    if path is not None and not await asyncio.to_thread(path.exists):
        raise StartRefused(f"there is no database at {path}")
    async with Database(settings).opened() as database:
        if not await applied(database):
            raise StartRefused("the database is empty: nothing was ever stored there")
        async with snapshot(database) as taken:
            yield database, taken


@asynccontextmanager
async def snapshot(database: Database) -> AsyncIterator[Snapshot]:
    """Take one. As long as it is held the database keeps what was there, so no longer than needed."""
    if database.dialect == "sqlite":
        async with _sqlite(database) as taken:
            yield taken
        return
    address = {**database.postgres_address(), "server_settings": {"application_name": APPLICATION}}
    connection = await asyncpg.connect(**address)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield PostgresSnapshot(connection)
    finally:
        await connection.close(timeout=5)


@asynccontextmanager
async def _sqlite(database: Database) -> AsyncIterator[Snapshot]:
    connection = sqlite3.connect(database.sqlite_path, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA query_only = ON")
        connection.execute("BEGIN")
        connection.execute("SELECT 1 FROM log").fetchone()  # the first read is what fixes the moment
        yield SqliteSnapshot(connection)
    finally:
        connection.close()


class SqliteSnapshot:
    """See `Snapshot`: an open read transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def rows(self, sql: str) -> AsyncIterator[Sequence[Row]]:
        cursor = await asyncio.to_thread(self._connection.execute, sql)
        while some := await asyncio.to_thread(cursor.fetchmany, TOGETHER):
            yield cast("Sequence[Row]", some)

    async def count(self, sql: str) -> int:
        return await counted(self.rows(sql))

    async def write_to(self, folder: Path) -> dict[str, list[str]]:
        await asyncio.to_thread(self._write_to, folder / "crust.db")
        return {}

    def _write_to(self, path: Path) -> None:
        """All pages in one step: writers go on meanwhile, and none of what they write makes it start again."""
        copy = sqlite3.connect(path)
        try:
            self._connection.backup(copy, pages=-1)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, nothing beside it
        finally:
            copy.close()


class PostgresSnapshot:
    """See `Snapshot`: a transaction that is repeatable."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def rows(self, sql: str) -> AsyncIterator[Sequence[Row]]:
        cursor = await self._connection.cursor(sql)
        while some := await cursor.fetch(TOGETHER):
            yield cast("Sequence[Row]", some)

    async def count(self, sql: str) -> int:
        return await counted(self.rows(sql))

    async def write_to(self, folder: Path) -> dict[str, list[str]]:
        """With COPY, in its binary form: what PostgreSQL itself reads back."""
        tables = {table: columns for table, columns in (await columns_of(self._connection)).items() if table != MIGRATIONS}
        for table, columns in tables.items():
            await self._connection.copy_from_table(table, output=folder / f"{table}.copy", columns=columns, format="binary")
        return tables


async def counted(found: AsyncIterator[Sequence[Row]]) -> int:
    return sum([int(row["n"]) async for rows in found for row in rows])


async def columns_of(connection: asyncpg.Connection) -> dict[str, list[str]]:
    """The tables of Crust's schema, with their columns in order."""
    rows = await connection.fetch(
        "SELECT c.table_name, c.column_name FROM information_schema.columns c JOIN information_schema.tables t "
        "ON t.table_schema = c.table_schema AND t.table_name = c.table_name "
        "WHERE t.table_schema = current_schema() AND t.table_type = 'BASE TABLE' ORDER BY c.table_name, c.ordinal_position"
    )
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["table_name"], []).append(row["column_name"])
    return found
