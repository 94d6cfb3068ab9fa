"""The database under torture: made for it, looked into past all faults, and removed afterwards."""

from __future__ import annotations

import asyncio
import os
import pwd
import secrets
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from crust.models.database import for_sqlite
from crust.torture.process import Blocking, ProcessFailed, free_port

LOOK_S = 10.0
START_S = 60.0
POSTGRES = "postgres"  # who runs it where root must not


class Away(Exception):
    """The database cannot be looked into now."""


class Store(Protocol):
    """A database. `url` is for `database_url`, or empty for SQLite below the data directory; `address` is where it listens, if it does."""

    kind: str
    url: str
    own: bool

    @property
    def address(self) -> tuple[str, int] | None: ...

    async def open(self) -> None: ...

    async def rows(self, sql: str, *values: Any, within_s: float = LOOK_S) -> Sequence[Sequence[Any]]:
        """What a query gives within so many seconds, over a connection of its own. Raises `Away`."""
        ...

    async def close(self) -> None:
        """Remove everything."""
        ...


class SQLite:
    """`crust.db` below the nodes' data directory."""

    kind, url, own, address = "sqlite", "", True, None

    def __init__(self, data: Path) -> None:
        self.path = data / "crust.db"

    async def open(self) -> None:
        """The server makes it."""

    async def close(self) -> None:
        """It goes with its folder."""

    async def rows(self, sql: str, *values: Any, within_s: float = LOOK_S) -> Sequence[Sequence[Any]]:
        return await asyncio.to_thread(self._rows, for_sqlite(sql), values, within_s)

    def _rows(self, sql: str, values: Sequence[Any], within_s: float) -> Sequence[Sequence[Any]]:
        try:
            connection = sqlite3.connect(self.path, timeout=within_s, isolation_level=None)
            try:
                return connection.execute(sql, values).fetchall()
            finally:
                connection.close()
        except sqlite3.OperationalError as error:
            raise Away(str(error)) from None


class Postgres:
    """A database of its own on a server that is somebody else's: made, and dropped.

    Args:
        server: URL of the server; the account may make databases.
    """

    kind, own = "postgres", False

    def __init__(self, server: str) -> None:
        self.server = server
        self.name = f"crust_torture_{secrets.token_hex(6)}"
        self.url = urlunsplit(urlsplit(server)._replace(path=f"/{self.name}"))

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.server)
        return parts.hostname or "127.0.0.1", parts.port or 5432

    async def open(self) -> None:
        await self._asked(self.server, f"CREATE DATABASE {self.name}")

    async def close(self) -> None:
        await self._asked(self.server, f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")

    async def rows(self, sql: str, *values: Any, within_s: float = LOOK_S) -> Sequence[Sequence[Any]]:
        return await self._asked(self.url, sql, *values, within_s=within_s)

    async def _asked(self, url: str, sql: str, *values: Any, within_s: float = LOOK_S) -> Sequence[Sequence[Any]]:
        try:
            connection = await asyncpg.connect(url, timeout=LOOK_S, command_timeout=within_s)
            try:
                return [tuple(row.values()) for row in await connection.fetch(sql, *values)]
            finally:
                with suppress(OSError, TimeoutError, asyncpg.PostgresError):
                    await connection.close(timeout=LOOK_S)
        except (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError) as error:
            raise Away(repr(error)) from None


class OwnPostgres(Postgres):
    """A whole PostgreSQL, started below a folder; it can be restarted as crashes do it.

    Raises:
        ProcessFailed: from `open`: it is not installed, or does not start.
    """

    own = True

    def __init__(self, folder: Path) -> None:
        self.port, self.folder, self._blocking = free_port(), folder, Blocking()
        super().__init__(f"postgres://{POSTGRES}@127.0.0.1:{self.port}/postgres")

    async def open(self) -> None:
        self.folder.mkdir()
        if os.getuid() == 0:
            account = pwd.getpwnam(POSTGRES)
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        await self._blocking.run(self._run, "initdb", "-A", "trust", "-U", POSTGRES, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        await self.start()
        await super().open()

    async def start(self) -> None:
        options = f"-p {self.port} -h 127.0.0.1 -k {self.folder}"
        await self._blocking.run(self._run, "pg_ctl", "-l", str(self.folder / "log"), "-o", options, "-w", "-t", f"{START_S:.0f}", "start")

    async def stop(self, mode: str) -> None:
        """`fast`, or `immediate`: as a crash does it."""
        await self._blocking.run(self._run, "pg_ctl", "-m", mode, "-w", "stop")

    async def close(self) -> None:
        await self._blocking.finished()
        with suppress(ProcessFailed):
            await self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(installed(program)), "-D", str(self.folder / "data"), *arguments]
        if os.getuid() == 0:
            command = ["setpriv", f"--reuid={POSTGRES}", f"--regid={POSTGRES}", "--init-groups", *command]
        done = subprocess.run(command, cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=2 * START_S)  # noqa: S603
        if done.returncode:
            raise ProcessFailed(f"{program}: {done.stderr.decode(errors='replace')[-2000:]}")


def installed(program: str) -> Path:
    """Where a program of PostgreSQL's is: the newest that Debian has, else wherever the shell finds it."""
    there = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: int(path.parts[4]))
    found = there[-1] if there else shutil.which(program)
    if found is None:
        raise ProcessFailed(f"{program} is not installed: give a server's URL with --database-url")
    return Path(found)
