"""Every contract is tried on each database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from crust.clock import ManualClock
from crust.runtime import opened
from crust.settings import Passwords, Settings
from tests.support.consumers import Place
from tests.support.people import channel, person

# A password hash that costs next to nothing: its strength is not what these tests are about.
CHEAP = Passwords(time_cost=1, memory_kib=8, parallelism=1)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings over an empty database of its own."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else ""
    return Settings(data_dir=tmp_path / "data", database_url=url, passwords=CHEAP)


@pytest_asyncio.fixture
async def place(settings: Settings) -> AsyncIterator[Place]:
    """A node whose clock stands still, with a person and two channels."""
    clock = ManualClock()
    async with opened(settings, clock) as node:
        ana = await person(node, "ana", is_admin=True)
        yield Place(node, clock, ana, await channel(node, ana), await channel(node, ana, name="other"))
