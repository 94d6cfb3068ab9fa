"""`crust plugins new`: what it writes works as it stands, and it writes over nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crust.errors import Conflict, Invalid
from crust.operations.skeleton import make


@pytest.mark.parametrize("name", ["hello", "good-day"])
def test_its_test_passes(tmp_path: Path, name: str) -> None:
    """In a process of its own, with the package found as when it is installed."""
    make(name, tmp_path)
    root = tmp_path / f"crust-{name}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *sys.path])}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={root}", str(root / "tests")]
    done = subprocess.run(command, cwd=root, env=environment, text=True, capture_output=True, timeout=55, check=False)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["", "Hello", "9lives", "a_b", "-a", "a-", "class", "../up", "x" * 33])
def test_a_name_that_is_none(tmp_path: Path, name: str) -> None:
    """It is refused, and nothing is written."""
    with pytest.raises(Invalid, match="cannot be a plugin's name"):
        make(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_stays(tmp_path: Path) -> None:
    """A folder that is there is not written to, whatever is in it."""
    (tmp_path / "crust-hello").mkdir()
    with pytest.raises(Conflict, match="is there already; nothing was written"):
        make("hello", tmp_path)
    assert list((tmp_path / "crust-hello").iterdir()) == []
