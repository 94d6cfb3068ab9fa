"""A stored message as it is found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from crust.events.objects import Attachment
from crust.models.database import Row
from crust.models.search_index import Document


def document(row: Mapping[str, Any] | Row, flagged: Sequence[int] = ()) -> Document:
    """A row of the table, with those who have flagged it."""
    attachments = msgspec.json.decode(row["attachments"], type=list[Attachment])
    return Document(
        id=row["id"], channel_id=row["channel_id"], user_id=row["user_id"], type=row["type"],
        text="\n".join([row["contents"], *(each.name for each in attachments)]), pinned=row["pinned_by"] is not None,
        flagged=flagged, media_types=[each.media_type for each in attachments],
    )  # fmt: skip
