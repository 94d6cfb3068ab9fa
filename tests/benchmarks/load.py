"""Talk to a server and check what arrives: every receiver must get every message once, each sender's in order, all in one order."""

from __future__ import annotations

import asyncio
import itertools
import time
from array import array
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

MARK = b"~#"  # then sender, number and the time at which it was due, of fixed width
MARK_LENGTH = 2 + 4 + 8 + 20
CONTENTS = 200  # characters
DRAIN_S = 10.0

Sender = Callable[[str], Awaitable[None]]
"""Sends a text; returns when it is acknowledged."""


def text(sender: int, number: int, due_ns: int) -> str:
    return f"{MARK.decode()}{sender:04d}{number:08d}{due_ns:020d}".ljust(CONTENTS, "x")


@dataclass(slots=True)
class Receiver:
    """What one socket was sent."""

    count: int = 0
    faults: int = 0
    order: int = 0
    last: dict[bytes, bytes] = field(default_factory=dict)
    latencies: array[int] = field(default_factory=lambda: array("q"))

    def __call__(self, frame: bytes) -> None:
        now = time.monotonic_ns()
        at = frame.find(MARK)
        while at >= 0:
            sender, number = frame[at + 2 : at + 6], frame[at + 6 : at + 14]
            if number <= self.last.get(sender, b""):
                self.faults += 1  # twice, or out of order; what was lost shows in the count
            self.last[sender] = number
            self.count += 1
            self.order = hash((self.order, sender, number))
            self.latencies.append(now - int(frame[at + 14 : at + MARK_LENGTH]))
            at = frame.find(MARK, at + MARK_LENGTH)


@dataclass(frozen=True, slots=True)
class Figures:
    """What came of a volley; times in milliseconds, `busy` the load generator's share of its core."""

    sent_s: float
    delivered_s: float
    ack: tuple[float, float]
    end_to_end: tuple[float, float]
    faults: int
    busy: float

    @property
    def sound(self) -> bool:
        return self.faults == 0


async def volley(senders: Sequence[Sender], receivers: Sequence[Receiver], messages: int, rate: float | None = None) -> Figures:
    """Send so many messages; each sender waits for its acknowledgement before its next one, or sends at a `rate` (a second, in all).

    At a rate, latency counts from when a message was due, so that a server that stalls is not asked less.
    """
    for receiver in receivers:
        receiver.__init__()  # type: ignore[misc]  # begins anew, wherever it is referred to
    acks, numbers = array("q"), itertools.count(1)
    began, cpu = time.monotonic_ns(), time.process_time()

    async def speak(number: int, send: Sender) -> None:
        for own in itertools.count(1):
            at = next(numbers)
            if at > messages:
                return
            due = time.monotonic_ns() if rate is None else began + int(at / rate * 1e9)
            await asyncio.sleep(max(0.0, (due - time.monotonic_ns()) / 1e9) if rate else 0)
            await send(text(number, own, due))
            acks.append(time.monotonic_ns() - due)

    await asyncio.gather(*(speak(number, send) for number, send in enumerate(senders)))
    acknowledged = time.monotonic_ns()
    await drained(receivers, messages)
    ended, cpu = time.monotonic_ns(), time.process_time() - cpu
    latencies = sorted(itertools.chain.from_iterable(receiver.latencies for receiver in receivers))
    lost = sum(messages - receiver.count for receiver in receivers)
    return Figures(
        sent_s=messages / (acknowledged - began) * 1e9,
        delivered_s=sum(receiver.count for receiver in receivers) / (ended - began) * 1e9,
        ack=percentiles(sorted(acks)),
        end_to_end=percentiles(latencies),
        faults=abs(lost) + sum(receiver.faults for receiver in receivers) + len({receiver.order for receiver in receivers}) - 1,
        busy=cpu / (ended - began) * 1e9,
    )


async def drained(receivers: Sequence[Receiver], messages: int) -> None:
    """Wait until all have all, or nothing has come for a while."""
    before, moved = -1, time.monotonic()
    while (count := sum(receiver.count for receiver in receivers)) < messages * len(receivers):
        if count != before:
            before, moved = count, time.monotonic()
        if time.monotonic() - moved > DRAIN_S:
            return
        await asyncio.sleep(0.005)


def percentiles(values: Sequence[int]) -> tuple[float, float]:
    """p50 and p99 of sorted nanoseconds, in milliseconds."""
    if not values:
        return 0.0, 0.0
    return values[len(values) // 2] / 1e6, values[min(len(values) - 1, len(values) * 99 // 100)] / 1e6
