"""Measure an export and an import: their time, and the most memory that they take.

    python -m tests.e2e.transfer --messages 1000000
    python -m tests.e2e.transfer --messages 1000000 --database postgres://postgres@127.0.0.1:5432/empty

The messages are a demo's, in SQLite; they go into another SQLite file, or into an empty PostgreSQL database. What was imported is exported
again, and must be the same lines. Exit status 1 when it is not.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from tests.support.server import Server


class Taken(NamedTuple):
    """What a command took: seconds, and its most memory in MiB."""

    seconds: float
    mib: float

    def __str__(self) -> str:
        return f"{self.seconds:.0f} s, {self.mib:.0f} MiB at most"


def filled(folder: Path, messages: int) -> Server:
    """A data folder with so many messages."""
    folder.mkdir()
    server = Server(folder)
    done = server.run("demo", "--users", "20", "--messages", str(messages), timeout=3600)
    assert done.returncode == 0, done.stderr
    return server


def measured(server: Server, *arguments: str) -> Taken:
    """Run a command, which must succeed."""
    began = time.monotonic()
    with subprocess.Popen(server.command(*arguments), env=server.environment, cwd=server.folder, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    return Taken(time.monotonic() - began, usage.ru_maxrss / 1024)


def same(one: Path, other: Path) -> bool:
    """Whether two exports differ in their first lines at most."""
    with one.open("rb") as a, other.open("rb") as b:
        return all(n == 0 or x == y for n, (x, y) in enumerate(zip_longest(a, b)))


def trial(folder: Path, messages: int, database: str) -> Iterator[str]:
    """Out, in, and out again; tells what each took.

    Raises:
        AssertionError: something failed, or came in as something else.
    """
    source = filled(folder / "source", messages)
    (folder / "target").mkdir()
    target = Server(folder / "target", {"CRUST_DATABASE_URL": database} if database else None)
    yield f"export: {measured(source, 'export', str(folder / 'lines'))}, {(folder / 'lines').stat().st_size / 2**20:.0f} MiB of lines"
    yield f"import: {measured(target, 'import', str(folder / 'lines'))}"
    yield f"import again: {measured(target, 'import', str(folder / 'lines'))}"
    yield f"export of that: {measured(target, 'export', str(folder / 'again'))}"
    assert same(folder / "lines", folder / "again"), "what came in is not what went out"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--database", default="", help="an empty PostgreSQL database to import into; else a SQLite file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crust-transfer-") as name:
        try:
            for line in trial(Path(name), arguments.messages, arguments.database):
                print(line, flush=True)
        except AssertionError as error:
            print(f"failed: {error}", flush=True)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
