"""Every contract is tried on each database. Migrating takes half a second, so a test gets a copy of what was migrated once."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from crust.clock import ManualClock
from crust.runtime import opened
from crust.settings import Passwords, Settings
from tests.conftest import database, run_beside
from tests.support.consumers import Place
from tests.support.people import channel, person

# A password hash that costs next to nothing: its strength is not what these tests are about.
CHEAP = Passwords(time_cost=1, memory_kib=8, parallelism=1)
DATABASES = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


async def migrate(settings: Settings) -> None:
    async with opened(settings):
        pass


@pytest.fixture(scope="session")
def sqlite_in(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Settings]:
    """Makes a migrated SQLite database with no account in it, in a folder that is made, too."""
    original = Settings(data_dir=tmp_path_factory.mktemp("migrated"))
    run_beside(migrate(original))
    assert original.sqlite_path is not None
    migrated = original.sqlite_path

    def made(folder: Path) -> Settings:
        settings = Settings(data_dir=folder, passwords=CHEAP)
        folder.mkdir(mode=0o700)
        shutil.copy(migrated, folder / migrated.name)
        return settings

    return made


@pytest.fixture(scope="session")
def migrated_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a database with no account in it."""
    with database() as url:
        run_beside(migrate(Settings(data_dir=tmp_path_factory.mktemp("migrated"), database_url=url)))
        yield url.rpartition("/")[2]


@pytest.fixture(params=DATABASES)
def settings(request: pytest.FixtureRequest, tmp_path: Path, sqlite_in: Callable[[Path], Settings]) -> Iterator[Settings]:
    """Settings over a migrated database of its own, with no account in it."""
    if request.param == "postgres":
        with database(request.getfixturevalue("migrated_postgres")) as url:
            yield Settings(data_dir=tmp_path / "data", database_url=url, passwords=CHEAP)
    else:
        yield sqlite_in(tmp_path / "data")


@pytest.fixture(params=DATABASES)
def empty_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings over a database of its own in which nothing is yet, not even tables."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else ""
    return Settings(data_dir=tmp_path / "data", database_url=url, passwords=CHEAP)


@pytest_asyncio.fixture
async def place(settings: Settings) -> AsyncIterator[Place]:
    """A node whose clock stands still, with a person and two channels."""
    clock = ManualClock()
    async with opened(settings, clock) as node:
        ana = await person(node, "ana", is_admin=True)
        yield Place(node, clock, ana, await channel(node, ana), await channel(node, ana, name="other"))
