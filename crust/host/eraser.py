"""The eraser: a consumer of the log that takes out of deliveries what may quote a message, or a channel, that was removed.

Whatever bears contents themselves is blanked with the removal (`crust.services.messages`) or soon after it (`crust.services.erasing`).
Errors, receipts and notes are a plugin's words about an event, and nobody can tell whether they quote it. So of a removed message's events
they go, in every lane; that there was a delivery, and its state, stays. One process of a cluster does it, under a lease, and goes on where
the last one was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from crust.log import Consumers, Lease, Leases, Log
from crust.models.database import Database, Row, Write

NAME = "eraser"
LOOK_S = 1.0  # between two looks; with 30 s until a dead process' lease is another's, what was removed is gone within 60 s
SAVE_S = 2.0  # between two writes of the offset where nothing had to be erased
TOGETHER = 500  # events of one transaction
STRIDE = 10_000  # positions of one look for removals: they are few
OF_MESSAGE = "('message', 'reaction', 'pin')"  # events whose object is a message

REMOVALS = (
    "SELECT position, type, object FROM event WHERE position > $1 AND position <= $2 AND event = 'removed'"
    " AND type IN ('message', 'channel') ORDER BY position"
)
ABOUT_MESSAGE = f"SELECT position FROM event WHERE object = $1 AND type IN {OF_MESSAGE} AND position > $2 ORDER BY position LIMIT $3"
ABOUT_CHANNEL = (  # and about those that were merged into it
    "SELECT position FROM event WHERE channel IN (SELECT id FROM channel WHERE id = $1 OR merged_into = $1) AND position > $2"
    " ORDER BY position LIMIT $3"
)
GONE = (
    f"SELECT e.position FROM event e LEFT JOIN message m ON m.id = e.object AND e.type IN {OF_MESSAGE}"
    " LEFT JOIN channel c ON c.id = coalesce(m.channel_id, e.channel) LEFT JOIN channel f ON f.id = c.merged_into"
    " WHERE e.position IN {positions} AND (m.removed_at IS NOT NULL OR c.removed_at IS NOT NULL OR f.removed_at IS NOT NULL)"
)


class Eraser:
    """See the module.

    Args:
        database: opened and migrated.
        log: what is read.
        leases, consumers: those of this process.
    """

    def __init__(self, database: Database, log: Log, leases: Leases, consumers: Consumers) -> None:
        self._database, self._log, self._leases, self._consumers = database, log, leases, consumers

    async def always(self) -> None:
        """Erase what is removed, whenever no other process does, until cancelled."""
        await self._leases.keep(NAME, self.run)

    async def run(self, lease: Lease) -> None:
        """Erase what is removed, until cancelled or the lease is lost."""
        await self._consumers.begin(NAME, await self._oldest())
        offset = await self._consumers.offset(NAME)
        saved_at = 0.0
        while True:
            upto, found = await self._next(offset)
            now = asyncio.get_running_loop().time()
            if upto > offset and (found or upto - offset >= STRIDE or now - saved_at >= SAVE_S):
                for removal in found:
                    await self._erase(removal)
                await self._consumers.move(lease, offset, upto)
                offset, saved_at = upto, now
            else:
                await asyncio.sleep(LOOK_S)

    async def _oldest(self) -> int | None:
        """Where the first eraser of all begins: what was removed before anything was delivered, nobody has said anything of."""
        [row] = await self._database.fetch("SELECT min(position) AS position FROM delivery")
        return None if row["position"] is None else row["position"] - 1

    async def _next(self, offset: int) -> tuple[int, Sequence[Row]]:
        """How far to look now, and what was removed until there."""
        upto = min((await self._log.head()).position, offset + STRIDE)
        return upto, await self._database.fetch(REMOVALS, offset, upto) if upto > offset else ()

    async def _erase(self, removal: Row) -> None:
        """Blank what is said about a removed object, a part at a time, so that nobody waits for it."""
        about, after = ABOUT_MESSAGE if removal["type"] == "message" else ABOUT_CHANNEL, 0
        while rows := await self._database.fetch(about, removal["object"], after, TOGETHER):
            async with self._database.transaction():
                await self._blank([row["position"] for row in rows])
            after = rows[-1]["position"]

    async def _blank(self, positions: Sequence[int]) -> None:
        """Rows first, and those at work, too: whoever is just writing an end has locked them, and is waited for (see `gone`)."""
        d = self._database
        some = f"position IN {d.any_of(1)}"
        given = d.as_list(positions)
        said = "(error IS NOT NULL OR receipt IS NOT NULL OR state = 'running')"
        await d.execute(f"UPDATE delivery SET error = NULL, receipt = NULL WHERE {some} AND {said}", given)
        lanes = await d.fetch(f"SELECT DISTINCT consumer, lane FROM delivery WHERE {some}", given)
        blank = "UPDATE lane SET error = NULL WHERE consumer = $1 AND lane = $2 AND error IS NOT NULL"
        await d.run([Write(blank, [(row["consumer"], row["lane"]) for row in lanes])], last=True)


async def gone(database: Database, positions: Iterable[int]) -> set[int]:
    """Which of these events are about what was removed by now: nothing that a handler says of them may be kept.

    Asked by whoever ends deliveries, in the same transaction, after it has locked their rows: either this sees the removal, or the
    eraser, which comes after the removal, waits for that transaction.
    """
    given = list(positions)
    if not given:
        return set()
    rows = await database.fetch(GONE.format(positions=database.any_of(1)), database.as_list(given))
    return {row["position"] for row in rows}
