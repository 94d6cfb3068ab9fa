"""Sets a stage up, and takes it down, whatever happens in between."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from crust.torture import brokers
from crust.torture.accounts import accounts_of
from crust.torture.authors import HttpAuthor, SocketAuthor
from crust.torture.brokers import Broker
from crust.torture.listeners import Listener
from crust.torture.nodes import Node, Reader
from crust.torture.plan import Plan
from crust.torture.process import Process, ProcessFailed, crust, environment
from crust.torture.proxy import FaultProxy
from crust.torture.stage import LinkName, Stage
from crust.torture.stores import OwnPostgres, Postgres, SQLite, Store

FILL_S = 60.0

Tell = Callable[[str], None]


@asynccontextmanager
async def staged(plan: Plan, tell: Tell) -> AsyncIterator[Stage]:
    """A stage, ready: nodes serve, people listen, nobody talks yet.

    Args:
        plan: what was asked.
        tell: is told how far it is.

    Raises:
        ProcessFailed: something could not be started.
    """
    async with AsyncExitStack() as stack:
        folder = _folder(plan, stack)
        tell("starting the database and the broker")
        stage = Stage(plan, folder, *await _both(_store(plan, folder, stack), _broker(plan, folder, stack)))
        stack.push_async_callback(_taken_down, stage)
        tell("filling the database, starting the nodes")
        await _fill(stage)
        for number in range(plan.node_count):
            await _add_node(stage, number)
        await asyncio.gather(*(node.start() for node in stage.nodes))
        await _join_all(stage)
        if stage.broker is not None:
            await _add_reader(stage, stage.broker)
        await _people(stage)
        yield stage


async def _both(store: Coroutine[Any, Any, Store], broker: Coroutine[Any, Any, Broker | None]) -> tuple[Store, Broker | None]:
    """Start both at once, and wait for both, however it ends: what one has begun has to be taken down."""
    try:
        async with asyncio.TaskGroup() as group:
            first, second = group.create_task(store), group.create_task(broker)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return first.result(), second.result()


async def _taken_down(stage: Stage) -> None:
    await stage.leave()
    for node in stage.nodes:
        await node.close()
    if stage.reader is not None:
        stage.reader.close()
    for proxy in [*stage.links["broker"], *stage.links["database"]]:
        await proxy.close()


def _folder(plan: Plan, stack: AsyncExitStack) -> Path:
    if plan.folder:
        folder = Path(plan.folder).resolve()
        folder.mkdir(parents=True)
    else:
        folder = Path(tempfile.mkdtemp(prefix="crust-torture-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)  # PostgreSQL and RabbitMQ run as other accounts, where root starts them
    return folder


async def _store(plan: Plan, folder: Path, stack: AsyncExitStack) -> Store:
    store: Store
    if plan.database == "sqlite":
        store = SQLite(folder / "data")
    elif plan.database == "postgres":
        store = OwnPostgres(folder / "postgres")
    else:
        store = Postgres(plan.database)
    stack.push_async_callback(store.close)
    await store.open()
    return store


async def _broker(plan: Plan, folder: Path, stack: AsyncExitStack) -> Broker | None:
    if plan.broker == "none":
        return None
    broker = brokers.own(folder / "rabbit") if plan.broker == "rabbit" else Broker(plan.broker)
    stack.push_async_callback(broker.close)
    await broker.open()
    return broker


# ---- nodes


def _settings(stage: Stage, name: str, database: str, broker: str) -> dict[str, str]:
    """What a node is told. Rates are not limited; everything else is as it comes."""
    data = stage.folder / ("data" if stage.store.kind == "sqlite" else f"data-{name}")
    found = {
        "DATA_DIR": str(data),
        "FILES_DIR": str(stage.folder / "files"),
        "LOG__FORMAT": "json",
        "LIMITS__ENABLED": "false",
        "WEBSOCKET__CONNECTIONS_PER_USER": "10000",
    }
    if database:
        found["DATABASE_URL"] = database
    if broker:
        found["BROKER_URL"] = broker
    return environment(**found)


async def _fill(stage: Stage) -> None:
    """Make people, who are signed in, and channels."""
    sessions, count = stage.folder / "sessions", str(stage.plan.people)
    (stage.folder / "files").mkdir()
    command = crust("demo", "--users", count, "--channels", str(stage.plan.channels), "--messages", "0", "--sessions", str(sessions))
    process = Process("demo", command, _settings(stage, "demo", stage.store.url, ""), stage.folder)
    await process.run(FILL_S)
    if not sessions.exists():
        raise ProcessFailed(f"crust demo: {process.log()}")
    stage.accounts = accounts_of(sessions)
    stage.channels = [int(channel) for [channel] in await stage.store.rows("SELECT id FROM channel ORDER BY id")]


async def _link(stage: Stage, name: LinkName, host: str, port: int) -> int:
    """One more proxy on a link; gives its port."""
    proxy = FaultProxy(host, port, f"{stage.plan.seed} {name} {len(stage.links[name])}")
    await proxy.start()
    stage.links[name].append(proxy)
    return proxy.port


async def _add_node(stage: Stage, number: int) -> None:
    database = broker = ""
    if stage.store.address is not None:
        port = await _link(stage, "database", *stage.store.address)
        account, at, _ = urlsplit(stage.store.url).netloc.rpartition("@")
        database = urlunsplit(urlsplit(stage.store.url)._replace(netloc=f"{account}{at}127.0.0.1:{port}"))
    if stage.broker is not None:
        broker = stage.broker.through(await _link(stage, "broker", stage.broker.host, stage.broker.port))
    name = f"node-{number + 1}"
    node = Node(name, _settings(stage, name, database, broker), stage.folder, stage.plan.seed)
    stage.nodes.append(node)
    await node.clients.start()
    stage.links["clients"].append(node.clients)


async def _add_reader(stage: Stage, broker: Broker) -> None:
    url = broker.through(await _link(stage, "broker", broker.host, broker.port))
    database = stage.store.url or str(stage.folder / "data" / "crust.db")
    stage.reader = Reader(url, database, environment(), stage.folder)
    await stage.reader.start()


# ---- people


async def _join_all(stage: Stage) -> None:
    """Let everybody into every channel, so that everything goes to all who listen."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=FILL_S)) as session:
        for account in stage.accounts:
            for channel in stage.channels:
                where = stage.nodes[0].address + "/channel/join"
                async with session.post(where, data={"id": str(channel)}, headers=account.headers) as answer:
                    if answer.status not in (200, 409):
                        raise ProcessFailed(f"joining a channel: {answer.status} {await answer.text()}")


async def _people(stage: Stage) -> None:
    plan, accounts = stage.plan, iter(stage.accounts)
    rate = plan.rate / max(1, plan.http_authors + plan.socket_authors)
    for kind, count in ((HttpAuthor, plan.http_authors), (SocketAuthor, plan.socket_authors)):
        for _ in range(count):
            account = next(accounts)
            chance = random.Random(f"{plan.seed} {account.username}")
            author = kind(account, stage.channels, rate, stage.choose, chance)
            stage.authors.append(author)
            stage.play(author.live())
    for _ in range(plan.listeners):
        account = next(accounts)
        listener = Listener(account.username, account, stage.choose)
        stage.listeners.append(listener)
        stage.play(listener.live())
    await stage.all_ready()
