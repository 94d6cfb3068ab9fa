"""Which message of ours is which one elsewhere. One of ours may be several there: lines, mails, attachments."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from crust.errors import Invalid
from crust.models.database import Database, Row, Write, insertion
from crust.services.deliveries import LANE

ID_MAX = 500  # characters of an id elsewhere; a mail's Message-ID has up to 250, an event's of Matrix 255
COLUMNS = {
    "link_id": "bigint", "remote_id": "text", "message_id": "bigint", "number": "bigint", "direction": "text", "trust": "text",
    "revision": "bigint",
}  # fmt: skip
ONCE = " ON CONFLICT (link_id, remote_id) DO NOTHING"
OURS = (  # what was sent from here may have come back, and been taken for somebody else's, before it was known as what it became there
    " ON CONFLICT (link_id, remote_id) DO UPDATE SET message_id = excluded.message_id, number = excluded.number,"
    " direction = excluded.direction, trust = excluded.trust, revision = excluded.revision WHERE message_part.direction = 'in'"
)
IN, OUT = "in", "out"
RAISED = "UPDATE message_part SET revision = $3 WHERE link_id = $1 AND remote_id = $2 AND revision < $3"
SENDING = "SELECT position FROM delivery {by} WHERE consumer = $1 AND lane = $2 AND state IN ('waiting', 'running') AND state = 'running'"
BY = {"sqlite": "INDEXED BY delivery_open", "postgres": ""}
PAUSES_S = (0.01, 0.03, 0.06, 0.1, *[0.15] * 12)  # 2 s together, between looks for what is just being sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A message as it is on the other side of a link, or one part of it.

    `number` begins with 0; `direction` says whether it came in or was sent out; `trust` is what was known of who sent it;
    `revision` rises with each edit there, where the network counts them.
    """

    link_id: int
    remote_id: str
    number: int = 0
    direction: str = IN
    trust: str | None = None
    revision: int = 0


def recorded(parts: Sequence[tuple[Part, int]]) -> Write:
    """That these parts, all in or all out, belong to messages, by the messages' ids. What is known stays; what went out counts, though."""
    one, many = insertion("message_part", tuple(COLUMNS.items()))
    rows = [
        (part.link_id, part.remote_id, message_id, part.number, part.direction, part.trust, part.revision) for part, message_id in parts
    ]
    known = OURS if parts and parts[0][0].direction == OUT else ONCE
    return Write(one + known, rows, many + known)


def forgotten(message_id: int, link_id: int | None = None) -> Write:
    """That nobody needs to know any more what a removed message was there.

    Args:
        link_id: on the other side of this link; left out: of those that end no removal over, being ended or letting only in.
    """
    if link_id is not None:
        return Write("DELETE FROM message_part WHERE message_id = $1 AND link_id = $2", [(message_id, link_id)])
    sql = (
        "DELETE FROM message_part WHERE message_id = $1 AND link_id IN"
        " (SELECT id FROM room_link WHERE ended_at IS NOT NULL OR direction = 'in')"
    )
    return Write(sql, [(message_id,)])


def remote_id(text: str) -> str:
    """An id elsewhere, if it can be one.

    Raises:
        Invalid: it is empty, too long, or cannot be printed.
    """
    if not 1 <= len(text) <= ID_MAX or not text.isprintable():
        raise Invalid(f"An id elsewhere has 1 to {ID_MAX} printable characters, and {text!r:.60} has not.", field="source_id")
    return text


class Parts:
    """Reads them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waited_for: dict[int, int] = {}  # link → the position of what was being sent over it, and took too long

    async def found(self, link_id: int, remote: str) -> Row | None:
        """The part of this id: its message, number, direction and revision. What can be no id is none's."""
        if not remote.isprintable():
            return None
        sql = "SELECT message_id, number, direction, revision FROM message_part WHERE link_id = $1 AND remote_id = $2"
        rows = await self._database.fetch(sql, link_id, remote)
        return rows[0] if rows else None

    async def awaited(self, instance: str, link_id: int, remote: str) -> Row | None:
        """The same; while something is being sent over the link of a bridge's instance, which this may be, waits for it.

        2 s at most, and once for each thing that is sent: a target that is slow does not hold up what comes from it.
        """
        sql, lane = SENDING.format(by=BY[self._database.dialect]), f"{LANE}{link_id}"
        first = await self._database.fetch(sql, instance, lane)
        now = first if first and self._waited_for.get(link_id) != first[0]["position"] else []
        for seconds in PAUSES_S:
            part = await self.found(link_id, remote)
            if part is not None or not now or now[0]["position"] != first[0]["position"]:
                return part
            await asyncio.sleep(seconds)
            now = await self._database.fetch(sql, instance, lane)
        self._waited_for[link_id] = first[0]["position"]
        return await self.found(link_id, remote)

    async def of(self, link_id: int, message_id: int) -> tuple[str, ...]:
        """What a message is on the other side of a link: the ids of all its parts, in order."""
        sql = "SELECT remote_id FROM message_part WHERE message_id = $1 AND link_id = $2 ORDER BY number, remote_id"
        return tuple(row["remote_id"] for row in await self._database.fetch(sql, message_id, link_id))
