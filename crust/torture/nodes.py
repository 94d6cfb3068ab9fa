"""The processes under torture: nodes, each behind proxies of its own, and the program that reads from RabbitMQ."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from crust.torture.process import Process, ProcessFailed, crust, free_port
from crust.torture.proxy import FaultProxy

START_S = 60.0  # on a machine that is busy with everything else
LOOK_S = 2.0


class Node:
    """`crust serve`, and the proxy through which clients come to it.

    Args:
        name: of its log.
        environment: its settings.
        folder: where it runs.
    """

    def __init__(self, name: str, environment: Mapping[str, str], folder: Path, seed: int) -> None:
        self.name, self.port = name, free_port()
        self.environment = environment
        self.process = Process(name, [], environment, folder)
        self.clients = FaultProxy("127.0.0.1", self.port, f"{seed} clients of {name}")

    @property
    def address(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self.clients.port}"

    async def start(self, *untrustworthy: str, **variables: str) -> None:
        """Start it, with these variables too, and wait until it is ready. With arguments it is a `crust.torture.node`, and they are its."""
        self.process.environment = {**self.environment, **variables}
        where = ("--port", str(self.port))
        plain = crust("serve", "--host", "127.0.0.1", *where)
        self.process.command = crust(*where, *untrustworthy, module="crust.torture.node") if untrustworthy else plain
        self.process.start()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_S
        while not await asyncio.to_thread(self._ready):
            self.process.check()
            if loop.time() > deadline:
                raise ProcessFailed(f"{self.name} is not ready after {START_S:g} s: {self.process.log()}")
            await asyncio.sleep(0.05)

    async def metric(self, name: str) -> float:
        """What `/metrics` says of one, labels included."""
        page = await asyncio.to_thread(self._page, "/metrics")
        return next(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(f"{name} "))

    def _page(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=START_S) as answer:
            return str(answer.read(), "utf-8")

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=LOOK_S) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    async def replace(self, *untrustworthy: str, **variables: str) -> None:
        """SIGTERM, and start it again."""
        await self.process.stop()
        await self.start(*untrustworthy, **variables)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """SIGSTOP, for the length of a block."""
        self.process.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send(signal.SIGCONT)

    async def close(self) -> None:
        self.process.kill()
        await self.clients.close()


class Reader:
    """`crust.torture.reader`, and what it has written down.

    Args:
        broker, database: where it reads, and heals.
        environment: its variables.
        folder: where it runs.
    """

    def __init__(self, broker: str, database: str, environment: Mapping[str, str], folder: Path) -> None:
        self.keep = folder / "reader.db"
        self._command = crust("--broker", broker, "--database", database, "--keep", str(self.keep), module="crust.torture.reader")
        self.process = Process("reader", self._command, environment, folder)

    async def start(self, *arguments: str) -> None:
        """Start it, and wait until it has a place in the log, which it keeps from then on."""
        self.process.command = [*self._command, *arguments]
        self.process.start()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_S
        while await self.place() is None:
            self.process.check()
            if loop.time() > deadline:
                raise ProcessFailed(f"the reader has not begun after {START_S:g} s: {self.process.log()}")
            await asyncio.sleep(0.1)

    async def restart(self, *arguments: str) -> None:
        """kill -9, and start it again."""
        self.process.kill()
        await self.start(*arguments)

    async def place(self) -> int | None:
        """Up to where it has dealt with everything."""
        rows = await self.rows("SELECT position FROM place")
        return rows[0][0] if rows else None

    async def rows(self, sql: str, *values: Any) -> Sequence[Sequence[Any]]:
        """From what it has written down."""
        return await asyncio.to_thread(self._rows, sql, values)

    def _rows(self, sql: str, values: Sequence[Any]) -> Sequence[Sequence[Any]]:
        if self.keep.exists():
            with suppress(sqlite3.OperationalError):  # it is making its tables
                connection = sqlite3.connect(self.keep, timeout=LOOK_S)
                try:
                    return connection.execute(sql, values).fetchall()
                finally:
                    connection.close()
        return []

    def close(self) -> None:
        self.process.kill()
