"""Which message of ours is which one elsewhere. One of ours may be several there: lines, mails, attachments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crust.errors import Invalid
from crust.models.database import Database, Row, Write, insertion

ID_MAX = 500  # characters of an id elsewhere; a mail's Message-ID has up to 250, an event's of Matrix 255
COLUMNS = {
    "link_id": "bigint", "remote_id": "text", "message_id": "bigint", "number": "bigint", "direction": "text", "trust": "text",
    "revision": "bigint",
}  # fmt: skip
ONCE = " ON CONFLICT (link_id, remote_id) DO NOTHING"
IN, OUT = "in", "out"
RAISED = "UPDATE message_part SET revision = $3 WHERE link_id = $1 AND remote_id = $2 AND revision < $3"


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
    """That these parts belong to messages, by the messages' ids. What is known already stays as it is."""
    one, many = insertion("message_part", tuple(COLUMNS.items()))
    rows = [
        (part.link_id, part.remote_id, message_id, part.number, part.direction, part.trust, part.revision) for part, message_id in parts
    ]
    return Write(one + ONCE, rows, many + ONCE)


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

    async def found(self, link_id: int, remote: str) -> Row | None:
        """The part of this id: its message, number, direction and revision. What can be no id is none's."""
        if not remote.isprintable():
            return None
        sql = "SELECT message_id, number, direction, revision FROM message_part WHERE link_id = $1 AND remote_id = $2"
        rows = await self._database.fetch(sql, link_id, remote)
        return rows[0] if rows else None

    async def of(self, link_id: int, message_id: int) -> tuple[str, ...]:
        """What a message is on the other side of a link: the ids of all its parts, in order."""
        sql = "SELECT remote_id FROM message_part WHERE message_id = $1 AND link_id = $2 ORDER BY number, remote_id"
        return tuple(row["remote_id"] for row in await self._database.fetch(sql, message_id, link_id))
