"""How tests find the services they need.

`CRUST_TEST_POSTGRES_URL` names a PostgreSQL server on which databases may be made, `CRUST_TEST_RABBIT_URL` a RabbitMQ on which vhosts may
be made, with its management API 10,000 ports above. Without one of them the tests with its mark are left out, and the closing summary says
so; with `CRUST_TEST_REQUIRE=postgres,rabbit` the run fails instead, so that nobody takes fewer tests for all of them.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tests.support.rabbit import Management, RabbitServer

T = TypeVar("T")
POSTGRES_URL = os.environ.get("CRUST_TEST_POSTGRES_URL", "")
RABBIT_URL = os.environ.get("CRUST_TEST_RABBIT_URL", "")
REQUIRED = os.environ.get("CRUST_TEST_REQUIRE", "").replace(",", " ").split()
CONNECT_TIMEOUT_S = 10
LEFT_OUT = pytest.StashKey[dict[str, int]]()


@dataclass(frozen=True)
class Service:
    """A service that tests need: its mark, name, address, a try, and how to have one."""

    mark: str
    name: str
    variable: str
    url: str
    attempt: Callable[[], object]
    how_to_start: str


SERVICES = (
    Service(
        "postgres",
        "PostgreSQL",
        "CRUST_TEST_POSTGRES_URL",
        POSTGRES_URL,
        lambda: _run("SELECT 1"),
        "export CRUST_TEST_POSTGRES_URL=postgres://USER@HOST:PORT/postgres for a server of yours, or, as any user but root, start one:"
        " PATH=$PATH:$(echo /usr/lib/postgresql/*/bin); initdb -A trust -U postgres /tmp/crust-pg &&"
        " pg_ctl -D /tmp/crust-pg -l /tmp/crust-pg.log -o '-p 5499 -h 127.0.0.1 -k /tmp' -w start &&"
        " export CRUST_TEST_POSTGRES_URL=postgres://postgres@127.0.0.1:5499/postgres",
    ),
    Service(
        "rabbit",
        "RabbitMQ",
        "CRUST_TEST_RABBIT_URL",
        RABBIT_URL,
        lambda: Management(RABBIT_URL).call("GET", "overview"),
        "export CRUST_TEST_RABBIT_URL=amqp://USER:PASSWORD@HOST:PORT/ for a broker of yours whose management API listens 10000 ports above,"
        " or start one: python3 tests/support/rabbit.py /tmp/crust-rabbit & then, once it is there,"
        " export CRUST_TEST_RABBIT_URL=$(cat /tmp/crust-rabbit/url)",
    ),
    Service(
        "nginx",
        "nginx",
        "PATH",
        shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "",
        lambda: None,
        "install it (apt-get install nginx-light); tests start their own",
    ),
)


def pytest_configure(config: pytest.Config) -> None:
    """Fail the whole run where a service is required and not there."""
    config.stash[LEFT_OUT] = {}
    for service in SERVICES:
        if service.mark not in REQUIRED:
            continue
        wants = f"CRUST_TEST_REQUIRE wants {service.name}, but {service.variable}"
        if not service.url:
            raise pytest.UsageError(f"{wants} is not set: {service.how_to_start}")
        try:
            service.attempt()
        except (OSError, TimeoutError, asyncpg.PostgresError) as error:
            raise pytest.UsageError(f"{wants} fails: {error!r}") from None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs a service that was not named."""
    for service in SERVICES:
        if not service.url:
            left_out = [item for item in items if item.get_closest_marker(service.mark)]
            items[:] = [item for item in items if not item.get_closest_marker(service.mark)]
            config.stash[LEFT_OUT][service.mark] = len(left_out)
            config.hook.pytest_deselected(items=left_out)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where files are run side by side, each of the processes tells the one that sums up."""
    if (told := getattr(session.config, "workeroutput", None)) is not None:
        told["left_out"] = session.config.stash[LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """One of these has ended; each was asked for all tests."""
    told: dict[str, dict[str, int]] = getattr(node, "workeroutput", {})
    node.config.stash[LEFT_OUT].update(told.get("left_out", {}))  # type: ignore[attr-defined]  # xdist ships no types


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how much was left out, and how to have it run."""
    for service in SERVICES:
        if count := config.stash[LEFT_OUT].get(service.mark):
            line = f"{count} tests that need {service.name} were left out. To run them: {service.how_to_start}"
            terminalreporter.write_line(line, yellow=True)


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """The URL of an empty PostgreSQL database that is this test's own. A test may ask for it while its loop runs, too."""
    with database() as url:
        yield url


@pytest.fixture
def another_postgres_url() -> Iterator[str]:
    """The same once more."""
    with database() as url:
        yield url


@contextmanager
def database(template: str = "template1") -> Iterator[str]:
    """The URL of a database that is there for the length of a block: a copy of another one that nobody is connected to, or empty."""
    name = f"crust_test_{secrets.token_hex(8)}"
    _run(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield urlunsplit(urlsplit(POSTGRES_URL)._replace(path=f"/{name}"))
    finally:
        _run(f"DROP DATABASE {name} WITH (FORCE)")


def run_beside(work: Coroutine[Any, Any, T]) -> T:
    """Run it in a thread, which has a loop of its own whatever the caller's does."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def _run(statement: str) -> None:
    run_beside(_execute(statement))


async def _execute(statement: str) -> None:
    connection = await asyncpg.connect(POSTGRES_URL, timeout=CONNECT_TIMEOUT_S)
    try:
        await connection.execute(statement, timeout=CONNECT_TIMEOUT_S)
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT_S)


# ---- RabbitMQ


@pytest.fixture
def rabbit_url() -> Iterator[str]:
    """The URL of a vhost that is this test's own, and gone afterwards."""
    management, name = Management(RABBIT_URL), f"crust_test_{secrets.token_hex(8)}"
    management.call("PUT", "vhosts", name, body={})
    try:
        management.call(
            "PUT", "permissions", name, str(urlsplit(RABBIT_URL).username), body={"configure": ".*", "write": ".*", "read": ".*"}
        )
        yield urlunsplit(urlsplit(RABBIT_URL)._replace(path=f"/{name}"))
    finally:
        management.call("DELETE", "vhosts", name)


@pytest.fixture(scope="session")
def shared_rabbit_server() -> Iterator[RabbitServer]:
    """A RabbitMQ that tests may kill, block and wipe."""
    # Where root starts it, it runs as another account, which cannot look into pytest's folders.
    folder = Path(tempfile.mkdtemp(prefix="crust-rabbit-"))
    folder.chmod(0o755)
    server = RabbitServer(folder / "server")
    try:
        server.start()
        yield server
    finally:
        server.close()
        folder.rmdir()


@pytest.fixture
def own_rabbit(shared_rabbit_server: RabbitServer) -> RabbitServer:
    """The same, running and empty."""
    if shared_rabbit_server.process is not None:
        shared_rabbit_server.kill()
    shared_rabbit_server.wipe()
    shared_rabbit_server.start()
    return shared_rabbit_server
