"""Many sockets that come at once, as after a node's end: they are opened in turn, and whoever reads slowly is in nobody's way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from crust.errors import Unavailable
from crust.runtime import opened
from crust.services.actor import Actor
from crust.services.limits import TokenBuckets
from crust.settings import Database, Settings
from crust.ws import services as shared
from crust.ws.hub import Connection, Hub
from crust.ws.opening import Opening
from crust.ws.outbox import Item, Outbox
from crust.ws.services import OPENINGS, Services, openings_of
from tests.support.people import channel, person, position

pytestmark = pytest.mark.asyncio


async def nothing(method: str, path: str, actor: Actor, parameters: Mapping[str, Any]) -> bytes:
    raise AssertionError("nobody calls")


async def test_sockets_that_come_together_are_opened_in_turn(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few at a time, in the order in which they came; nobody who reads slowly, or has gone, keeps the others waiting."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        await channel(node, ana)
        hub = Hub(await position(node))
        services = Services(settings, node.core, hub, TokenBuckets.of(settings.limits, node.clock), nothing)
        me, now, most, said = node.core.accounts.me, 0, 0, list[int]()

        async def counted(actor: Actor) -> Any:
            nonlocal now, most
            now, most = now + 1, max(most, now + 1)
            await asyncio.sleep(0.005)
            try:
                return await me(actor)
            finally:
                now -= 1

        monkeypatch.setattr(node.core.accounts, "me", counted)

        async def greeted(number: int) -> AsyncIterator[Item]:
            items = Opening(services, ana, None).items(Connection(ana, Outbox(100, 1_000_000)))
            hello = json.loads(str(await anext(items)))
            assert (hello["type"], hello["data"]["position"]) == ("hello", hub.offset)
            said.append(number)
            return items

        tasks = [asyncio.create_task(greeted(number)) for number in range(40)]
        await asyncio.sleep(0)
        tasks[30].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)  # none of them has read on
        assert sorted(said) == [number for number in range(40) if number != 30]
        assert all(abs(number - place) <= OPENINGS for place, number in enumerate(said))
        assert most == OPENINGS
        rest = [json.loads(str(item))["type"] async for item in tasks[7].result()]
        assert rest == ["channel", "ready"]


async def test_whose_turn_does_not_come_is_sent_elsewhere(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where those before it get no answer from the database a socket does not wait for ever: another node may have one."""
    monkeypatch.setattr(shared, "TURN_S", 0.05)
    async with opened(settings) as node:
        ana = await person(node, "ana")
        services = Services(settings, node.core, Hub(await position(node)), TokenBuckets.of(settings.limits, node.clock), nothing)
        for _ in range(OPENINGS):
            await services.openings.acquire()
        with pytest.raises(Unavailable, match="Too many sockets"):
            await anext(Opening(services, ana, None).items(Connection(ana, Outbox(100, 1_000_000))))
        services.openings.release()
        assert "hello" in str(await anext(Opening(services, ana, None).items(Connection(ana, Outbox(100, 1_000_000)))))


async def test_openings_leave_a_connection_to_others() -> None:
    """However few connections to PostgreSQL there are; and one socket is opened at least."""
    of_pool = {size: openings_of(Settings(database=Database(pool_size=size))) for size in (1, 2, 5, 50)}
    assert of_pool == {1: 1, 2: 1, 5: OPENINGS, 50: OPENINGS}
