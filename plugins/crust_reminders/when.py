"""When somebody wants to be reminded, and of what: `in 2h tea`, `tomorrow at 9 call Ben`, `on friday 14:30 the talk`."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

UNITS = {"s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hr": 3600, "hour": 3600, "d": 86_400, "day": 86_400,
         "w": 604_800, "week": 604_800}  # fmt: skip
AMOUNT = re.compile(r"(\d{1,6}|an?) ?([a-z]{1,7})(?:,? (?:and )?|(?=\d)|$)", re.IGNORECASE)
DAY = re.compile(r"(?:on )?(today|tomorrow|(?:mon|tues|wednes|thurs|fri|satur|sun)day|\d{4}-\d{2}-\d{2})(?: |$)", re.IGNORECASE)
CLOCK = re.compile(r"(at )?(\d{1,2})(?:[:.](\d{2}))? ?(am|pm)?(?: |$)", re.IGNORECASE)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
LONGEST = timedelta(days=3660)  # ten years: more is a slip of the finger
EXAMPLES = "in 2h, in 1 day and 3 hours, at 14:30, tomorrow at 9, on friday 9am, on 2030-12-24 at 18:00"


class Unreadable(ValueError):
    """It says no time; the text says why, and what would."""


def read(text: str, now: datetime, zone: ZoneInfo, morning: time) -> tuple[datetime, str]:
    """When, in UTC and after now, and what follows.

    Where clocks are put forward, a time that they skip is the one an hour later; put back, the first of two.

    Args:
        zone: that of times of day; morning: the time of a day that comes without one.

    Raises:
        Unreadable: see there.
    """
    text = " ".join(text.split())
    due, rest = duration(text, now) if text[:3].lower() == "in " else moment(text, now, zone, morning)
    if due <= now:
        raise Unreadable("That is past.")
    if due - now > LONGEST:
        raise Unreadable("That is more than ten years away.")
    return due, rest.removeprefix("to ")


def duration(text: str, now: datetime) -> tuple[datetime, str]:
    """`in 2h`, `in an hour`, `in 1h30m`, `in 2 hours and 5 minutes`."""
    at, seconds = 3, 0
    while (found := AMOUNT.match(text, at)) and (unit := unit_of(found[2])):
        seconds += (int(found[1]) if found[1].isdigit() else 1) * unit
        at = found.end()
    if not seconds:
        raise Unreadable(f"How long is {text[:40]!r}? Say it like: {EXAMPLES}.")
    return now + timedelta(seconds=min(seconds, 2 * LONGEST.total_seconds())), text[at:]


def unit_of(word: str) -> int:
    """Seconds of a unit; 0 if it is none."""
    word = word.lower()
    return UNITS.get(word) or UNITS.get(word.removesuffix("s") if len(word) > 1 else word, 0)


def moment(text: str, now: datetime, zone: ZoneInfo, morning: time) -> tuple[datetime, str]:
    """A day, a time of day, or both."""
    here = now.astimezone(zone)
    named = DAY.match(text)
    at = named.end() if named else 0
    found = CLOCK.match(text, at)
    # After a day, a bare number may be what it is about: `tomorrow 9 apples`. Without one, a time needs its `at`, colon or am.
    clear = found is not None and bool(found[1] or found[3] or found[4])
    if named is None and not clear:
        raise Unreadable(f"When is {text[:40]!r}? Say it like: {EXAMPLES}.")
    clock = clock_of(found) if found is not None and clear else morning
    rest = text[found.end() :] if found is not None and clear else text[at:]
    if named is None:
        due = instant(here.date(), clock, zone)
        return (due if due > now else instant(here.date() + timedelta(days=1), clock, zone)), rest
    word = named[1].lower()
    due = instant(day_of(word, here.date()), clock, zone)
    if word in WEEKDAYS and due <= now:
        due = instant(day_of(word, here.date()) + timedelta(days=7), clock, zone)
    return due, rest


def clock_of(found: re.Match[str]) -> time:
    """A time of day."""
    hour, minute, half = int(found[2]), int(found[3] or 0), (found[4] or "").lower()
    if half and not 1 <= hour <= 12:
        raise Unreadable(f"There is no {found[0].strip()}.")
    try:
        return time(hour % 12 + 12 * (half == "pm") if half else hour, minute)
    except ValueError:
        raise Unreadable(f"There is no {found[0].strip()}: a time is like 14:30, 9am or at 9.") from None


def day_of(word: str, today: date) -> date:
    """A day by its name."""
    if word in ("today", "tomorrow"):
        return today + timedelta(days=word == "tomorrow")
    if word in WEEKDAYS:
        return today + timedelta(days=(WEEKDAYS.index(word) - today.weekday()) % 7)
    try:
        day = date.fromisoformat(word)
    except ValueError:
        raise Unreadable(f"There is no day {word}.") from None
    if not today - timedelta(days=1) <= day <= today + LONGEST + timedelta(days=1):
        raise Unreadable("That is past." if day < today else "That is more than ten years away.")
    return day


def instant(day: date, clock: time, zone: ZoneInfo) -> datetime:
    """A time of day at a place, in UTC."""
    return datetime.combine(day, clock, zone).astimezone(UTC)
