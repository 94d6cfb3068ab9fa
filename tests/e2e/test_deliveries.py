"""A tenth of the trial of deliveries, with a fixed seed; `python -m tests.e2e.deliveries` is the whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.deliveries import run

FAULTS = 8  # the first figures; the others say how much was tried


@pytest.mark.asyncio
@pytest.mark.timeout(180)
@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def test_exactly_the_poison_is_parked_and_every_effect_is_there_once(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Handlers raise, hang, exit and loop for ever, processes are killed; the others' events are delivered, in order."""
    url = request.getfixturevalue("postgres_url") if database == "postgres" else "sqlite"
    figures = await run(tmp_path, events=400, kills=3, database=url, seed=1, seconds=150)
    assert not any(list(figures.values())[:FAULTS]), (figures, (tmp_path / "workers.log").read_text()[-6000:])
    assert (figures["events"], figures["poison"]) == (400, 4)
    assert figures["ended with 70"] >= 3, "the one that looped was ended three times"
    assert figures["ended with 3"] >= 3, "and so was the one that exited"
