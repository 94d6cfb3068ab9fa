"""The rows of deliveries: what is due, what is claimed, and how it ended. No rules in here; they are in `crust.host.schedule`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from crust.events.event import Event
from crust.host.schedule import How, LaneNow, Trouble, Verdict
from crust.log.log import event_of
from crust.models.database import Database, Row, Write

OPEN = "state IN ('waiting', 'running')"
ROWS = f"delivery o {{by}} WHERE o.consumer = $1 AND o.{OPEN}"
LANES = (  # of the open rows, by one step into the index for each lane, however many rows wait in it
    f"WITH RECURSIVE g(lane) AS (SELECT (SELECT o.lane FROM {ROWS} ORDER BY o.lane LIMIT 1) UNION ALL"
    f" SELECT (SELECT o.lane FROM {ROWS} AND o.lane > g.lane ORDER BY o.lane LIMIT 1) FROM g WHERE g.lane IS NOT NULL)"
)
FIRST = {  # the first open row of each lane of `g`, as `d`; each database is told how: of a table that grows fast it knows little
    "sqlite": "CROSS JOIN delivery d ON d.consumer = $1 AND d.lane = g.lane AND d.position ="
    f" (SELECT o.position FROM {ROWS} AND o.lane = g.lane ORDER BY o.position LIMIT 1)",
    "postgres": f"CROSS JOIN LATERAL (SELECT o.* FROM {ROWS} AND o.lane = g.lane ORDER BY o.position LIMIT 1) d",
}
WAITING = (
    f"{LANES} SELECT d.lane, d.state, d.next_at, d.deaths, l.next_at AS lane_next_at FROM g {{first}}"
    " LEFT JOIN lane l ON l.consumer = $1 AND l.lane = d.lane WHERE l.parked_at IS NULL"
)
HEADS = (
    "SELECT d.lane, d.position, d.state, d.claim, d.attempts, d.raised, d.deaths, d.next_at,"
    " l.attempts AS lane_attempts, l.since, l.next_at AS lane_next_at, l.parked_at, m.removed_at,"
    " e.id, e.organisation, e.channel, e.recipient, e.object, e.visibility, e.type, e.event, e.body, e.origin, e.via, e.at"
    " FROM {given} {first} LEFT JOIN lane l ON l.consumer = $1 AND l.lane = d.lane LEFT JOIN event e ON e.position = d.position"
    " LEFT JOIN message m ON e.type = 'message' AND e.event IN ('created', 'edited') AND m.id = e.object"
)
RUNNING = (
    "SELECT o.lane, o.position, o.owner, o.claim, o.deaths FROM delivery o {by}"
    f" WHERE o.consumer = $1 AND o.{OPEN} AND o.state = 'running'"
)
BY = {"sqlite": "INDEXED BY delivery_open", "postgres": ""}  # by itself SQLite would go through all that a lane has ever had
OURS = {
    "sqlite": "SELECT d.lane, d.position, d.claim FROM json_each($2) g CROSS JOIN delivery d WHERE d.consumer = $1"
    " AND d.lane = json_extract(g.value, '$[0]') AND d.position = json_extract(g.value, '$[1]') AND d.state = 'running'",
    "postgres": "SELECT d.lane, d.position, d.claim FROM unnest($2::text[], $3::bigint[]) AS g(lane, position) JOIN delivery d"
    " ON d.consumer = $1 AND d.lane = g.lane AND d.position = g.position WHERE d.state = 'running' FOR UPDATE OF d",
}
GIVEN = {"sqlite": "(SELECT value AS lane FROM json_each($2)) g", "postgres": "unnest($2::text[]) AS g(lane)"}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A lane that has something to do from a time on, or does it; `suspect`: a process has died of it, so it is done alone."""

    lane: str
    running: bool
    due: int
    suspect: bool


@dataclass(frozen=True, slots=True)
class Head:
    """The first open row of a lane, with its event, unless the log has lost it. `removed`: what its message said is gone."""

    lane: str
    position: int
    state: str
    claim: int
    attempts: int
    raised: int
    deaths: int
    due: int
    trouble: Trouble | None
    parked: bool
    removed: bool
    event: Event | None


@dataclass(frozen=True, slots=True)
class End:
    """What becomes of a row that was claimed; `error` and `receipt` are kept with it."""

    head: Head
    verdict: Verdict
    how: How
    error: str | None = None
    receipt: str | None = None


