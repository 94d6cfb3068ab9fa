"""Export and import as an operator runs them: killed, repeated, through pipes, and in little memory however much there is."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.server import Server, call

MIB_MORE = 24  # for ten times the messages; what is held is 500 rows at a time, and SQLite's caches of 32 MiB at most


def filled(folder: Path, messages: int) -> Server:
    """A data folder with so many messages."""
    folder.mkdir()
    server = Server(folder)
    done = server.run("demo", "--users", "20", "--messages", str(messages), timeout=120)
    assert done.returncode == 0, done.stderr
    return server


def peak_mib(server: Server, *arguments: str) -> float:
    """The most memory that a command took."""
    with subprocess.Popen(server.command(*arguments), env=server.environment, cwd=server.folder, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss / 1024


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


@pytest.mark.timeout(180)
def test_memory_does_not_grow_with_what_there_is(tmp_path: Path) -> None:
    """Ten times the messages, and neither export nor import takes much more."""
    peaks = {}
    for count in (2_000, 20_000):
        source = filled(tmp_path / f"source-{count}", count)
        (tmp_path / f"target-{count}").mkdir()
        lines = str(tmp_path / f"lines-{count}")
        peaks[count] = (peak_mib(source, "export", lines), peak_mib(Server(tmp_path / f"target-{count}"), "import", lines))
    assert all(many - few < MIB_MORE for few, many in zip(*peaks.values(), strict=True)), peaks
