"""The jobs of an instance: what is due is run, once a cluster, under the lease of whoever calls `run`.

When each was last due is a document, written before the run and after it: a restart neither doubles a run nor forgets one.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any

from crust.clock import Clock
from crust.errors import Conflict, CrustError
from crust.host.bounded import Broken, bounded
from crust.host.consumer import Code
from crust.host.held import Document
from crust.host.states import HOST
from crust.host.store import Store
from crust.host.timetable import BadTime, Timetable, cron, every
from crust.models.database import Database
from crust.plugin import JobRun
from crust.plugin.jobs import Job
from crust.telemetry import Metrics, get_logger

log = get_logger(__name__)

NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
COLLECTION = "jobs"
MOST = 65_536  # bytes of what is kept of one
LOOK_S = 0.5  # between two looks at the clock, which tests move
SETTLE_S = 0.02  # between two looks of who waits until what is due has run
DEATHS = 3  # of its process, after which a run is left out
AHEAD = timedelta(days=1)  # further than this, the last run was not: the clock was wrong then


@dataclass(frozen=True, slots=True)
class Planned:
    """A job as a plugin offers it."""

    name: str
    job: Job
    timetable: Timetable


class NewJobs:
    """See `crust.plugin.Jobs`. What is wrong is gathered in `problems`."""

    def __init__(self) -> None:
        self.jobs: list[Planned] = []
        self.problems: list[str] = []

    def add(self, name: Any, job: Any, *, every: Any = None, cron: Any = None) -> None:
        try:
            self.jobs.append(self._made(name, job, every, cron))
        except BadTime as error:
            self.problems.append(f"the job {name!r}: {error}")

    def _made(self, name: Any, job: Any, period: Any, expression: Any) -> Planned:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise BadTime("its name has to begin with a small letter, and have small letters, digits, - and _, 32 at most")
        if any(each.name == name for each in self.jobs):
            raise BadTime("it is there twice: give one of the two another name")
        if not asyncio.iscoroutinefunction(job):
            raise BadTime("it has to be an `async def` method")
        if isinstance(period, timedelta) and expression is None:
            return Planned(name, job, every(period))
        if isinstance(expression, str) and period is None:
            return Planned(name, job, cron(expression))
        raise BadTime("give it either every=, a timedelta, or cron=, a text")


class JobRunner:
    """See the module."""

    def __init__(self, instance: str, jobs: Sequence[Planned], database: Database, clock: Clock, seconds: float, metrics: Metrics) -> None:
        self._instance, self._jobs, self._clock, self._seconds, self._metrics = instance, jobs, clock, seconds, metrics
        self._kept = Store(database, clock, HOST, {}, MOST).collection(COLLECTION)
        self._woken = asyncio.Event()
        self._failures: dict[str, str] = {}

    def problems(self) -> list[str]:
        """Of each job whose last run in this process failed, why."""
        return [f"the job {name} failed: {why}" for name, why in self._failures.items()]

    async def run(self) -> None:
        """Run what is due, until cancelled."""
        if not self._jobs:
            await asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            for planned in self._jobs:
                group.create_task(self._always(planned), name=f"job {self._instance}/{planned.name}")

    def wake(self) -> None:
        """Look at once: the clock was moved."""
        woken, self._woken = self._woken, asyncio.Event()
        woken.set()

    async def settled(self) -> None:
        """Wait until what is due by now has run. Whoever calls `run` is at work."""
        while await self._some_due():
            self.wake()
            await asyncio.sleep(SETTLE_S)

    async def _some_due(self) -> bool:
        try:
            return any([self._due_by(each, await self._state(each)) <= self._now() for each in self._jobs])
        except Conflict:  # it is being run
            return True

    async def _always(self, planned: Planned) -> None:
        due: datetime | None = None
        while True:
            try:
                if due is None:
                    due = await self._due(planned)
                if due <= self._now():
                    await self._once(planned, due)
                    due = None
                    continue
            except CrustError as error:
                log.warning("a job waits", plugin=self._instance, job=planned.name, reason=error.message)
                due = None
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), LOOK_S)

    async def _due(self, planned: Planned) -> datetime:
        """When it is to run next: what was begun and did not end, else what comes after the last one, or after the first look."""
        return self._due_by(planned, await self._state(planned))

    async def _state(self, planned: Planned) -> Document:
        """What is kept of it; from the first look on there is something."""
        kept = await self._kept.get(self._key(planned))
        return kept or await self._kept.cas(self._key(planned), None, {"last": self._clock.now(), "running": None, "deaths": 0})

    def _due_by(self, planned: Planned, kept: Document) -> datetime:
        body: Any = kept.body
        if body["running"] is not None:
            return at(body["running"])
        last = at(body["last"])
        if last > self._now() + AHEAD:
            last = self._now()
        return planned.timetable.next(last)

    async def _once(self, planned: Planned, due: datetime) -> None:
        """Note that it begins, run it, note that it has ended. Whoever is faster in noting runs it."""
        kept = await self._state(planned)
        if self._due_by(planned, kept) != due:
            return  # another process was faster
        body: Any = kept.body
        scheduled, began = round(due.timestamp() * 1000), self._clock.now()
        deaths = body["deaths"] + 1 if body["running"] == scheduled else 0
        with suppress(Conflict):
            noted = await self._kept.cas(
                self._key(planned), kept.version, {"last": began, "running": scheduled, "deaths": deaths}
            )  # fmt: skip
            if deaths < DEATHS:
                await self.attempt(planned, due, scheduled)
            else:
                log.error("a job is left out: its process has died with it again and again", plugin=self._instance, job=planned.name)
                self._failures[planned.name] = "its process has died with it again and again"
            await self._kept.cas(self._key(planned), noted.version, {"last": began, "running": None, "deaths": 0})

    async def attempt(self, planned: Planned, due: datetime, scheduled: int) -> None:
        """Run it; nothing is noted of that. What it raises is logged."""
        cause = f"job/{planned.name}/{scheduled}"
        run, began, how = JobRun(job=planned.name, scheduled_at=due, key=f"{planned.name}/{scheduled}"), perf_counter(), "failed"
        try:
            await bounded(planned.job(run), self._seconds, Code(self._instance, f"job {planned.name}"), cause)
            how = "done"
            self._failures.pop(planned.name, None)
        except CrustError as error:
            log.warning("a job could not be done", plugin=self._instance, job=planned.name, reason=error.message)
            how, self._failures[planned.name] = "refused", error.message
        except Broken as error:
            log.exception("a job failed", plugin=self._instance, job=planned.name, reason=str(error))
            self._failures[planned.name] = str(error)
        finally:
            self._metrics.plugin_calls[self._instance, "job", how] += 1
            self._metrics.plugin_call_seconds.observe((self._instance, "job"), perf_counter() - began)

    def _key(self, planned: Planned) -> str:
        return f"{self._instance}/{planned.name}"

    def _now(self) -> datetime:
        return at(self._clock.now())


def at(milliseconds: int) -> datetime:
    """A time, of milliseconds since 1970."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
