"""The benchmarks work. How fast anything was is nothing that a test looks at."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.benchmarks.cases import CASES


@pytest.mark.timeout(180)
def test_every_benchmark_prints_its_rows_and_loses_nothing() -> None:
    """With a hundredth of the people and messages; it ends with another status when a message is lost, doubled or out of order."""
    command = [sys.executable, "-m", "tests.benchmarks", "--rounds", "1", "--scale", "0.01"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[2].startswith("| measured |")
    assert len(lines) >= 4 + len(CASES)
    assert all(line.startswith("| ") and line.count("|") == 6 for line in lines[2:])
