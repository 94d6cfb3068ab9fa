"""The tutorials for authors, word for word: every command is run in one shell, and every line that they show is seen."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from crust.cli.reference import BEGIN
from tests.support.venv import Venv

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SECONDS = 400  # it waits for what people wait for, and a busy machine is slow


def blocks(path: str) -> list[tuple[str, str]]:
    """What is to be typed, and what is to be seen, in order."""
    return BLOCK.findall((ROOT / path).read_text().partition(BEGIN)[0])


@pytest.mark.timeout(SECONDS + 40)
@pytest.mark.postgres
@pytest.mark.rabbit
@pytest.mark.parametrize("path", ["plugins/README.md", "bridges/README.md"])
def test_a_tutorial_works_as_written(tmp_path: Path, path: str, postgres_url: str, rabbit_url: str) -> None:
    """From an empty folder with Crust in .venv; without a network, as packages are there already."""
    venv, found = Venv(tmp_path / ".venv"), blocks(path)
    script = "".join(block for kind, block in found if kind == "sh")
    environment = {name: value for name, value in venv.environment.items() if not name.startswith("CRUST_")}
    environment |= {"POSTGRES": postgres_url, "RABBIT": rabbit_url}
    script = f"trap 'kill $SERVER $WORKER 2>/dev/null || true' EXIT; SERVER= WORKER=\n{script}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=environment,
        text=True,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    lines = [line for kind, block in found if kind == "text" for line in block.splitlines()]
    assert len(lines) >= 5
    for line in lines:
        pattern = ".*".join(re.escape(part).replace(r"\ \ ", r" +") for part in line.split("…"))
        assert re.search(f"^{pattern}$", done.stdout, re.MULTILINE), f"{line!r} is not in:\n{said}"
