"""Lets an instance live: under its lease, so in one process at a time; started again when it ends, given up when it does so too often.

waiting      for its organisation, its lease, or for what it speaks to
starting → running → (degraded: something is wrong, as it says itself, or its jobs, its organisations or its deliveries show)
restarting   it crashed, and is started again soon
failed       it crashed five times in ten minutes, and rests until its process is started again, or an operator wants it to begin
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from crust.clock import Clock
from crust.errors import Conflict, CrustError, NotFound, TargetError, Unavailable
from crust.host.bounded import Interrupted, Late, ended, started
from crust.host.consumer import Code
from crust.host.context import InstanceTasks
from crust.host.engine import Engine
from crust.host.instance import Instance
from crust.host.jobs import JobRunner
from crust.host.states import EVENTS, LEASE, RESTARTS, STATES
from crust.host.store import Store
from crust.log import Lease, Leases
from crust.log.leases import LeaseLost
from crust.log.tasks import first_to_end
from crust.telemetry import get_logger

log = get_logger(__name__)

STARTUP_S = 60.0
SHUTDOWN_S = 5.0  # of the 20 that a process has to end in
HEALTH_S = 30.0  # between two questions
CRASHES, WITHIN_S = 5, 600.0
WAITS_S = (1.0, 2.0, 5.0, 15.0, 60.0)  # before it is started again; the last one holds from then on
LOOK_S = 5.0  # between two looks for what it waits for, such as its organisation
REASON_MAX = 500
RESTART_S = 1.0  # between two looks whether an operator wants it to begin again
ASKED = "an operator wanted it"
PASSING = ("starting",)  # states that nobody has to be told of


class Crash(Exception):
    """The plugin ended, or raised."""


@dataclass(frozen=True, slots=True)
class Times:
    """What tests have shorter."""

    waits: tuple[float, ...] = WAITS_S
    health: float = HEALTH_S
    look: float = LOOK_S


class Supervisor:
    """See the module.

    Args:
        instance: whom it lets live.
        begin: brings the instance to its bot and makes its plugin; raises NotFound or Conflict as long as that cannot be.
        engine: delivers events to it.
        store: where its state is kept for operators.
        jobs: runs its jobs.
        tell: tells administrators of its state.
    """

    def __init__(
        self, instance: Instance, begin: Callable[[Instance], Coroutine[Any, Any, None]], tasks: InstanceTasks, engine: Engine,
        leases: Leases, store: Store, clock: Clock, times: Times, jobs: JobRunner,
        tell: Callable[[str, str, str | None], Coroutine[Any, Any, None]],
    ) -> None:  # fmt: skip
        self._tell = tell
        self._jobs = jobs
        self._instance, self._begin, self._tasks, self._engine, self._leases = instance, begin, tasks, engine, leases
        self._states, self._clock, self._times = store.collection(STATES), clock, times
        self._restarts = store.collection(RESTARTS)
        self._restarted: int | None = None
        self._said: tuple[str, str | None] | None = None
        self._told: str | None = None
        self._life: str | None = None  # by which its present life is told from others
        self._crashes: deque[float] = deque()
        self._name = instance.name

    async def run(self) -> None:
        """Let it live, for ever; whatever happens to it harms nobody else."""
        await self._found()
        while True:
            try:
                await self._leases.keep(LEASE + self._name, self._live_always)
            except Exception:  # the boundary: a bug of the host itself, which the other instances have no part in
                log.exception("a plugin's supervisor raised; it begins again", plugin=self._name)
                await asyncio.sleep(self._times.look)

    async def _found(self) -> None:
        """Wait until it has its bot."""
        while self._instance.access.bot is None:
            try:
                await self._begin(self._instance)
            except (NotFound, Conflict) as error:
                await self._say("waiting", error.message)
            except Unavailable:
                log.warning("a plugin waits for the database", plugin=self._name)
            if self._instance.access.bot is None:
                await asyncio.sleep(self._times.look)

    async def _live_always(self, lease: Lease) -> None:
        waited = 0
        while True:
            began = self._clock.monotonic()
            try:
                reason = await self._live_until_asked()
                if reason is None:
                    self._crashes.clear()
                    await self._say("restarting", ASKED)
                    continue
            except TargetError as error:  # nobody's bug: what it speaks to is away
                reason = str(error)
                waited = 0 if self._clock.monotonic() - began > WITHIN_S else waited + 1
                await self._say("waiting", reason)
                await asyncio.sleep(self._wait(waited))
                continue
            except (Unavailable, LeaseLost):
                raise
            except Crash as crash:
                log.warning("a plugin crashed", plugin=self._name, exc_info=crash.__cause__)
                reason = str(crash)
            if self._too_often():
                await self._say("failed", reason)
                await self._asked()
                self._crashes.clear()
                reason = ASKED
            await self._say("restarting", reason)
            await asyncio.sleep(self._wait(len(self._crashes)) if self._crashes else 0)

    async def _live_until_asked(self) -> str | None:
        """Let it live; gives why it has ended, None: an operator wanted it."""
        asked = asyncio.create_task(self._asked())
        try:
            await first_to_end(self._live(), self._of(asked))
            return None if asked.done() else "its run() has ended"
        finally:
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)

    async def _of(self, task: asyncio.Task[None]) -> None:
        await asyncio.wait([task])

    async def _asked(self) -> None:
        """Wait until an operator wants it to begin again."""
        before = await self._restart()
        while await self._restart() == before:  # noqa: ASYNC110  # it is another process that writes it
            await asyncio.sleep(min(self._times.look, RESTART_S))

    async def _restart(self) -> int | None:
        """The last time that somebody wanted it to."""
        try:
            asked = await self._restarts.get(self._name)
        except CrustError:
            return self._restarted
        self._restarted = asked.version if asked else None
        return self._restarted

    def _too_often(self) -> bool:
        now = self._clock.monotonic()
        self._crashes.append(now)
        while self._crashes[0] < now - WITHIN_S:
            self._crashes.popleft()
        return len(self._crashes) >= CRASHES

    def _wait(self, times: int) -> float:
        return self._times.waits[min(times, len(self._times.waits)) - 1]

    async def _live(self) -> None:
        """One life, from startup to shutdown."""
        self._life = token_hex(8)
        await self._say("starting")
        try:
            await self._hook("startup", STARTUP_S)
        except Late:
            raise Crash(f"startup() took longer than {STARTUP_S:g} s") from None
        try:
            await self._say_well(None)
            await first_to_end(self._deliver(), self._run(), self._ask_always(), self._jobs.run(), self._instance.listen())
        finally:
            await self._end()

    async def _run(self) -> None:
        await (self._hook("run") if "run" in self._instance.wanted.hooks else asyncio.Event().wait())

    async def _deliver(self) -> None:
        if not any(hook.startswith(EVENTS) for hook in self._instance.wanted.hooks):
            await asyncio.Event().wait()  # it wants to hear of nothing: then nobody reads the log for it, or keeps it from getting short
        try:
            await self._engine.run(self._instance)
        except CrustError as error:
            if isinstance(error, Unavailable):
                raise
            raise Crash(error.message) from error

    async def _ask_always(self) -> None:
        """Say how it is whenever that is another; and ask it itself, if it has the hook, again and again."""
        wrong: str | None = None
        loop = asyncio.get_running_loop()
        ask_at = loop.time() + self._times.health
        while True:
            await asyncio.sleep(min(self._times.look, self._times.health))
            if "health" in self._instance.wanted.hooks and loop.time() >= ask_at:
                try:
                    said = await self._hook("health", self._times.health)
                    wrong = str(said) if said else None
                except Late:
                    wrong = "it does not say how it is"
                ask_at = loop.time() + self._times.health
            await self._say_well(wrong)

    async def _say_well(self, wrong: str | None) -> None:
        """It is at work, maybe not as it should."""
        reasons = [
            *self._instance.unknown, *self._instance.problems, *self._engine.problems(self._name), *self._jobs.problems(),
            *([wrong] if wrong else []),
        ]  # fmt: skip
        await self._say("degraded" if reasons else "running", "; ".join(reasons) or None)

    async def _end(self) -> None:
        await self._tasks.stop()
        try:
            await self._hook("shutdown", SHUTDOWN_S, patient=False)
        except (Late, Crash, TargetError, Unavailable) as error:
            log.warning("a plugin did not shut down well", plugin=self._name, exc_info=error)

    async def _hook(self, name: str, seconds: float | None = None, *, patient: bool = True) -> Any:
        """Call a hook that may not be there, as a task of its own: one that does not end when it has to is left alone.

        Raises:
            TargetError, Unavailable: the hook did.
            Late: it took longer than so many seconds.
            Crash: it raised anything else.
        """
        if name not in self._instance.wanted.hooks:
            return None
        try:
            return await ended(started(self._instance.call(name), Code(self._name, name)), seconds, patient=patient)
        except (TargetError, Unavailable, Late):
            raise
        except Interrupted as error:
            raise Crash(f"{name}() has ended: {error}") from error
        except (Exception, SystemExit) as error:  # the boundary: a plugin's bug
            raise Crash(f"{name}() raised {type(error).__name__}: {error}") from error

    async def _say(self, state: str, reason: str | None = None) -> None:
        """Let operators know; the same again is not written again."""
        reason = reason and reason[:REASON_MAX]
        if (state, reason) == self._said:
            return
        (log.error if state == "failed" else log.info)("a plugin is", plugin=self._name, state=state, reason=reason)
        now = {
            "state": state, "reason": reason, "node": self._leases.owner, "since": self._clock.now(), "life": self._life,
        }  # fmt: skip
        with suppress(CrustError):  # it is in the log, too
            await self._states.put(self._name, now)
            self._said = state, reason
            if state not in PASSING and state != self._told:
                await self._tell(self._name, state, reason)
                self._told = state
