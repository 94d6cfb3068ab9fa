"""The benchmarks work. How fast anything was is nothing that a test looks at."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.benchmarks.cases import CASES

WITH_RABBITMQ = ("rabbit", "away", "nodes", "plugin")


def run(case: str) -> None:
    """With a hundredth of the people and messages; it ends with another status when a message is lost, doubled or out of order."""
    command = [sys.executable, "-m", "tests.benchmarks", case, "--rounds", "1", "--scale", "0.01"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=480, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[2].startswith("| measured |")
    assert len(lines) >= 5
    assert all(line.startswith("| ") and line.count("|") == 6 for line in lines[2:])


@pytest.mark.timeout(500)
@pytest.mark.parametrize("case", [case for case in CASES if case not in WITH_RABBITMQ])
def test_a_benchmark_of_one_server_prints_its_rows(case: str) -> None:
    """And loses nothing."""
    run(case)
