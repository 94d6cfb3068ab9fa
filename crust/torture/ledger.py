"""What was acknowledged, what is stored, what came to those who listen; and what of that must be nothing."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

SHOWN = 10  # wrongs that are told in words, of each kind


@dataclass(frozen=True, slots=True)
class Said:
    """A message that was acknowledged.

    Args:
        author, channel, text: who said what, where; the text is like no other.
        id: as the answer had it.
        began, acknowledged: when it was first sent, and when it was known to be stored; on one counter of its author's.
        wire: over which connection, if it was sent once only; messages on one keep their order. 0: none of which that is promised.
    """

    author: str
    channel: int
    text: str
    id: int
    began: int
    acknowledged: int
    wire: int = 0


class Changed(NamedTuple):
    """What was acknowledged that was done to a message: type and event, as the log has it."""

    message: int
    type: str
    event: str


class Stored(NamedTuple):
    """A message as the database has it."""

    id: int
    channel: int
    text: str


class Logged(NamedTuple):
    """An event of the log that is about a message."""

    position: int
    message: int


@dataclass(slots=True)
class Heard:
    """What came to one who listens: of messages and reactions which it was; the other positions count for the order only.

    Args:
        since: the position after which everything has to come.
    """

    name: str
    since: int
    events: list[Logged] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)


class Handled(NamedTuple):
    """A message on its way to a plugin's handler, and how that ended. `deaths` counts the processes that ended meanwhile."""

    position: int
    lane: str
    message: int
    text: str
    state: str
    deaths: int

    @property
    def poison(self) -> bool:
        """Whether it makes its handler misbehave: it has one word more."""
        return len(self.text.split()) > 3


WRONGS = (
    "lost", "stored twice", "out of order", "from nowhere", "not in the log",
    "not received", "received twice", "received out of order", "started afresh", "served though deaf", "given up though reading",
    "missed by the reader", "taken twice", "taken out of order", "never came by RabbitMQ", "refused", "never acknowledged",
    "not taken over",
    "not handled", "innocents parked", "poison not parked", "effects not once", "acted too often", "handled out of order",
)  # fmt: skip
"""Each of them must be 0."""


