"""The rule for whoever reads from a broker, where the broker is too slow."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from crust.broker.base import Subscription
from crust.broker.follower import Follower
from crust.broker.local import LocalBroker
from crust.events.event import Event
from crust.runtime import opened
from crust.settings import Settings
from tests.support.people import channel, person, position, say

pytestmark = pytest.mark.asyncio


class SlowSubscription:
    """Brings one event every twentieth of a second, and is never silent."""

    def __init__(self, inner: Subscription) -> None:
        self._inner, self._waiting = inner, list[Event]()
        self.close = inner.close

    async def receive(self, timeout: float) -> Sequence[Event]:
        await asyncio.sleep(0.05)
        self._waiting += await self._inner.receive(0 if self._waiting else timeout)
        given, self._waiting = self._waiting[:1], self._waiting[1:]
        return given


class SlowBroker(LocalBroker):
    def subscribe(self) -> Subscription:  # type: ignore[override]  # what the protocol wants
        return SlowSubscription(super().subscribe())


async def test_who_is_brought_everything_too_late_reads_the_log(settings: Settings) -> None:
    """Under steady load a broker may fall behind without a pause: nobody who reads from it is more than some two seconds behind the log."""
    async with opened(settings) as node:
        ana = await person(node, "ana")
        room = await channel(node, ana)
        slow, events = SlowBroker(), list[Event]()

        async def follow() -> None:
            async for batch in Follower(node.log, slow, 0).events():
                events.extend(batch)

        following = asyncio.create_task(follow())
        await asyncio.sleep(0.1)
        node.broker.publish = slow.publish  # type: ignore[method-assign]  # it is this one that the node has
        for number in range(400):  # 20 s worth of what it brings
            await say(node, ana, room, f"{number}")
        head = await position(node)
        async with asyncio.timeout(5):
            while events[-1].position < head:
                await asyncio.sleep(0.05)
        assert [event.position for event in events] == list(range(1, head + 1))
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
