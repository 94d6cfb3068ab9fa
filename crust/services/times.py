"""Times that people give."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from crust.errors import Invalid

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
AFTER = 253_402_300_800_000  # the first millisecond that cannot be said in four digits of a year


def milliseconds(text: str, field: str) -> int:
    """An RFC 3339 time as milliseconds since 1970.

    Raises:
        Invalid: it is none, has no offset from UTC, or is before 1970 or after 9999.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    since = -1 if time is None or time.tzinfo is None else (time - EPOCH) // timedelta(milliseconds=1)
    if not 0 <= since < AFTER:
        raise Invalid(f"{field} must be a time like 2026-11-24T01:47:00Z.", field=field)
    return since
