"""`crust plugins new`: what it makes can be installed, and passes its own tests; what it cannot make it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from crust.cli.making import make
from crust.errors import Conflict, CrustError
from crust.host.kinds import kinds
from tests.support.venv import Venv

pytestmark = pytest.mark.timeout(180)


def new(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "crust.cli.main", "plugins", "new", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_what_is_made_works(tmp_path: Path) -> None:
    """A plugin and a bridge: installed, found by their entry points, tested, and wheels with all of their modules."""
    assert new(tmp_path, "hello_there").returncode == 0
    assert new(tmp_path, "toy", "--bridge").returncode == 0
    venv = Venv(tmp_path / ".venv")
    venv.python("-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "-e", "crust-hello-there", "-e", "crust-toy")
    tests = venv.python("-m", "pytest", "-q", "-p", "no:cacheprovider", "crust-hello-there", "crust-toy")
    assert "3 passed" in tests
    (tmp_path / "config.toml").write_text('[plugins.hello_there]\n[plugins.toy]\n[plugins.toy.config]\npath = "network"\n')
    assert venv.python("-m", "crust.cli.main", "plugins", "check") == "the plugins are good\n"
    sources = sorted(map(str, tmp_path.glob("crust-*/**/*.py")))
    subprocess.run([sys.executable, "-m", "ruff", "check", "-q", "--isolated", *sources], check=True, timeout=60)


@pytest.mark.parametrize(
    ("name", "why"),
    [("Hello", "can be no plugin's name"), ("../hello", "can be no plugin's name"), ("hel-lo", "can be no plugin's name"),
     ("message", "means something else"), ("class", "means something else"), ("config", "means something else"),
     ("welcome", "There is a plugin welcome already"), ("a" * 32, "31 at most")],
)  # fmt: skip
def test_a_name_that_cannot_be(tmp_path: Path, name: str, why: str) -> None:
    """Is refused, and nothing is made."""
    with pytest.raises(CrustError, match=why):
        make(name, tmp_path, "plugin", kinds())
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """What is there stays as it is; a folder that is not there is said to be none."""
    (tmp_path / "crust-hello").mkdir()
    (tmp_path / "crust-hello" / "mine").write_text("mine")
    with pytest.raises(Conflict, match="is there already; nothing was changed"):
        make("hello", tmp_path, "plugin", ())
    assert [path.name for path in (tmp_path / "crust-hello").iterdir()] == ["mine"]
    done = new(tmp_path, "hello", "--folder", "nowhere")
    assert (done.returncode != 0, "There is no folder nowhere" in done.stderr) == (True, True)
