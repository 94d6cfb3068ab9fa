"""Whom the log's events were for: the rules of delivery, written a second time, from the log alone."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

AHEAD = 256  # events by which memberships as read may be ahead of the events that are being delivered


class Entry(Struct):
    """What counts of an event; a 0 means none."""

    position: int
    organisation: int
    channel: int
    recipient: int
    type: str
    event: str


def entries(file: Path) -> Iterable[Entry]:
    """The log, as `crust events tail --json` has printed it."""
    decoder = msgspec.json.Decoder(Entry)
    with file.open("rb") as lines:
        for line in lines:
            yield decoder.decode(line)


class Due(Struct):
    """What somebody must be sent, by position; and what they may be sent beside it."""

    must: list[int] = []
    may: set[int] = set()


def deliveries(log: Iterable[Entry], users: Sequence[int]) -> dict[int, Due]:
    """Whom of these people, who are full members of the one organisation, the log's events were for.

    A channel's events are for who is a member at that position; an event with a recipient is for them; others are for all. A socket that
    opens begins with the memberships of that moment, which may be ahead of the events: so who joins may be sent a little of what was
    before, all of which they can read anyway.
    """
    members: dict[int, set[int]] = defaultdict(set)
    due = {user: Due() for user in users}
    recent: deque[Entry] = deque(maxlen=AHEAD)
    for entry in log:
        for user in users:
            if entry.recipient == user or seen_by(entry, user, members):
                due[user].must.append(entry.position)
        recent.append(entry)
        if entry.type == "member" and entry.channel and entry.event == "joined":
            members[entry.channel].add(entry.recipient)
            if entry.recipient in due:
                due[entry.recipient].may |= {before.position for before in recent if before.channel == entry.channel}
        elif entry.type == "member" and entry.channel and entry.event == "parted":
            members[entry.channel].discard(entry.recipient)
    return due


def seen_by(entry: Entry, user: int, members: dict[int, set[int]]) -> bool:
    if entry.channel:
        return user in members[entry.channel]
    return not entry.recipient or entry.type == "member"
