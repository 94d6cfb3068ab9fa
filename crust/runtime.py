"""The composition root: settings → database → log and broker → services → API, websockets → server."""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from quart import Request

from crust import servers
from crust.api import bridges, channels, commands, files, messages, metrics, organisations, plugins, server, teams, users
from crust.api import routes as api_routes
from crust.api.app import Ready, caller_of, create_app, create_bare_app
from crust.api.calls import Context, Registry
from crust.api.downloads import downloading
from crust.api.identity import Identity
from crust.api.openapi import openapi
from crust.api.routes import Answering
from crust.broker.base import Broker
from crust.broker.follower import Follower
from crust.broker.local import LocalBroker
from crust.broker.rabbit import RabbitBroker
from crust.clock import Clock, SystemClock
from crust.errors import Unavailable
from crust.events.event import Event
from crust.host.chain import FilterChain
from crust.host.desk import Desk
from crust.host.engine import Engine
from crust.host.eraser import Eraser
from crust.host.registration import Wanted, registered
from crust.host.routes import HostedRoutes
from crust.log import Consumers, Head, Leases, Log, head_of
from crust.log.tasks import end_all, first_to_end, unending
from crust.models.database import Database
from crust.models.migrate import migrate, serving
from crust.plugin import Bridge
from crust.servers.listening import listening
from crust.servers.loops import running
from crust.services.actor import Actor
from crust.services.core import Core
from crust.services.filters import Filters
from crust.services.invitations import NewAccount
from crust.services.known import Known
from crust.services.limits import LoginThrottle, TokenBuckets
from crust.settings import Settings, SettingsError
from crust.telemetry import Metrics, get_logger
from crust.web import docs, invitation, public, setup
from crust.ws import description
from crust.ws.gateway import Gateway
from crust.ws.hub import Hub
from crust.ws.services import Services

if TYPE_CHECKING:  # it brings the client for outgoing HTTP, which who has no plugins does not need
    from crust.host.offers import Offers

log = get_logger(__name__)

Place = Literal["serve", "worker"]
"""Kinds of processes, as `run_in` names them."""


@dataclass(frozen=True, slots=True)
class Hosted:
    """The plugins of a process: `run` lets them live, for ever; `routes` are what they answer over HTTP, `offers` all that they offer.

    `bridges` are those of them that are bridges, by the instances' names.
    """

    run: Callable[[], Coroutine[Any, Any, None]]
    routes: HostedRoutes | None = None
    offers: Mapping[str, Offers] = field(default_factory=dict)
    bridges: Mapping[str, Bridge[Any]] = field(default_factory=dict)


NOUNS = (organisations, teams, users, channels, messages, files, commands, bridges, plugins, server)
"""The modules of the API, each of which registers its calls."""


@dataclass(frozen=True, slots=True)
class Node:
    """One process of Crust, without its faces: what the server and every command work with.

    `name` is its own and was never another's. `migrated` names the migrations that opening it has applied.
    """

    name: str
    settings: Settings
    clock: Clock
    database: Database
    log: Log
    leases: Leases
    consumers: Consumers
    broker: Broker
    core: Core
    metrics: Metrics
    migrated: list[str]


@asynccontextmanager
async def opened(
    settings: Settings, clock: Clock | None = None, *, connected: bool = False, filters: Filters | None = None
) -> AsyncIterator[Node]:
    """Connect, migrate, and run what writes, for the length of a block.

    Args:
        connected: take part in RabbitMQ, if the settings name one, as servers do. Commands need not: what they write is found in the log.
        filters: have a say before something happens; left out, nobody has.

    Raises:
        StartRefused: the database cannot be used, or would have to be migrated under a running server.
    """
    clock, metrics, name = clock or SystemClock(), Metrics(), node_name()
    async with Database(settings, metrics).opened() as database:
        migrated = await migrate(database)
        known = Known((await head_of(database)).position)

        def announce(events: Sequence[Event]) -> None:
            known.committed(events)
            broker.publish(events)

        log = Log(database, clock, settings.database, announce, metrics)
        leases = Leases(database, name)
        consumers = Consumers(database, leases)
        broker: Broker = LocalBroker()
        if connected and settings.broker_url:
            broker = RabbitBroker(settings, name, clock, log, consumers, leases, metrics)
        core = Core(settings, clock, database, log, known, LoginThrottle(settings.limits, clock), name, broker.tell, filters)
        async with log.running():
            await broker.start()
            try:
                yield Node(name, settings, clock, database, log, leases, consumers, broker, core, metrics, migrated)
            finally:
                await broker.stop()
                await core.close()


def node_name() -> str:
    """A name for this process that says where it runs, and that no other has ever had."""
    return f"{socket.gethostname()[:32]}-{os.getpid()}-{secrets.token_hex(4)}"


# ---- the server


