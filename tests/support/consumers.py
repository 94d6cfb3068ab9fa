"""Consumers of events for tests of the host, and an engine to run them on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from crust.clock import ManualClock
from crust.events.event import Event
from crust.host.consumer import Delivery, Outcome, Over, Parked
from crust.host.engine import Engine
from crust.log import Consumers, Leases
from crust.models.database import Row
from crust.runtime import Node
from crust.services.actor import Actor
from crust.telemetry import Metrics
from tests.support.people import say

Handler = Callable[[Delivery], Awaitable[Outcome | None]]


def text_of(event: Event) -> str:
    """What a message says."""
    contents: str = msgspec.json.decode(event.body)["contents"]
    return contents


async def nothing(delivery: Delivery) -> None:
    """A handler that is content with everything."""


@dataclass
class Listener:
    """Takes new messages, a lane for each channel, and keeps what it was given."""

    name: str = "echo"
    handler: Handler = nothing
    collections: Mapping[str, Sequence[str]] = field(default_factory=dict)
    lane: Callable[[Event], str] = lambda event: str(event.channel)
    heard: list[tuple[str, str]] = field(default_factory=list)
    gone: list[Parked] = field(default_factory=list)
    allowed: bool = True

    async def ready(self) -> None:
        pass

    async def missed(self, after: int, upto: int) -> None:
        pass

    def wants(self, event: Event) -> Sequence[str]:
        return [self.lane(event)] if (event.type, event.event) == ("message", "created") else []

    async def still_allowed(self, delivery: Delivery) -> bool:
        return self.allowed

    async def handle(self, delivery: Delivery) -> Outcome | None:
        self.heard.append((delivery.lane, text_of(delivery.event)))
        return await self.handler(delivery)

    def over(self, over: Over) -> None:
        pass

    def parked(self, parked: Parked) -> None:
        self.gone.append(parked)

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.heard]


def engine_of(node: Node, owner: str | None = None, **limits: float) -> Engine:
    """An engine over a node's database: the node's own, or that of another process."""
    leases = node.leases if owner is None else Leases(node.database, owner)
    settings = node.settings.delivery.model_copy(update=limits)
    consumers = Consumers(node.database, leases)
    return Engine(node.database, node.log, node.broker, leases, consumers, node.clock, settings, Metrics() if owner else node.metrics)


@asynccontextmanager
async def delivering(engine: Engine, *listeners: Listener, after: int | None = None) -> AsyncIterator[None]:
    """Deliver for the length of a block; what an engine raises is raised."""
    tasks = [asyncio.create_task(engine.run(each, after=after)) for each in listeners]
    try:
        await asyncio.sleep(0)
        for each in listeners:
            await engine.settled(each.name)
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error


async def rows(node: Node, consumer: str = "echo") -> Sequence[Row]:
    """All rows of a consumer, in the log's order."""
    return await node.database.fetch("SELECT * FROM delivery WHERE consumer = $1 ORDER BY position, lane", consumer)


async def states(node: Node, consumer: str = "echo") -> list[str]:
    """Their states."""
    return [row["state"] for row in await rows(node, consumer)]


class Place:
    """A node, its clock, and a person with two channels."""

    def __init__(self, node: Node, clock: ManualClock, ana: Actor, room: int, other: int) -> None:
        self.node, self.clock, self.ana, self.room, self.other = node, clock, ana, room, other

    async def say(self, *texts: str, where: int | None = None) -> list[int]:
        """Say these, one after the other; gives the messages' ids."""
        return [int((await say(self.node, self.ana, where or self.room, text)).id) for text in texts]
