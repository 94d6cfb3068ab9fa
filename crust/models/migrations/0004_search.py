"""The index of what was said, filled with what has been said so far. Neither kind of index can be had as a model."""

from __future__ import annotations

from typing import Any

from tortoise import migrations
from tortoise.migrations import operations as ops

from crust.models.database import for_sqlite
from crust.models.search_index import Document, SearchIndex

TOGETHER = 1000  # messages; a statement of them takes far less than the time that one may take
MESSAGES = """
SELECT x.id, x.channel_id, x.user_id, x.type, x.contents, x.pinned_by FROM message x
WHERE x.removed_at IS NULL AND x.id > {} ORDER BY x.id LIMIT {}
"""
FLAGS = "SELECT message_id, user_id FROM flag WHERE message_id >= {} AND message_id <= {}"


async def create(_apps: Any, editor: Any) -> None:
    """Make the index and fill it."""
    client = editor.client
    index = SearchIndex("sqlite" if editor.DIALECT == "sqlite" else "postgres")
    for statement in index.creation:
        await client.execute_query(statement)
    last = 0
    while True:
        _, rows = await client.execute_query(MESSAGES.format(last, TOGETHER))
        if not rows:
            return
        _, flags = await client.execute_query(FLAGS.format(rows[0]["id"], rows[-1]["id"]))
        await fill(client, index, rows, flags)
        last = rows[-1]["id"]


async def fill(client: Any, index: SearchIndex, rows: Any, flags: Any) -> None:
    """Put these messages into it."""
    flagged: dict[int, list[int]] = {}
    for flag in flags:
        flagged.setdefault(flag["message_id"], []).append(flag["user_id"])
    write = index.adding(
        [
            Document(
                id=row["id"], channel_id=row["channel_id"], user_id=row["user_id"], type=row["type"], text=row["contents"],
                pinned=row["pinned_by"] is not None, flagged=flagged.get(row["id"], ()),
            )
            for row in rows
        ]
    )  # fmt: skip
    if write.many is None:
        await client.execute_many(for_sqlite(write.sql), write.rows)
    else:
        await client.execute_query(write.many, [list(column) for column in zip(*write.rows, strict=True)])


class Migration(migrations.Migration):
    dependencies = [("crust", "0003_organisations_and_teams")]

    initial = False

    operations = [ops.RunPython(create)]
