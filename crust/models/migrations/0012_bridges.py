"""What connects channels to rooms elsewhere: links, the people there, and which message is what on the other side.

Keys of several columns, and indexes of some rows alone, cannot be had as models. Times are in milliseconds since 1970.
"""

from __future__ import annotations

from typing import Any

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

# `crosses` and `crossings` are JSON. `position` is that of the event that made the link, `ended_position` of the one that ended it;
# `configured`: it was made by the settings, and ends when it stands there no more. `made_by` is 0 then.
ROOM_LINK = """
CREATE TABLE room_link (
    id bigint NOT NULL PRIMARY KEY, instance {key} NOT NULL, remote_room {key} NOT NULL, channel_id bigint NOT NULL, title text NOT NULL,
    network text NOT NULL, direction text NOT NULL, crosses text NOT NULL, relay_format text NOT NULL, trust text NOT NULL,
    crossings text NOT NULL, configured {boolean} NOT NULL, made_by bigint NOT NULL, position bigint NOT NULL, made_at bigint NOT NULL,
    ended_position bigint, ended_at bigint, ended_why text
)
"""
# `user_id` is the ghost's, 0 as long as there is none; `linked_to` the person who has said that this is they.
GHOST = """
CREATE TABLE ghost (
    instance {key} NOT NULL, remote_user {key} NOT NULL, user_id bigint NOT NULL, linked_to bigint, name text NOT NULL, avatar text,
    account text, made_at bigint NOT NULL,
    PRIMARY KEY (instance, remote_user)
){clustered}
"""
IDENTITY_CODE = """
CREATE TABLE identity_code (
    code_hash {key} NOT NULL PRIMARY KEY, instance {key} NOT NULL, user_id bigint NOT NULL, ends_at bigint NOT NULL
){clustered}
"""
# `direction`: in, out. `number` counts the parts of one message; `trust` is what was known of the sender of what came in.
MESSAGE_PART = """
CREATE TABLE message_part (
    link_id bigint NOT NULL, remote_id {key} NOT NULL, message_id bigint NOT NULL, number bigint NOT NULL, direction text NOT NULL,
    trust text,
    PRIMARY KEY (link_id, remote_id)
){clustered}
"""
STATEMENTS = (
    ROOM_LINK,
    "CREATE UNIQUE INDEX room_link_room ON room_link (instance, remote_room) WHERE ended_at IS NULL",
    "CREATE INDEX room_link_channel ON room_link (channel_id)",
    GHOST,
    "CREATE INDEX ghost_user ON ghost (user_id)",
    "CREATE INDEX ghost_linked ON ghost (linked_to) WHERE linked_to IS NOT NULL",
    IDENTITY_CODE,
    MESSAGE_PART,
    "CREATE INDEX message_part_message ON message_part (message_id, link_id, number)",
)


async def create(_apps: Any, editor: Any) -> None:
    """Make the tables. Texts are compared byte by byte on both databases, so that their order is the same."""
    sqlite = editor.DIALECT == "sqlite"
    key, clustered = ("text", " WITHOUT ROWID") if sqlite else ('text COLLATE "C"', "")
    for statement in STATEMENTS:
        await editor.client.execute_query(statement.format(key=key, clustered=clustered, boolean="int" if sqlite else "boolean"))


class Migration(migrations.Migration):
    dependencies = [("crust", "0011_preview")]

    initial = False

    operations = [
        ops.AddField(
            model_name="Channel",
            name="bridged",
            field=fields.TextField(db_default="[]", unique=False),
        ),
        ops.RunPython(create),
    ]
