"""What people type to find messages: words, "phrases", -without, and a few operators. All else is just words.

release "going out" -draft from:ana in:general before:2026-11-24 after:2026-11-01 has:file is:pinned
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from crust.ids import ID_COUNTER_BITS, ID_EPOCH_MS, MAX_ID
from crust.models.search_index import PINNED, WITH_FILE
from crust.services.names import fold
from crust.words import Phrase, phrase

TERM = re.compile(r'(-?)(?:(from|in|before|after|has|is):(?=\S))?(?:"([^"]*)"|(\S+))', re.IGNORECASE)
STATES = {("has", "file"): WITH_FILE, ("is", "pinned"): PINNED}
ID_DIGITS = re.compile(r"[0-9]{15,19}", re.ASCII)  # fewer would be a date, or nothing at all
DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Named(NamedTuple):
    """A person or channel, by folded name; `wanted` or not."""

    name: str
    wanted: bool


@dataclass(slots=True)
class Query:
    """What a text asks for. The ids that match lie in (after, before). With `nothing` it has text, but none that could be found."""

    wanted: list[Phrase] = field(default_factory=list)
    unwanted: list[Phrase] = field(default_factory=list)
    people: list[Named] = field(default_factory=list)
    channels: list[Named] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    after: int = 0
    before: int = MAX_ID
    nothing: bool = False


def parse(text: str) -> Query:
    """Read a query. There is none that cannot be read."""
    query, matches = Query(), list(TERM.finditer(text))
    understood = [_operator(query, match) or _words(query, match) for match in matches]
    query.nothing = bool(text.strip()) and not any(understood)
    return query


def _words(query: Query, match: re.Match[str]) -> bool:
    found = phrase(match[0])
    if found is not None:
        (query.unwanted if match[1] else query.wanted).append(found)
    return found is not None


def _operator(query: Query, match: re.Match[str]) -> bool:
    """Take note of an operator; False where it is none, or its value means nothing to it."""
    operator, value, wanted = (match[2] or "").lower(), match[3] if match[3] is not None else match[4], not match[1]
    match operator:
        case "from":
            query.people.append(Named(fold(value).removeprefix("@"), wanted))
        case "in":
            query.channels.append(Named(fold(value).removeprefix("#"), wanted))
        case "has" | "is" if label := STATES.get((operator, value.lower())):
            (query.labels if wanted else query.without).append(label)
        case "before" | "after" if wanted and (span := moment(value)):
            if operator == "before":
                query.before = min(query.before, span[0])
            else:
                query.after = max(query.after, span[1])
        case _:
            return False
    return True


def moment(text: str) -> tuple[int, int] | None:
    """An id, a date or a time, as the ids (exclusive) that what is before has to be below, and what is after has to be above.

    A date is a whole day, UTC: after it is after its end.
    """
    if ID_DIGITS.fullmatch(text):
        return (int(text), int(text)) if int(text) <= MAX_ID else None
    with suppress(ValueError, OverflowError):
        start = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        return first_id(start), first_id(start + DAY) - 1
    with suppress(ValueError, OverflowError):
        at = datetime.fromisoformat(text)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return first_id(at), first_id(at + timedelta(milliseconds=1)) - 1
    return None


def first_id(at: datetime) -> int:
    """The smallest id that a message of this time, or a later one, can have."""
    milliseconds = (at - EPOCH) // timedelta(milliseconds=1)
    return min(max((milliseconds - ID_EPOCH_MS) << ID_COUNTER_BITS, 0), MAX_ID)
