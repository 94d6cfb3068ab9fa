"""The revision that a message of elsewhere is at, what the name of somebody elsewhere looks like, and who is not let into a channel.

Keys of several columns cannot be had as models.
"""

from __future__ import annotations

from typing import Any

from tortoise import migrations
from tortoise.migrations import operations as ops

# `user_id` is a ghost's. Who kicked it, and when, is in the log.
KICKED = "CREATE TABLE kicked (channel_id bigint NOT NULL, user_id bigint NOT NULL, PRIMARY KEY (channel_id, user_id)){clustered}"
STATEMENTS = (
    "ALTER TABLE message_part ADD COLUMN revision bigint NOT NULL DEFAULT 0",
    # Of those from before, what their names look like is written when they next come into a channel.
    "ALTER TABLE ghost ADD COLUMN skeleton text NOT NULL DEFAULT ''",
    "CREATE INDEX ghost_skeleton ON ghost (skeleton)",
    KICKED,
)


async def create(_apps: Any, editor: Any) -> None:
    clustered = " WITHOUT ROWID" if editor.DIALECT == "sqlite" else ""
    for statement in STATEMENTS:
        await editor.client.execute_query(statement.format(clustered=clustered))


class Migration(migrations.Migration):
    dependencies = [("crust", "0013_secrets")]

    initial = False

    operations = [ops.RunPython(create)]
