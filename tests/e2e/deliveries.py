"""Kill the processes that events are delivered to, from without and from within, and count what was lost, doubled or parked.

    python -m tests.e2e.deliveries --events 4000 --kills 20 --database sqlite
    python -m tests.e2e.deliveries --events 4000 --kills 20 --database postgres://postgres@127.0.0.1:5432/empty_database

Two workers host one instance, and are started anew whenever they end. One event in a hundred is poison: its handler raises, hangs, exits
the process or loops for ever. In the end exactly the poison is parked, and each other event has had its effect once.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from crust.runtime import Node, opened
from crust.settings import Settings
from tests.e2e.delivery_worker import NAME, POISON
from tests.support.people import channel, person, say

LANES, WORKERS = 12, 2


@dataclass
class Workers:
    """The processes, as somebody who watches over them has them."""

    environment: dict[str, str]
    folder: Path
    running: dict[int, asyncio.subprocess.Process] = field(default_factory=dict)
    ends: Counter[str] = field(default_factory=Counter)

    async def keep(self, number: int) -> None:
        """Start one again whenever it ends."""
        with (self.folder / "workers.log").open("ab") as log:
            while True:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "tests.e2e.delivery_worker", str(self.folder / "effects"),
                    env=self.environment, stdout=log, stderr=log,
                )  # fmt: skip
                self.running[number] = process
                try:
                    self.ends[str(await process.wait())] += 1
                finally:
                    if process.returncode is None:
                        process.kill()
                        await process.wait()

    async def kill(self, chance: random.Random, times: int, stop: asyncio.Event) -> None:
        """SIGKILL one now and then."""
        for _ in range(times):
            await asyncio.sleep(chance.uniform(0.5, 3.0))
            if stop.is_set():
                return
            process = self.running.get(chance.randrange(WORKERS))
            if process is not None and process.returncode is None:
                process.kill()


def texts(count: int, chance: random.Random) -> list[str]:
    """What is said: a lane, a number, and what its handler does. Of each hundred, one is poison, each kind in turn."""
    kinds = itertools.cycle(POISON)
    poison = {start + chance.randrange(100): next(kinds) for start in range(0, count, 100)}
    return [f"{chance.randrange(LANES)} {number} {poison.get(number, 'well')}" for number in range(count)]


async def open_rows(node: Node) -> int:
    rows = await node.database.fetch("SELECT count(*) AS n FROM delivery WHERE state IN ('waiting', 'running')")
    return int(rows[0]["n"])


async def run(folder: Path, events: int, kills: int, database: str, seed: int, seconds: float = 600) -> dict[str, int]:
    """One trial. Gives counts: of the first ones all must be zero."""
    chance = random.Random(seed)
    settings = Settings(data_dir=folder / "data", database_url="" if database == "sqlite" else database)
    environment = {
        "PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2]), "CRUST_DATA_DIR": str(settings.data_dir),
        "CRUST_DATABASE_URL": settings.database_url,
    }  # fmt: skip
    async with opened(settings) as node:
        ana = await person(node, "ana", is_admin=True)
        room = await channel(node, ana)
        await node.consumers.begin(NAME)
        workers, stop = Workers(environment, folder), asyncio.Event()
        tasks = [asyncio.create_task(workers.keep(number)) for number in range(WORKERS)]
        killing = asyncio.create_task(workers.kill(chance, kills, stop))
        said = texts(events, chance)
        try:
            for start in range(0, events, 20):
                await asyncio.gather(*(say(node, ana, room, text) for text in said[start : start + 20]))
                await asyncio.sleep(0.05)
            async with asyncio.timeout(seconds):
                await killing
                head = (await node.log.head()).position
                while await node.consumers.offset(NAME) < head or await open_rows(node):
                    await asyncio.sleep(0.2)
        finally:
            stop.set()
            for task in (*tasks, killing):
                task.cancel()
            await asyncio.gather(*tasks, killing, return_exceptions=True)
        return {**await faults(node, folder, said), **{f"ended with {status}": n for status, n in sorted(workers.ends.items())}}


async def faults(node: Node, folder: Path, said: list[str]) -> dict[str, int]:
    """What must be zero, and then what was tried."""
    rows = await node.database.fetch(
        "SELECT d.state, d.lane, d.position, d.deaths, e.body FROM delivery d JOIN event e ON e.position = d.position ORDER BY d.position"
    )
    well = {row["position"] for row in rows if " well" in row["body"]}
    parked = {row["position"] for row in rows if row["state"] == "parked"}
    counts = {row["key"]: row["body"] for row in await node.database.fetch("SELECT key, body FROM document WHERE collection = 'counts'")}
    lanes = Counter(row["lane"] for row in rows if row["position"] in well)
    effects = [line.split() for line in (folder / "effects").read_text().splitlines()]
    first = {lane: list(dict.fromkeys(int(p) for name, p in effects if name == lane)) for lane in lanes}
    deaths = sum(row["deaths"] for row in rows)
    return {
        "not delivered": len(said) - len(rows),
        "innocents parked": len(parked & well),
        "poison not parked": len(rows) - len(well) - len(parked - well),
        "not done": sum(row["state"] != "done" for row in rows if row["position"] in well),
        "effects not once": sum(counts.get(str(position)) != '{"n":1}' for position in well),
        "sums that are wrong": sum(counts.get(f"lane {lane}") != f'{{"n":{n}}}' for lane, n in lanes.items()),
        "out of order": sum(found != sorted(found) for found in first.values()),
        "outward duplicates beyond one a lane and death": max(0, len(effects) - len(well) - deaths),
        "events": len(rows),
        "poison": len(rows) - len(well),
        "outward duplicates": len(effects) - len(well),
        "deaths counted": deaths,
        "most deaths of an innocent": max(row["deaths"] for row in rows if row["position"] in well),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=4000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--database", default="sqlite", help="sqlite, or the URL of an empty PostgreSQL database")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(run(Path(folder), arguments.events, arguments.kills, arguments.database, arguments.seed, 3600))
    for name, value in figures.items():
        print(f"{name:48} {value}")
    return 1 if any(list(figures.values())[:8]) else 0


if __name__ == "__main__":
    sys.exit(main())
