"""A process that events are delivered to: `python -m tests.e2e.delivery_worker FILE`. FILE gets a line for each effect.

What a message says is what its handler does: `raises`, `hangs`, `exits`, `loops`, else it keeps a document and writes a line. Leases
and waits are shorter than in life, so that a trial of many deaths ends.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

import msgspec

from crust.events.event import Event
from crust.host import schedule
from crust.host.consumer import Delivery, Over, Parked
from crust.host.engine import Engine
from crust.log import leases
from crust.runtime import opened
from crust.settings import load
from crust.telemetry import configure

POISON = ("raises", "hangs", "exits", "loops")
NAME = "trial"


class Trial:
    """See the module."""

    name = NAME
    collections: Mapping[str, Sequence[str]] = {}

    def __init__(self, out: TextIO) -> None:
        self._out = out

    async def ready(self) -> None:
        """Knows all that it has to."""

    def wants(self, event: Event) -> Sequence[str]:
        if (event.type, event.event) != ("message", "created"):
            return []
        words = said(event).split()
        return [words[0]] if len(words) == 3 else []

    async def still_allowed(self, delivery: Delivery) -> bool:
        return True

    async def handle(self, delivery: Delivery) -> None:
        what = said(delivery.event).split()[2]
        if what == "exits":
            os._exit(3)
        while what == "loops":
            pass
        if what == "hangs":
            await asyncio.sleep(3600)
        if what == "raises":
            raise ValueError("a bug")
        counts = delivery.store.collection("counts")
        before, total = await counts.get(str(delivery.event.position)), await counts.get(f"lane {delivery.lane}")
        await counts.put(str(delivery.event.position), {"n": number(before) + 1})
        await counts.put(f"lane {delivery.lane}", {"n": number(total) + 1})
        self._out.write(f"{delivery.lane} {delivery.event.position}\n")
        self._out.flush()

    def over(self, over: Over) -> None:
        """Is told by the rows."""

    def parked(self, parked: Parked) -> None:
        """Is told by the rows."""


def said(event: Event) -> str:
    contents: str = msgspec.json.decode(event.body)["contents"]
    return contents


def number(document: object) -> int:
    body = getattr(document, "body", {"n": 0})
    return int(body["n"])


async def main(path: Path) -> None:
    leases.TAKEN_AFTER_S, leases.TAKEN_AFTER_MS, leases.HEARTBEAT_S, leases.LOOK_S = 2.0, 2000, 0.5, 0.2
    schedule.RAISED_S = (0.2, 0.4)  # type: ignore[assignment]  # seconds in life
    settings = load(None)
    limits = settings.delivery.model_copy(update={"handler_s": 1.0, "blocked_s": 2.0, "lanes": 8})
    with path.open("a") as out:
        async with opened(settings) as node:
            engine = Engine(node.database, node.log, node.broker, node.leases, node.consumers, node.clock, limits, node.metrics)
            await asyncio.gather(engine.watch(), engine.run(Trial(out)))


if __name__ == "__main__":
    configure("warning", "json")
    asyncio.run(main(Path(sys.argv[1])))