class Wrongs:
    """Counts what must be nothing, and tells some of it in words."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(WRONGS, 0))
        self.details: list[str] = []

    def note(self, kind: str, detail: str, count: int = 1) -> None:
        assert kind in WRONGS, kind
        if count and self.counts[kind] < SHOWN:
            self.details.append(f"{kind}: {detail}")
        self.counts[kind] += count

    @property
    def none(self) -> bool:
        return not any(self.counts.values())


# ---- the database


def compare_stored(wrongs: Wrongs, said: Sequence[Said], stored: Sequence[Stored], logged: Sequence[Logged]) -> None:
    """Everything that was acknowledged is stored, once, in its order, and told of in the log; and nothing else is."""
    by_text: dict[str, list[Stored]] = defaultdict(list)
    for row in stored:
        by_text[row.text].append(row)
    for each in said:
        if Stored(each.id, each.channel, each.text) not in by_text[each.text]:
            wrongs.note("lost", f"{each.text!r}, acknowledged as {each.id}")
    texts = {each.text for each in said}
    for text, rows in by_text.items():
        if rows and text not in texts:
            wrongs.note("from nowhere", f"{text!r}, stored as {rows[0].id}", len(rows))
        elif len(rows) > 1:
            wrongs.note("stored twice", f"{text!r}, as {[row.id for row in rows]}", len(rows) - 1)
    _compare_order(wrongs, said)
    _compare_log(wrongs, stored, logged)


def _compare_order(wrongs: Wrongs, said: Iterable[Said]) -> None:
    """Ids are the order of a channel: what was acknowledged before something else was said comes before it; so does what was sent before
    on one connection."""
    ways: dict[tuple[str, int], list[Said]] = defaultdict(list)
    for each in said:
        ways[each.author, each.channel].append(each)
    for way in ways.values():
        done = sorted(way, key=lambda each: each.acknowledged)
        at, newest = 0, 0
        for each in sorted(way, key=lambda each: each.began):
            while at < len(done) and done[at].acknowledged < each.began:
                newest = max(newest, done[at].id)
                at += 1
            if each.id <= newest:
                wrongs.note("out of order", f"{each.text!r} ({each.id}) was said after {newest} was acknowledged")
        _compare_wires(wrongs, way)


def _compare_wires(wrongs: Wrongs, way: Iterable[Said]) -> None:
    wires: dict[int, list[Said]] = defaultdict(list)
    for each in sorted(way, key=lambda each: each.began):
        if each.wire:
            wires[each.wire].append(each)
    for sent in wires.values():
        for a, b in itertools.pairwise(sent):
            if a.id >= b.id:
                wrongs.note("out of order", f"{b.text!r} ({b.id}) was sent after {a.text!r} ({a.id}) on one connection")


def _compare_log(wrongs: Wrongs, stored: Iterable[Stored], logged: Iterable[Logged]) -> None:
    told = Counter(each.message for each in logged)
    for row in stored:
        if told[row.id] != 1:
            wrongs.note("not in the log", f"{row.text!r} ({row.id}) is there {told[row.id]} times")
    for message in told.keys() - {row.id for row in stored}:
        wrongs.note("not in the log", f"message {message} is in the log and not stored")


def compare_changed(wrongs: Wrongs, changed: Iterable[Changed], logged: Iterable[Changed]) -> None:
    """Everything that was acknowledged as done to a message is in the log, once; and nothing else is."""
    done, told = set(changed), Counter(logged)
    for each in done - told.keys():
        wrongs.note("lost", f"{each.type} {each.event}, of message {each.message}")
    for each, times in told.items():
        if each not in done:
            wrongs.note("from nowhere", f"{each.type} {each.event}, of message {each.message}", times)
        elif times > 1:
            wrongs.note("stored twice", f"{each.type} {each.event}, of message {each.message}: {times} times", times - 1)


# ---- those who listen


def compare_heard(wrongs: Wrongs, logged: Sequence[Logged], heard: Heard) -> None:
    """Everything after its start has come to a listener, once, in order."""
    due = {each for each in logged if each.position > heard.since}
    missing = due - set(heard.events)
    if missing:
        wrongs.note("not received", f"{heard.name} missed {len(missing)}, the first at {min(missing).position}", len(missing))
    twice = _repeated(heard.positions)
    wrongs.note("received twice", f"{heard.name}, {twice} positions", twice)
    disorder = _falls(heard.positions)
    wrongs.note("received out of order", f"{heard.name}, {disorder} times", disorder)


def compare_taken(wrongs: Wrongs, events: Sequence[tuple[int, int]], taken: Sequence[tuple[int, int]]) -> None:
    """A reader has taken every (position, event id) of the log, once, in order."""
    missing = set(events) - set(taken)
    if missing:
        wrongs.note("missed by the reader", f"{len(missing)}, the first at {min(missing)[0]}", len(missing))
    positions = [position for position, _ in taken]
    twice = _repeated(positions)
    wrongs.note("taken twice", f"{twice} positions", twice)
    disorder = _falls(positions)
    wrongs.note("taken out of order", f"{disorder} times", disorder)


def compare_came(wrongs: Wrongs, events: Sequence[tuple[int, int]], came: Sequence[int]) -> None:
    """Where nothing was taken from RabbitMQ itself, every event has come by it at least once, its first time in order."""
    compare_confirmed(wrongs, [position for position, _ in events], came)
    disorder = _falls(list(dict.fromkeys(came)))
    wrongs.note("never came by RabbitMQ", f"first came out of order, {disorder} times", disorder)


def compare_confirmed(wrongs: Wrongs, confirmed: Iterable[int], came: Iterable[int]) -> None:
    """Each position has come at least once."""
    if missing := set(confirmed) - set(came):
        wrongs.note("never came by RabbitMQ", f"{len(missing)}, the first at {min(missing)}", len(missing))


# ---- plugins


def compare_handled(
    wrongs: Wrongs, said: Collection[int], rows: Sequence[Handled], kept: Mapping[int, int], sums: Mapping[str, int],
    spoken: Mapping[int, int], acted: Sequence[tuple[str, int]],
) -> None:  # fmt: skip
    """Exactly the poison is parked, and all else was handled: its effects are there once, and outward, in order, hardly more often.

    Args:
        said: positions of all that was said.
        rows: what was delivered.
        kept: position → what the document says that its handler counts up.
        sums: lane → what the document says that all handlers of the lane count up.
        spoken: message → how often its handler has said something.
        acted: (lane, position) of what went out, in its order; once more a lane and death is allowed.
    """
    well, bad = [row for row in rows if not row.poison], [row for row in rows if row.poison]
    missing = set(said) - {row.position for row in rows}
    wrongs.note("not handled", f"never delivered: {sorted(missing)[:3]}", len(missing))
    for row in well:
        if row.state != "done":
            wrongs.note("innocents parked" if row.state == "parked" else "not handled", f"{row.text!r} ({row.position}) is {row.state}")
        elif (kept.get(row.position), spoken.get(row.message)) != (1, 1):
            wrongs.note("effects not once", f"{row.text!r}: kept {kept.get(row.position)}, said {spoken.get(row.message)} times")
    for row in bad:
        if row.state != "parked":
            wrongs.note("poison not parked", f"{row.text!r} ({row.position}) is {row.state}")
        if row.position in kept or row.message in spoken:
            wrongs.note("effects not once", f"{row.text!r} has had some")
    for lane, number in Counter(row.lane for row in well if row.state == "done").items():
        if sums.get(lane) != number:
            wrongs.note("effects not once", f"lane {lane} has counted {sums.get(lane)} of {number}")
        disorder = _falls(list(dict.fromkeys(position for name, position in acted if name == lane)))
        wrongs.note("handled out of order", f"lane {lane}, {disorder} times", disorder)
    more = len(acted) - len(well) - sum(row.deaths for row in rows)
    wrongs.note("acted too often", f"{more} times more than processes have died", max(0, more))


def _repeated(positions: Sequence[int]) -> int:
    return len(positions) - len(set(positions))


def _falls(positions: Sequence[int]) -> int:
    return sum(a > b for a, b in itertools.pairwise(positions))
