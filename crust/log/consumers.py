"""Readers of the log that outlive their process: each has a position up to which it has dealt with everything.

These transactions go without the log's row, through the same gate as all others on SQLite.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from crust.errors import Conflict, Invalid, NotFound
from crust.log.leases import NOW, Lease, LeaseLost, Leases
from crust.models.database import Database


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """A consumer as operators see it; `owner` is None while nobody holds its lease. Times are in milliseconds since 1970."""

    name: str
    offset: int
    head: int
    lag: int
    owner: str | None
    generation: int
    since: int | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a consumer stood when it was looked at, and for how long it had said nothing then."""

    offset: int
    silent_ms: int


class Consumers:
    """The offsets of all consumers."""

    def __init__(self, database: Database, leases: Leases) -> None:
        self._database, self._leases = database, leases
        self._now = NOW[database.dialect]

    async def begin(self, name: str, after: int | None = None) -> None:
        """Make a consumer that is not there yet.

        Args:
            after: the position after which it begins; left out, it is the log's head.
        """
        if await self._database.fetch("SELECT 1 FROM consumer WHERE name = $1", name):
            return
        sql = (
            "INSERT INTO consumer (name, position, at)"
            f" SELECT CAST($1 AS text), coalesce(CAST($2 AS bigint), position), {self._now} FROM log WHERE id = 1"
            " ON CONFLICT (name) DO NOTHING"
        )
        async with self._database.transaction():
            await self._database.execute(sql, name, after)

    async def offset(self, name: str) -> int:
        """Up to where a consumer has dealt with everything."""
        (row,) = await self._database.fetch("SELECT position FROM consumer WHERE name = $1", name)
        return int(row["position"])

    async def place(self, name: str) -> Place:
        """The same, and when it last said that it was there."""
        (row,) = await self._database.fetch(f"SELECT position, {self._now} - at AS silent FROM consumer WHERE name = $1", name)
        return Place(row["position"], row["silent"])

    async def move(self, lease: Lease, old: int, new: int) -> None:
        """Say that the consumer with the lease's name has dealt with everything up to `new`; the same as `old`, that it is still there.

        Raises:
            LeaseLost: the lease, or the offset, is another's by now; nothing was written.
        """
        async with self.moving(lease, old, new):
            pass

    @asynccontextmanager
    async def moving(self, lease: Lease, old: int, new: int) -> AsyncIterator[None]:
        """The same, in one transaction with whatever the block writes.

        Raises:
            LeaseLost: as in `move`; the block is not run.
        """
        sql = f"UPDATE consumer SET position = $3, at = {self._now} WHERE name = $1 AND position = $2"
        async with self._leases.writing(lease):
            if not await self._database.execute(sql, lease.name, old, new):
                raise LeaseLost(f"{lease.name}: its offset is not {old} any more")
            yield

    async def forget(self, name: str) -> None:
        """Be done with a consumer that is to read no more: its offset holds the log back no longer. Should it come again, it is new.

        Raises:
            NotFound: there is none of that name.
            Conflict: a process has its lease, and would go on.
        """
        await self._check_at_rest(name, "take it out of the settings first")
        async with self._database.transaction():
            if not await self._database.execute("DELETE FROM consumer WHERE name = $1", name):
                raise NotFound(f"There is no consumer {name}.")

    async def put(self, name: str, offset: int) -> None:
        """Let a consumer, whether it is there or not, go on after a position.

        Raises:
            Conflict: a process has its lease.
            Invalid: the log does not go so far.
        """
        await self._check_at_rest(name, "stop it first, or disable it for as long")
        sql = (
            f"INSERT INTO consumer (name, position, at) VALUES ($1, $2, {self._now})"
            " ON CONFLICT (name) DO UPDATE SET position = excluded.position, at = excluded.at"
        )
        async with self._database.transaction():
            (head,) = await self._database.fetch("SELECT position FROM log WHERE id = 1")
            if not 0 <= offset <= head["position"]:
                raise Invalid(f"The log has the events 1 to {head['position']}; the next one is {head['position'] + 1}.")
            await self._database.execute(sql, name, offset)

    async def before(self, milliseconds: int) -> int:
        """The position of the last event before a time in milliseconds since 1970; 0: the log has none."""
        (row,) = await self._database.fetch("SELECT coalesce(max(position), 0) AS position FROM event WHERE at < $1", milliseconds)
        return int(row["position"])

    async def _check_at_rest(self, name: str, advice: str) -> None:
        lease = (await self._leases.all()).get(name)
        if lease and lease["held"]:
            raise Conflict(f"{name} is at work, in the process {lease['owner']}: {advice}.")

    async def all(self) -> Sequence[ConsumerState]:
        """Every consumer with what is left for it to do."""
        rows = await self._database.fetch(
            "SELECT c.name, c.position, l.position AS head FROM consumer c CROSS JOIN log l WHERE l.id = 1 ORDER BY c.name"
        )
        leases = await self._leases.all()
        found = []
        for row in rows:
            lease = leases.get(row["name"])
            found.append(
                ConsumerState(
                    name=row["name"],
                    offset=row["position"],
                    head=row["head"],
                    lag=row["head"] - row["position"],
                    owner=lease["owner"] if lease and lease["held"] else None,
                    generation=lease["generation"] if lease else 0,
                    since=lease["since"] if lease and lease["held"] else None,
                )
            )
        return found
