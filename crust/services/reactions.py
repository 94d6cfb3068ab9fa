"""Reactions: emoji that people put on messages, for all to see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crust.errors import Invalid
from crust.events import objects
from crust.log import Change
from crust.models.database import Database, Row
from crust.models.tables import Reaction
from crust.services.standing import record_in_channel
from crust.services.views import ViewedReaction

NAMED = 20  # people that each emoji tells of
KINDS_MAX = 50  # different emoji on one message
NOBODY = 0
ON = f"""
SELECT r.message_id, r.emoji, r.user_id, r.nth, r.total FROM (
    SELECT message_id, emoji, user_id, id,
    row_number() OVER (PARTITION BY message_id, emoji ORDER BY id) AS nth, count(*) OVER (PARTITION BY message_id, emoji) AS total
    FROM reaction WHERE message_id IN {{}}
) r WHERE r.nth <= {NAMED} OR r.user_id = $2 ORDER BY r.id
"""


class Reactions:
    """Reads them, and writes them inside a change, after the rights were checked."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def on(self, messages: Sequence[Row], viewer: int = NOBODY) -> dict[int, list[ViewedReaction]]:
        """What is on these messages, by id, each emoji in the order of its first: one query, and none where they have no reactions."""
        ids = [row["id"] for row in messages if row["reactions"]]
        if not ids:
            return {}
        d = self._database
        found: dict[int, dict[str, list[Row]]] = {}
        for row in await d.fetch(ON.format(d.any_of(1)), d.as_list(ids), viewer):
            found.setdefault(row["message_id"], {}).setdefault(row["emoji"], []).append(row)
        return {message_id: [reaction(rows, viewer) for rows in kinds.values()] for message_id, kinds in found.items()}

    async def shared(self, message: Row) -> list[objects.Reaction]:
        """What is on a message, without a viewer."""
        viewed = (await self.on([message])).get(message["id"], [])
        return [objects.Reaction(emoji=each.emoji, count=each.count, user_ids=each.user_ids) for each in viewed]

    async def add(self, change: Change, channel: Row, message: Row, user_id: int, emoji: str) -> None:
        """Put an emoji on a message; again is no error.

        Raises:
            Invalid: there are too many different ones.
        """
        counts = await self._counts(message["id"])
        if await self._there(message["id"], user_id, emoji):
            return
        if emoji not in counts and len(counts) >= KINDS_MAX:
            raise Invalid(f"There are {KINDS_MAX} different reactions on this message: take one of those.", field="emoji")
        await Reaction.create(id=change.next_id(), message_id=message["id"], emoji=emoji, user_id=user_id, at=change.now)
        await self._record(change, channel, message, user_id, emoji, counts.get(emoji, 0), 1)

    async def remove(self, change: Change, channel: Row, message: Row, user_id: int, emoji: str) -> None:
        """Take one's emoji from a message; again is no error."""
        if await self._there(message["id"], user_id, emoji):
            counts = await self._counts(message["id"])
            await Reaction.filter(message_id=message["id"], emoji=emoji, user_id=user_id).delete()
            await self._record(change, channel, message, user_id, emoji, counts[emoji], -1)

    async def _there(self, message_id: int, user_id: int, emoji: str) -> bool:
        return await Reaction.filter(message_id=message_id, emoji=emoji, user_id=user_id).exists()

    async def _counts(self, message_id: int) -> Mapping[str, int]:
        rows = await self._database.fetch("SELECT emoji, count(*) AS n FROM reaction WHERE message_id = $1 GROUP BY emoji", message_id)
        return {row["emoji"]: row["n"] for row in rows}

    async def _record(self, change: Change, channel: Row, message: Row, user_id: int, emoji: str, before: int, by: int) -> None:
        await self._database.execute("UPDATE message SET reactions = reactions + $1 WHERE id = $2", by, message["id"])
        body = objects.Reacted(message_id=str(message["id"]), user_id=str(user_id), emoji=emoji, count=before + by)
        record_in_channel(change, channel, "reaction", "added" if by > 0 else "removed", body, object_=message["id"])


def reaction(rows: Sequence[Row], viewer: int) -> ViewedReaction:
    """One emoji on one message, from the rows of the first who put it there and, if they did, the viewer's."""
    return ViewedReaction(
        emoji=rows[0]["emoji"],
        count=rows[0]["total"],
        user_ids=tuple(str(row["user_id"]) for row in rows if row["nth"] <= NAMED),
        mine=any(row["user_id"] == viewer for row in rows),
    )
