"""Read marks: up to which message somebody has read a channel, and so what is unread; and which channels they have muted.

State, not log: the last writer wins, and a person's own sockets are told by a control message. Counts are absolute, so a
repeat does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from crust.errors import CrustError, NotFound, Unavailable
from crust.events.control import Control, MarkMoved
from crust.log import Change, Log
from crust.models.database import Database
from crust.services.actor import Actor
from crust.services.channels import COUNTED_MAX, Channels
from crust.telemetry import get_logger

log = get_logger(__name__)

COUNTS = f"""
SELECT m.user_id, m.last_read_id,
(SELECT count(*) FROM (SELECT 1 FROM message x WHERE x.channel_id = m.channel_id AND x.id > m.last_read_id AND x.user_id <> m.user_id
AND x.removed_at IS NULL LIMIT {COUNTED_MAX}) counted) AS unread,
(SELECT count(*) FROM (SELECT 1 FROM mention n WHERE n.user_id = m.user_id AND n.channel_id = m.channel_id
AND n.message_id > m.last_read_id LIMIT {COUNTED_MAX}) counted) AS mentions
FROM channel_member m WHERE m.channel_id = $1 AND m.user_id IN
"""


class Marks:
    """See the module.

    Args:
        tell: sends a control message to all nodes.
    """

    def __init__(self, database: Database, log: Log, channels: Channels, tell: Callable[[Control], None]) -> None:
        self._database, self._log, self._channels, self._tell = database, log, channels, tell

    async def move(self, actor: Actor, channel_id: int, message_id: int | None) -> None:
        """Set the caller's mark to a message of the channel, or to its newest; it may move back.

        Raises:
            NotFound, Forbidden: as in `rights.may`; NotFound also where the channel has no such message.
        """
        row = await self._channels.standing_row(actor, channel_id, "mark")
        channel_id = row["id"]
        mark = row["last_message_id"] or 0 if message_id is None else message_id
        if message_id is not None:
            sql = "SELECT 1 FROM message WHERE id = $1 AND channel_id = $2"
            if not await self._database.fetch(sql, message_id, channel_id):
                raise NotFound("There is no such message in this channel.", field="message_id")
        await self._log.together(self._write, (channel_id, actor.user_id, mark))
        await self.tell(channel_id, [actor.user_id])

    async def _write(self, change: Change, marks: Sequence[tuple[int, int, int]]) -> list[CrustError | None]:
        sql = "UPDATE channel_member SET last_read_id = $1 WHERE channel_id = $2 AND user_id = $3"
        for channel_id, user_id, mark in marks:
            await self._database.execute(sql, mark, channel_id, user_id)
        return [None] * len(marks)

    async def mute(self, actor: Actor, channel_id: int, *, muted: bool) -> None:
        """Say that one does not want to be called by a channel's messages, or does again; nobody else knows.

        Raises:
            NotFound, Forbidden: as in `rights.may`.
        """
        async with self._log.change():
            row = await self._channels.standing_row(actor, channel_id, "mute")
            sql = "UPDATE channel_member SET muted = $1 WHERE channel_id = $2 AND user_id = $3"
            await self._database.execute(sql, muted, row["id"], actor.user_id)

    async def tell(self, channel_id: int, user_ids: Sequence[int]) -> None:
        """Tell people's own sockets what is unread for them in a channel. A failure is logged: what was written stands all the same."""
        d = self._database
        try:
            rows = await d.fetch(f"{COUNTS} {d.any_of(2)}", channel_id, d.as_list(list(user_ids)))
        except Unavailable:
            log.warning("unread counts could not be told", channel=channel_id)
            return
        for row in rows:
            self._tell(MarkMoved(row["user_id"], channel_id, row["unread"], row["mentions"], row["last_read_id"]))
