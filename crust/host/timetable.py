"""When a job is due: at intervals, or by a cron expression. Times are UTC."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SHORTEST, LONGEST = timedelta(seconds=1), timedelta(days=366)
DAYS_MAX = 8 * 366  # within which every day that there is comes: 29 February may be away for eight years
FIELD = re.compile(r"(?:\*|([0-9a-z]+)(?:-([0-9a-z]+))?)(?:/([0-9]{1,4}))?", re.ASCII)
WEEKDAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
MONTHS = {calendar.month_abbr[number].lower(): number for number in range(1, 13)}


class BadTime(ValueError):
    """No timetable; the text says why."""


class Timetable(Protocol):
    """Says when something is due."""

    def next(self, after: datetime) -> datetime:
        """The first time after this one."""
        ...


@dataclass(frozen=True, slots=True)
class Every:
    """At the multiples of a period since 1970."""

    period: timedelta

    def next(self, after: datetime) -> datetime:
        return EPOCH + ((after - EPOCH) // self.period + 1) * self.period

    def __str__(self) -> str:
        return f"every {self.period.total_seconds():g} s"


@dataclass(frozen=True, slots=True)
class Cron:
    """At the minutes that a cron expression names. `either`: a day of the month or one of the week is enough."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool

    def next(self, after: datetime) -> datetime:
        begin = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
        day = begin.replace(hour=0, minute=0)
        for _ in range(DAYS_MAX):
            if self._is_day(day):
                for hour in self.hours:
                    for minute in self.minutes:
                        found = day.replace(hour=hour, minute=minute)
                        if found >= begin:
                            return found
            day += timedelta(days=1)
        raise BadTime(f"{self.text!r} never comes")

    def _is_day(self, day: datetime) -> bool:
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and ((in_month or in_week) if self.either else (in_month and in_week))

    def __str__(self) -> str:
        return f"cron {self.text}"


def every(period: timedelta) -> Every:
    """
    Raises:
        BadTime: it is too short or too long.
    """
    if not SHORTEST <= period <= LONGEST:
        raise BadTime(f"every has to be from 1 second to 366 days, not {period}")
    return Every(period)


def cron(text: str) -> Cron:
    """
    Raises:
        BadTime: it is no cron expression, or never comes.
    """
    fields = text.lower().split()
    if len(fields) != 5:
        raise BadTime(f"cron has five fields (minute, hour, day, month, day of the week), and {text!r} has {len(fields)}")
    minute, hour, day, month, weekday = fields
    made = Cron(
        text, tuple(sorted(_numbers("minute", minute, 0, 59))), tuple(sorted(_numbers("hour", hour, 0, 23))),
        frozenset(_numbers("day", day, 1, 31)), frozenset(_numbers("month", month, 1, 12, MONTHS)),
        frozenset(each % 7 for each in _numbers("day of the week", weekday, 0, 7, WEEKDAYS)),
        either=not day.startswith("*") and not weekday.startswith("*"),
    )  # fmt: skip
    made.next(EPOCH)
    return made


def _numbers(what: str, field: str, least: int, most: int, names: dict[str, int] | None = None) -> set[int]:
    """All that a field names."""
    found: set[int] = set()
    for part in field.split(","):
        match = FIELD.fullmatch(part)
        if match is None:
            raise BadTime(f"the {what} {part!r} is none of *, a number, a range such as 1-5, or a step such as */10")
        low, high = least, most
        if match[1] is not None:
            low = _number(what, match[1], names)
            high = _number(what, match[2], names) if match[2] is not None else (most if match[3] else low)
        step = int(match[3] or 1)
        if not (least <= low <= high <= most and step):
            raise BadTime(f"the {what} {part!r} is not within {least} to {most}")
        found.update(range(low, high + 1, step))
    return found


def _number(what: str, text: str, names: dict[str, int] | None) -> int:
    if names and text in names:
        return names[text]
    if not text.isdigit() or len(text) > 4:
        raise BadTime(f"the {what} cannot be {text!r}")
    return int(text)
