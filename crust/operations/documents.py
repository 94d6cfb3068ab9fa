"""A stored message as it is found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crust.models.database import Row
from crust.models.search_index import Document
from crust.services.attachments import found_text
from crust.services.views import ATTACHMENTS


def document(row: Mapping[str, Any] | Row, flagged: Sequence[int] = ()) -> Document:
    """A row of the table, with those who have flagged it."""
    attachments = ATTACHMENTS.decode(row["attachments"])
    return Document(
        id=row["id"], channel_id=row["channel_id"], user_id=row["user_id"], type=row["type"],
        text=found_text(row["contents"], attachments), pinned=row["pinned_by"] is not None,
        flagged=flagged, media_types=[each.media_type for each in attachments],
    )  # fmt: skip
