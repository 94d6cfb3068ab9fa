"""A durable queue that is declared just before a fault and emptied after it, past all proxies: what RabbitMQ has confirmed is in it.

Whoever reads `crust.v1.events` heals from the log, and would not notice. Messages are persistent, the queue is a durable classic one, and
the relay's offset rises after a confirm only: so whatever is done to RabbitMQ, every event up to there has to come by it, at least once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiormq
from aiormq.abc import AbstractChannel
from aiormq.exceptions import ChannelNotFoundEntity

from crust.broker.relay import NAME as RELAY
from crust.broker.topology import EVENTS, EVERYTHING
from crust.torture.ledger import compare_confirmed
from crust.torture.stage import READY_S, Stage

NAME = "torture.fresh"


async def declare(stage: Stage) -> int:
    """Declare it now; after the fault, each event beyond the position that this gives has to be in it."""
    assert stage.broker is not None
    url = stage.broker.url
    async with _channel(url) as channel:
        await channel.queue_declare(NAME, durable=True, arguments={"x-queue-type": "classic"})
        await channel.queue_bind(NAME, EVENTS, routing_key=EVERYTHING)
    since = await stage.head()

    async def reckon() -> None:
        sql = "SELECT position FROM event WHERE position > $1 AND position <= $2"
        rows = await stage.store.rows(sql, since, await confirmed(stage))
        compare_confirmed(stage.wrongs, [int(position) for [position] in rows], await _emptied(url))

    stage.afterwards.append(reckon)
    return since


async def confirmed(stage: Stage) -> int:
    """The relay's offset: what lies beyond it is published again after any trouble, confirmed or not."""
    [[position]] = await stage.store.rows("SELECT position FROM consumer WHERE name = $1", RELAY)
    return int(position)


async def _emptied(url: str) -> set[int]:
    """The positions of all that is in it; it is deleted. One that is gone has nothing."""
    found: set[int] = set()
    async with _channel(url) as channel:
        with suppress(ChannelNotFoundEntity):
            while (message := await channel.basic_get(NAME, no_ack=True)).body:
                found.add(int((message.header.properties.headers or {})["position"]))  # type: ignore[arg-type]
            await channel.queue_delete(NAME)
    return found


@asynccontextmanager
async def _channel(url: str) -> AsyncIterator[AbstractChannel]:
    connection = aiormq.Connection(url)
    async with asyncio.timeout(READY_S):
        await connection.connect()
        try:
            yield await connection.channel(publisher_confirms=False)
        finally:
            await connection.close()
