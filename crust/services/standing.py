"""How somebody stands to a channel, as read from the database; and how an event in a channel is recorded."""

from __future__ import annotations

from msgspec import Struct

from crust.log import Change, NewEvent
from crust.models.database import Row
from crust.services import views
from crust.services.rights import Standing

STANDING = f"""
SELECT {views.CHANNEL_COLUMNS}, m.role AS channel_role, m.last_read_id, o.role AS organisation_role,
(SELECT u.suspended_at FROM "user" u WHERE u.id = $1) AS suspended_at
FROM channel c
LEFT JOIN channel_member m ON m.channel_id = c.id AND m.user_id = $1
LEFT JOIN organisation_member o ON o.organisation_id = c.organisation_id AND o.user_id = $1
WHERE c.id = $2 AND c.removed_at IS NULL
"""


def standing(row: Row, *, own: bool = False) -> Standing:
    """How the one for whom `STANDING` was read stands to its channel."""
    return Standing(row["type"], row["organisation_role"], row["channel_role"], row["archived_at"] is not None, own)


def record_in_channel(change: Change, channel: Row, type_: str, event: str, body: Struct, *, object_: int, recipient: int = 0) -> None:
    """Put an event that a channel's members may know into the log; `recipient` may know it too, member or not."""
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
        )
    )
