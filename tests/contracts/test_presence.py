"""Presence over several nodes: who is told what when a node is not heard of for a while."""

from __future__ import annotations

import asyncio

import pytest

from crust.clock import ManualClock
from crust.events.control import Connected, Control, Disconnected, NodeOnline, PresenceChanged, Reachable
from crust.runtime import opened
from crust.services import presence
from crust.services.presence import GONE_AFTER_S, PresenceService
from crust.settings import Settings
from tests.support.people import channel, person

pytestmark = pytest.mark.asyncio


async def test_people_of_a_node_that_comes_back_are_back(settings: Settings) -> None:
    """Told offline when it was not heard of for long, and what they chose when it is heard of again; once."""
    clock, told = ManualClock(), list[Control]()
    async with opened(settings, clock) as node:
        ana = await person(node, "ana")
        room = await channel(node, ana)
        await node.core.presence.choose(ana, "dnd", "in a meeting", None)
        here = PresenceService(node.database, node.log, clock, "here", told.append)
        online = NodeOnline("there", (ana.user_id,))
        here.control(online)
        assert told == [], "who is there when it is first heard of tells of itself"
        clock.advance(GONE_AFTER_S + 1)
        await here._forget_the_gone()
        for _ in range(2):
            here.control(online)
            async with asyncio.timeout(5):
                while here._telling:
                    await asyncio.sleep(0.01)
        changes = [(each.user_id, each.presence.status, each.channels) for each in told if isinstance(each, PresenceChanged)]
        assert [(user, status) for user, status, _ in changes] == [(ana.user_id, "offline"), (ana.user_id, "dnd")]
        assert all(room in channels for _, _, channels in changes)


async def test_who_is_heard_again_asks(settings: Settings) -> None:
    """Whoever has a way to the others, for the first time or again, tells them who is here and asks them the same."""
    told = list[Control]()
    async with opened(settings) as node:
        here = PresenceService(node.database, node.log, node.clock, "here", told.append)
        here.connected(7)
        told.clear()
        here.control(Connected())
        assert told == [NodeOnline("here", (7,), asks=True)]


async def test_who_stood_still_judges_nobody(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a node was not told while it was frozen is no sign that others are gone: it asks them."""
    monkeypatch.setattr(presence, "HEARTBEAT_S", 0.05)
    clock, told = ManualClock(), list[Control]()
    async with opened(settings, clock) as node:
        ana = await person(node, "ana")
        await channel(node, ana)
        here = PresenceService(node.database, node.log, clock, "here", told.append)
        here.control(NodeOnline("there", (ana.user_id,)))
        telling = asyncio.create_task(here.tell_always())
        await asyncio.sleep(0.02)
        clock.advance(GONE_AFTER_S + 30)
        async with asyncio.timeout(5):
            while len(told) < 2:
                await asyncio.sleep(0.01)
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
        assert [each.asks for each in told if isinstance(each, NodeOnline)][:2] == [False, True]
        assert not [each for each in told if isinstance(each, PresenceChanged)]


async def test_who_has_no_way_to_the_others_judges_nobody(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """While RabbitMQ is away, or takes nothing, nobody hears of anybody: that is no sign. Who is not heard of afterwards is gone."""
    monkeypatch.setattr(presence, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(presence, "GONE_AFTER_S", 0.3)
    told = list[Control]()
    async with opened(settings) as node:
        ana = await person(node, "ana")
        await channel(node, ana)
        here = PresenceService(node.database, node.log, node.clock, "here", told.append)
        here.control(NodeOnline("there", (ana.user_id,)))
        here.control(Disconnected())
        telling = asyncio.create_task(here.tell_always())
        await asyncio.sleep(1)
        assert not [each for each in told if isinstance(each, PresenceChanged)]
        here.control(Connected())
        async with asyncio.timeout(10):
            while not [each for each in told if isinstance(each, PresenceChanged)]:
                await asyncio.sleep(0.01)
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def test_who_is_still_on_another_node_has_not_left(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last socket here has closed and the grace is over: nobody is told, until the last one there has closed, too."""
    monkeypatch.setattr(presence, "GRACE_S", 0.02)
    told = list[Control]()
    async with opened(settings) as node:
        here = PresenceService(node.database, node.log, node.clock, "here", told.append)
        here.control(Reachable("there", 7, online=True))
        here.connected(7)
        here.disconnected(7, [1, 2])
        await asyncio.sleep(0.1)
        assert told == [Reachable("here", 7, online=True), Reachable("here", 7, online=False)]
        here.connected(7)
        here.control(Reachable("there", 7, online=False))
        told.clear()
        here.disconnected(7, [1, 2])
        await asyncio.sleep(0.1)
        assert told == [Reachable("here", 7, online=False), PresenceChanged(7, presence.OFFLINE, (1, 2))]


async def test_who_comes_back_within_the_grace_has_not_left(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of network is no farewell: nobody is told anything."""
    monkeypatch.setattr(presence, "GRACE_S", 0.05)
    told = list[Control]()
    async with opened(settings) as node:
        here = PresenceService(node.database, node.log, node.clock, "here", told.append)
        here.connected(7)
        told.clear()
        here.disconnected(7, [1])
        here.connected(7)
        await asyncio.sleep(0.15)
        assert told == []
