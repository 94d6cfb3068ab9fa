"""Plugins at work for tests: real ones, written into a folder, over a node's database."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from crust.clock import ManualClock
from crust.host.chain import FilterChain
from crust.host.plugins import PluginHost
from crust.host.registration import registered
from crust.host.supervisor import Times
from crust.runtime import Node, opened
from crust.settings import PluginInstance, Settings
from tests.support.consumers import engine_of
from tests.support.plugins import with_plugins

QUICK = Times(waits=(0.01,), health=0.05, look=0.02)


class Hosted:
    """A node with plugins, and their host."""

    def __init__(self, node: Node, host: PluginHost, chain: FilterChain, clock: ManualClock) -> None:
        self.node, self.host, self.chain, self.clock = node, host, chain, clock

    def plugin(self, name: str) -> Any:
        """The plugin of an instance itself."""
        [instance] = [each for each in self.host.instances if each.name == name]
        return instance.plugin

    async def settled(self, name: str) -> None:
        """Wait until an instance has been delivered everything."""
        async with asyncio.timeout(20):
            while name not in self.host.engine._dispatches:  # it is begun by its supervisor
                await asyncio.sleep(0.01)
            await self.host.engine.settled(name)


LOOPBACK = Path(__file__).with_name("loopback.py")


def loopback() -> Any:
    """The module of the toy bridge as the host has it, which is another than the tests would import."""
    if str(LOOPBACK.parent) not in sys.path:
        sys.path.append(str(LOOPBACK.parent))
    return importlib.import_module("loopback")


@asynccontextmanager
async def hosted(
    settings: Settings, folder: Path, instances: Mapping[str, PluginInstance], clock: ManualClock | None = None, *, running: bool = True
) -> AsyncIterator[Hosted]:
    """A node whose plugins are at work for the length of a block; `running`: whether their handlers are, or their filters alone."""
    settings, clock = with_plugins(settings, folder, **instances), clock or ManualClock()
    wanted, refused = registered(settings)
    assert not refused, refused
    chain = FilterChain(clock, seconds=0.3, seconds_together=0.5)
    async with opened(settings, clock, filters=chain) as node:
        host = PluginHost(node.core, engine_of(node), node.leases, wanted, chain, "serve", QUICK)
        async with host.ready():
            work = asyncio.create_task(host.run() if running else asyncio.Event().wait())
            try:
                yield Hosted(node, host, chain, clock)
            finally:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
