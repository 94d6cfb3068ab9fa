"""Measure a Crust server beside the floors that it stands on, and print a table.

    python -m tests.benchmarks                      # everything: about half an hour
    python -m tests.benchmarks fan_out idle         # some of it
    python -m tests.benchmarks fan_out --server uvicorn --rounds 1

The server is pinned to one core, the load generator to another; whatever else runs on the machine shows in the figures, so compare only
what stands in one row. Nothing here is a test: a figure that is not as wanted fails nothing. Exit status 1 when a message was lost, came
twice or out of order.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version

from crust.telemetry import configure
from tests.benchmarks.cases import CASES
from tests.benchmarks.processes import CLIENT_CORE, CORES
from tests.benchmarks.sitting import Row, Sitting

HEAD = Row("measured", "figure", "beside it", "ratio", "wanted")


def machine(server: str) -> str:
    """What it was measured on."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("quart", server))
    return f"{datetime.now(UTC):%Y-%m-%d}, {len(CORES)} cores ({platform.machine()}), Python {platform.python_version()}, {libraries}"


def shown(row: Row) -> str:
    return f"| {row.what} | {row.value} | {row.floor} | {row.ratio} | {row.wanted} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", choices=[[], *CASES], help="which of them; all without")
    parser.add_argument("--server", choices=["hypercorn", "uvicorn"], default="hypercorn")
    parser.add_argument("--rounds", type=int, default=3, help="how often each pair is measured, in turn; the median counts")
    parser.add_argument("--scale", type=float, default=1.0, help="with this part of the people and messages: only to see that it works")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {CLIENT_CORE})
    configure("error")
    print(machine(arguments.server), "", shown(HEAD), "| --- | --- | --- | --- | --- |", sep="\n", flush=True)
    for name in arguments.cases or CASES:
        for row in asyncio.run(CASES[name](Sitting(arguments.server, arguments.rounds, arguments.scale))):
            print(shown(row), flush=True)


if __name__ == "__main__":
    main()