class Rows:
    """The rows of one consumer.

    Args:
        database: opened and migrated.
        consumer: its name.
        owner: this process.
    """

    def __init__(self, database: Database, consumer: str, owner: str) -> None:
        self._database, self._consumer, self._owner = database, consumer, owner
        by, given = BY[database.dialect], GIVEN[database.dialect]
        first = FIRST[database.dialect].format(by=by)
        self._waiting, self._heads = WAITING.format(by=by, first=first), HEADS.format(given=given, first=first)
        self._running = RUNNING.format(by=by)

    # ---- reading

    async def waiting(self) -> list[Waiting]:
        """Every lane that has something to do, now or later, as it was in one moment."""
        rows = await self._database.fetch(self._waiting, self._consumer)
        return [
            Waiting(row["lane"], row["state"] == "running", max(row["next_at"], row["lane_next_at"] or 0), row["deaths"] > 0)
            for row in rows
        ]

    async def heads(self, lanes: Sequence[str]) -> list[Head]:
        """The first open row of each of these lanes; nothing for those that have none."""
        d = self._database
        rows = await d.fetch(self._heads, self._consumer, d.as_list(lanes))
        return [head_of(row) for row in rows]

    async def ours(self, claimed: Iterable[Head]) -> set[tuple[str, int]]:
        """Which of these are still claimed as they were. Inside a transaction: so they stay until its end."""
        heads = {(head.lane, head.position): head.claim for head in claimed}
        d = self._database
        if not heads:
            return set()
        places: list[object] = [d.as_list([list(place) for place in heads])]
        if d.dialect == "postgres":
            places = [[lane for lane, _ in heads], [position for _, position in heads]]
        rows = await d.fetch(OURS[d.dialect], self._consumer, *places)
        return {(row["lane"], row["position"]) for row in rows if heads[row["lane"], row["position"]] == row["claim"]}

    async def left(self) -> list[Row]:
        """What is claimed: lane, position, owner, claim, deaths. Under the instance's lease that is what others have left behind."""
        return list(await self._database.fetch(self._running, self._consumer))

    # ---- writing: what has to be done, inside a transaction

    def adding(self, wanted: Iterable[tuple[str, int]], now: int) -> Write:
        """New rows, for these lanes and positions."""
        into = "INSERT INTO delivery (consumer, lane, position, state, claim, attempts, raised, deaths, next_at, made_at)"
        return Write(
            f"{into} VALUES ($1, $2, $3, 'waiting', 0, 0, 0, 0, $4, $4) ON CONFLICT DO NOTHING",
            [(self._consumer, lane, position, now) for lane, position in wanted],
            f"{into} SELECT g.consumer, g.lane, g.position, 'waiting', 0, 0, 0, 0, g.now, g.now"
            " FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS g(consumer, lane, position, now) ON CONFLICT DO NOTHING",
        )

    def parking(self, lane: str, position: int, error: str, now: int) -> Write:
        """A row that is parked from the beginning."""
        sql = (
            "INSERT INTO delivery (consumer, lane, position, state, claim, attempts, raised, deaths, next_at, error, made_at)"
            " VALUES ($1, $2, $3, 'parked', 0, 0, 0, 0, $5, $4, $5) ON CONFLICT DO NOTHING"
        )
        return Write(sql, [(self._consumer, lane, position, error, now)])

    def claiming(self, heads: Iterable[Head]) -> Write:
        """That this process deals with them now, as one more attempt."""
        return self._updating(
            {"owner": "text"}, "state = 'running', claim = t.claim + 1, attempts = t.attempts + 1, owner = {owner}", "waiting",
            [(head.lane, head.position, head.claim, self._owner) for head in heads],
        )  # fmt: skip

    def releasing(self, rows: Iterable[tuple[str, int, int]]) -> Write:
        """That these (lane, position, claim) wait again, as if they had not been begun.

        `claim` stays, so that whoever goes on with them all the same is refused.
        """
        return self._updating({}, "state = 'waiting', attempts = t.attempts - 1, owner = NULL", "running", list(rows))

    def ending(self, ends: Sequence[End], now: int) -> list[Write]:
        """How they ended, and what that means for their lanes."""
        rows = [
            (
                end.head.lane, end.head.position, end.head.claim, end.verdict.state, end.verdict.next_at, end.verdict.raised, end.error,
                end.receipt, None if end.verdict.state in ("waiting", "parked") else now,
            )
            for end in ends
        ]  # fmt: skip
        columns = {
            "state": "text", "next_at": "bigint", "raised": "bigint", "error": "text", "receipt": "text", "ended_at": "bigint",
        }  # fmt: skip
        change = ", ".join(f"{name} = {{{name}}}" for name in columns)
        well = [end.head.lane for end in ends if end.verdict.lane is None and end.head.trouble is not None]
        return [
            self._updating(columns, f"owner = NULL, {change}", "running", rows),
            *self.lanes({end.head.lane: (end.verdict.lane, end.error) for end in ends if end.verdict.lane is not None}, now),
            Write("DELETE FROM lane WHERE consumer = $1 AND lane = $2", [(self._consumer, lane) for lane in well]),
        ]

    def dying(self, rows: Sequence[Row], deaths_max: int, error: str, now: int) -> Write:
        """That the process which had claimed them has died; they wait again, or, after so many deaths, are parked."""
        return self._updating(
            {"state": "text", "deaths": "bigint", "error": "text", "next_at": "bigint"},
            "state = {state}, deaths = {deaths}, error = {error}, next_at = {next_at}, owner = NULL", "running",
            [
                (
                    row["lane"], row["position"], row["claim"], "parked" if row["deaths"] + 1 >= deaths_max else "waiting",
                    row["deaths"] + 1, error, now,
                )
                for row in rows
            ],
        )  # fmt: skip

    def lanes(self, lanes: Mapping[str, tuple[LaneNow | None, str | None]], now: int) -> list[Write]:
        """Lanes that have to wait, or are given up."""
        sql = (
            "INSERT INTO lane (consumer, lane, attempts, next_at, since, parked_at, error) VALUES ($1, $2, $3, $4, $5, $6, $7)"
            " ON CONFLICT (consumer, lane) DO UPDATE SET attempts = excluded.attempts, next_at = excluded.next_at, since = excluded.since,"
            " parked_at = excluded.parked_at, error = excluded.error"
        )
        rows = [
            (self._consumer, lane, now_.attempts, now_.next_at, now_.since, now if now_.parked else None, error)
            for lane, (now_, error) in lanes.items()
            if now_ is not None
        ]
        return [Write(sql, rows)]

    def _updating(self, columns: Mapping[str, str], change: str, state: str, rows: Sequence[Sequence[object]]) -> Write:
        """The change of rows that are as they were seen.

        Args:
            columns: what is given beside lane, position and claim: name → PostgreSQL type.
            change: what is set; `{name}` stands for a given value, `t` for the row.
            state: which one they must be in.
        """
        names = ["consumer", "lane", "position", "claim", *columns]
        types = ["text", "text", "bigint", "bigint", *columns.values()]
        same = "t.consumer = {consumer} AND t.lane = {lane} AND t.position = {position} AND t.claim = {claim}"
        marks = {name: f"${n}" for n, name in enumerate(names, 1)}
        one = f"UPDATE delivery AS t SET {change} WHERE {same}".format(**marks) + f" AND t.state = '{state}'"
        given = ", ".join(f"${n}::{type_}[]" for n, type_ in enumerate(types, 1))
        many = f"UPDATE delivery AS t SET {change} FROM unnest({given}) AS g({', '.join(names)}) WHERE {same}"
        many = many.format(**{name: f"g.{name}" for name in names}) + f" AND t.state = '{state}'"
        return Write(one, [(self._consumer, *row) for row in rows], many)


def head_of(row: Row) -> Head:
    lane_next_at = row["lane_next_at"]
    return Head(
        lane=row["lane"],
        position=row["position"],
        state=row["state"],
        claim=row["claim"],
        attempts=row["attempts"],
        raised=row["raised"],
        deaths=row["deaths"],
        due=max(row["next_at"], lane_next_at or 0),
        trouble=None if lane_next_at is None else Trouble(row["lane_attempts"], row["since"]),
        parked=row["parked_at"] is not None,
        removed=row["removed_at"] is not None,
        event=None if row["id"] is None else event_of(row),
    )
