"""What the host hands to a plugin as `self.ctx`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from crust.clock import Clock
from crust.errors import TargetError
from crust.host.attempt import end
from crust.host.bounded import started
from crust.host.chat import Access, InstanceChat, InstanceFiles
from crust.host.consumer import Code
from crust.host.egress import ANSWER_BYTES, TIMEOUT_S, Answer, Egress, EgressError, Unreachable
from crust.host.store import Store
from crust.plugin import HttpRefused, Logger, PluginConfig


class InstanceTasks:
    """See `crust.plugin.Tasks`."""

    def __init__(self, instance: str, log: Logger) -> None:
        self._instance, self._log = instance, log
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any], *, name: str) -> None:
        task = started(self._logged(work, name), Code(self._instance, "task"), name=f"{self._instance} task {name}")
        self._running.add(task)
        task.add_done_callback(lambda task: self._running.discard(task))  # those that run then

    async def _logged(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        try:
            await work
        except (Exception, SystemExit) as error:  # noqa: BLE001  # the boundary: nobody waits for it
            self._log.error("a task of a plugin raised", task=name, exc_info=error)

    async def ended(self, seconds: float) -> None:
        """Wait until those that run now have ended, but no longer than that."""
        if self._running:
            await asyncio.wait(list(self._running), timeout=seconds)

    async def stop(self) -> None:
        """End them all; one that does not end is left alone."""
        running, self._running = self._running, set()
        await asyncio.gather(*(end(task) for task in running))


class InstanceHttp:
    """See `crust.plugin.Http`."""

    def __init__(self, access: Access, egress: Egress) -> None:
        self._access, self._egress = access, egress

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None, redirects: int = 0,
        timeout: float = TIMEOUT_S, answer_bytes: int = ANSWER_BYTES,
    ) -> Answer:  # fmt: skip
        self._access.need("http:request")
        try:
            return await self._egress.request(
                method, url, headers=headers, body=body, redirects=redirects, timeout=timeout, answer_bytes=answer_bytes
            )
        except Unreachable as error:
            raise TargetError(str(error)) from error
        except EgressError as error:
            raise HttpRefused(str(error)) from error


@dataclass(frozen=True, slots=True)
class InstanceContext:
    """See `crust.plugin.Context`."""

    name: str
    config: PluginConfig
    log: Logger
    chat: InstanceChat
    store: Store
    files: InstanceFiles
    http: InstanceHttp
    tasks: InstanceTasks
    clock: Clock
    bridge: Any  # an InstanceBridge, or what says that there is none

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.now() / 1000, UTC)
