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
from crust.host.addresses import split
from crust.host.bridge_instance import BridgeInstance
from crust.host.bridging import InstanceBridge, NoBridge
from crust.host.chain import FilterChain, Link
from crust.host.chat import Access, InstanceChat, InstanceFiles
from crust.host.checkpoints import Checkpoints
from crust.host.commands import HostedCommands, Owner
from crust.host.context import InstanceContext, InstanceHttp, InstanceTasks
from crust.host.egress import Egress
from crust.host.engine import Engine
from crust.host.instance import Instance, in_order, places_of, registry, takes, visibilities
from crust.host.jobs import JobRunner
from crust.host.linking import LinkCommands
from crust.host.offers import Offers, Unmade, claimed, made
from crust.host.registration import Refused, Wanted
from crust.host.routes import HostedRoutes
from crust.host.states import HOST, STATES, states_of
from crust.host.supervisor import Supervisor, Times
from crust.log import Leases
from crust.plugin import Bridge
from crust.services.actor import Actor
from crust.services.bots import Bot
from crust.services.commands import Nothing
from crust.services.core import Core
from crust.services.links import NOBODY
from crust.telemetry import Metrics, get_logger

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
        metrics: Metrics | None = None,
    ) -> None:
        self._core, self.engine, self._leases, self._wanted, self._chain = core, engine, leases, wanted, chain
        self._place, self._times = place, times or Times()
        self._links: dict[str, Link] = {}
        self._tasks: dict[str, InstanceTasks] = {}
        self.instances: list[Instance] = []
        self.refused: list[Refused] = []
        self.metrics = metrics or Metrics()
        self.commands = HostedCommands(core, self.metrics)
        self.routes = HostedRoutes(core.settings.hosting.route_s, self.metrics)
        self.offers: dict[str, Offers] = {}
        self.bridges: dict[str, InstanceBridge] = {}
        self.jobs: dict[str, JobRunner] = {}

    @asynccontextmanager
    async def ready(self, *, begin: bool = True) -> AsyncIterator[None]:
        """Make the plugins, and ask their filters from here on; for the length of a block.

        Args:
            begin: if not, they act as nobody, and nothing is written: no bots, no links, no states.
        """
        networks, names = split(self._core.settings.egress.allow)
        egress = Egress(networks, names=names)
        if any(issubclass(each.plugin, Bridge) for each in self._wanted):
            self.commands.add(Owner(HOST, None), LinkCommands(self._core).commands())  # first, so that nobody else has their names
        try:
            with self.engine.watching():
                for wanted in self._wanted:
                    self._make(wanted, egress)
            self._install()
            if begin:
                await self._begin_all()
            else:
                for instance in self.instances:
                    instance.access.bot = Bot(Actor(NOBODY, instance.name, 0, ""), frozenset())
            self._core.commands.host = self.commands
            yield
        finally:
            self._core.commands.host = Nothing()
            self._chain.install([])
            await egress.close()

    async def tasks_ended(self, name: str, seconds: float) -> None:
        """Wait for what an instance has started in `ctx.tasks`, but no longer than that."""
        await self._tasks[name].ended(seconds)

    def _make(self, wanted: Wanted, egress: Egress) -> None:
        access = Access(wanted.name, wanted.plugin.capabilities)
        own, bridge = get_logger(f"plugin.{wanted.name}"), issubclass(wanted.plugin, Bridge)
        checkpoints = Checkpoints(wanted.name, self._core, self._leases.owner)
        instance = (
            BridgeInstance(wanted, access, self._core, checkpoints, self.engine.on_control)
            if bridge
            else Instance(wanted, access, self._core)
        )
        tasks = InstanceTasks(wanted.name, own)
        has = InstanceBridge(access, self._core, checkpoints) if bridge else NoBridge(wanted.name)
        context: Any = InstanceContext(
            name=wanted.name, config=wanted.config, log=own, chat=InstanceChat(access, self._core), store=self.engine.store(instance),
            files=InstanceFiles(access, self._core), http=InstanceHttp(access, egress), tasks=tasks, clock=self._core.clock,
            bridge=has,
        )  # fmt: skip
        try:
            instance.plugin, offers = made(wanted, context)
            claimed(wanted, self.routes.prefixes)
        except Unmade as error:
            log.exception("a plugin cannot be made and is left out", plugin=wanted.name)
            self.refused.append(error.refused)
            return
        self.commands.add(Owner(wanted.name, access), offers.commands)
        self.routes.add(wanted.name, wanted.plugin.prefix, offers.routes)
        self.offers[wanted.name] = offers
        self.instances.append(instance)
        if isinstance(has, InstanceBridge):
            self.bridges[wanted.name] = has
        self._tasks[wanted.name] = tasks
        log.info("a plugin is there", plugin=wanted.name, kind=wanted.kind, capabilities=sorted(wanted.plugin.capabilities))

    async def _begin_all(self) -> None:
        await self._end_links()  # first: an instance that has another name now may link the same rooms
        for instance in self.instances:
            await self._try_to_begin(instance)
        await self._say_refused()

    async def _say_refused(self) -> None:
        """Let operators know of those that could not be made."""
        collection = states_of(self._core.database, self._core.clock).collection(STATES)
        for each in self.refused:
            now = {"state": "refused", "reason": "; ".join(each.problems), "node": self._leases.owner, "since": self._core.clock.now()}
            with suppress(CrustError):  # it is in the log, too
                await collection.put(each.name, now)

    async def _end_links(self) -> None:
        """End what links the settings have made for bridges that do not stand there any more."""
        if self._place == "serve":  # a worker may have been given some of the plugins alone
            try:
                await self._core.configured.leave(self._core.settings.plugins.keys())
            except Unavailable:
                log.warning("whether the settings name fewer bridges than before will be seen at the next start")

    def _install(self) -> None:
        """Put the filters into the chain, in their order."""
        manager = registry(self.instances)
        for instance in self.instances:
            self._links[instance.name] = link_of(instance)
        hooks = sorted({hook for each in self.instances for hook in each.wanted.hooks if hook.startswith(FILTER)})
        self._chain.counted_in(self.metrics)
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
        """Bring its filters to the organisations that it is at work in, as far as there are any, and itself to its bot."""
        link, wanted = self._links[instance.name], instance.wanted.settings.organisations
        places, instance.unknown = await places_of(self._core, wanted)
        link.organisations = frozenset(map(str, places))
        bot = await self._core.bots.of(instance.name, [str(place) for place in places] or wanted)
        instance.access.bot, link.bot = bot, str(bot.actor.user_id)
        for problem in instance.unknown:
            log.error("an organisation that the settings name cannot be", plugin=instance.name, problem=problem)
        if isinstance(instance, BridgeInstance):
            await instance.begin()

    async def run(self) -> None:
        """Let those live that are to live in this process, until cancelled."""
        here = [each for each in self.instances if each.wanted.settings.run_in in ("any", self._place)]
        states = states_of(self._core.database, self._core.clock)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.engine.watch(), name="watch over plugins")
            for each in here:
                jobs = self.jobs[each.name] = JobRunner(
                    each.name, self.offers[each.name].jobs, self._core.database, self._core.clock, self._core.settings.hosting.job_s,
                    self.metrics,
                )  # fmt: skip
                supervisor = Supervisor(
                    each, self._begin, self._tasks[each.name], self.engine, self._leases, states, self._core.clock, self._times, jobs,
                    self._core.instances.tell,
                )  # fmt: skip
                group.create_task(supervisor.run(), name=f"plugin {each.name}")
            group.create_task(self._begin_rest(here), name="plugins that wait")

    async def _begin_rest(self, here: Sequence[Instance]) -> None:
        """Of those that live in other processes filters and commands are asked here, too: as soon as they can have their bots.

        And all of them are at work in an organisation that the settings name as soon as there is one.
        """
        while True:
            for each in self.instances:
                if each.unknown if each.access.bot else each not in here:
                    await self._try_to_begin(each)
            await asyncio.sleep(self._times.look)


def link_of(instance: Instance) -> Link:
    """An instance as the chain sees it, before it is known where it is at work."""
    filters = {}
    for hook in instance.wanted.hooks:
        if hook.startswith(FILTER):
            function = getattr(instance.plugin, hook)
            filters[hook] = function if takes(function) else (lambda draft, function=function: function())
    return Link(instance.name, instance.wanted.settings.on_error, visibilities(instance.wanted), filters)
