"""All instances of a process: makes them, puts their filters into the chain, and lets them live.

wanted, refused = registered(settings)
chain = FilterChain(clock)                       # handed to the services when they are made
host = PluginHost(core, engine, leases, wanted, chain, "serve")
async with host.ready():                         # from here on the filters are asked
    await host.run()                             # beside the server, for ever
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

from crust.errors import Conflict, CrustError, NotFound, Unavailable
from crust.host.chain import FilterChain, Link
from crust.host.chat import Access, InstanceChat, InstanceFiles
from crust.host.context import InstanceContext, InstanceHttp, InstanceTasks
from crust.host.egress import Egress
from crust.host.engine import Engine
from crust.host.instance import Instance, in_order, registry, takes, visibilities
from crust.host.registration import Refused, Wanted
from crust.host.states import STATES, states_of
from crust.host.supervisor import Supervisor, Times
from crust.log import Leases
from crust.services.core import Core
from crust.telemetry import get_logger

log = get_logger(__name__)

Place = Literal["serve", "worker"]
FILTER = "filter_"


class PluginHost:
    """See the module.

    Args:
        wanted: the instances, in the order of the settings.
        place: what kind of process it is, as `run_in` names them.
    """

    def __init__(
        self,
        core: Core,
        engine: Engine,
        leases: Leases,
        wanted: Sequence[Wanted],
        chain: FilterChain,
        place: Place,
        times: Times | None = None,
    ) -> None:
        self._core, self.engine, self._leases, self._wanted, self._chain = core, engine, leases, wanted, chain
        self._place, self._times = place, times or Times()
        self._links: dict[str, Link] = {}
        self._tasks: dict[str, InstanceTasks] = {}
        self.instances: list[Instance] = []
        self.refused: list[Refused] = []

    @asynccontextmanager
    async def ready(self) -> AsyncIterator[None]:
        """Make the plugins, and ask their filters from here on; for the length of a block."""
        egress = Egress()
        try:
            for wanted in self._wanted:
                self._make(wanted, egress)
            self._install()
            for instance in self.instances:
                await self._try_to_begin(instance)
            await self._say_refused()
            yield
        finally:
            self._chain.install([])
            await egress.close()

    async def tasks_ended(self, name: str, seconds: float) -> None:
        """Wait for what an instance has started in `ctx.tasks`, but no longer than that."""
        await self._tasks[name].ended(seconds)

    def _make(self, wanted: Wanted, egress: Egress) -> None:
        access = Access(wanted.name, wanted.plugin.capabilities)
        instance, own = Instance(wanted, access, self._core), get_logger(f"plugin.{wanted.name}")
        tasks = InstanceTasks(own)
        context: Any = InstanceContext(
            name=wanted.name, config=wanted.config, log=own, chat=InstanceChat(access, self._core), store=self.engine.store(instance),
            files=InstanceFiles(access, self._core), http=InstanceHttp(access, egress), tasks=tasks, clock=self._core.clock,
        )  # fmt: skip
        try:
            instance.plugin = wanted.plugin(context)
        except (Exception, SystemExit) as error:  # the boundary: a plugin's bug
            log.exception("a plugin cannot be made and is left out", plugin=wanted.name)
            problem = f"plugins.{wanted.name}: it cannot be made: {type(error).__name__}: {error}"
            self.refused.append(Refused(wanted.name, wanted.kind, (problem,)))
            return
        self.instances.append(instance)
        self._tasks[wanted.name] = tasks

    async def _say_refused(self) -> None:
        """Let operators know of those that could not be made."""
        collection = states_of(self._core.database, self._core.clock).collection(STATES)
        for each in self.refused:
            now = {"state": "refused", "reason": "; ".join(each.problems), "node": self._leases.owner, "since": self._core.clock.now()}
            with suppress(CrustError):  # it is in the log, too
                await collection.put(each.name, now)

    def _install(self) -> None:
        """Put the filters into the chain, in their order."""
        manager = registry(self.instances)
        for instance in self.instances:
            self._links[instance.name] = link_of(instance)
        hooks = sorted({hook for each in self.instances for hook in each.wanted.hooks if hook.startswith(FILTER)})
        self._chain.install([(hook, self._links[name]) for hook in hooks for name in in_order(manager, hook)])

    async def _try_to_begin(self, instance: Instance) -> None:
        """Before anything can be posted, so that no filter is missed; what cannot be yet is tried again by its supervisor."""
        try:
            await self._begin(instance)
        except (NotFound, Conflict) as error:
            log.warning("a plugin waits", plugin=instance.name, reason=error.message)
        except Unavailable:
            log.warning("a plugin waits for the database", plugin=instance.name)

    async def _begin(self, instance: Instance) -> None:
        """Bring it to its bot, and its filters to the organisations that it is at work in."""
        bot = await self._core.bots.of(instance.name, instance.wanted.settings.organisations)
        instance.access.bot, link = bot, self._links[instance.name]
        link.bot, link.organisations = str(bot.actor.user_id), frozenset(map(str, bot.organisations))

    async def run(self) -> None:
        """Let those live that are to live in this process, until cancelled."""
        here = [each for each in self.instances if each.wanted.settings.run_in in ("any", self._place)]
        if not here:
            await asyncio.Event().wait()
        states = states_of(self._core.database, self._core.clock)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.engine.watch(), name="watch over plugins")
            for each in here:
                supervisor = Supervisor(
                    each, self._begin, self._tasks[each.name], self.engine, self._leases, states, self._core.clock, self._times
                )  # fmt: skip
                group.create_task(supervisor.run(), name=f"plugin {each.name}")


def link_of(instance: Instance) -> Link:
    """An instance as the chain sees it, before it is known where it is at work."""
    filters = {}
    for hook in instance.wanted.hooks:
        if hook.startswith(FILTER):
            function = getattr(instance.plugin, hook)
            filters[hook] = function if takes(function) else (lambda draft, function=function: function())
    return Link(instance.name, instance.wanted.settings.on_error, visibilities(instance.wanted), filters)
