"""Another program with an account on RabbitMQ: reads what it may, and says what it should not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiormq
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from crust.broker.topology import EVENTS


def position_of(message: DeliveredMessage) -> int:
    """The header `position`."""
    position = (message.header.properties.headers or {})["position"]
    assert isinstance(position, int)
    return position


class Outsider:
    """A queue of its own, bound to `crust.v1.events`, and a channel."""

    def __init__(self, channel: Any, queue: str) -> None:
        self.channel, self.queue = channel, queue
        self.messages: list[DeliveredMessage] = []

    async def take(self, message: DeliveredMessage) -> None:
        self.messages.append(message)

    async def until(self, count: int, within: float = 20.0) -> list[DeliveredMessage]:
        """The messages, once so many have come."""
        async with asyncio.timeout(within):
            while len(self.messages) < count:
                await asyncio.sleep(0.01)
        return self.messages

    @property
    def positions(self) -> list[int]:
        return [position_of(message) for message in self.messages]

    async def publish(self, exchange: str, key: str, body: bytes, headers: Mapping[str, Any], user_id: str | None) -> None:
        properties = Basic.Properties(headers=dict(headers), user_id=user_id)
        await self.channel.basic_publish(body, exchange=exchange, routing_key=key, properties=properties, timeout=5)


@asynccontextmanager
async def outsider(url: str, queue: str = "outsider.queue", *keys: str) -> AsyncIterator[Outsider]:
    """Connect, make a queue of that name, bind it by these keys (all of them, if none is given), and read."""
    connection = await aiormq.connect(url)
    try:
        channel = await connection.channel()
        await channel.queue_declare(queue, exclusive=True)
        for key in keys or ("#",):
            await channel.queue_bind(queue, EVENTS, key)
        made = Outsider(channel, queue)
        await channel.basic_consume(queue, made.take, no_ack=True)
        yield made
    finally:
        await connection.close()
