"""A node with RabbitMQ, somebody who talks on it, and what its fan-out was given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from crust.broker.base import Broker
from crust.broker.follower import Follower
from crust.broker.rabbit import RabbitBroker
from crust.events.event import Event
from crust.runtime import Node, opened
from crust.services.actor import Actor
from crust.settings import Passwords, Settings
from tests.support.people import channel, person, position, say

CHEAP = Passwords(time_cost=1, memory_kib=8, parallelism=1)
RETURN_S = 30.0  # within which everybody is at the head, once the broker is back


class Talk:
    """A node with a room, and what its fan-out was given."""

    def __init__(self, node: Node, ana: Actor, room: int) -> None:
        self.node, self.ana, self.room = node, ana, room
        self.events: list[Event] = []

    @property
    def broker(self) -> RabbitBroker:
        assert isinstance(self.node.broker, RabbitBroker)
        return self.node.broker

    async def follow(self, broker: Broker | None = None) -> None:
        """What a node's fan-out is given: this one's, if none is named."""
        async for events in Follower(self.node.log, broker or self.node.broker, 0).events():
            self.events += events

    async def say(self, count: int = 1) -> None:
        for number in range(count):
            await say(self.node, self.ana, self.room, f"line {number}")

    async def connected(self, within: float = RETURN_S) -> None:
        """Until both connections are there and the queue is read."""
        await until(lambda: self.broker._reading.connected and self.broker._relay.at_work, within)

    async def at_the_head(self, within: float = RETURN_S) -> int:
        """Until the relay has published everything and the fan-out has it; then that has everything once and in order."""
        head = await position(self.node)
        async with asyncio.timeout(within):
            while await self.node.consumers.offset("relay") < head or not self.events or self.events[-1].position < head:
                await asyncio.sleep(0.05)
        assert [event.position for event in self.events] == list(range(1, head + 1))
        return head


async def until(condition: object, within: float = RETURN_S) -> None:
    assert callable(condition)
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def talking(folder: Path, url: str, **broker: object) -> AsyncIterator[Talk]:
    """A node that is connected, with a person in a room."""
    settings = Settings(data_dir=folder / "data", broker_url=url, passwords=CHEAP)
    settings = settings.model_copy(update={"broker": settings.broker.model_copy(update=broker)})
    async with opened(settings, connected=True) as node:
        ana = await person(node, "ana", is_admin=True)
        talk = Talk(node, ana, await channel(node, ana))
        following = asyncio.create_task(talk.follow())
        try:
            await talk.connected()
            yield talk
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
