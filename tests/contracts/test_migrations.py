"""Migrations: atomic, once, whoever comes first; and never under a running server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tortoise.migrations.executor import MigrationExecutor

from crust.errors import Unavailable
from crust.models.database import Database, StartRefused
from crust.models.draft_migration import detector
from crust.models.migrate import alone, applied, migrate, serving, shipped
from crust.models.snapshot import snapshot
from crust.settings import Database as DatabaseSettings
from crust.settings import Settings

pytestmark = pytest.mark.asyncio
OPEN = "import asyncio, sys; from crust.cli.database import migrate; asyncio.run(migrate())"


async def tables(database: Database) -> set[str]:
    names = "SELECT name FROM sqlite_master WHERE type = 'table'"
    if database.dialect == "postgres":
        names = "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'"
    return {row["name"] for row in await database.fetch(names)}


async def test_the_models_are_what_the_migrations_make(empty_settings: Settings) -> None:
    """No migration is missing."""
    async with Database(empty_settings).opened() as database:
        assert await detector(database).changes() == [], "run python -m crust.models.draft_migration"


async def test_a_migration_that_fails_leaves_nothing(empty_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables made before the failure are gone, nothing is recorded, and the next try succeeds."""
    original = MigrationExecutor.migrate

    async def failing(self: MigrationExecutor, targets: None, *, direction: str) -> None:
        await original(self, targets, direction=direction)
        raise OSError("no space left on device")

    async with Database(empty_settings).opened() as database:
        with monkeypatch.context() as patched:
            patched.setattr(MigrationExecutor, "migrate", failing)
            with pytest.raises(Unavailable):
                await migrate(database)
        assert await tables(database) <= {"tortoise_migrations", "sqlite_sequence"}
        assert "0001_initial" in await migrate(database)
        assert {"log", "event", "message"} <= await tables(database)
        assert await migrate(database) == []


async def test_processes_that_migrate_at_once_do_it_once(empty_settings: Settings, tmp_path: Path) -> None:
    """Four processes open an empty database at the same moment: all succeed, one of them migrates."""
    environment = {"CRUST_DATA_DIR": str(empty_settings.data_dir), "CRUST_DATABASE_URL": empty_settings.database_url, "PATH": "/usr/bin"}
    started = [
        subprocess.Popen(  # noqa: ASYNC220  # real processes are the point, and nothing else runs meanwhile
            [sys.executable, "-c", OPEN],
            env=environment,
            cwd=Path.cwd(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    ended = [process.communicate(timeout=50) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0, 0], ended
    assert [out.startswith("migrated: 0001_initial") for out, _ in ended].count(True) == 1, ended


async def test_nobody_migrates_under_a_running_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server holds a shared lock beside its SQLite file: other commands work, but one that would have to migrate refuses and says so."""
    monkeypatch.setattr("crust.models.migrate.LOCK_WAIT_S", 0.3)
    settings = Settings(data_dir=tmp_path)
    async with serving(settings), Database(settings).opened() as database:
        async with serving(settings):
            assert await migrate(database) == [], "two servers may share the lock"
        async with database.transaction():
            await database.execute("DELETE FROM tortoise_migrations WHERE name = $1", shipped()[-1])
        with pytest.raises(StartRefused, match="stop it first"):
            await migrate(database)


async def test_a_server_opens_nothing_that_is_replaced_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It migrates an empty folder, and holds the lock before it opens the database for good; while somebody else has that, it waits."""
    monkeypatch.setattr("crust.models.migrate.LOCK_WAIT_S", 0.3)
    settings = Settings(data_dir=tmp_path)
    path = tmp_path / "crust.db"
    async with serving(settings):
        with pytest.raises(StartRefused), alone(path):
            pass
        async with Database(settings).opened() as database:
            assert await applied(database) == shipped()
    with alone(path), pytest.raises(StartRefused, match="migrating or replacing"):
        async with serving(settings):
            pass


@pytest.fixture
def hasty(tmp_path: Path, postgres_url: str) -> Settings:
    """Settings over an empty PostgreSQL database, with limits that a test can wait for."""
    limits = DatabaseSettings(statement_timeout_s=1, lock_timeout_s=4, idle_in_transaction_timeout_s=3)
    return Settings(data_dir=tmp_path, database_url=postgres_url, database=limits)


@pytest.mark.postgres
async def test_a_migration_takes_as_long_as_it_needs(hasty: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its statements have no limit, neither PostgreSQL's nor that of the way to it; those of a change have theirs."""
    original, slow = MigrationExecutor.migrate, "SELECT pg_sleep(3)"

    async def long(self: MigrationExecutor, targets: None, *, direction: str) -> None:
        await original(self, targets, direction=direction)
        await self.connection.execute_query(slow)

    monkeypatch.setattr(MigrationExecutor, "migrate", long)
    async with Database(hasty).opened() as database:
        assert await migrate(database) == shipped()
        assert await applied(database) == shipped()
        with pytest.raises(Unavailable):
            async with database.transaction():
                await database.fetch(slow)


@pytest.mark.postgres
async def test_a_migration_waits_for_no_table_for_long(hasty: Settings) -> None:
    """While a backup, say, reads a table that it alters, it gives up and says so: whoever wants the table waits behind it."""
    async with Database(hasty).opened() as database:
        await migrate(database, upto="0014_what_comes_in")
        async with snapshot(database) as taken:
            assert await taken.count("SELECT count(*) AS n FROM room_link") == 0
            with pytest.raises(StartRefused, match="in use"):
                await migrate(database)
        assert "0015_link_history" in await migrate(database)
