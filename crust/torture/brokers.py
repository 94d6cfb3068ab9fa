"""The RabbitMQ under torture: one that is started for it, or one that was given."""

from __future__ import annotations

import asyncio
import shutil
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from crust.torture.process import Blocking, ProcessFailed
from crust.torture.rabbit import BIN, Management, RabbitServer

PREFIXES = ("crust.v1.", "torture.")  # whatever else is on a broker that was given is let alone
PLENTY = "1GB"  # of memory, as a broker of our own has it


class Broker:
    """A broker. `server` is there where it is our own, and may be killed."""

    def __init__(self, url: str, server: RabbitServer | None = None) -> None:
        self.url, self.server, self._blocking = url, server, Blocking()
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 5672
        self.vhost = unquote(parts.path.removeprefix("/")) or "/"
        self._management = Management(urlunsplit(parts._replace(netloc=parts.netloc if parts.port else f"{parts.netloc}:{self.port}")))

    def through(self, port: int) -> str:
        """Its URL by way of a proxy on this machine."""
        parts = urlsplit(self.url)
        account, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{account}{at}127.0.0.1:{port}"))

    async def open(self) -> None:
        """Start it; one that was given is cleared of what a trial that was killed has left.

        Raises:
            ProcessFailed: it does not start, or as in `clear`.
        """
        await (self.clear() if self.server is None else self.start())

    async def call(self, method: str, *path: str) -> Any:
        """The management API, past all faults."""
        return await asyncio.to_thread(self._management.call, method, *path)

    async def names(self, kind: str) -> set[str]:
        """Those of queues or exchanges that belong to the trial."""
        found = await self.call("GET", kind, self.vhost)
        return {each["name"] for each in found if each["name"].startswith(PREFIXES)}

    async def clear(self) -> int:
        """Remove every queue and exchange of the trial; gives how many.

        Raises:
            ProcessFailed: its management API cannot be reached, or not by this account.
        """
        try:
            return sum([await self._delete(kind, name) for kind in ("queues", "exchanges") for name in await self.names(kind)])
        except OSError as error:
            raise ProcessFailed(f"RabbitMQ's management API, {self._management.base}: {error}") from None

    async def _delete(self, kind: str, name: str) -> bool:
        try:
            await self.call("DELETE", kind, self.vhost, name)
        except urllib.error.HTTPError as error:
            if error.code not in (400, 404):  # it is a connection's own, with which it goes; or it went by itself
                raise
            return False
        return True

    # ---- of our own only

    async def _with(self, work: Callable[[RabbitServer], object]) -> None:
        assert self.server is not None
        await self._blocking.run(work, self.server)

    async def start(self) -> None:
        await self._with(RabbitServer.start)

    async def kill(self) -> None:
        await self._with(RabbitServer.kill)

    async def stop(self) -> None:
        await self._with(RabbitServer.stop)

    async def wipe(self) -> None:
        await self._with(RabbitServer.wipe)

    async def alarm(self, *, on: bool) -> None:
        """Let it believe that its memory is full, or not."""
        mark = ("0.00001",) if on else ("absolute", PLENTY)
        await self._with(lambda server: server.control("set_vm_memory_high_watermark", *mark))

    async def close(self) -> None:
        await self._blocking.finished()
        if self.server is not None:
            await self._with(RabbitServer.close)
        else:
            await self.clear()


def installed() -> bool:
    """Whether a broker can be started here."""
    return (BIN / "rabbitmq-server").exists() and shutil.which("epmd") is not None


def own(folder: Path) -> Broker:
    """One of our own below a folder, to be started."""
    server = RabbitServer(folder)
    return Broker(server.url, server)
