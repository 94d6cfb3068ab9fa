"""What was said, as whoever may see it reads it: one message, pages of a channel, threads, pins, former versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from crust.clock import rfc3339
from crust.errors import Invalid, NotFound
from crust.models.database import Database, Row
from crust.services import views
from crust.services.actor import Actor
from crust.services.channels import Channels
from crust.services.deliveries import Deliveries
from crust.services.paging import Part
from crust.services.reactions import Reactions
from crust.services.rights import may
from crust.services.standing import standing
from crust.services.views import ViewedMessage

ONE = f"SELECT {views.MESSAGE_COLUMNS} FROM message x WHERE x.id = $1 AND x.removed_at IS NULL"
EVER = f"SELECT {views.MESSAGE_COLUMNS}, x.removed_at FROM message x WHERE x.id = $1"
PAGE = f"""
SELECT {views.MESSAGE_COLUMNS}, EXISTS (SELECT 1 FROM flag f WHERE f.user_id = $1 AND f.message_id = x.id) AS flagged
FROM message x WHERE x.removed_at IS NULL
"""
VERSIONS = "SELECT id, version, contents, at FROM message_version WHERE message_id = $1"


class Page(NamedTuple):
    """Messages, oldest first; `next` is what to pass as `before` (or as `after`, where `after` was given) for more."""

    messages: list[ViewedMessage]
    next: str | None


class History:
    """See the module."""

    def __init__(self, database: Database, channels: Channels) -> None:
        self._database, self._channels = database, channels
        self._reactions = Reactions(database)

    async def read_one(self, actor: Actor, message_id: int) -> ViewedMessage:
        """One message.

        Raises:
            NotFound: it is not there, or its channel is not the caller's to see.
        """
        rows = await self._database.fetch(f"{PAGE} AND x.id = $2", actor.user_id, message_id)
        if not rows:
            raise NotFound("There is no such message.", field="message_id")
        await self.seen(actor, rows[0], "read")
        (message,) = await self.shown(actor.user_id, rows)
        return message

    async def seen(self, actor: Actor, message: Row, verb: str) -> Row:
        """The message's channel, after a check that the caller may do `verb` with the message; what they don't see is not there.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may`.
        """
        try:
            row = await self._channels.standing_row(actor, message["channel_id"], "read")
        except NotFound:
            raise NotFound("There is no such message.", field="message_id") from None
        may(verb, standing(row, own=message["user_id"] == actor.user_id))
        return row

    async def row(self, message_id: int) -> Row:
        """A message, whoever asks.

        Raises:
            NotFound: it is not there, or was removed.
        """
        rows = await self._database.fetch(ONE, message_id)
        if not rows:
            raise NotFound("There is no such message.", field="message_id")
        return rows[0]

    async def read(self, actor: Actor, channel_id: int, *, before: int | None, after: int | None, around: int | None, limit: int) -> Page:
        """A page of a channel's history: the newest, those before or after an id, or those around one.

        Raises:
            NotFound: the channel is not there, or not the caller's to see.
            Invalid: `around` together with `before` or `after`.
        """
        channel_id = (await self._channels.standing_row(actor, channel_id, "read"))["id"]
        if around is not None:
            if before is not None or after is not None:
                raise Invalid("around stands alone: leave out before and after.", field="around")
            return await self._around(actor.user_id, channel_id, around, limit)
        return await self.page(actor.user_id, channel_id, before=before, after=after, limit=limit)

    async def page(self, viewer: int, channel_id: int, *, before: int | None = None, after: int | None = None, limit: int = 50) -> Page:
        """The same, for whoever has checked the right to see the channel."""
        part = Part(after=after, before=before, limit=limit + 1)
        sql = f"{PAGE} AND x.channel_id = $2 AND {part.cut('x.id', 3, newest_first=after is None)}"
        rows = await self._database.fetch(sql, viewer, channel_id, *part.values)
        found = await self.shown(viewer, rows[:limit])
        more = found[-1].id if len(rows) > limit else None
        return Page(found if after is not None else found[::-1], more)

    async def _around(self, viewer: int, channel_id: int, around: int, limit: int) -> Page:
        earlier = await self.page(viewer, channel_id, before=around, limit=max(limit // 2, 1)) if limit > 1 else Page([], None)
        later = await self.page(viewer, channel_id, after=around - 1, limit=limit - len(earlier.messages))
        return Page(earlier.messages + later.messages, earlier.next)

    async def pins(self, viewer: int, channel_id: int) -> list[ViewedMessage]:
        """A channel's pinned messages, newest first; at most 100."""
        sql = f"{PAGE} AND x.channel_id = $2 AND x.pinned_by IS NOT NULL ORDER BY x.id DESC LIMIT 100"
        return await self.shown(viewer, await self._database.fetch(sql, viewer, channel_id))

    async def thread(self, actor: Actor, message_id: int, part: Part) -> list[ViewedMessage]:
        """The replies to a message, oldest first; of one that is a reply itself, those of its thread.

        Raises:
            NotFound: as in `read_one`.
        """
        row = await self.row(message_id)
        await self.seen(actor, row, "read")
        sql = f"{PAGE} AND x.reply_to = $2 AND {part.cut('x.id', 3)}"
        rows = await self._database.fetch(sql, actor.user_id, row["reply_to"] or message_id, *part.values)
        return await self.shown(actor.user_id, rows)

    async def versions(self, actor: Actor, message_id: int, part: Part) -> list[views.FormerVersion]:
        """What a message said before its edits, oldest first.

        Raises:
            NotFound: as in `read_one`.
        """
        await self.seen(actor, await self.row(message_id), "read")
        rows = await self._database.fetch(f"{VERSIONS} AND {part.cut('id', 2)}", message_id, *part.values)
        return [
            views.FormerVersion(id=str(row["id"]), version=row["version"], contents=row["contents"], created_at=rfc3339(row["at"]))
            for row in rows
        ]

    async def deliveries(self, actor: Actor, message_id: int, part: Part) -> list[views.Delivery]:
        """Over which links a message was carried, and how that went; of one that was removed its author is told still.

        Raises:
            NotFound: as in `read_one`.
        """
        rows = await self._database.fetch(EVER, message_id)
        if not rows or (rows[0]["removed_at"] is not None and rows[0]["user_id"] != actor.user_id):
            raise NotFound("There is no such message.", field="message_id")
        await self.seen(actor, rows[0], "read")
        return await Deliveries(self._database).of(message_id, part)

    async def shown(self, viewer: int, rows: Sequence[Row]) -> list[ViewedMessage]:
        """Rows of `PAGE` as their viewer sees them."""
        reactions = await self._reactions.on(rows, viewer)
        return [viewed(row, reactions.get(row["id"], ())) for row in rows]


def viewed(row: Row, reactions: Sequence[views.ViewedReaction]) -> ViewedMessage:
    """A row of `PAGE` as its viewer sees it."""
    return views.viewed_message(views.message(row), reactions, flagged=bool(row["flagged"]))
