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
from crust.models.migrate import migrate, pending, serving
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
    async with Database(Settings(data_dir=tmp_path)).opened() as database:
        with serving(database):
            with pytest.raises(StartRefused, match="stop it first"):
                await migrate(database)
            with serving(database):
                assert await pending(database), "two servers may share the lock"
        assert await migrate(database)
        with serving(database):
            assert await migrate(database) == []
