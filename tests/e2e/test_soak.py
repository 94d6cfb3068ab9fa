"""Twenty seconds of the soak, with a fixed seed; `python -m tests.e2e.soak` is the whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.soak.report import table
from tests.e2e.soak.trial import Plan, run


@pytest.mark.asyncio
@pytest.mark.timeout(180)
@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def test_random_traffic_of_every_kind_leaves_nothing_wrong(database: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Nothing lost, doubled, misordered or told to the wrong people, no status that was not due, and no descriptor left open.

    Whether memory grows cannot be told in so short a time.
    """
    url = request.getfixturevalue("postgres_url") if database == "postgres" else "sqlite"
    trial = await run(tmp_path, Plan(seconds=20, rate=30, seed=1, database=url, judge_memory=False))
    told = "\n".join([table(trial), *trial.ledger.details])
    assert not trial.ledger.faults.total(), told
    assert len(trial.ledger.said) > 100, "there was talk"
    assert len(trial.ledger.actions) > 30, "of nearly every kind"
    assert trial.ledger.resumes > 5, "sockets came back"
    assert trial.ledger.closes["4008"] > 0, "somebody was too slow"
