"""The database fails: nothing is acknowledged that is not stored, and everything goes on when it is back."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from crust.clock import ManualClock
from crust.errors import Unavailable
from crust.events.objects import Flag
from crust.log import NewEvent
from crust.models import asyncpg_engine
from crust.models.database import Database, StartRefused
from crust.runtime import Node, opened
from crust.settings import Settings
from crust.torture.proxy import CLEAR, FaultProxy, Weather

pytestmark = pytest.mark.asyncio
CONTENDERS = 8


async def write(node: Node, number: int) -> int:
    async with node.log.change() as change:
        return change.record(NewEvent(type="flag", event="added", body=Flag(message_id=str(number)), recipient=1, object=number))


async def write_until_stored(node: Node, number: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await write(node, number)
            except Unavailable:
                await asyncio.sleep(0.05)
            else:
                return


async def test_who_only_reads_does_not_wait_for_a_locked_file(tmp_path: Path) -> None:
    """That a session was used has to be written now and then; nobody waits for it."""
    clock = ManualClock()
    async with opened(Settings(data_dir=tmp_path), clock) as node:
        await node.core.accounts.add("ana", password="correct horse")
        session = await node.core.sessions.sign_in("ana", "correct horse", "client", "", "")
        clock.advance(3600)
        other = sqlite3.connect(tmp_path / "crust.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        async with asyncio.timeout(1):
            for _ in range(3):
                await node.core.sessions.authenticate(session.secret, "client")
        other.execute("ROLLBACK")
        other.close()


async def test_a_locked_sqlite_file_is_unavailable_and_then_works_again(tmp_path: Path) -> None:
    """Another program holds the file for longer than we wait: a clear error, nothing stored, no lock of ours left behind."""
    settings = Settings(data_dir=tmp_path)
    short = settings.model_copy(update={"database": settings.database.model_copy(update={"lock_timeout_s": 0.2})})
    async with opened(short) as node:
        await write(node, 0)
        other = sqlite3.connect(tmp_path / "crust.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        results = await asyncio.gather(*(write(node, number) for number in range(1, CONTENDERS)), return_exceptions=True)
        assert {type(result) for result in results} == {Unavailable}
        assert (await node.log.head()).position == 1, "reading goes on"
        other.execute("ROLLBACK")
        other.close()
        await asyncio.gather(*(write(node, number) for number in range(CONTENDERS)))
        assert [event.position for event in await node.log.read(0, 100)] == list(range(1, CONTENDERS + 2))


async def test_a_full_disk_is_unavailable_and_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    """SQLite has no room: the change is refused whole, the file stays sound, and with room again writing goes on."""
    async with opened(Settings(data_dir=tmp_path)) as node:
        await write(node, 0)
        (row,) = await node.database.fetch("PRAGMA page_count", connection=node.database.writer)
        await node.database.fetch(f"PRAGMA max_page_count = {row[0]}", connection=node.database.writer)  # type: ignore[index]  # a pragma's column has no fixed name
        stored, refused = 1, 0
        for number in range(1, 400):
            try:
                await write(node, number)
                stored += 1
            except Unavailable:
                refused += 1
        assert refused
        await node.database.fetch("PRAGMA max_page_count = 1000000", connection=node.database.writer)
        await write(node, 1000)
        positions = [event.position for event in await node.log.read(0, 1000, 1000)]
        assert positions == list(range(1, stored + 2))
    check = sqlite3.connect(tmp_path / "crust.db")
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()


@pytest.mark.postgres
async def test_connections_that_postgresql_ends_are_made_anew(postgres_url: str, tmp_path: Path) -> None:
    """All backends are terminated again and again under load: errors are Unavailable, retries succeed, the log has no hole."""
    async with opened(Settings(data_dir=tmp_path, database_url=postgres_url)) as node:
        admin = await asyncpg.connect(postgres_url)
        writing = [asyncio.create_task(write_until_stored(node, number)) for number in range(200)]
        for _ in range(5):
            await asyncio.sleep(0.05)
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'crust' AND datname = current_database()"
            )
            writing += [asyncio.create_task(write_until_stored(node, number)) for number in range(50)]
        await asyncio.gather(*writing)
        await admin.close()
        positions = [event.position for event in await node.log.read(0, 10_000, 10_000)]
        assert positions == list(range(1, len(positions) + 1))
        assert len(positions) >= len(writing)


@pytest.mark.postgres
async def test_a_cancellation_is_not_lost_where_nothing_is_answered(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is the rollback: whoever was cancelled in a transaction, or in a query, ends as cancelled all the same, in time."""
    monkeypatch.setattr(asyncpg_engine, "END_S", 0.3)
    parts = urlsplit(postgres_url)
    proxy = FaultProxy(parts.hostname or "", parts.port or 5432, 1)
    await proxy.start()
    account = parts.netloc.rpartition("@")[0]
    url = urlunsplit(parts._replace(netloc=f"{account}@127.0.0.1:{proxy.port}"))
    try:
        async with opened(Settings(data_dir=tmp_path, database_url=url)) as node:
            entered = asyncio.Event()

            async def waiting() -> None:
                async with node.database.transaction():
                    entered.set()
                    await asyncio.Event().wait()

            async def reading() -> None:
                entered.set()
                await node.database.fetch("SELECT pg_sleep(60)")

            for work in (waiting, reading):
                entered.clear()
                task = asyncio.create_task(work())
                await entered.wait()
                await asyncio.sleep(0.2)
                proxy.weather = Weather(silent=True)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    async with asyncio.timeout(5):
                        await task
                proxy.weather = CLEAR
                await write_until_stored(node, 1)
    finally:
        await proxy.close()


@pytest.mark.postgres
async def test_a_postgresql_that_forgets_is_refused(postgres_url: str, tmp_path: Path) -> None:
    """`synchronous_commit = off` loses acknowledged messages in a crash: the start is refused, with the setting's name."""
    admin = await asyncpg.connect(postgres_url)
    name = await admin.fetchval("SELECT current_database()")
    await admin.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    await admin.close()
    with pytest.raises(StartRefused, match="synchronous_commit"):
        async with Database(Settings(data_dir=tmp_path, database_url=postgres_url)).opened():
            pass


async def test_a_database_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    """Nobody listens at the address, or the file cannot be one."""
    with pytest.raises(StartRefused):
        async with Database(Settings(data_dir=tmp_path, database_url="postgres://crust@127.0.0.1:1/none")).opened():
            pass
    (tmp_path / "crust.db").write_text("this is no database at all, but text of some length" * 50)
    with pytest.raises(StartRefused):
        async with Database(Settings(data_dir=tmp_path)).opened():
            pass
