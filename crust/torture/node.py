"""A node whose deliveries and whose clock cannot be trusted; `crust torture` starts it in place of `crust serve`. Private.

    python -m crust.torture.node --port 8401 --seed 7 --mischief --clock 3600

It is the runtime itself. Between the node's queue and its fan-out stands `Mischief`, and its wall clock is set to another time every few
seconds. A proxy that understands nothing could do neither, and no other program can stand before an exclusive queue. With `--hasty`, leases
end and handlers that raise are tried again within seconds, so that a trial of many deaths ends. `--worker` makes it a `crust worker`.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Callable, Sequence

from crust.broker.base import Broker, Subscription
from crust.clock import SystemClock
from crust.events.control import Control
from crust.events.event import Event
from crust.host import schedule
from crust.log import leases
from crust.runtime import serve
from crust.settings import load
from crust.telemetry import configure, get_logger
from crust.torture.mischief import Mischief
from crust.worker import work

log = get_logger(__name__)

TOLD_S = 1.0
STEP_S = (1.0, 3.0)  # between two steps of the clock


class SteppingClock(SystemClock):
    """The wall clock as somebody keeps setting it, to within so many seconds of the truth; `monotonic` is not to be moved by anybody.

    Args:
        most: the farthest that it goes wrong, in seconds, either way.
        seed: of the steps.
    """

    def __init__(self, most: float, seed: int | str) -> None:
        self._most, self._chance = most, random.Random(seed)
        self._off = self._next = 0.0
        self.steps = 0

    def now(self) -> int:
        if self._most and time.monotonic() >= self._next:
            self._off = self._chance.uniform(-self._most, self._most)
            self._next = time.monotonic() + self._chance.uniform(*STEP_S)
            self.steps += 1
            log.info("the clock was set", off_s=round(self._off), steps=self.steps)
        return super().now() + round(self._off * 1000)


class Untrustworthy:
    """A broker whose deliveries went through `Mischief`; see `crust.broker.base.Broker`."""

    def __init__(self, broker: Broker, seed: int | str) -> None:
        self._broker, self._seed = broker, seed
        self.start, self.stop, self.publish = broker.start, broker.stop, broker.publish
        self.tell = broker.tell

    def subscribe(self) -> Subscription:
        return UntrustworthySubscription(self._broker.subscribe(), Mischief(self._seed))

    def on_control(self, listener: Callable[[Control], None]) -> Callable[[], None]:
        return self._broker.on_control(listener)


class UntrustworthySubscription:
    """One reader's end; see `crust.broker.base.Subscription`."""

    def __init__(self, inner: Subscription, mischief: Mischief[Event]) -> None:
        self._inner, self._mischief, self._told_at = inner, mischief, time.monotonic()

    async def receive(self, timeout: float) -> Sequence[Event]:
        given = self._mischief.done_to(await self._inner.receive(timeout))
        if time.monotonic() - self._told_at >= TOLD_S:
            self._told_at = time.monotonic()
            log.info("mischief", **self._mischief.tally.as_dict())
        return given

    def close(self) -> None:
        self._inner.close()


def make_hasty() -> None:
    """Have a lease taken 2 s after its owner's last word, and a handler tried three times in a second."""
    leases.TAKEN_AFTER_S, leases.TAKEN_AFTER_MS, leases.HEARTBEAT_S, leases.LOOK_S = 2.0, 2000, 0.5, 0.2
    schedule.RAISED_S = (0.2, 0.4)  # type: ignore[assignment]  # seconds in life


def main() -> None:
    """Serve, or work, until SIGTERM, as `crust serve` and `crust worker` do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--mischief", action="store_true")
    parser.add_argument("--clock", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--hasty", action="store_true")
    parser.add_argument("--worker", action="store_true")
    asked = parser.parse_args()
    if asked.hasty:
        make_hasty()
    settings = load(None, host="127.0.0.1", port=asked.port)
    configure(settings.log.level, settings.log.format)
    clock = SteppingClock(asked.clock, asked.seed)

    def through(broker: Broker) -> Broker:
        return Untrustworthy(broker, asked.seed) if asked.mischief else broker

    asyncio.run(work(settings, clock) if asked.worker else serve(settings, clock, through))


if __name__ == "__main__":
    main()
