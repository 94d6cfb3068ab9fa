"""Export and import as an operator runs them: killed, repeated, through pipes, and in little memory however much there is."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.transfer import filled, measured
from tests.support.server import Server, call

MIB_MORE = 24  # for ten times the messages; what is held is 500 rows at a time, and SQLite's caches of 32 MiB at most


def test_an_import_that_is_killed_is_done_again(tmp_path: Path) -> None:
    """Wherever it was: the second time the rest comes, and nothing twice. It runs beside a server that serves meanwhile."""
    source = filled(tmp_path / "source", 3000)
    assert source.run("export", str(tmp_path / "lines"), "--passwords").returncode == 0
    assert (tmp_path / "lines").stat().st_mode & 0o077 == 0
    (tmp_path / "target").mkdir()
    target = Server(tmp_path / "target")
    target.start()
    try:
        for _ in range(3):
            cut = subprocess.Popen(target.command("import", str(tmp_path / "lines")), env=target.environment, stdout=subprocess.DEVNULL)
            time.sleep(1.5)
            cut.kill()
            cut.wait(20)
            assert target.ready()
        done = target.run("import", str(tmp_path / "lines"), "--json")
        assert done.returncode == 0, done.stderr
        counts = json.loads(done.stdout)
        again = json.loads(target.run("import", str(tmp_path / "lines"), "--json").stdout)
        assert again["made"] == {}
        assert sum(again["kept"].values()) == sum(counts["made"].values()) + sum(counts["kept"].values())
        piped = target.run("export", "-", "--passwords")
        assert piped.stdout.splitlines()[1:] == (tmp_path / "lines").read_text().splitlines()[1:]
        assert target.run("user", "password", "ana", "--password-stdin", stdin="correct horse battery\n").returncode == 0
        assert call(target.sign_in("ana"), "GET", "/message/search", query="roadmap")
    finally:
        target.close()


@pytest.mark.parametrize("arguments", [("export", "-"), ("user", "list")])
def test_an_answer_that_nobody_reads_on_ends_quietly(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """As in `crust export - | head -1`: no traceback, no message."""
    server = filled(tmp_path / "source", 10)
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing) as out:
        done = subprocess.run(
            server.command(*arguments),
            env=server.environment,
            cwd=server.folder,
            stdout=out,
            stderr=subprocess.PIPE,
            timeout=50,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.timeout(180)
def test_memory_does_not_grow_with_what_there_is(tmp_path: Path) -> None:
    """Ten times the messages, and neither export nor import takes much more."""
    peaks = {}
    for count in (2_000, 20_000):
        source = filled(tmp_path / f"source-{count}", count)
        (tmp_path / f"target-{count}").mkdir()
        lines = str(tmp_path / f"lines-{count}")
        peaks[count] = (
            measured(source, "export", lines).mib,
            measured(Server(tmp_path / f"target-{count}"), "import", lines).mib,
        )
    assert all(many - few < MIB_MORE for few, many in zip(*peaks.values(), strict=True)), peaks