async def serve(
    settings: Settings, clock: Clock | None = None, through: Callable[[Broker], Broker] | None = None, *, strict: bool = False
) -> None:
    """Serve until SIGTERM or SIGINT; then close the sockets with a word when to come back, and finish what is in hand.

    Args:
        settings: what to serve, and where.
        clock: another than the machine's own.
        through: what stands between the broker and those who read from it here; `crust torture` puts faults there.
        strict: refuse to start when a plugin cannot be at work; else it is left out, with a word in the log.

    Raises:
        StartRefused: the database cannot be used, or is being migrated.
        SettingsError: the server that the settings name is not installed; or a plugin cannot be at work, and `strict`.
        OSError: the address cannot be listened on.
    """
    run, stop = servers.chosen(settings), asked_to_stop()
    wanted, chain = plugins_of(settings, strict=strict), FilterChain(clock or SystemClock())
    with listening(settings.host, settings.port) as listener:
        port: int = listener.getsockname()[1]
        settings = settings.model_copy(update={"port": port})
        async with serving(settings), opened(settings, clock, connected=True, filters=chain) as node:
            collect_seldom()
            seen = node if through is None else replace(node, broker=through(node.broker))
            async with hosting(seen, wanted, chain, "serve", strict=strict) as plugins:
                await _serve(seen, plugins, run, listener, stop)


def asked_to_stop() -> asyncio.Event:
    """Set by SIGTERM and SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def plugins_of(settings: Settings, *, strict: bool) -> list[Wanted]:
    """The instances that can be at work; the others are named in the log.

    Raises:
        SettingsError: some cannot be, and `strict`.
    """
    wanted, refused = registered(settings)
    problems = [problem for each in refused for problem in each.problems]
    if problems and strict:
        raise SettingsError(problems)
    for problem in problems:
        log.error("a plugin is left out", problem=problem)
    return wanted


@asynccontextmanager
async def hosting(
    node: Node, wanted: Sequence[Wanted], chain: FilterChain, place: Place, *, strict: bool = False, begin: bool = True
) -> AsyncIterator[Hosted]:
    """Have plugins ready for the length of a block: their filters are asked, and the rest of them lives as long as what is given runs.

    Args:
        strict: refuse where one could not be made; else it is left out.
        begin: as in `PluginHost.ready`.

    Raises:
        SettingsError: one could not be made, and `strict`.
    """
    if not wanted:
        yield Hosted(nothing)
        return
    from crust.host import programs
    from crust.host.plugins import PluginHost  # with the client for outgoing HTTP, which nobody else needs

    engine = Engine(
        node.database, node.log, node.broker, node.leases, node.consumers, node.clock, node.settings.delivery, node.metrics
    )  # fmt: skip
    host = PluginHost(node.core, engine, node.leases, wanted, chain, place, metrics=node.metrics)
    async with host.ready(begin=begin):
        if strict and host.refused:
            raise SettingsError([problem for each in host.refused for problem in each.problems])
        reader = programs.reader(node.core, host.bridges, node.leases, node.metrics)
        run = host.run if reader is None else lambda: first_to_end(host.run(), reader.always())
        made = {each.name: each.plugin for each in host.instances if isinstance(each.plugin, Bridge)}
        yield Hosted(run, host.routes, host.offers, made)


async def nothing() -> None:
    """What a process without plugins has of them."""


async def _serve(node: Node, plugins: Hosted, run: servers.Serve, listener: socket.socket, stop: asyncio.Event) -> None:
    faces = Faces(node, await node.log.head(), plugins.routes)
    following = asyncio.create_task(faces.follow(), name="fan-out")
    work: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
        "sweep of files": node.core.files.sweep_always,
        "erasing": node.core.erasing.always,
        "eraser": Eraser(node.database, node.log, node.leases, node.consumers).always,
        "retention": lambda: node.leases.keep("retention", lambda _lease: node.core.retention.always()),
        "presence": node.core.presence.tell_always,
    }
    if plugins.run is not nothing:
        work["plugins"] = plugins.run
    beside = [asyncio.create_task(unending(name, each)) for name, each in work.items()]
    await _invite_the_first(node)

    async def stopped() -> None:
        """Ends when the server is to end: asked to, or because its fan-out died, without which it is no use."""
        await asyncio.wait([asyncio.ensure_future(stop.wait()), following], return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping")
        await faces.gateway.drain()

    try:
        log.info("serving", url=node.settings.effective_public_url, server=node.settings.server, loop=running())
        await run(faces.app, node.settings, listener, stopped)
        if following.done():
            following.result()
    finally:
        await end_all(following, *beside)


def collect_seldom() -> None:
    """Let Python look for cycles of garbage less often: nearly everything goes by reference count.

    With a thousand sockets, a collection after every 700 new objects, as Python has it, took a quarter of the time of a fan-out, and the
    full ones up to 0.2 s at once. What is there at the start is never garbage and not looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


