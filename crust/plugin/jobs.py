"""Jobs: what an instance does at set times, once a cluster.

@hookimpl
def register_jobs(self, jobs: Jobs) -> None:
    jobs.add("remind", self.remind_all, every=timedelta(seconds=30))
    jobs.add("digest", self.digest, cron="0 8 * * mon-fri")      # 8:00 UTC on weekdays
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRun:
    """One run. `scheduled_at` is when it was due, which may be long ago; `key` is its stable name: tried again, it has the same."""

    job: str
    scheduled_at: datetime
    key: str


Job = Callable[[JobRun], Coroutine[Any, Any, None]]


class Jobs(Protocol):
    """Takes the jobs of an instance."""

    def add(self, name: str, job: Job, *, every: timedelta | None = None, cron: str | None = None) -> None:
        """Do something again and again, beside the handlers of events and under the instance's lease; never twice at a time.

        Runs that were missed, as nothing was at work, are made up for by one. A run that ended with its process is begun again, with the
        same key: what it did through `ctx.chat` is not done twice. One that raises is logged, and the next comes as scheduled.

        Args:
            name: small letters, digits, - and _.
            job: an async method that takes the run.
            every: from one second to 366 days; counted from 1970, so that a restart shifts nothing.
            cron: five fields, in UTC: minute, hour, day of the month, month, day of the week (0 to 7 or sun to sat); `*`, `1,15`, `1-5`,
                `*/10`. Of the two kinds of days, where neither is `*`, either one is enough.
        """
        ...
