"""Every contract is tried on each database."""

from __future__ import annotations

from pathlib import Path

import pytest

from crust.settings import Passwords, Settings

# A password hash that costs next to nothing: its strength is not what these tests are about.
CHEAP = Passwords(time_cost=1, memory_kib=8, parallelism=1)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings over an empty database of its own."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else ""
    return Settings(data_dir=tmp_path / "data", database_url=url, passwords=CHEAP)
