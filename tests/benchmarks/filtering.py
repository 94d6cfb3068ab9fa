"""What the chain of filters costs a message: `python -m tests.benchmarks.filtering`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from crust.clock import SystemClock
from crust.host.chain import FilterChain, Link
from crust.plugin import MessageDraft
from crust.services.actor import Actor
from crust.services.filters import Where

ROUNDS = 20_000
ACTOR, WHERE = Actor(1, "ana", 1, "app"), Where(2, 3, "public")
HOOK = "filter_message_post"


async def trivial(draft: MessageDraft) -> None:
    """Has nothing to say."""


def chain_of(filters: int) -> FilterChain:
    chain = FilterChain(SystemClock())
    links = [Link(f"f{number}", "allow", frozenset({"public"}), {HOOK: trivial}, frozenset({"2"}), "9") for number in range(filters)]
    chain.install([(HOOK, link) for link in links])
    return chain


async def as_services_do(chain: FilterChain) -> None:
    """What a service does of it for each message."""
    if "message_post" in chain.wanted:
        await chain.message_post(ACTOR, WHERE, "hello", None, None)


async def microseconds(work: Callable[[], Awaitable[None]]) -> float:
    """A call's cost, the best of five rounds."""
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(ROUNDS):
            await work()
        best = min(best, time.perf_counter() - began)
    return best / ROUNDS * 1e6


async def main() -> None:
    for filters in (0, 1, 3):
        chain = chain_of(filters)
        print(f"{filters} trivial filters: {await microseconds(lambda chain=chain: as_services_do(chain)):.1f} µs a message")  # type: ignore[misc]  # mypy does not infer defaults of a lambda


if __name__ == "__main__":
    asyncio.run(main())
