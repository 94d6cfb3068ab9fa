"""The composition root: settings → database → log and broker → services → API, websockets → server."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config

from crust.api import channels, messages, users
from crust.api import hypercorn as http_hypercorn
from crust.api.app import create_app
from crust.api.calls import Context, Registry
from crust.api.identity import Identity
from crust.broker.base import Broker
from crust.broker.follower import Follower
from crust.broker.local import LocalBroker
from crust.clock import Clock, SystemClock
from crust.errors import Unavailable
from crust.log import Head, Log
from crust.models.database import Database
from crust.models.migrate import migrate, serving
from crust.services.actor import Actor
from crust.services.core import Core
from crust.services.limits import LoginThrottle, TokenBuckets
from crust.settings import Settings
from crust.telemetry import get_logger
from crust.web import setup
from crust.ws import hypercorn as ws_hypercorn
from crust.ws.gateway import Gateway
from crust.ws.hub import Hub
from crust.ws.services import Services

log = get_logger(__name__)

BACKLOG = 2048  # connections that may wait to be accepted: a thousand clients that come back at once
FINISH_S = 8.0  # for requests in hand, after the sockets' farewell: with it, within the 20 s of the operations contract


@dataclass(frozen=True, slots=True)
class Node:
    """One process of Crust, without its faces: what the server and every command work with.

    `migrated` names the migrations that opening it has applied.
    """

    settings: Settings
    clock: Clock
    database: Database
    log: Log
    broker: Broker
    core: Core
    migrated: list[str]


@asynccontextmanager
async def opened(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Node]:
    """Connect, migrate, and run what writes, for the length of a block.

    Raises:
        StartRefused: the database cannot be used, or would have to be migrated under a running server.
    """
    clock = clock or SystemClock()
    broker = LocalBroker()
    async with Database(settings).opened() as database:
        migrated = await migrate(database)
        log = Log(database, clock, settings.database, broker.publish)
        core = Core(settings, clock, database, log, LoginThrottle(settings.limits, clock), broker.tell)
        async with log.running():
            await broker.start()
            try:
                yield Node(settings, clock, database, log, broker, core, migrated)
            finally:
                await broker.stop()
                core.close()


# ---- the server


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; then close the sockets with a word when to come back, and finish what is in hand.

    Raises:
        StartRefused: the database cannot be used, or is being migrated.
        OSError: the address cannot be listened on.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with listening(settings.host, settings.port) as listener:
        port: int = listener.getsockname()[1]
        settings = settings.model_copy(update={"port": port})
        async with opened(settings) as node:
            with serving(node.database):
                await _serve(node, listener, stop)


async def _serve(node: Node, listener: socket.socket, stop: asyncio.Event) -> None:
    faces = Faces(node, await node.log.head())
    following = asyncio.create_task(faces.follow(), name="fan-out")
    await _invite_the_first(node)

    async def stopped() -> None:
        """Ends when the server is to end: asked to, or because its fan-out died, without which it is no use."""
        listener.listen(BACKLOG)  # again: asyncio, which listens by now, takes as many for a queue as it accepts at once
        await asyncio.wait([asyncio.ensure_future(stop.wait()), following], return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping")
        await faces.gateway.drain()
        asyncio.get_running_loop().call_later(FINISH_S, http_hypercorn.drop_all)

    try:
        log.info("serving", url=node.settings.effective_public_url)
        await hypercorn_serve(faces.app, hypercorn_config(node.settings, listener), shutdown_trigger=stopped)
        if following.done():
            following.result()
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def _invite_the_first(node: Node) -> None:
    """On an empty server, print the link that makes the first administrator."""
    if await node.core.accounts.empty():
        link = f"{node.settings.effective_public_url}/setup?token={node.core.accounts.new_setup_token()}"
        print(f"There is no account yet. Make the first administrator here, once:\n{link}", flush=True)  # noqa: T201  # for the person at the terminal, not for the log


class Faces:
    """What a server shows: the app, with the API and the setup page, and the websockets."""

    def __init__(self, node: Node, head: Head) -> None:
        core, settings = node.core, node.settings
        limiter = TokenBuckets.of(settings.limits, node.clock)
        registry = Registry(limiter)
        for noun in (users, channels, messages):
            noun.register(registry, core)
        identity = Identity(settings)
        self.hub = Hub(head.position)
        self._follower = Follower(node.log, node.broker, head.position)
        node.broker.on_control(self.hub.control)

        async def invoke(method: str, path: str, actor: Actor, params: Mapping[str, Any]) -> bytes:
            context = Context(request_id=secrets.token_hex(8), client_id=actor.client_id, actor=actor)
            return (await registry.run(registry.find(method, path), context, params)).envelope

        async def ready() -> str | None:
            try:
                await node.log.head()
            except Unavailable:
                return "the database does not answer"
            return None

        self.gateway = Gateway(Services(settings, core, self.hub, limiter, invoke), identity)
        self.app = create_app(settings, registry, core.sessions.authenticate, identity, ready)
        self.app.register_blueprint(setup.blueprint(core.accounts.create_first, settings.effective_public_url))
        self.gateway.install(self.app)

    async def follow(self) -> None:
        """Fan out what the log says, until cancelled."""
        await self.hub.run(self._follower.events())


def listening(host: str, port: int) -> socket.socket:
    """A listening socket, bound before anything else is started: an address in use is the commonest mistake."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def hypercorn_config(settings: Settings, listener: socket.socket) -> Config:
    """Hypercorn as Crust needs it; see the two modules of that name for what no setting reaches."""
    own = settings.websocket
    http_hypercorn.install(answer_s=settings.http.answer_s)
    ws_hypercorn.install(deflate=own.deflate)
    config = Config()
    config.bind = [f"fd://{os.dup(listener.fileno())}"]  # a duplicate, because Hypercorn closes what it is given
    config.backlog = http_hypercorn.ACCEPTED
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    config.loglevel = "WARNING"
    config.include_server_header = False
    config.keep_alive_max_requests = 1_000_000
    config.keep_alive_timeout = settings.http.idle_s
    config.graceful_timeout = FINISH_S + 2 * http_hypercorn.DROP_S  # by then there is nothing left to cut off
    config.websocket_ping_interval = own.ping_interval_s
    config.websocket_max_message_size = own.frame_bytes
    return config
