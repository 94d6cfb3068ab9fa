"""Archiving channels, bringing them back, and removing them."""

from __future__ import annotations

from crust.events import objects
from crust.log import Change, Log
from crust.models.database import Database, Row
from crust.services.actor import Actor
from crust.services.channels import Channels
from crust.services.links import Links
from crust.services.members import Members
from crust.services.standing import record_channel, record_in_channel


class Archiving:
    """See the module."""

    def __init__(self, database: Database, log: Log, members: Members, channels: Channels, links: Links) -> None:
        self._database, self._log, self._members, self._channels, self._links = database, log, members, channels, links

    async def archive(self, actor: Actor, channel_id: int) -> None:
        """From now on it is read, but not changed; again is no error.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may`.
        """
        async with self._log.change() as change:
            row = await self._channels.standing_row(actor, channel_id, "archive")
            if row["archived_at"] is None:
                await self.close(change, row)

    async def close(self, change: Change, row: Row) -> None:
        """Inside a change: archive a channel, whoever asks."""
        sql = "UPDATE channel SET archived_at = $1, updated_at = $1 WHERE id = $2"
        await self._database.execute(sql, change.now, row["id"])
        await record_channel(self._database, change, row["id"], "archived", ["archived_at"])

    async def unarchive(self, actor: Actor, channel_id: int) -> None:
        """Let it be changed again; again is no error.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may`.
        """
        async with self._log.change() as change:
            row = await self._channels.standing_row(actor, channel_id, "archive")
            if row["archived_at"] is not None:
                sql = "UPDATE channel SET archived_at = NULL, updated_at = $1 WHERE id = $2"
                await self._database.execute(sql, change.now, row["id"])
                await record_channel(self._database, change, row["id"], "unarchived", ["archived_at"])

    async def remove(self, actor: Actor, channel_id: int) -> None:
        """Take a channel away, with all that was said in it: nobody can read it any more.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may`.
        """
        async with self._log.change() as change:
            await self.end(change, await self._channels.standing_row(actor, channel_id, "remove"), actor.user_id)

    async def end(self, change: Change, row: Row, by: int) -> None:
        """Inside a change: remove a channel, whoever asks. Its members are told, then they part."""
        channel_id = row["id"]
        await self._links.end_all(change, channel_id, by, "The channel was removed.")
        body = objects.Removed(id=str(channel_id), by=str(by))
        record_in_channel(change, row, "channel", "removed", body, object_=channel_id)
        await self._members.part_all(change, row, await self._members.of(channel_id), by)
        await self._database.execute("DELETE FROM team_channel WHERE channel_id = $1", channel_id)
        sql = "UPDATE channel SET removed_at = $1, pair = NULL, team_ids = '' WHERE id = $2"
        await self._database.execute(sql, change.now, channel_id)
