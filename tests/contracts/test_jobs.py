"""Jobs of plugins: run when they are due, once; a restart neither doubles a run nor forgets one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from crust.clock import ManualClock
from crust.host.states import STATES, states_of
from crust.host.store import Store
from crust.runtime import opened
from crust.settings import Settings
from tests.support.hosting import hosted
from tests.support.people import channel, person
from tests.support.plugins import instance, written

pytestmark = pytest.mark.asyncio

SOURCE = """
import asyncio
from datetime import timedelta

class Works(Plugin[PluginConfig]):
    api = 1
    capabilities = frozenset({"read:public", "message:post", "channel:join"})
    collections = {}
    runs = ()
    others = 0
    room = ""
    hold = None

    @hookimpl
    def register_jobs(self, jobs):
        jobs.add("tick", self.tick, every=timedelta(minutes=10))
        jobs.add("other", self.other, cron="*/15 * * * *")

    async def tick(self, run: JobRun) -> None:
        self.runs = (*self.runs, run.key)
        if self.room:
            await self.ctx.chat.join(self.room)
            await self.ctx.chat.post(self.room, f"run {len(self.runs)}")
        if self.hold is not None:
            await self.hold.wait()

    async def other(self, run: JobRun) -> None:
        self.others += 1
        raise SystemExit(3)
"""


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.02)


async def test_it_runs_when_it_is_due(settings: Settings, tmp_path: Path) -> None:
    """Not at once, then each time; missed runs are made up for by one; one that fails is counted and does no other harm."""
    clock, name = ManualClock(), written(tmp_path, SOURCE)
    async with opened(settings) as node:
        await person(node, "ana", is_admin=True)
    async with hosted(settings, tmp_path, {"works": instance(name)}, clock) as at:
        plugin, metrics = at.plugin("works"), at.host.metrics
        jobs = Store(at.node.database, clock, "host", {}, 1000).collection("jobs")
        await until_kept(jobs, "works/tick", "works/other")
        await asyncio.sleep(0.1)
        assert (plugin.runs, plugin.others) == ((), 0)
        for count in (1, 2):
            clock.advance(600)
            await until(partial(ran, plugin, count))
        clock.advance(6000)
        await until(lambda: len(plugin.runs) == 3 and plugin.others)
        await asyncio.sleep(1.2)
        assert len(plugin.runs) == 3, "ten were missed, and one made up for them"
        assert len(set(plugin.runs)) == 3
        assert metrics.plugin_calls["works", "job", "done"] == 3
        assert metrics.plugin_calls["works", "job", "failed"] == plugin.others


def ran(plugin: Any, count: int) -> bool:
    return len(plugin.runs) == count


async def until_kept(jobs: Any, *keys: str) -> None:
    async with asyncio.timeout(20):
        for key in keys:
            while await jobs.get(key) is None:
                await asyncio.sleep(0.02)


async def until_ended(jobs: Any, key: str) -> None:
    async with asyncio.timeout(20):
        while (await jobs.get(key)).body["running"] is not None:
            await asyncio.sleep(0.02)


async def test_a_restart(settings: Settings, tmp_path: Path) -> None:
    """What ran is not run again; what was missed is; what ended in the middle is begun again, and says nothing twice."""
    clock, name = ManualClock(), written(tmp_path, SOURCE)
    async with opened(settings) as node:
        ana = await person(node, "ana", is_admin=True)
        room = await channel(node, ana)
    plugins = {"works": instance(name)}
    async with hosted(settings, tmp_path, plugins, clock) as at:
        jobs = Store(at.node.database, clock, "host", {}, 1000).collection("jobs")
        await until_kept(jobs, "works/tick")
        clock.advance(600)
        await until(lambda: at.host.metrics.plugin_calls["works", "job", "done"])
        await until_ended(jobs, "works/tick")
    async with hosted(settings, tmp_path, plugins, clock) as at:
        await asyncio.sleep(0.7)
        assert at.plugin("works").runs == ()
    clock.advance(1800)
    async with hosted(settings, tmp_path, plugins, clock) as at:
        plugin = at.plugin("works")
        plugin.room, plugin.hold = str(room), asyncio.Event()
        await until(lambda: plugin.runs)
        [first] = plugin.runs
        await until_said(at, ana, room, 1)
    async with hosted(settings, tmp_path, plugins, clock) as at:
        plugin = at.plugin("works")
        plugin.room = str(room)
        await until(lambda: plugin.runs)
        assert plugin.runs == (first,)
        await asyncio.sleep(0.7)
        assert plugin.runs == (first,)
        await until_said(at, ana, room, 1)


async def until_said(at: Any, who: Any, room: int, count: int) -> None:
    async with asyncio.timeout(20):
        while True:
            page = await at.node.core.messages.read(who, room, before=None, after=None, around=None, limit=50)
            said = [message for message in page.messages if message.type == "MESSAGE"]
            assert len(said) <= count
            if len(said) == count:
                return
            await asyncio.sleep(0.02)


async def test_one_that_fails_is_seen(settings: Settings, tmp_path: Path) -> None:
    """The instance says so of itself, from when it began to; it is well again when the job is."""
    source = """
from datetime import timedelta
class Fails(Plugin[PluginConfig]):
    api = 1
    well = False

    @hookimpl
    def register_jobs(self, jobs):
        jobs.add("tick", self.tick, every=timedelta(minutes=10))

    async def tick(self, run: JobRun) -> None:
        if not self.well:
            raise RuntimeError("no ticking")
"""
    async with hosted(settings, tmp_path, {"fails": instance(written(tmp_path, source))}, clock := ManualClock()) as at:
        async with opened(settings) as node:
            await person(node, "ana", is_admin=True)
        found = states_of(at.node.database, clock).collection(STATES)

        async def seen(state: str) -> Any:
            async with asyncio.timeout(20):
                while (document := await found.get("fails")) is None or document.body["state"] != state:
                    await asyncio.sleep(0.02)
            return document.body

        first = await seen("running")
        await at.host.jobs["fails"].settled()  # from here on it is known when the job is due
        clock.advance(601)
        failing = await seen("degraded")
        assert failing["reason"] == "the job tick failed: RuntimeError: no ticking"
        clock.advance(30)
        await asyncio.sleep(0.2)
        assert await seen("degraded") == failing, "since when it is so, however often it is looked at"
        at.plugin("fails").well = True
        clock.advance(601)
        again = await seen("running")
        assert (again["life"], again["reason"]) == (first["life"], None)
