"""Whether a database is as it must be: up to date, set to keep what it acknowledged, and in agreement with itself. Only read."""

from __future__ import annotations

from collections.abc import AsyncIterator

from crust.clock import SystemClock, rfc3339
from crust.ids import ID_COUNTER_BITS, ID_EPOCH_MS
from crust.models.database import Database, Row
from crust.models.migrate import applied, shipped
from crust.models.snapshot import Snapshot, snapshot
from crust.operations.findings import Finding, good, note, wrong
from crust.operations.parts import PARTS, Difference, Part, differences
from crust.operations.progress import Progress, Step

CLOCK_MS = 2_000  # by which two machines' clocks may differ
AHEAD_MS = 60_000  # by which the newest id may be ahead of the clock: it was set back meanwhile
RESTORE = "restore a backup; before that, copy what there is"


async def examine(database: Database, progress: Progress) -> AsyncIterator[Finding]:
    """Everything about an open database; ends early where the rest would make no sense."""
    yield await version(database)
    schema = await up_to_date(database)
    yield schema
    yield await durability(database)
    if schema.state == "wrong":
        return
    async with snapshot(database) as taken:
        if database.dialect == "sqlite":
            progress(Step("the database file"))
            yield await integrity(taken)
        progress(Step("the log"))
        yield await log(taken)
        yield await clock(database, taken)
    for part in PARTS:
        yield await in_step(database, part, progress)


async def version(database: Database) -> Finding:
    if database.dialect == "sqlite":
        (row,) = await database.fetch("SELECT sqlite_version() AS version")
        return good("database", f"SQLite {row['version']}, {database.sqlite_path}, {database.sqlite_path.stat().st_size / 2**20:.1f} MiB")
    (row,) = await database.fetch("SELECT current_setting('server_version') AS version, pg_database_size(current_database()) AS size")
    return good("database", f"PostgreSQL {row['version']}, {row['size'] / 2**20:.1f} MiB")


async def up_to_date(database: Database) -> Finding:
    """Whether the tables are those of this Crust."""
    there, known = await applied(database), shipped()
    if beyond := sorted(set(there) - set(known)):
        return wrong("schema", f"a newer Crust has made {beyond[0]}", "update Crust")
    if lacking := [name for name in known if name not in there]:
        return wrong("schema", f"{', '.join(lacking)} to be applied", "crust migrate")
    return good("schema", f"up to date, {known[-1]}")


async def durability(database: Database) -> Finding:
    """That nothing is lost in a crash was checked when it was opened; here it is told."""
    if database.dialect == "sqlite":
        (mode,) = await database.fetch("PRAGMA journal_mode")
        (level,) = await database.fetch("PRAGMA synchronous")
        names = {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}
        found = f"journal_mode {next(iter(dict(mode).values()))}, synchronous {names[next(iter(dict(level).values()))]}"
        return good("durability", found)
    names_of = ("synchronous_commit", "fsync", "full_page_writes")
    (row,) = await database.fetch("SELECT " + ", ".join(f"current_setting('{name}') AS {name}" for name in names_of))
    return good("durability", ", ".join(f"{name} {row[name]}" for name in names_of))


async def integrity(taken: Snapshot) -> Finding:
    """SQLite's own look at its file."""
    said = [str(next(iter(dict(row).values()))) for row in await all_of(taken, "PRAGMA quick_check(5)")]
    if said == ["ok"]:
        return good("integrity", "SQLite finds nothing wrong with the file")
    return wrong("integrity", "; ".join(said), RESTORE)


async def all_of(taken: Snapshot, sql: str) -> list[Row]:
    return [row async for rows in taken.rows(sql) for row in rows]


async def log(taken: Snapshot) -> Finding:
    """Whether positions follow each other up to the head, and no id is beyond the last one."""
    (row,) = await all_of(
        taken,
        "SELECT l.epoch, l.position, l.last_id, e.n, e.first, e.last, m.id AS newest FROM log l, "
        "(SELECT count(*) AS n, coalesce(min(position), 0) AS first, coalesce(max(position), 0) AS last FROM event) e, "
        "(SELECT coalesce(max(id), 0) AS id FROM message) m",
    )
    if row["n"] and row["n"] != row["last"] - row["first"] + 1:
        missing = row["last"] - row["first"] + 1 - row["n"]
        return wrong("log", f"{missing} of the positions {row['first']} to {row['last']} are missing", RESTORE)
    if row["n"] and row["last"] != row["position"]:
        return wrong("log", f"its head is {row['position']}, and its last event {row['last']}", RESTORE)
    if row["newest"] > row["last_id"]:
        return wrong("log", f"a message has the id {row['newest']}, and the last one that was made is {row['last_id']}", RESTORE)
    return good("log", f"positions {row['first']} to {row['last']}, none missing; epoch {row['epoch']}")


async def clock(database: Database, taken: Snapshot) -> Finding:
    """Whether this machine's clock agrees with PostgreSQL's, and is not before what was written."""
    now = SystemClock().now()
    if database.dialect == "postgres":
        (row,) = await database.fetch("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now")
        if abs(row["now"] - SystemClock().now()) > CLOCK_MS:
            return wrong("clock", f"here it is {rfc3339(now)}, at the database {rfc3339(row['now'])}", "have both set by NTP")
    (row,) = await all_of(taken, "SELECT last_id FROM log")
    newest = (row["last_id"] >> ID_COUNTER_BITS) + ID_EPOCH_MS
    if newest > now + AHEAD_MS:
        return note(
            "clock", f"here it is {rfc3339(now)}, and the newest id is of {rfc3339(newest)}", "have it set by NTP; ids go on all the same"
        )
    return good("clock", rfc3339(now))


async def in_step(database: Database, part: Part, progress: Progress) -> Finding:
    """Whether what is stored although it follows from other rows does follow."""
    looked = 0
    differing: list[Difference] = []
    async for count, found in differences(database, part):
        looked += count
        differing += found[: 3 - len(differing)] if len(differing) < 3 else []
        progress(Step(part.name, looked))
    if differing:
        shown = "; ".join(f"{each.id} has {each.stored}, and should have {each.counted}" for each in differing)
        return wrong(part.name, shown, "crust recount")
    return good(part.name, f"right in {looked:,} rows")
