"""What operators see of deliveries, and what they can do about them. All of it beside whichever processes are at work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from crust.broker.injecting import NAME as INJECT
from crust.clock import Clock, rfc3339_or_none
from crust.errors import NotFound
from crust.host import bridges
from crust.host.engine import WORK
from crust.host.refused import Refused
from crust.log import Consumers, Leases, Log
from crust.models.database import Database, Row
from crust.telemetry.metrics import Labels

TIMES = ("next_at", "made_at", "ended_at", "since", "parked_at")
LISTED = (
    "SELECT d.consumer, d.lane, d.position, d.state, d.attempts, d.deaths, d.owner, d.receipt, d.error, d.made_at, d.ended_at,"
    " CASE WHEN d.state <> 'waiting' OR l.parked_at IS NOT NULL THEN NULL"
    " WHEN l.next_at > d.next_at THEN l.next_at ELSE d.next_at END AS next_at"
    " FROM delivery d LEFT JOIN lane l ON l.consumer = d.consumer AND l.lane = d.lane WHERE 1 = 1"
)
PARKED_LANES = (
    "SELECT l.consumer, l.lane, l.attempts, l.since, l.parked_at, l.error, (SELECT count(*) FROM delivery d WHERE d.consumer = l.consumer"
    " AND d.lane = l.lane AND d.state IN ('waiting', 'running')) AS waiting FROM lane l WHERE l.parked_at IS NOT NULL"
)
COUNTS = (
    "SELECT consumer, state, count(*) AS n FROM delivery WHERE state IN ('waiting', 'running') GROUP BY consumer, state"
    " UNION ALL SELECT consumer, 'parked', count(*) FROM delivery WHERE state = 'parked' GROUP BY consumer"
)
LANE_COUNTS = "SELECT consumer, parked_at IS NOT NULL AS parked, count(*) AS n FROM lane GROUP BY consumer, parked_at IS NOT NULL"
AFRESH = "state = 'waiting', raised = 0, deaths = 0, attempts = 0, owner = NULL, ended_at = NULL, next_at = made_at"

Shown = dict[str, Any]
"""A row as commands give it: names and JSON values."""


class Counts(NamedTuple):
    """Rows, and lanes in trouble, by consumer and state, as metrics have them; how bridges are, and how far behind their links."""

    rows: Mapping[Labels, float]
    lanes: Mapping[Labels, float]
    bridges: Mapping[Labels, float]
    lags: Mapping[Labels, float]


class Desk:
    """See the module.

    Args:
        database: opened and migrated.
        log: where acts are noted.
        leases, consumers: those of this process.
        clock: tells the time.
    """

    def __init__(self, database: Database, log: Log, leases: Leases, consumers: Consumers, clock: Clock) -> None:
        self._database, self._log, self._leases, self._consumers, self._clock = database, log, leases, consumers, clock
        self._refused = Refused(database, clock)

    # ---- looking

    async def deliveries(
        self, *, consumer: str | None = None, lane: str | None = None, state: str | None = None, limit: int = 100
    ) -> list[Shown]:
        """Rows, newest events first."""
        found = Query(LISTED)
        found.given("d.consumer =", consumer).given("d.lane =", lane).given("d.state =", state)
        sql = f"{found.sql} ORDER BY d.position DESC, d.consumer, d.lane LIMIT ${len(found.values) + 1}"
        return [shown(row) for row in await self._database.fetch(sql, *found.values, max(1, limit))]

    async def delivery(self, consumer: str, position: int, lane: str | None = None) -> list[Shown]:
        """What became of an event for a consumer, in each of its lanes, with the event itself if the log has it still.

        Raises:
            NotFound: it was never delivered to it, or that was swept away.
        """
        if consumer == INJECT:
            return self._of_number(await self._refused.shown(number=position), position)
        found = Query(LISTED)
        found.given("d.consumer =", consumer).given("d.position =", position).given("d.lane =", lane)
        rows = await self._database.fetch(f"{found.sql} ORDER BY d.lane", *found.values)
        if not rows:
            raise NotFound(f"There is no delivery of event {position} to {consumer}{'' if lane is None else f' in lane {lane}'}.")
        events = await self._log.read(position - 1, position)
        event = msgspec.json.decode(msgspec.json.encode(events[0])) if events else None
        return [{**shown(row), "event": event} for row in rows]

    @staticmethod
    def _of_number(refused: list[Shown], number: int) -> list[Shown]:
        """What a program sent and was refused."""
        found = [{**shown(each), "event": {"body": each["body"]}} for each in refused]
        if not found:
            raise NotFound(f"There is nothing under the number {number} that a program sent.")
        return found

    async def parked(self, *, consumer: str | None = None, since: int = 0, limit: int = 100) -> list[Shown]:
        """Lanes and events that are tried no more, lanes first; `waiting` is what stands behind a lane."""
        lanes = Query(PARKED_LANES).given("l.consumer =", consumer).given("l.parked_at >=", since)
        rows = Query(LISTED + " AND d.state = 'parked'").given("d.consumer =", consumer).given("d.made_at >=", since)
        found = [shown(row) for row in await self._database.fetch(f"{lanes.sql} ORDER BY l.consumer, l.lane", *lanes.values)]
        sql = f"{rows.sql} ORDER BY d.position DESC, d.consumer, d.lane LIMIT ${len(rows.values) + 1}"
        events = [shown(row) for row in await self._database.fetch(sql, *rows.values, max(1, limit))]
        refused = await self._refused.shown(since=since) if consumer in (None, INJECT) else []
        events += [shown(each) for each in refused[: max(1, limit)]]
        return [{"position": None, **each} for each in found] + [{"waiting": 0, **each} for each in events]

    async def counts(self) -> Counts:
        """How many there are of what is not done."""
        rows: dict[Labels, float] = {(row["consumer"], row["state"]): float(row["n"]) for row in await self._database.fetch(COUNTS)}
        lanes = await self._database.fetch(LANE_COUNTS)
        failing: dict[Labels, float] = {(row["consumer"], "parked" if row["parked"] else "failing"): float(row["n"]) for row in lanes}
        states = await bridges.states(self._database, self._leases, self._clock)
        return Counts(rows, failing, states, await bridges.lags(self._database, self._clock))

    # ---- acting

    async def retry(self, consumer: str, position: int | None = None, lane: str | None = None) -> int:
        """Let what waits for later be tried now; gives how many rows, lanes not counted. What is parked stays parked."""
        rows = Query("UPDATE delivery SET next_at = made_at WHERE state = 'waiting'")  # in the past, whosever clock is asked
        rows.given("consumer =", consumer).given("position =", position).given("lane =", lane)
        lanes = Query("UPDATE lane SET next_at = since WHERE parked_at IS NULL").given("consumer =", consumer).given("lane =", lane)
        if position is not None:
            lanes.sql += f" AND lane IN (SELECT d.lane FROM delivery d WHERE d.consumer = ${len(lanes.values) + 1}"
            lanes.sql += f" AND d.position = ${len(lanes.values) + 2})"
            lanes.values += [consumer, position]
        async with self._database.transaction():
            await self._database.execute(lanes.sql, *lanes.values)
        async with self._database.transaction():  # another one, so that nobody who works waits for rows and lanes in the other order
            return await self._database.execute(rows.sql, *rows.values)

    async def drop(self, consumer: str, position: int, lane: str | None = None) -> int:
        """Let an event not be delivered after all; gives how many rows. What is being handled now is not kept when it ends.

        Raises:
            NotFound: there is none that waits, is at work or is parked.
        """
        found = Query(
            "UPDATE delivery SET state = 'dropped', owner = NULL, ended_at = $1 WHERE state IN ('waiting', 'running', 'parked')",
            self._clock.now(),
        )
        found.given("consumer =", consumer).given("position =", position).given("lane =", lane)
        async with self._database.transaction():
            count = await self._database.execute(found.sql, *found.values)
        if consumer == INJECT:
            count = int(await self._refused.drop(position))
        if not count:
            raise NotFound(f"No delivery of event {position} to {consumer} is waiting, running or parked.")
        await self._noted("delivery dropped", consumer=consumer, position=position, lane=lane)
        return count

    async def replay(
        self, *, consumer: str | None = None, lane: str | None = None, position: int | None = None, since: int = 0
    ) -> tuple[int, int]:
        """Try again what is parked, as if for the first time; gives how many events, and how many lanes.

        A lane goes on in order; an event that was parked comes before those that wait in its lane, and after those that are done. What a
        program sent and was refused is one of the events, its account the lane; it is done again as soon as a process reads what programs
        send. One that was too long to be kept whole stays parked.
        """
        rows = Query(f"UPDATE delivery SET {AFRESH} WHERE state = 'parked'")
        rows.given("consumer =", consumer).given("lane =", lane).given("position =", position).given("made_at >=", since)
        lanes = Query("DELETE FROM lane WHERE parked_at IS NOT NULL").given("consumer =", consumer).given("lane =", lane)
        lanes.given("parked_at >=", since)
        async with self._database.transaction():
            events = await self._database.execute(rows.sql, *rows.values)
        async with self._database.transaction():
            whole = await self._database.execute(lanes.sql, *lanes.values) if position is None else 0
        if consumer in (None, INJECT):
            events += await self._refused.again(account=lane, number=position, since=since)
        if events or whole:
            await self._noted("deliveries replayed", consumer=consumer, lane=lane, position=position, events=events, lanes=whole)
        return events, whole

    async def begin(self, consumer: str, position: int | None = None, since: int = 0) -> int:
        """Let a consumer that is not at work begin with the event at a position, or the first one from a time on; gives the position.

        What it has been delivered already is not delivered again.

        Args:
            since: the time, in milliseconds since 1970.

        Raises:
            Conflict, Invalid: as in `Consumers.put`.
        """
        offset = await self._consumers.before(since) if position is None else position - 1
        await self._consumers.put(consumer, offset)
        await self._noted("consumer begins", consumer=consumer, position=offset + 1)
        return offset + 1

    async def forget(self, consumer: str) -> None:
        """Be done with a consumer: its offset, and what is delivered to it. Its documents stay.

        Raises:
            NotFound, Conflict: as in `Consumers.forget`.
        """
        await self._consumers.forget(consumer)
        async with self._database.transaction():
            await self._database.execute("DELETE FROM delivery WHERE consumer = $1", consumer)
            await self._database.execute("DELETE FROM lane WHERE consumer = $1", consumer)
            await self._database.execute("DELETE FROM lease WHERE name IN ($1, $2)", consumer, WORK + consumer)
        await self._noted("consumer forgotten", consumer=consumer)

    async def _noted(self, act: str, **details: Any) -> None:
        async with self._log.change() as change:
            change.audit(act, **{name: value for name, value in details.items() if value is not None})


class Query:
    """A statement that grows by the conditions that are given."""

    def __init__(self, sql: str, *values: Any) -> None:
        self.sql, self.values = sql, list(values)

    def given(self, condition: str, value: Any) -> Query:
        """Add one, unless there is no value."""
        if value is not None:
            self.values.append(value)
            self.sql += f" AND {condition} ${len(self.values)}"
        return self


def shown(row: Row) -> Shown:
    """Times as people and programs read them."""
    found: Mapping[str, Any] = dict(row)
    return {name: rfc3339_or_none(value) if name in TIMES else value for name, value in found.items()}
