"""How tests find the services they need.

`CRUST_TEST_POSTGRES_URL` names a PostgreSQL server on which databases may be made. Without it the tests marked `postgres` are left out,
and the closing summary says so; with `CRUST_TEST_REQUIRE=postgres` the run fails instead, so that nobody takes fewer tests for all of them.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

POSTGRES_URL = os.environ.get("CRUST_TEST_POSTGRES_URL", "")
REQUIRED = os.environ.get("CRUST_TEST_REQUIRE", "").replace(",", " ").split()
CONNECT_TIMEOUT_S = 10
LEFT_OUT = pytest.StashKey[int]()
HOW_TO_START = (
    "export CRUST_TEST_POSTGRES_URL=postgres://USER@HOST:PORT/postgres for a server of yours, or, as any user but root, start one:"
    " PATH=$PATH:$(echo /usr/lib/postgresql/*/bin); initdb -A trust -U postgres /tmp/crust-pg &&"
    " pg_ctl -D /tmp/crust-pg -l /tmp/crust-pg.log -o '-p 5499 -h 127.0.0.1 -k /tmp' -w start &&"
    " export CRUST_TEST_POSTGRES_URL=postgres://postgres@127.0.0.1:5499/postgres"
)


def pytest_configure(config: pytest.Config) -> None:
    """Fail the whole run where a service is required and not there."""
    config.stash[LEFT_OUT] = 0
    if "postgres" not in REQUIRED:
        return
    if not POSTGRES_URL:
        raise pytest.UsageError(f"CRUST_TEST_REQUIRE wants PostgreSQL, but CRUST_TEST_POSTGRES_URL is not set: {HOW_TO_START}")
    try:
        _run("SELECT 1")
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise pytest.UsageError(f"CRUST_TEST_REQUIRE wants PostgreSQL, but CRUST_TEST_POSTGRES_URL fails: {error!r}") from None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a service that was not named."""
    if POSTGRES_URL:
        return
    left_out = [item for item in items if item.get_closest_marker("postgres")]
    items[:] = [item for item in items if not item.get_closest_marker("postgres")]
    config.stash[LEFT_OUT] = len(left_out)
    config.hook.pytest_deselected(items=left_out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how much was left out, and how to have it run."""
    if count := config.stash[LEFT_OUT]:
        terminalreporter.write_line(f"{count} tests that need PostgreSQL were left out. To run them: {HOW_TO_START}", yellow=True)


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """The URL of an empty PostgreSQL database that is this test's own. A test may ask for it while its loop runs, too."""
    with _database() as url:
        yield url


@pytest.fixture
def another_postgres_url() -> Iterator[str]:
    """The same once more."""
    with _database() as url:
        yield url


@contextmanager
def _database() -> Iterator[str]:
    name = f"crust_test_{secrets.token_hex(8)}"
    _run(f"CREATE DATABASE {name}")
    try:
        yield urlunsplit(urlsplit(POSTGRES_URL)._replace(path=f"/{name}"))
    finally:
        _run(f"DROP DATABASE {name} WITH (FORCE)")


def _run(statement: str) -> None:
    """Execute it in a thread, which has a loop of its own whatever the caller's does."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, _execute(statement)).result()


async def _execute(statement: str) -> None:
    connection = await asyncpg.connect(POSTGRES_URL, timeout=CONNECT_TIMEOUT_S)
    try:
        await connection.execute(statement, timeout=CONNECT_TIMEOUT_S)
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT_S)