async def _invite_the_first(node: Node) -> None:
    """On an empty server, print the link that makes the first administrator."""
    if token := await node.core.accounts.new_setup_token():
        link = f"{node.settings.effective_public_url}/setup?token={token}"
        print(f"There is no account yet. Make the first administrator here, once:\n{link}", flush=True)  # noqa: T201  # for the person at the terminal, not for the log


class Faces:
    """What a server shows: the app, with the API and the setup page, and the websockets."""

    def __init__(self, node: Node, head: Head, routes: HostedRoutes | None = None) -> None:
        self._node = node
        core, settings = node.core, node.settings
        limiter = TokenBuckets.of(settings.limits, node.clock)
        registry = Registry(limiter, node.metrics)
        for noun in NOUNS:
            noun.register(registry, core)
        identity = Identity(settings)
        self._known, self._log = core.known, node.log
        self.hub = Hub(head.position, settings.websocket.crowd, node.metrics)
        self._follower = Follower(node.log, node.broker, head.position)
        self._received = head.position
        node.broker.on_control(core.known.control)  # before sockets are closed: who is out there is out everywhere
        node.broker.on_control(self.hub.control)
        node.broker.on_control(core.presence.control)

        async def invoke(method: str, path: str, actor: Actor, params: Mapping[str, Any]) -> bytes:
            context = Context(request_id=secrets.token_hex(8), client_id=actor.client_id, actor=actor)
            return await registry.frame(method, path, context, params)

        async def enrol(secret: str, form: Mapping[str, str], address: str) -> None:
            account = NewAccount(secret, form["username"], form["name"] or None, form["email"] or None, form["password"])
            await core.invitations.enrol(account, address)

        self.gateway = Gateway(Services(settings, core, self.hub, limiter, invoke, node.metrics), identity)
        self.app = create_app(settings, registry, core.sessions.authenticate, identity, readiness(node))
        self.app.register_blueprint(setup.blueprint(core.accounts.create_first, settings.effective_public_url))
        self.app.register_blueprint(
            invitation.blueprint(core.invitations.organisation, enrol, identity.address, settings.effective_public_url)
        )
        links = core.public_links
        self.app.register_blueprint(public.blueprint(links.followed, links.message, downloading(links.file)))
        self.app.register_blueprint(docs.blueprint(lambda: openapi(registry), description.description))
        if routes is not None:

            async def caller(source: Request) -> Actor:
                return await caller_of(source, identity, core.sessions.authenticate)

            answering = Answering(routes, caller, identity, limiter, settings)
            self.app.register_blueprint(api_routes.blueprint(routes, answering))
        self.gateway.install(self.app)
        self._add_metrics(identity)

    def _add_metrics(self, identity: Identity) -> None:
        page = page_of(self._node)
        self._node.metrics.fan_out_lag.read = lambda: None if page.head is None else max(0, page.head - self.hub.offset)
        self.app.register_blueprint(metrics.blueprint(page.scrape, identity, self._node.settings.metrics.token))

    async def follow(self) -> None:
        """Fan out what the log says, until cancelled."""
        self._known.follows = True
        self._log.paced_by(self._keep_pace)
        await self.hub.run(self._observed())

    async def _keep_pace(self, position: int) -> None:
        """Let the writer wait for the sockets, but not for what RabbitMQ has not brought yet."""
        await self.hub.pace.keep(position if isinstance(self._node.broker, LocalBroker) else min(position, self._received))

    async def _observed(self) -> AsyncIterator[Sequence[Event]]:
        async for events in self._follower.events():
            self._received = events[-1].position
            self._known.observe(events)  # those of other processes; its own it knows since their commit
            yield events
            age_ms = self._node.clock.now() - events[0].at
            self._node.metrics.fan_out_seconds.observe((), max(0, age_ms) / 1000)


def page_of(node: Node) -> metrics.Page:
    """The metrics of a process."""
    desk = Desk(node.database, node.log, node.leases, node.consumers, node.clock)
    return metrics.Page(node.metrics, node.log, node.consumers, desk)


def readiness(node: Node) -> Ready:
    """Says why a process cannot work now."""

    async def ready() -> str | None:
        try:
            await node.log.head()
        except Unavailable:
            return "the database does not answer"
        return None

    return ready


async def monitored(node: Node, listener: socket.socket, stopped: servers.Stopped) -> None:
    """Answer `/metrics` and `/health/…` alone, until `stopped` ends: for a process that serves nobody else."""
    app = create_bare_app(readiness(node))
    app.register_blueprint(metrics.blueprint(page_of(node).scrape, Identity(node.settings), node.settings.metrics.token))
    await servers.chosen(node.settings)(app, node.settings, listener, stopped)
