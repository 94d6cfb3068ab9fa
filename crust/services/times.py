"""Times that people give."""

from __future__ import annotations

from datetime import UTC, datetime

from crust.errors import Invalid


def milliseconds(text: str, field: str) -> int:
    """An RFC 3339 time as milliseconds since 1970.

    Raises:
        Invalid: it is none, or has no offset from UTC.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise Invalid(f"{field} must be a time like 2026-11-24T01:47:00Z.", field=field)
    return round(time.astimezone(UTC).timestamp() * 1000)
