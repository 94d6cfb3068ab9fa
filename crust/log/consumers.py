"""Readers of the log that outlive their process: each has a position up to which it has dealt with everything.

These transactions go without the log's row, through the same gate as all others on SQLite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


class Consumers:
    """The offsets of all consumers."""

    def __init__(self, database: Database, leases: Leases) -> None:
        self._database, self._leases = database, leases
        self._now = NOW[database.dialect]

    async def begin(self, name: str) -> None:
        """Make a consumer that is not there yet; it begins at the log's head."""
        if await self._database.fetch("SELECT 1 FROM consumer WHERE name = $1", name):
            return
        sql = (
            f"INSERT INTO consumer (name, position, at) SELECT $1, position, {self._now} FROM log WHERE id = 1"
            " ON CONFLICT (name) DO NOTHING"
        )
        if self._database.dialect == "postgres":
            sql = sql.replace("$1", "$1::text", 1)
        async with self._database.transaction():
            await self._database.execute(sql, name)

    async def offset(self, name: str) -> int:
        """Up to where a consumer has dealt with everything."""
        (row,) = await self._database.fetch("SELECT position FROM consumer WHERE name = $1", name)
        return int(row["position"])

    async def move(self, lease: Lease, old: int, new: int) -> None:
        """Say that the consumer with the lease's name has dealt with everything up to `new`.

        Raises:
            LeaseLost: the lease, or the offset, is another's by now; nothing was written.
        """
        sql = f"UPDATE consumer SET position = $3, at = {self._now} WHERE name = $1 AND position = $2"
        async with self._leases.writing(lease):
            if not await self._database.execute(sql, lease.name, old, new):
                raise LeaseLost(f"{lease.name}: its offset is not {old} any more")

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
