"""Everything that takes part in a trial: what faults are done to, and who talks and listens meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from crust.log.tasks import end_all
from crust.torture.accounts import Account
from crust.torture.authors import Author
from crust.torture.brokers import Broker
from crust.torture.ledger import Wrongs
from crust.torture.listeners import Listener
from crust.torture.nodes import Node, Reader
from crust.torture.plan import Plan
from crust.torture.proxy import CLEAR, FaultProxy, Weather
from crust.torture.stores import Away, Store

READY_S = 60.0
POLL_S = 0.1
DELIVERIES = 2000  # a second, over all who listen: more would test how fast this process is
TOGETHER = 50  # of a crowd connect at once, before anything is tried: all links lead through this one process

LinkName = Literal["broker", "database", "clients"]


class Stage:
    """See the module. `crust.torture.building` sets it up.

    Args:
        plan: what was asked.
        folder: where everything is.
        store: the database.
        broker: RabbitMQ, if there is one.

    `wrongs` are those of the fault that is being done, which may add what it finds itself; what it can look at only once everybody has
    fallen silent it leaves in `afterwards`.
    """

    def __init__(self, plan: Plan, folder: Path, store: Store, broker: Broker | None) -> None:
        self.plan, self.folder, self.store, self.broker = plan, folder, store, broker
        self.chance = random.Random(f"{plan.seed} faults")
        self.repeat = 0
        self.wrongs = Wrongs()
        self.afterwards: list[Callable[[], Awaitable[None]]] = []
        self.links: dict[LinkName, list[FaultProxy]] = {"broker": [], "database": [], "clients": []}
        self.nodes: list[Node] = []
        self.reader: Reader | None = None
        self.accounts: list[Account] = []
        self.channels: list[int] = []
        self.authors: list[Author] = []
        self.listeners: list[Listener] = []
        self.crowd: list[Listener] = []
        self._balancer = random.Random()  # where a client goes depends on the moment anyhow: no seed would repeat it
        self._tasks: list[asyncio.Task[None]] = []
        self._crowd_tasks: list[asyncio.Task[None]] = []

    # ---- what faults use

    def lasting(self, seconds: float, at_least: float = 0.0) -> float:
        """How long something lasts that lasts so many seconds in full; `at_least` is what it takes to come to the point."""
        return max(seconds * self.plan.scale, at_least)

    async def hold(self, seconds: float, at_least: float = 0.0) -> None:
        """Let a fault last; see `lasting`."""
        await asyncio.sleep(self.lasting(seconds, at_least))

    @contextmanager
    def weather(self, link: LinkName, weather: Weather) -> Iterator[None]:
        """On every connection of a link, for the length of a block."""
        for proxy in self.links[link]:
            proxy.weather = weather
        try:
            yield
        finally:
            for proxy in self.links[link]:
                proxy.weather = CLEAR

    def reset(self, link: LinkName) -> int:
        """Reset every connection of a link; gives how many there were."""
        count = sum(proxy.open for proxy in self.links[link])
        for proxy in self.links[link]:
            proxy.reset()
        return count

    async def relay(self) -> Node:
        """The node that is the relay; waits until one is."""
        async with asyncio.timeout(READY_S):
            while True:
                for [owner] in await self.store.rows("SELECT owner FROM lease WHERE name = $1", "relay"):
                    for node in self.nodes:
                        if node.process.running and f"-{node.process.pid}-" in owner:
                            return node
                await asyncio.sleep(POLL_S)

    async def generation(self, lease: str) -> int:
        """How many have had a lease so far."""
        [[generation]] = await self.store.rows("SELECT generation FROM lease WHERE name = $1", lease)
        return int(generation)

    async def listen(self, count: int) -> None:
        """Let so many more people listen, until the reckoning."""
        heard = (len(self.listeners) + len(self.crowd) + count) * self.plan.rate
        for author in self.authors:
            author.pace = min(1.0, DELIVERIES / heard)
        for number in range(len(self.crowd), len(self.crowd) + count):
            listener = Listener(f"one of the crowd, {number}", self.accounts[-1], self.choose)
            self.crowd.append(listener)
            self._crowd_tasks.append(asyncio.create_task(listener.live()))
            if len(self.crowd) % TOGETHER == 0:
                await self.all_ready()
        await self.all_ready()

    def choose(self) -> str:
        """A node, as a load balancer chooses it that knows nothing."""
        return self._balancer.choice(self.nodes).address

    # ---- people

    def play(self, *parts: Coroutine[Any, Any, None]) -> None:
        """Let somebody live until the trial's end."""
        self._tasks += [asyncio.create_task(part) for part in parts]

    def talk(self, *, on: bool) -> None:
        """Let the authors begin, or end: what they have begun to say they still repeat until it is acknowledged."""
        for author in self.authors:
            if on:
                author.talking.set()
            else:
                author.talking.clear()

    async def all_ready(self) -> None:
        """Until everybody who listens is connected.

        Raises:
            TimeoutError: not within a minute, and a fifth of a second for each of a crowd.
        """
        async with asyncio.timeout(READY_S + 0.2 * len(self.crowd)):
            for listener in [*self.listeners, *self.crowd]:
                await listener.ready.wait()

    def check(self) -> None:
        """Raises what anybody has died of: a fault of the trial's own."""
        for task in [*self._tasks, *self._crowd_tasks]:
            if task.done():
                task.result()

    @property
    def resumes(self) -> int:
        """How often people have come back, since the fault began."""
        return sum(listener.resumes for listener in [*self.listeners, *self.crowd])

    async def dismiss_the_crowd(self) -> None:
        await end_all(*self._crowd_tasks)
        self._crowd_tasks, self.crowd = [], []
        for author in self.authors:
            author.pace = 1.0

    async def leave(self) -> None:
        """Everybody goes."""
        await self.dismiss_the_crowd()
        await end_all(*self._tasks)

    # ---- how far everything is

    async def head(self) -> int:
        """Where the log ends, once the database says."""
        while True:
            try:
                [[position]] = await self.store.rows("SELECT position FROM log WHERE id = 1")
                return int(position)
            except Away:
                await asyncio.sleep(POLL_S)

    async def behind(self, head: int, last: int) -> list[str]:
        """Who has not got there: reader and consumers (the relay is one) to `head`, listeners to `last`, the newest message until there."""
        late = [each.heard.name for each in [*self.listeners, *self.crowd] if each.position < last]
        late += [f"the consumer {name}" for [name] in await self.store.rows("SELECT name FROM consumer WHERE position < $1", head)]
        if self.reader is not None:
            late += ["the reader"] if (await self.reader.place() or 0) < head else []
        return late

    async def has_come(self, head: int) -> bool:
        """Whether RabbitMQ has brought the reader something that is no older, whatever it has read from the log."""
        if self.reader is None:
            return True
        rows = await self.reader.rows("SELECT position FROM came ORDER BY number DESC LIMIT 1")
        return bool(rows) and rows[0][0] >= head

    async def last_message(self, head: int) -> int:
        """The newest position up to there that goes to all who listen."""
        sql = "SELECT coalesce(max(position), 0) FROM event WHERE type IN ('message', 'reaction') AND position <= $1"
        [[position]] = await self.store.rows(sql, head)
        return int(position)
