"""How somebody stands to a channel, as read from the database; and how an event in a channel is recorded."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from crust.events import objects
from crust.log import Change, NewEvent, Way
from crust.models.database import Database, Row
from crust.services import views
from crust.services.rights import Standing

THE_CHANNEL = "(SELECT coalesce(f.merged_into, f.id) FROM channel f WHERE f.id = {})"
"""The channel as which an id is read and written: itself, or the one that it was merged into."""

IN_TEAM = """
(c.team_ids = '' OR EXISTS (SELECT 1 FROM team_channel tc JOIN team_member tm ON tm.team_id = tc.team_id
WHERE tc.channel_id = c.id AND tm.user_id = $1))
"""
SEEN = f"""
FROM channel c
LEFT JOIN channel_member m ON m.channel_id = c.id AND m.user_id = $1
LEFT JOIN organisation_member o ON o.organisation_id = c.organisation_id AND o.user_id = $1
WHERE c.removed_at IS NULL AND c.merged_into IS NULL AND (
    m.id IS NOT NULL OR (c.type = 'public' AND (o.role IN ('owner', 'admin') OR (o.role = 'member' AND {IN_TEAM})))
)
"""
"""The channels that the person $1 sees, with their memberships in channel and organisation: what `Standing.sees` says, for many."""

STANDINGS = f"""
SELECT {views.CHANNEL_COLUMNS}, m.role AS channel_role, m.last_read_id, o.role AS organisation_role,
(SELECT u.suspended_at FROM "user" u WHERE u.id = $1) AS suspended_at, g.archived_at AS organisation_archived_at, {IN_TEAM} AS in_team
FROM channel c
JOIN organisation g ON g.id = c.organisation_id
LEFT JOIN channel_member m ON m.channel_id = c.id AND m.user_id = $1
LEFT JOIN organisation_member o ON o.organisation_id = c.organisation_id AND o.user_id = $1
WHERE c.removed_at IS NULL
"""
"""How the person $1 stands to channels."""

STANDING = f"{STANDINGS} AND c.id = {THE_CHANNEL.format('$2')}"


def standing(row: Row, *, own: bool = False) -> Standing:
    """How the one for whom `STANDING` was read stands to its channel."""
    return Standing(
        row["type"], row["organisation_role"], row["channel_role"], row["archived_at"] is not None, own,
        team=bool(row["in_team"]), frozen=row["organisation_archived_at"] is not None,
    )  # fmt: skip


def record_in_channel(
    change: Change, channel: Row, type_: str, event: str, body: Struct, *, object_: int, recipient: int = 0, way: Way | None = None
) -> None:
    """Put an event that a channel's members may know into the log; `recipient` may know it too, member or not. `way` as in `NewEvent`."""
    change.record(
        NewEvent(
            type=type_,
            event=event,
            body=body,
            organisation=channel["organisation_id"],
            channel=channel["id"],
            visibility=channel["type"],
            object=object_,
            recipient=recipient,
            way=way,
        )
    )


async def channel_row(database: Database, channel_id: int) -> Row:
    """A channel that is there, whoever asks."""
    (row,) = await database.fetch(f"SELECT {views.CHANNEL_COLUMNS} FROM channel c WHERE c.id = $1", channel_id)
    return row


async def record_channel(database: Database, change: Change, channel_id: int, event: str, changed: Sequence[str]) -> Row:
    """Inside a change: tell a channel's members how it is now, and what of it is new; gives it."""
    row = await channel_row(database, channel_id)
    body = objects.ChannelEdited(**msgspec.structs.asdict(views.channel(row)), changed=list(changed))
    record_in_channel(change, row, "channel", event, body, object_=channel_id)
    return row
