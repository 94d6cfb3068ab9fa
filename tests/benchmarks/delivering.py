"""How many events a second go through a handler that does nothing: dispatched, claimed, handled, ended.

    python -m tests.benchmarks.delivering --database sqlite
    python -m tests.benchmarks.delivering --database postgres://postgres@127.0.0.1:5432/empty_database

The events are in the log before the clock starts; nobody else is at work. With `--lanes 1` they stand behind each other in one lane.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from crust.host.consumer import Delivery
from crust.runtime import opened
from crust.settings import Settings
from crust.telemetry import configure
from tests.support.consumers import Listener, delivering, engine_of
from tests.support.people import channel, person, position, say


async def keep(delivery: Delivery) -> None:
    """Keep a document of it."""
    await delivery.store.collection("seen").put(str(delivery.event.position), {"n": 1})


async def run(folder: Path, database: str, events: int, lanes: int, *, writes: bool) -> float:
    """Events a second."""
    async with opened(Settings(data_dir=folder, database_url="" if database == "sqlite" else database)) as node:
        ana = await person(node, "ana", is_admin=True)
        room = await channel(node, ana)
        begin = await position(node)
        for _ in range(0, events, 500):
            await asyncio.gather(*(say(node, ana, room) for _ in range(min(500, events))))
        listener, engine = Listener(lane=lambda event: str(event.position % lanes)), engine_of(node)
        if writes:
            listener.handler = keep
        began = time.monotonic()
        async with delivering(engine, listener, after=begin):
            took = time.monotonic() - began
        assert len(listener.heard) == events
        return events / took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--lanes", type=int, default=100)
    parser.add_argument("--database", default="sqlite", help="sqlite, or the URL of an empty PostgreSQL database")
    parser.add_argument("--writes", action="store_true", help="the handler keeps a document of each")
    arguments = parser.parse_args()
    configure("error")
    with tempfile.TemporaryDirectory() as folder:
        rate = asyncio.run(run(Path(folder), arguments.database, arguments.events, arguments.lanes, writes=arguments.writes))
    print(f"{rate:.0f} events/s")


if __name__ == "__main__":
    main()
