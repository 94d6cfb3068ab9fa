"""A process that lets plugins live and serves nobody: `crust worker`, beside any number of servers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

from crust.clock import Clock, SystemClock
from crust.host.chain import FilterChain
from crust.log.tasks import first_to_end
from crust.runtime import asked_to_stop, hosting, monitored, opened, plugins_of
from crust.servers.listening import listening
from crust.settings import Settings, SettingsError
from crust.telemetry import get_logger

log = get_logger(__name__)


async def work(settings: Settings, clock: Clock | None = None, *, strict: bool = False, address: tuple[str, int] | None = None) -> None:
    """Let plugins live here until SIGTERM or SIGINT; what they are at work on is finished, or left for the next process.

    Args:
        address: host and port where `/metrics` and `/health/…` are answered; None: nowhere.
        clock: another than the machine's own.
        strict: refuse to start when a plugin cannot be at work.

    Raises:
        SettingsError: there is no PostgreSQL or no RabbitMQ; or a plugin cannot be at work, and `strict`.
        StartRefused: the database cannot be used, or is being migrated.
        OSError: the address cannot be listened on.
    """
    if problems := list(missing(settings)):
        raise SettingsError(problems)
    stop, chain = asked_to_stop(), FilterChain(clock or SystemClock())
    wanted = plugins_of(settings, strict=strict)
    if not wanted:
        log.warning("no plugin is configured and enabled: there is nothing to do")
    async with (
        listening_at(address) as listener,
        opened(settings, clock, connected=True, filters=chain) as node,
        hosting(node, wanted, chain, "worker", strict=strict) as plugins,
    ):
        log.info("working", plugins=[each.name for each in wanted if each.settings.run_in != "serve"])
        running: list[Coroutine[Any, Any, object]] = [stop.wait()]
        if wanted:
            running.append(plugins.run())
        if listener is not None:
            running.append(monitored(node, listener, forever))
        await first_to_end(*running)
        log.info("stopping")


@asynccontextmanager
async def listening_at(address: tuple[str, int] | None) -> AsyncIterator[socket.socket | None]:
    """Bound before anything else is started."""
    if address is None:
        yield None
        return
    with listening(*address) as listener:
        yield listener


async def forever() -> None:
    await asyncio.Event().wait()


def missing(settings: Settings) -> Iterator[str]:
    """What a process beside servers needs, and these settings do not have."""
    if settings.sqlite_path is not None:
        yield "database_url: a worker shares PostgreSQL with the servers, and this is SQLite: there crust serve does a worker's work itself"
    if not settings.broker_url:
        yield "broker_url: a worker hears of events through the servers' RabbitMQ, and none is named"
