"""Erasing: of a channel, team or organisation that was removed, what was said in it and what it was called goes out of every table.

Nobody can read it from the moment of the removal on; this is about what still lies there: rows, earlier events, the search index, files.
It is done a little at a time, by any node, and goes on where it was left: what is there tells what is to be done. `crust export` does it
first.
"""

from __future__ import annotations

import asyncio

from crust.log import Log
from crust.log.tasks import repeated
from crust.models.database import Database
from crust.services.messages import Messages
from crust.telemetry import get_logger

log = get_logger(__name__)

EVERY_S = 30.0  # of the 60 s in which what was removed has to be gone; three looks at small tables
TOGETHER = 100  # messages of one change; each is a dozen statements
PAUSE_S = 0.1  # between two changes: others write meanwhile

CHANNELS = """
SELECT c.id FROM channel c LEFT JOIN channel f ON f.id = c.merged_into
WHERE (c.removed_at IS NOT NULL OR f.removed_at IS NOT NULL) AND (c.name <> '' OR c.topic <> '' OR c.last_message_id IS NOT NULL)
ORDER BY c.id LIMIT 1
"""
NAMED = "SELECT id FROM {0} WHERE removed_at IS NOT NULL AND name <> '' ORDER BY id LIMIT 1"


class Erasing:
    """See the module."""

    def __init__(self, database: Database, log: Log, messages: Messages) -> None:
        self._database, self._log, self._messages = database, log, messages

    async def always(self) -> None:
        """Look now and from time to time, until cancelled."""
        failure = "what was removed could not be erased; it is tried again"
        await repeated(self.run, EVERY_S, lambda error: log.warning(failure, error=error))

    async def run(self) -> None:
        """Erase all that was removed."""
        while await self._some():  # noqa: ASYNC110  # a pause between pieces of work waits for nothing
            await asyncio.sleep(PAUSE_S)

    async def _some(self) -> bool:
        """Erase some; tells whether there was any."""
        d = self._database
        if rows := await d.fetch(CHANNELS):
            await self._channel(rows[0]["id"])
            return True
        for table in ("team", "organisation"):
            if rows := await d.fetch(NAMED.format(table)):
                await self._name(table, rows[0]["id"])
                return True
        return False

    async def _channel(self, channel_id: int) -> None:
        d = self._database
        sql = "SELECT id FROM message WHERE channel_id = $1 AND removed_at IS NULL ORDER BY id LIMIT $2"
        if rows := await d.fetch(sql, channel_id, TOGETHER):
            await self._messages.erase([row["id"] for row in rows])
            return
        async with self._log.change():
            await self._blank("channel", channel_id)
            await d.execute("UPDATE channel SET name = '', name_key = '', topic = '', last_message_id = NULL WHERE id = $1", channel_id)

    async def _name(self, table: str, id_: int) -> None:
        async with self._log.change():
            await self._blank(table, id_)
            await self._database.execute(f"UPDATE {table} SET name = '', name_key = '' WHERE id = $1", id_)

    async def _blank(self, type_: str, id_: int) -> None:
        """Take out of earlier events what it was called, but not that there were events."""
        sql = "UPDATE event SET body = $1 WHERE object = $2 AND type = $3 AND event <> 'removed'"
        await self._database.execute(sql, f'{{"id":"{id_}"}}', id_, type_)
