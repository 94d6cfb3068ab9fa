"""What is stored although it follows from other rows, so that nobody who reads has to count: how it is counted anew.

Whoever changes those rows keeps it in step, in the same change. Unread is not among it: that is counted from the read marks whenever it
is asked for, so only a mark beyond everything that there is could make it wrong, and such a mark is.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from crust.models.database import Database, Row


@dataclass(frozen=True, slots=True)
class Counter:
    """A column that follows from other rows.

    Args:
        table, column: where it is.
        truth: what it should be, as an expression in which `t` is the row; its text on PostgreSQL, where that differs, is `on_postgres`.
        nothing: what stands for null when two values are compared.
        begins: its value in a row that nothing refers to yet.
    """

    table: str
    column: str
    truth: str
    nothing: str = "-1"
    begins: Any = 0
    on_postgres: str = ""

    @property
    def name(self) -> str:
        return f"{self.table}.{self.column}"

    def _truth(self, database: Database) -> str:
        return self.on_postgres if self.on_postgres and database.dialect == "postgres" else self.truth

    async def wrong(self, database: Database, after: int, upto: int) -> list[Row]:
        """Of the rows with ids in (after, upto] those that say something else than what is counted: `id`, `stored`, `counted`."""
        sql = (
            f'SELECT * FROM (SELECT t.id, t.{self.column} AS stored, {self._truth(database)} AS counted FROM "{self.table}" t '
            f"WHERE t.id > $1 AND t.id <= $2) page WHERE coalesce(stored, {self.nothing}) <> coalesce(counted, {self.nothing})"
        )
        return list(await database.fetch(sql, after, upto))

    async def renew(self, database: Database, ids: Collection[int]) -> None:
        """Inside a change: count these rows anew."""
        if ids:
            sql = f'UPDATE "{self.table}" AS t SET {self.column} = {self._truth(database)} WHERE t.id IN {database.any_of(1)}'
            await database.execute(sql, database.as_list(sorted(ids)))


MEMBERS = Counter("channel", "members_count", "(SELECT count(*) FROM channel_member m WHERE m.channel_id = t.id)")
LAST_MESSAGE = Counter("channel", "last_message_id", "(SELECT max(x.id) FROM message x WHERE x.channel_id = t.id)", begins=None)
TEAMS = Counter(
    "channel",
    "team_ids",
    "(SELECT coalesce(group_concat(o.team_id, ' '), '') FROM "
    "(SELECT c.team_id FROM team_channel c WHERE c.channel_id = t.id ORDER BY c.team_id) o)",
    nothing="''",
    begins="",
    on_postgres="(SELECT coalesce(string_agg(c.team_id::text, ' ' ORDER BY c.team_id), '') FROM team_channel c WHERE c.channel_id = t.id)",
)
REPLIES = Counter("message", "replies", "(SELECT count(*) FROM message r WHERE r.reply_to = t.id AND r.removed_at IS NULL)")
REACTIONS = Counter("message", "reactions", "(SELECT count(*) FROM reaction r WHERE r.message_id = t.id)")
MARK = Counter(
    "channel_member",
    "last_read_id",
    "(SELECT CASE WHEN t.last_read_id > l.last_id THEN coalesce((SELECT max(x.id) FROM message x WHERE x.channel_id = t.channel_id), 0) "
    "ELSE t.last_read_id END FROM log l)",
)
COUNTED = (MEMBERS, LAST_MESSAGE, TEAMS, REPLIES, REACTIONS)
COUNTERS = (*COUNTED, MARK)
