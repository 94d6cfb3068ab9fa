"""Who alone does something: one process at a time, for as long as it says that it lives.

    async def relay(lease: Lease) -> None: …
    await leases.keep("relay", relay)

A lease is taken by a row's change, by the database's clock, so that the clocks of nodes do not matter. Whoever holds it renews it every
10 s; after 30 s without, another may take it, and its generation rises. What the holder writes is written through `Leases.writing`, or in
a change that asks for `held`; both refuse an older generation: somebody who was frozen and thaws can do nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from crust.errors import Unavailable
from crust.log.tasks import first_to_end
from crust.models.database import Database, Row
from crust.telemetry import get_logger

log = get_logger(__name__)

HEARTBEAT_S = 10.0
TAKEN_AFTER_S = 30.0
TAKEN_AFTER_MS = round(TAKEN_AFTER_S * 1000)
TOO_FAR_MS = 2 * TAKEN_AFTER_MS  # ahead: for so long nobody takes one
LOOK_S = 1.0  # how soon a lease that was given back is taken by another; a read of one row
AGAIN_S = 1.0  # between two tries to renew, once one has failed

NOW = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    "postgres": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS bigint)",
}
"""The database's clock, in milliseconds since 1970."""


class LeaseLost(Exception):
    """Somebody else holds it by now: stop, and write nothing."""


@dataclass(frozen=True, slots=True)
class Lease:
    """That `owner` holds `name`; `generation` rises with each new holder."""

    name: str
    owner: str
    generation: int


under: ContextVar[Lease | None] = ContextVar("the lease that the running task works under", default=None)
"""Set for the work of `Leases.keep`, and for the tasks that it starts; the innermost of several. None: under none."""


async def held(database: Database, lease: Lease) -> bool:
    """Inside a transaction: whether a lease is its holder's still, and stays so until the commit."""
    sql = "SELECT 1 FROM lease WHERE name = $1 AND owner = $2 AND generation = $3"
    if database.dialect == "postgres":
        sql += " FOR SHARE"  # so that nobody takes it between this look and the commit
    return bool(await database.fetch(sql, lease.name, lease.owner, lease.generation))


class Leases:
    """See the module.

    Args:
        database: opened and migrated.
        owner: this process, by a name that no other has ever had.
    """

    def __init__(self, database: Database, owner: str) -> None:
        self._database, self.owner = database, owner
        self._now = now = NOW[database.dialect]
        # Held for far longer than anybody may: the database's clock was set back, and who knows whether its owner lives.
        over = f"lease.until <= {now} OR lease.until > {now} + {TOO_FAR_MS}"
        # Its owner asks for it only when it does nothing under it: the database was away when it was to be given back.
        self._is_free_row = f"(lease.owner = $2 OR {over})"

    async def take(self, name: str) -> Lease | None:
        """The lease, if it is free, or this process' own from before; None while another has it."""
        now = self._now
        sql = (
            f"INSERT INTO lease (name, owner, generation, until, since) VALUES ($1, $2, 1, {now} + {TAKEN_AFTER_MS}, {now})"
            " ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until, since = excluded.since,"
            f" generation = lease.generation + 1 WHERE {self._is_free_row}"
        )
        if not await self._is_free(name):
            return None
        async with self._database.transaction():
            await self._database.execute(sql, name, self.owner)
            rows = await self._database.fetch("SELECT generation FROM lease WHERE name = $1 AND owner = $2", name, self.owner)
        return Lease(name, self.owner, rows[0]["generation"]) if rows else None

    async def _is_free(self, name: str) -> bool:
        """A look before anything is written: those who wait ask often."""
        rows = await self._database.fetch(f"SELECT {self._is_free_row} AS free FROM lease WHERE name = $1", name, self.owner)
        return not rows or bool(rows[0]["free"])

    async def renew(self, lease: Lease) -> None:
        """Hold it for another 30 s.

        Raises:
            LeaseLost: somebody else has taken it.
        """
        await self._extend(lease, TAKEN_AFTER_S)

    async def give_back(self, lease: Lease) -> None:
        """Let others have it at once.

        Raises:
            LeaseLost: they do already.
        """
        await self._extend(lease, 0.0)

    async def _extend(self, lease: Lease, seconds: float) -> None:
        sql = f"UPDATE lease SET until = {self._now} + $4 WHERE name = $1 AND owner = $2 AND generation = $3"
        async with self._database.transaction():
            if not await self._database.execute(sql, lease.name, lease.owner, lease.generation, round(seconds * 1000)):
                raise LeaseLost(lease.name)

    @asynccontextmanager
    async def writing(self, lease: Lease) -> AsyncIterator[None]:
        """A transaction without the log's row, in which the lease is surely held.

        Raises:
            LeaseLost: it is not; nothing is written.
            Unavailable: as in `Database.transaction`.
        """
        async with self._database.transaction():
            if not await held(self._database, lease):
                raise LeaseLost(lease.name)
            yield

    async def all(self) -> dict[str, Row]:
        """Every lease by its name: owner, generation, since, and whether it is held now."""
        rows = await self._database.fetch(f"SELECT name, owner, generation, since, until > {self._now} AS held FROM lease")
        return {row["name"]: row for row in rows}

    # ---- work under a lease

    async def keep(self, name: str, work: Callable[[Lease], Coroutine[Any, Any, None]]) -> None:
        """Whenever the lease can be had, do the work under it, for ever.

        The work is cancelled when the lease is lost or could not be renewed in time, and begun again when it can be had again; so it is
        when it ends with `LeaseLost` or `Unavailable`. Other errors of the work are raised. However this ends, the lease is given back.
        """
        while True:
            try:
                lease = await self.take(name)
                if lease is not None:
                    await self._work(lease, work)
            except Unavailable:
                log.warning("a lease waits for the database", name=name)
            except LeaseLost as error:
                log.warning("a lease was lost", name=name, reason=str(error))
            await asyncio.sleep(LOOK_S)

    async def _work(self, lease: Lease, work: Callable[[Lease], Coroutine[Any, Any, None]]) -> None:
        log.info("took a lease", name=lease.name, generation=lease.generation)
        before = under.set(lease)
        try:
            await first_to_end(work(lease), self._renew_always(lease))
        finally:
            under.reset(before)
            await self._give_back_if_held(lease)

    async def _give_back_if_held(self, lease: Lease) -> None:
        try:
            await self.give_back(lease)
        except (LeaseLost, Unavailable):
            log.info("a lease was not given back", name=lease.name)

    async def _renew_always(self, lease: Lease) -> None:
        """Ends with `LeaseLost` only: taken by another, or not renewed within the time for which it is held."""
        loop = asyncio.get_running_loop()
        held_until = loop.time() + TAKEN_AFTER_S
        pause = HEARTBEAT_S
        while True:
            await asyncio.sleep(pause)
            asked = loop.time()
            try:
                async with asyncio.timeout_at(held_until):
                    await self.renew(lease)
                held_until, pause = asked + TAKEN_AFTER_S, HEARTBEAT_S
            except (Unavailable, TimeoutError):
                log.warning("a lease could not be renewed", name=lease.name)
                pause = AGAIN_S
            if loop.time() >= held_until:
                raise LeaseLost(f"{lease.name} could not be renewed")
