"""The database: two connections, one for reading and one for writing, and plain SQL where the ORM would be too slow.

Models use the reading connection's name. Outside a transaction that is the reading one, which the database itself keeps from writing;
inside `Database.transaction()` it is the open transaction, for the task that opened it and for whoever it lends it to (`Database.using`).
So nothing can be written past the gate by mistake. (A third connection is there while migrations run.)

Statements are written with `$1`, `$2` …; SQLite is given `?1`, `?2` ….
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
import msgspec
from tortoise.apps import Apps
from tortoise.backends.base.client import BaseDBAsyncClient, TransactionalDBClient
from tortoise.context import TortoiseContext
from tortoise.exceptions import DBConnectionError, OperationalError, TransactionManagementError

from crust.errors import Unavailable
from crust.models.sqlite_engine import ImmediateContext, ImmediateWrapper
from crust.settings import Settings
from crust.telemetry.metrics import Counter, Metrics

Row = Mapping[str, Any]
"""One row, its columns by name."""

APPLICATION = "crust"  # as PostgreSQL lists the connections of servers and commands

FAILURES = (
    DBConnectionError,
    TransactionManagementError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what a connection raises that was cut off in the middle of an operation
    OSError,
)
"""What a database raises that is away, locked or shutting down; for SQLite see `is_failure`."""


OURS = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)
"""SQLite's errors that say what we did wrong."""


class StartRefused(Exception):
    """The database is not as Crust needs it; the message says what to change."""


@lru_cache(maxsize=1024)
def for_sqlite(sql: str) -> str:
    """`$1` becomes `?1`; both may be used more than once."""
    return re.sub(r"\$(\d+)", r"?\1", sql)


def is_failure(error: BaseException) -> bool:
    """Whether the database failed. Anything else (a wrong statement, a value that does not fit) is a bug of ours."""
    if isinstance(error, OperationalError):
        return bool(error.args) and isinstance(error.args[0], sqlite3.Error) and is_failure(error.args[0])
    if isinstance(error, sqlite3.DatabaseError):
        return not isinstance(error, OURS) and error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_ERROR
    return isinstance(error, FAILURES)


def is_nobodys(error: BaseException) -> bool:
    """Whether it is a cancellation that nobody asked this task for: what a driver waited for was cancelled as its connection went."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and not task.cancelling()


def not_available() -> Unavailable:
    return Unavailable("The database did not answer; nothing is known to be stored. Repeat with the same key.", retry_after=1)


@contextmanager
def unavailable(counter: Counter | None = None) -> Iterator[None]:
    """Turn the database's failures into `Unavailable`, and count them; the caller cannot know whether anything was written."""
    try:
        yield
    except BaseException as error:
        if is_failure(error) or is_nobodys(error):
            if counter is not None:
                counter[()] += 1
            raise not_available() from error
        raise


@dataclass(frozen=True, slots=True)
class Write:
    """A statement whose result nobody waits for, and the values of each row; `many` takes all rows at once, as arrays, on PostgreSQL."""

    sql: str
    rows: Sequence[Sequence[Any]]
    many: str | None = None


def writing(sql: str, *values: Any) -> Write:
    """One statement."""
    return Write(sql, [values])


