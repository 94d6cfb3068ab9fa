"""Retention: what is old enough to go, by the settings, is removed, a little at a time so that nobody waits for it.

A message goes as if it had been taken back: from search, threads, pins and earlier events, its files too, and whoever is connected is told.
The log forgets its oldest events; the newest one always stays, so that a client which was away for longer can be told that it missed some.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from crust import settings
from crust.clock import Clock
from crust.ids import ID_COUNTER_BITS, ID_EPOCH_MS, MAX_ID
from crust.log import Log
from crust.log.tasks import repeated
from crust.models.database import Database
from crust.services.messages import Messages
from crust.services.sessions import DAY_MS, OVER
from crust.telemetry import get_logger

log = get_logger(__name__)

TOGETHER = 100  # messages of one change; each is a dozen statements
ROWS = 500  # of other tables in one change
PAUSE_S = 0.1  # between two changes: others write meanwhile
OLD_MESSAGES = "FROM message WHERE removed_at IS NULL AND id < $1"
OLD_EVENTS = f"""
FROM event WHERE id < $1 AND position < (SELECT max(position) FROM event)
AND NOT EXISTS (SELECT 1 FROM consumer c WHERE c.position < event.position)
AND position < coalesce((SELECT min(d.position) FROM delivery d WHERE d.state IN ('waiting', 'running')), {MAX_ID})
AND position < coalesce((SELECT min(d.position) FROM delivery d WHERE d.state = 'parked'), {MAX_ID})
"""
OLD_ACTS = "FROM audit WHERE id < $1"

Batch = Callable[[], Awaitable[int]]
"""Removes some; gives how many, 0 when there are no more."""


class Retention:
    """See the module.

    Args:
        ages: after how many days what goes.
        idle_days: after how many unused days a session is over.
    """

    def __init__(self, database: Database, log: Log, clock: Clock, messages: Messages, ages: settings.Retention, idle_days: int) -> None:
        self._database, self._log, self._clock, self._messages = database, log, clock, messages
        self._ages, self._idle_days = ages, idle_days

    async def always(self) -> None:
        """Look now and from time to time, until cancelled."""
        failure = "old things could not be removed; it is tried again"
        await repeated(self._run_and_tell, self._ages.every_s, lambda error: log.warning(failure, error=error))

    async def _run_and_tell(self) -> None:
        if removed := await self.run():
            log.info("what was old was removed", **removed)

    async def run(self) -> dict[str, int]:
        """Remove all that is old; gives how many of what.

        It is noted before it is done: nothing goes without a record, wherever this is interrupted.
        """
        if due := {name: count for name, count in (await self.due()).items() if count}:
            async with self._log.change() as change:
                change.audit("retention", **due)
        batches: dict[str, Batch] = {"sessions": self._sessions, "invitations": self._invitations}
        if self._ages.messages_days:
            batches["messages"] = self._messages_of
        if self._ages.events_days:
            batches["events"] = self._events
        if self._ages.audit_days:
            batches["acts"] = self._acts
        removed: Counter[str] = Counter()
        for name, batch in batches.items():
            while count := await batch():
                removed[name] += count
                await asyncio.sleep(PAUSE_S)
        return dict(removed)

    async def due(self) -> dict[str, int]:
        """How many messages, events and acts would go now."""
        found = {}
        for name, days, which in (
            ("messages", self._ages.messages_days, OLD_MESSAGES),
            ("events", self._ages.events_days, OLD_EVENTS),
            ("acts", self._ages.audit_days, OLD_ACTS),
        ):
            (row,) = await self._database.fetch(f"SELECT count(*) AS n {which}", self._before(days)) if days else ({"n": 0},)
            found[name] = int(row["n"])
        return found

    def _before(self, days: int) -> int:
        """The id that something made so many days ago would have: ids tell time (`crust.ids`)."""
        return max(0, self._clock.now() - days * DAY_MS - ID_EPOCH_MS) << ID_COUNTER_BITS

    # ---- a batch of each

    async def _messages_of(self) -> int:
        rows = await self._database.fetch(
            f"SELECT id {OLD_MESSAGES} ORDER BY id LIMIT $2", self._before(self._ages.messages_days), TOGETHER
        )
        return await self._messages.remove_old([row["id"] for row in rows]) if rows else 0

    async def _events(self) -> int:
        """The oldest ones, but none that a consumer of the log has yet to deal with, or that is not delivered yet, and none after that."""
        d = self._database
        rows = await d.fetch(f"SELECT position {OLD_EVENTS} ORDER BY position LIMIT $2", self._before(self._ages.events_days), ROWS)
        if not rows:
            return 0
        async with self._log.change():
            return await d.execute("DELETE FROM event WHERE position <= $1", rows[-1]["position"])

    async def _acts(self) -> int:
        return await self._delete("audit", "id < $1", self._before(self._ages.audit_days))

    async def _sessions(self) -> int:
        now = self._clock.now()
        return await self._delete("session", OVER, now, now - self._idle_days * DAY_MS)

    async def _invitations(self) -> int:
        return await self._delete("invitation", "(ends_at <= $1 OR uses_left <= 0)", self._clock.now())

    async def _delete(self, table: str, condition: str, *values: int) -> int:
        """Delete some rows; looks first, since most of the time there are none, and a change would make others wait."""
        d = self._database
        rows = await d.fetch(f"SELECT id FROM {table} WHERE {condition} ORDER BY id LIMIT {ROWS}", *values)
        if not rows:
            return 0
        async with self._log.change():
            return await d.execute(f"DELETE FROM {table} WHERE id IN {d.any_of(1)}", d.as_list([row["id"] for row in rows]))
