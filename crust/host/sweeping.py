"""What is old goes: deliveries that ended long ago, documents that have expired. A little at a time, so that nobody waits for it."""

from __future__ import annotations

import asyncio
from collections import Counter

from crust.host.held import removing
from crust.models.database import Database, Write

TOGETHER = 500  # rows of one transaction
PAUSE_S = 0.05  # between two: others write meanwhile
DAY_MS = 86_400_000
ENDED = "SELECT consumer, lane, position FROM delivery WHERE ended_at < $1 ORDER BY ended_at LIMIT $2"
EXPIRED = "SELECT instance, collection, key FROM document WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2"


async def sweep(database: Database, now: int, keep_days: int) -> dict[str, int]:
    """Remove it all; gives how many of what. What waits or is parked stays, however old."""
    removed: Counter[str] = Counter()
    while count := await _deliveries(database, now - keep_days * DAY_MS):
        removed["deliveries"] += count
        await asyncio.sleep(PAUSE_S)
    while count := await _documents(database, now):
        removed["documents"] += count
        await asyncio.sleep(PAUSE_S)
    return dict(removed)


async def _deliveries(database: Database, before: int) -> int:
    rows = await database.fetch(ENDED, before, TOGETHER)
    if rows:
        sql = "DELETE FROM delivery WHERE consumer = $1 AND lane = $2 AND position = $3"
        async with database.transaction():
            await database.run([Write(sql, [(row["consumer"], row["lane"], row["position"]) for row in rows])], last=True)
    return len(rows)


async def _documents(database: Database, now: int) -> int:
    """Looks once more inside: one may have been written anew."""
    if not await database.fetch(EXPIRED, now, 1):
        return 0
    async with database.transaction():
        rows = await database.fetch(EXPIRED + (" FOR UPDATE SKIP LOCKED" if database.dialect == "postgres" else ""), now, TOGETHER)
        gone = [(row["instance"], row["collection"], row["key"]) for row in rows]
        await database.run([removing("document", gone), removing("document_field", gone)], last=True)
    return len(rows)