def inserting(table: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> Write:
    """The insertion of many rows at once.

    Args:
        table: its name.
        columns: name → PostgreSQL type, in the order of a row's values.
        rows: the values.
    """
    one, many = insertion(table, tuple(columns.items()))
    return Write(one, rows, many)


@lru_cache(maxsize=64)
def insertion(table: str, columns: tuple[tuple[str, str], ...]) -> tuple[str, str]:
    """The statement for one row, and PostgreSQL's for arrays of all columns."""
    names = ", ".join(f'"{name}"' for name, _ in columns)
    marks = ", ".join(f"${n}" for n, _ in enumerate(columns, 1))
    arrays = ", ".join(f"${n}::{type_}[]" for n, (_, type_) in enumerate(columns, 1))
    into = f'INSERT INTO "{table}" ({names})'
    return f"{into} VALUES ({marks})", f"{into} SELECT * FROM unnest({arrays})"


class Database:
    """Everything that touches the database goes through one of these.

    Args:
        settings: `database_url`, `data_dir` and `database.*` count.
        metrics: where failures are counted.
    """

    def __init__(self, settings: Settings, metrics: Metrics | None = None) -> None:
        self._settings = settings
        self._failures = (metrics or Metrics()).database_unavailable
        self.dialect: Literal["sqlite", "postgres"] = "sqlite" if settings.sqlite_path else "postgres"
        # Tortoise keeps prepared statements by these names for the whole process, whichever the database.
        self._reader, self._writer, self._migrator = (f"{self.dialect} {name}" for name in ("reader", "writer", "migrator"))
        self._context = TortoiseContext()

    # ---- open and close

    async def open(self) -> None:
        """Connect, and refuse a database that would forget what it has acknowledged.

        Raises:
            StartRefused: it cannot be reached, or is set to lose commits.
        """
        if self.dialect == "sqlite":
            self.sqlite_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)  # what people said is nobody else's on this machine
        self._context.__enter__()
        await self._context.init(config=self._tortoise_config(), _enable_global_fallback=False)
        try:
            # The writing one first: it makes SQLite's file, which the reading one only opens.
            await self.writer.execute_query("SELECT 1")
            await self._check_durability()
        except Exception as error:
            await self.close()
            if isinstance(error, StartRefused):
                raise
            raise StartRefused(f"the database cannot be opened: {error}") from error

    async def close(self) -> None:
        """Disconnect. A process whose connections stay open hangs at its exit."""
        await self._context.connections.close_all()
        self._context.__exit__(None, None, None)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Database]:
        """Open for the length of a block."""
        await self.open()
        try:
            yield self
        finally:
            await self.close()

    async def _check_durability(self) -> None:
        if self.dialect == "sqlite":
            (row,) = await self.fetch("PRAGMA journal_mode", connection=self.writer)
            if row[0] != "wal":  # type: ignore[index]  # a pragma's column has no fixed name
                raise StartRefused(f"SQLite's journal mode is {row[0]!r}, not WAL: is the file on a network share?")  # type: ignore[index]
            return
        for setting, lossy in (("synchronous_commit", "off"), ("fsync", "off"), ("full_page_writes", "off")):
            (row,) = await self.fetch(f"SELECT current_setting('{setting}') AS value", connection=self.writer)
            if row["value"] == lossy:
                raise StartRefused(f"PostgreSQL has {setting} = {lossy}: a crash would forget acknowledged messages. Set it to on.")

    def _tortoise_config(self) -> dict[str, Any]:
        connections = self._postgres_connections() if self.dialect == "postgres" else self._sqlite_connections()
        return {"connections": connections, "apps": self.tortoise_apps, "use_tz": True, "timezone": "UTC"}

    @property
    def tortoise_apps(self) -> dict[str, dict[str, Any]]:
        """Which models there are, and where their migrations lie."""
        models, migrations = ["crust.models.tables"], "crust.models.migrations"
        return {"crust": {"models": models, "default_connection": self._reader, "migrations": migrations}}

    def _sqlite_connections(self) -> dict[str, Any]:
        busy_ms = round(self._settings.database.lock_timeout_s * 1000)
        common = {
            "file_path": str(self.sqlite_path),
            "journal_mode": "WAL",
            "synchronous": "FULL",
            "busy_timeout": busy_ms,
            "cache_size": -32768,
        }
        engine = "crust.models.sqlite_engine"
        writer = {"engine": engine, "credentials": {**common, "journal_size_limit": 67108864}}
        return {
            self._writer: writer,
            self._reader: {"engine": engine, "credentials": {**common, "journal_size_limit": 67108864, "query_only": "ON"}},
            self._migrator: writer,
        }

    @property
    def sqlite_path(self) -> Path:
        """The database's file."""
        assert self._settings.sqlite_path is not None
        return self._settings.sqlite_path

    def postgres_address(self) -> dict[str, Any]:
        """What asyncpg needs in order to connect."""
        parts = urlsplit(self._settings.database_url)
        host = parse_qs(parts.query).get("host", [parts.hostname or "127.0.0.1"])[0]
        return {
            "host": unquote(host),
            "port": parts.port or 5432,
            "user": unquote(parts.username or "postgres"),
            "password": unquote(parts.password) if parts.password else None,
            "database": unquote(parts.path.lstrip("/")),
            "timeout": self._settings.database.lock_timeout_s,
        }

    def _postgres_connections(self) -> dict[str, Any]:
        own = self._settings.database
        unlimited = {**self.postgres_address(), "application_name": APPLICATION}
        # A little more than the server's own limit: this one is for when the server, or the way to it, does not answer at all.
        common = {**unlimited, "command_timeout": own.statement_timeout_s + 1}
        engine = "crust.models.asyncpg_engine"
        size = own.pool_size
        reading = {"default_transaction_read_only": "on", "statement_timeout": f"{own.statement_timeout_s * 1000:.0f}"}
        migrating = {**self._writer_settings(), "statement_timeout": "0"}
        return {
            self._writer: {
                "engine": engine,
                "credentials": {**common, "minsize": 1, "maxsize": 3, "server_settings": self._writer_settings()},
            },
            self._reader: {"engine": engine, "credentials": {**common, "minsize": 1, "maxsize": size, "server_settings": reading}},
            self._migrator: {"engine": engine, "credentials": {**unlimited, "minsize": 1, "maxsize": 1, "server_settings": migrating}},
        }

    def _writer_settings(self) -> dict[str, str]:
        """Limits that keep a frozen process from holding up the others; the server enforces them."""
        own = self._settings.database
        return {
            "default_transaction_isolation": "read committed",  # statements see the state after the wait for the log's row
            "lock_timeout": f"{own.lock_timeout_s * 1000:.0f}",
            "statement_timeout": f"{own.statement_timeout_s * 1000:.0f}",
            "idle_in_transaction_session_timeout": f"{own.idle_in_transaction_timeout_s * 1000:.0f}",
            "tcp_keepalives_idle": "5",
            "tcp_keepalives_interval": "2",
            "tcp_keepalives_count": "3",
        }

    # ---- statements

    @property
    def apps(self) -> Apps:
        """The models, as Tortoise has registered them."""
        assert self._context.apps is not None
        return self._context.apps

    @property
    def reader(self) -> BaseDBAsyncClient:
        """Tortoise's client that this task reads from: the open transaction, if it takes part in one."""
        return self._context.connections.get(self._reader)

    @property
    def writer(self) -> BaseDBAsyncClient:
        """Tortoise's client that writes."""
        return self._context.connections.get(self._writer)

    def _spelt(self, sql: str) -> str:
        return for_sqlite(sql) if self.dialect == "sqlite" else sql

    async def fetch(self, sql: str, *values: Any, connection: BaseDBAsyncClient | None = None) -> Sequence[Row]:
        """The rows of a query."""
        with unavailable(self._failures):
            _, rows = await (connection or self.reader).execute_query(self._spelt(sql), list(values))
        return cast("Sequence[Row]", rows)

    async def fetch_planned(self, sql: str, *values: Any) -> Sequence[Row]:
        """The same, outside of changes, for a query whose best way depends on its values.

        PostgreSQL, once it has seen a statement five times, goes one way for all values. For a rare word that was 200 ms instead of 1.
        """
        if self.dialect == "sqlite":
            return await self.fetch(sql, *values)
        with unavailable(self._failures):
            async with self.reader._in_transaction() as transaction:
                await transaction.execute_query("SET LOCAL plan_cache_mode = force_custom_plan")
                return await self.fetch(sql, *values, connection=transaction)

    async def execute(self, sql: str, *values: Any) -> int:
        """Run one statement; gives the number of rows that it touched."""
        with unavailable(self._failures):
            count, _ = await self.reader.execute_query(self._spelt(sql), list(values))
        return count

    async def run(self, writes: Sequence[Write], *, last: bool = False) -> None:
        """Run statements in their order, inside a transaction; SQLite takes them all in one go.

        Args:
            last: nothing follows but the commit, which may go with them.
        """
        writes = [write for write in writes if write.rows]
        if not writes:
            return
        with unavailable(self._failures):
            if isinstance(self.reader, ImmediateWrapper):
                await self.reader.execute_batch([(for_sqlite(write.sql), write.rows) for write in writes], commit=last)
                return
            for write in writes:
                if write.many is not None:
                    await self.reader.execute_query(write.many, [list(column) for column in zip(*write.rows, strict=True)])
                else:
                    await self.reader.execute_many(write.sql, [list(row) for row in write.rows])

    def any_of(self, number: int, type_: str = "bigint") -> str:
        """The right side of `column IN …` for a list that is passed as parameter `number` through `as_list`."""
        if self.dialect == "postgres":
            return f"(SELECT unnest(${number}::{type_}[]))"
        return f"(SELECT value FROM json_each(${number}))"

    def as_list(self, values: Sequence[Any]) -> Any:
        """A list as a parameter; see `any_of`."""
        return list(values) if self.dialect == "postgres" else msgspec.json.encode(list(values)).decode()

    # ---- transactions

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[TransactionalDBClient]:
        """A writing transaction, which models and statements of this task use from here on.

        Raises:
            Unavailable: it could not begin or commit; then the outcome is unknown.
        """
        with unavailable(self._failures):
            async with self.writer._in_transaction() as transaction:
                with self.using(transaction):
                    yield transaction

    @asynccontextmanager
    async def migrating(self) -> AsyncIterator[TransactionalDBClient]:
        """The same, for statements that take as long as they need: they may rewrite a large table.

        They wait no longer for a lock than others do, since whoever wants the same table, be it only to read it, waits behind them.
        """
        client = self._context.connections.get(self._migrator)
        try:
            with unavailable(self._failures):
                async with client._in_transaction() as transaction:
                    with self.using(transaction):
                        yield transaction
        finally:
            await client.close()

    @asynccontextmanager
    async def transaction_with(self, query: str) -> AsyncIterator[tuple[TransactionalDBClient, Sequence[Row]]]:
        """The same, begun with a query, whose rows are given; SQLite does both in one go."""
        if self.dialect == "postgres":
            async with self.transaction() as transaction:
                yield transaction, await self.fetch(query)
            return
        with unavailable(self._failures):
            context = cast("ImmediateContext", self.writer._in_transaction())
            context.connection.opening = query
            async with context as transaction:
                with self.using(transaction):
                    yield transaction, cast("Sequence[Row]", context.connection.opened)

    @asynccontextmanager
    async def savepoint(self, transaction: TransactionalDBClient) -> AsyncIterator[None]:
        """Inside a transaction: what the block wrote is undone when it raises, and the transaction goes on.

        (Tortoise's own savepoints on asyncpg replace the transaction that they are in, which then cannot commit.)
        """
        with unavailable(self._failures):
            await transaction.execute_query("SAVEPOINT turn")
            try:
                yield
            except BaseException:
                await transaction.execute_query("ROLLBACK TO turn")
                await transaction.execute_query("RELEASE turn")
                raise
            await transaction.execute_query("RELEASE turn")

    @contextmanager
    def using(self, transaction: TransactionalDBClient) -> Iterator[None]:
        """Let this task take part in a transaction that another one has opened."""
        token = self._context.connections.set(self._reader, transaction)
        try:
            yield
        finally:
            self._context.connections.reset(token)
