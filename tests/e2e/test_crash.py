"""A tenth of the crash trial, with a fixed seed; `python -m tests.e2e.crash` is the whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.crash import run

FAULTS = 7  # the first figures; the others say how much was tried


@pytest.mark.asyncio
@pytest.mark.timeout(120)
@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def test_nothing_is_lost_doubled_or_misordered_by_kill_9(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Under 200 messages a second: every acknowledged message stored once, in order; every resuming socket has each event once."""
    url = request.getfixturevalue("postgres_url") if database == "postgres" else "sqlite"
    figures = await run(tmp_path, kills=2, rate=200, database=url, seed=1)
    assert not any(list(figures.values())[:FAULTS]), figures
    assert figures["acknowledged"] > 200, "there was load"
    assert figures["resumes"] >= 2 * 5, "every receiver came back after every kill"
