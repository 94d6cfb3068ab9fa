"""From a line to values: the words of what somebody wrote after a command, as its arguments are typed.

values = await read(line, arguments, Reading(now, user=…, channel=…))
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from crust.host.signatures import Argument
from crust.plugin import Channel, Rest, User

QUOTES = {'"': '"', "“": "”", "„": "“"}  # those that phones make of them, too
WORD = re.compile(r"\S+")
INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)
BOOL = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}
UNITS = {
    "s": 1, "sec": 1, "secs": 1, "second": 1, "seconds": 1, "m": 60, "min": 60, "mins": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hr": 3600, "hrs": 3600, "hour": 3600, "hours": 3600, "d": 86_400, "day": 86_400, "days": 86_400,
    "w": 604_800, "week": 604_800, "weeks": 604_800,
}  # fmt: skip
DURATION = re.compile(r"(?:[0-9]{1,9}[a-z]+)+", re.ASCII)
PART = re.compile(r"([0-9]{1,9})([a-z]+)", re.ASCII)
LONGEST = timedelta(days=3660)  # ten years: more is a slip of the finger, and still a date
DAYS = {"today": 0, "tomorrow": 1}
CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
DATED = re.compile(rf"{DATE.pattern}(T.{{1,40}})?", re.ASCII)


class Unfit(ValueError):
    """What stands there is no such value; the text, if any, says why."""


class Wrong(ValueError):
    """A line that does not fit the arguments; the text names the first that is wrong."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What values depend on beside the words: the time, and who there is. The two look-ups raise `Unfit`."""

    now: datetime
    user: Callable[[str], Awaitable[User]]
    channel: Callable[[str], Awaitable[Channel]]


class Words:
    """A line, read word by word. `at` is where the next one is looked for."""

    def __init__(self, line: str) -> None:
        self._line, self.at = line, 0

    @property
    def rest(self) -> str:
        """All that is left, without spaces around it."""
        return self._line[self.at :].strip()

    def next(self) -> str:
        """The next word, or what stands in the next quotes; in them, a backslash takes the meaning of what follows.

        Raises:
            Unfit: there is none, or its quotes do not end.
        """
        found = WORD.search(self._line, self.at)
        if found is None:
            raise Unfit("nothing is left")
        if found[0][0] in QUOTES:
            return self._quoted(found.start())
        self.at = found.end()
        return found[0]

    def _quoted(self, start: int) -> str:
        end, text, at = QUOTES[self._line[start]], [], start + 1
        while at < len(self._line) and self._line[at] != end:
            at += self._line[at] == "\\" and at + 1 < len(self._line)
            text.append(self._line[at])
            at += 1
        if at >= len(self._line):
            raise Unfit("the quotes do not end")
        self.at = at + 1
        return "".join(text)

    def take_rest(self) -> str:
        """All that is left, which then is nothing."""
        text, self.at = self.rest, len(self._line)
        return text

    def peek(self) -> str:
        """The next word, which stays; empty if there is none."""
        found = WORD.search(self._line, self.at)
        return found[0].lower() if found else ""


async def read(line: str, arguments: Sequence[Argument], reading: Reading) -> list[Any]:
    """The values that a line gives arguments, in their order; of those that are left out at its end, none.

    Raises:
        Wrong: it does not fit.
    """
    words, values = Words(line), []
    for argument in arguments:
        if argument.several:
            while words.rest:
                values.append(await _value(words, argument, reading))
        elif words.rest:
            values.append(await _value(words, argument, reading))
        elif argument.required:
            raise Wrong(f"{argument.name} is missing: {argument.expected}")
        else:
            break
    if words.rest:
        raise Wrong(f"there is more than it takes: {words.rest[:80]!r}")
    return values


async def _value(words: Words, argument: Argument, reading: Reading) -> Any:
    """The value of one argument: of its kinds, the first that fits."""
    begin, why = words.at, ""
    for kind in argument.kinds:
        words.at = begin
        try:
            return _chosen(words, kind) if isinstance(kind, tuple) else await READERS[kind](words, reading)
        except Unfit as error:
            why = why or str(error)
    words.at = begin
    shown = words.rest.split(None, 1)[0][:80]
    raise Wrong(f"{argument.name} has to be {argument.expected}, not {shown!r}{f' ({why})' if why else ''}")


def _chosen(words: Words, among: tuple[str, ...]) -> str:
    word = words.next().casefold()
    for each in among:
        if each.casefold() == word:
            return each
    raise Unfit


async def _text(words: Words, _: Reading) -> str:
    return words.next()


async def _rest(words: Words, _: Reading) -> Rest:
    return Rest(words.take_rest())


async def _integer(words: Words, _: Reading) -> int:
    return int(_matching(INTEGER, words.next()))


async def _number(words: Words, _: Reading) -> float:
    return float(_matching(NUMBER, words.next()))


def _matching(pattern: re.Pattern[str], word: str) -> str:
    if not pattern.fullmatch(word):
        raise Unfit
    return word


async def _bool(words: Words, _: Reading) -> bool:
    try:
        return BOOL[words.next().lower()]
    except KeyError:
        raise Unfit from None


async def _user(words: Words, reading: Reading) -> User:
    return await reading.user(words.next().removeprefix("@"))


async def _channel(words: Words, reading: Reading) -> Channel:
    return await reading.channel(words.next().removeprefix("#"))


async def _duration(words: Words, _: Reading) -> timedelta:
    """`2h`, `1h30m`, `2 hours`, with or without an `in` before it."""
    word = words.next().lower()
    if word == "in":
        word = words.next().lower()
    if word.isascii() and word.isdigit() and words.peek() in UNITS:
        word += words.next().lower()
    parts = PART.findall(_matching(DURATION, word))
    if any(unit not in UNITS for _, unit in parts):
        raise Unfit
    seconds = sum(int(number) * UNITS[unit] for number, unit in parts)
    if not 0 < seconds <= LONGEST.total_seconds():
        raise Unfit("from a second to ten years")
    return timedelta(seconds=seconds)


async def _time(words: Words, reading: Reading) -> datetime:
    """`in 2h`, `at 14:30` (the next one), `tomorrow at 9:00`, a date with or without a time."""
    begin = words.at
    try:
        return reading.now + await _duration(words, reading)
    except Unfit:
        words.at = begin
    word = words.next().lower()
    if word in ("at", "on"):
        word = words.next().lower()
    if found := CLOCK.fullmatch(word):
        today = reading.now.replace(hour=int(found[1]), minute=int(found[2]), second=0, microsecond=0)
        return today if today > reading.now else today + timedelta(days=1)
    if word in DAYS:
        return _at_clock(words, reading.now + timedelta(days=DAYS[word]))
    return _at_clock(words, _date(word)) if DATE.fullmatch(word) else _date(word)


def _date(word: str) -> datetime:
    try:
        found = datetime.fromisoformat(_matching(DATED, word.upper()))
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Unfit from None


def _at_clock(words: Words, day: datetime) -> datetime:
    """That day at the time that follows, if one does; else as it begins."""
    begin = words.at
    if words.peek() == "at":
        words.next()
    found = CLOCK.fullmatch(words.peek())
    if found is None:
        words.at = begin
        return day.replace(hour=0, minute=0, second=0, microsecond=0)
    words.next()
    return day.replace(hour=int(found[1]), minute=int(found[2]), second=0, microsecond=0)


READERS: dict[Any, Callable[[Words, Reading], Awaitable[Any]]] = {
    str: _text, int: _integer, float: _number, bool: _bool, User: _user, Channel: _channel, timedelta: _duration, datetime: _time,
    Rest: _rest,
}  # fmt: skip
