"""plugins/README.md, word for word: from nothing to an installed plugin that acts, is broken on purpose, and is mended."""

from __future__ import annotations

import os
import re
import site
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def installed(folder: Path) -> dict[str, str]:
    """A `.venv` of its own that has what this one has; gives the environment in which pip needs no network."""
    subprocess.run([sys.executable, "-m", "venv", ".venv"], cwd=folder, check=True, timeout=60)
    python = folder / ".venv" / "bin" / "python"
    [packages] = (folder / ".venv" / "lib").glob("python*/site-packages")
    seen = [ROOT, ROOT / "plugins", ROOT / "bridges", *site.getsitepackages()]
    (packages / "crust.pth").write_text("".join(f"{path}\n" for path in seen))
    crust = python.with_name("crust")
    crust.write_text(f'#!/bin/sh\nexec "{python}" -m crust.cli.main "$@"\n')
    crust.chmod(0o755)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CRUST_")}
    return {**inherited, "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_INDEX": "1"}


@pytest.mark.timeout(420)
def test_the_tutorial_works_as_written(tmp_path: Path) -> None:
    """Every command, in one shell; what it shows is what the text says."""
    text = (ROOT / "plugins" / "README.md").read_text().partition("\n## Ten minutes")[2].partition("\n## ")[0]
    script = "trap 'kill $SERVER 2>/dev/null || true' EXIT\nSERVER=\n" + "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env=installed(tmp_path), text=True, capture_output=True, timeout=360,
        check=False,
    )  # fmt: skip
    said = done.stdout
    assert done.returncode == 0, said + done.stderr
    assert "1 passed" in said
    assert said.count("the plugins are good") == 1
    assert "plugins.hello.config.greting: no such setting; is greeting meant?" in said
    assert re.search(r"hello +hello +running", said)
    assert re.search(r"crust_hello/hello\.py.*\n.*self\.ctx\.config\.greeting\.format", said), "the author's own line"
    assert "KeyError: 'nam'" in said
    assert "1 events and 0 lanes are tried again" in said
    assert said.rpartition('"response"')[2].count("Good morning, ana!") == 2
