"""What RabbitMQ costs, how far an event travels by it, and what two nodes carry. A broker is started for it.

Two nodes need PostgreSQL, on which databases are made and dropped: `CRUST_TEST_POSTGRES_URL`; without it that case says so.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import aiormq
import asyncpg
from aiormq.abc import DeliveredMessage

from crust.broker.topology import EVENTS
from crust.runtime import opened
from crust.settings import Settings
from crust.torture.accounts import Account as Person
from crust.torture.accounts import accounts_of
from crust.torture.rabbit import RabbitServer
from tests.benchmarks.client import Http
from tests.benchmarks.load import Figures, Receiver, volley
from tests.benchmarks.people import channel_of, listening, speakers
from tests.benchmarks.processes import Process, crust, crust_server
from tests.benchmarks.sitting import Row, Sitting, median, ratio
from tests.support.people import channel, person, position, say

SENDERS, WARM_UP = 10, 50
RATE = 40  # messages a second, where the time of an answer counts
RELAYED = 20_000  # events that wait for the relay
RELAY_S = 120.0
LAG = b'crust_consumer_lag_positions{consumer="relay"}'
POSTGRES_URL = os.environ.get("CRUST_TEST_POSTGRES_URL", "")


@contextmanager
def broker() -> Iterator[RabbitServer]:
    """A RabbitMQ of its own. (Root runs it as another account, which cannot look into root's folders.)"""
    with tempfile.TemporaryDirectory(prefix="crust-benchmark-rabbit-") as name:
        Path(name).chmod(0o755)
        server = RabbitServer(Path(name) / "server")
        try:
            server.start()
            yield server
        finally:
            server.close()


@contextmanager
def filled(users: int, environment: dict[str, str]) -> Iterator[tuple[Path, list[Person]]]:
    """A demo over what the environment names, and its people."""
    with tempfile.TemporaryDirectory(prefix="crust-benchmark-") as name:
        folder = Path(name)
        options = ("--users", str(users), "--channels", "1", "--messages", "50", "--sessions", str(folder / "sessions"))
        crust("demo", *options, folder=folder, environment=environment)
        yield folder, accounts_of(folder / "sessions")


async def spoken(port: int, people: list[Person], messages: int, rate: float | None = None, *, alive: bool = True) -> Figures:
    """Ten speak to all of them, as fast as they are answered or at a rate."""
    place = await channel_of(port, people)
    if alive:
        await relayed(port)
    senders = await speakers(port, people[:SENDERS], place)
    async with listening(port, people) as ears:
        await volley(senders, ears, WARM_UP)
        return await volley(senders, ears, messages, rate=rate)


async def relayed(port: int) -> None:
    """Until the relay, if there is one, has nothing to do."""
    http = await Http.open(port)
    async with asyncio.timeout(RELAY_S):
        while LAG in (body := (await http.request("GET", "/metrics"))[1]) and LAG + b" 0.0" not in body:
            await asyncio.sleep(0.1)
    http.close()


# ---- what it costs


async def rabbit(sitting: Sitting) -> list[Row]:
    """Ten to ten as fast as they are answered, without RabbitMQ and with it in turn; then how far an event travels, and the relay alone."""
    without: list[float] = []
    with_it: list[float] = []
    with broker() as server, filled(SENDERS, {}) as (folder, people):
        for _ in range(sitting.rounds):
            for values, environment in ((without, {}), (with_it, {"CRUST_BROKER_URL": server.url})):
                with crust_server(folder, sitting.server, environment) as process:
                    alive = bool(environment)  # without it nobody relays what the round before has left
                    values.append((await spoken(process.port, people, sitting.of(4000), alive=alive)).sent_s)
        travelled = await travel(sitting, folder, people, server.url)
        confirmed = [await relay(sitting, server.url) for _ in range(sitting.rounds)]
    ours, against = median(with_it), median(without)
    return [
        Row("10 receivers with RabbitMQ: messages/s", f"{ours:,.0f}", f"{against:,.0f} (without)", ratio(ours, against), "≥ 0.75"),
        Row("20 messages/s: to another process by RabbitMQ, p50", f"{travelled[0]:.1f} ms", wanted="≤ 15 ms"),
        Row("20 messages/s: to another process by RabbitMQ, p99", f"{travelled[1]:.1f} ms"),
        Row("relay: events/s that RabbitMQ confirmed", f"{median(confirmed):,.0f}", wanted="≥ 3,000"),
    ]


async def travel(sitting: Sitting, folder: Path, people: list[Person], url: str) -> tuple[float, float]:
    """p50 and p99 in milliseconds, from when a message was due until a program with a queue of its own had it."""
    with crust_server(folder, sitting.server, {"CRUST_BROKER_URL": url}) as process:
        place = await channel_of(process.port, people)
        senders = await speakers(process.port, people, place)
        await relayed(process.port)
        async with reading(url) as receiver:
            await volley(senders, [receiver], sitting.of(WARM_UP), rate=20)
            figures = await volley(senders, [receiver], sitting.of(400), rate=20)
            if not figures.sound:
                raise SystemExit(f"{figures.faults} messages were lost, doubled or out of order on RabbitMQ")
            return figures.end_to_end


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[Receiver]:
    """A program that reads all events from a queue of its own."""
    connection, receiver = await aiormq.connect(url), Receiver()
    try:
        there = await connection.channel()
        queue = (await there.queue_declare("", exclusive=True)).queue
        assert queue is not None
        await there.queue_bind(queue, EVENTS, "#")

        async def take(message: DeliveredMessage) -> None:
            receiver(message.body)

        await there.basic_consume(queue, take, no_ack=True)
        yield receiver
    finally:
        await connection.close()


async def relay(sitting: Sitting, url: str) -> float:
    """Events a second that the relay publishes, of what was written while no RabbitMQ was there."""
    count = sitting.of(RELAYED)
    with tempfile.TemporaryDirectory() as name:
        settings = Settings(data_dir=Path(name) / "data", broker_url=url)
        async with opened(settings) as node:
            await node.consumers.begin("relay")
            ana = await person(node, "ana", is_admin=True)
            room = await channel(node, ana)
            for _ in range(0, count, 500):
                await asyncio.gather(*(say(node, ana, room) for _ in range(min(500, count))))
        async with opened(settings, connected=True) as node, asyncio.timeout(RELAY_S):
            begin, head = await node.consumers.offset("relay"), await position(node)
            while await node.consumers.offset("relay") == begin:
                await asyncio.sleep(0.005)
            first, began = await node.consumers.offset("relay"), time.monotonic()
            while await node.consumers.offset("relay") < head:
                await asyncio.sleep(0.005)
            return (head - first) / (time.monotonic() - began)


# ---- without it


async def away(sitting: Sitting) -> list[Row]:
    """The time of an answer while RabbitMQ is there, and while it is dead, in turn."""
    there: list[float] = []
    gone: list[float] = []
    with (
        broker() as server,
        filled(SENDERS, {}) as (folder, people),
        crust_server(folder, sitting.server, {"CRUST_BROKER_URL": server.url}) as process,
    ):
        for _ in range(max(3, sitting.rounds)):
            there.append((await spoken(process.port, people, sitting.of(800), RATE)).ack[1])
            server.kill()
            gone.append((await spoken(process.port, people, sitting.of(800), RATE, alive=False)).ack[1])
            server.start()
    ours, against = median(gone), median(there)
    return [Row("RabbitMQ dead: ack p99", f"{ours:.1f} ms", f"{against:.1f} ms (alive)", ratio(ours, against), "≤ 1.5")]


# ---- several nodes


@dataclass(frozen=True, slots=True)
class Carried:
    """What nodes delivered together, and what they could have, had each had a core: so many in a second of the busiest one's time on it."""

    delivered_s: float
    could_s: float


async def nodes(sitting: Sitting) -> list[Row]:
    """As many receivers on each node, who hear all that is said on any: deliveries of one node, and of two."""
    if not POSTGRES_URL:
        return [Row("two nodes", "not measured", wanted="CRUST_TEST_POSTGRES_URL names no server")]
    receivers, one, two = sitting.of(200), list[Carried](), list[Carried]()
    async with database() as url:
        with broker() as server:
            environment = {"CRUST_BROKER_URL": server.url, "CRUST_DATABASE_URL": url}
            with filled(2 * receivers, environment) as (folder, people):
                for _ in range(sitting.rounds):
                    one.append(await carried(sitting, folder, environment, [people[:receivers]]))
                    two.append(await carried(sitting, folder, environment, [people[:receivers], people[receivers:]]))
    could_one, could_two = median([each.could_s for each in one]), median([each.could_s for each in two])
    rate_one, rate_two = median([each.delivered_s for each in one]), median([each.delivered_s for each in two])
    what = f"two nodes, {receivers} receivers each"
    return [
        Row(
            f"{what}: deliveries a second of the busier one's processor time",
            f"{could_two:,.0f}", f"{could_one:,.0f} (one node)", ratio(could_two, could_one), "≥ 1.6",
        ),
        Row(f"{what}: deliveries/s, both on one core", f"{rate_two:,.0f}", f"{rate_one:,.0f} (one node)", ratio(rate_two, rate_one)),
    ]  # fmt: skip


async def carried(sitting: Sitting, folder: Path, environment: dict[str, str], groups: Sequence[list[Person]]) -> Carried:
    """Ten on the first node speak; each group listens on a node of its own."""
    async with AsyncExitStack() as stack:
        processes: list[Process] = [stack.enter_context(crust_server(folder, sitting.server, environment)) for _ in groups]
        place = await channel_of(processes[0].port, [each for group in groups for each in group])
        senders = await speakers(processes[0].port, groups[0][:SENDERS], place)
        ears: list[Receiver] = []
        for process, group in zip(processes, groups, strict=True):
            ears += await stack.enter_async_context(listening(process.port, group))
        await relayed(processes[0].port)
        await volley(senders, ears, sitting.of(WARM_UP))
        messages, before = sitting.of(1500), [process.cpu_s() for process in processes]
        figures = await volley(senders, ears, messages)
        if not figures.sound:
            raise SystemExit(f"{figures.faults} messages were lost, doubled or out of order")
        used = max(process.cpu_s() - old for process, old in zip(processes, before, strict=True))
        return Carried(figures.delivered_s, messages * len(ears) / used)


@asynccontextmanager
async def database() -> AsyncIterator[str]:
    """A PostgreSQL database for the length of a block."""
    name = f"crust_benchmark_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(POSTGRES_URL)
    await connection.execute(f"CREATE DATABASE {name}")
    try:
        yield urlunsplit(urlsplit(POSTGRES_URL)._replace(path=f"/{name}"))
    finally:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.close()
