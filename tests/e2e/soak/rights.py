"""Whom the log's events were for: the rules of delivery, written a second time, from the log alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct


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


def deliveries(log: Iterable[Entry], users: Sequence[int]) -> dict[int, list[int]]:
    """Whom of these people, who are full members of the one organisation, the log's events were for.

    A channel's events are for who is a member at that position; an event with a recipient is for them; others are for all.
    """
    members: dict[int, set[int]] = defaultdict(set)
    due: dict[int, list[int]] = {user: [] for user in users}
    for entry in log:
        for user in users:
            if entry.recipient == user or seen_by(entry, user, members):
                due[user].append(entry.position)
        if entry.type == "member" and entry.channel and entry.event == "joined":
            members[entry.channel].add(entry.recipient)
        elif entry.type == "member" and entry.channel and entry.event == "parted":
            members[entry.channel].discard(entry.recipient)
    return due


def seen_by(entry: Entry, user: int, members: dict[int, set[int]]) -> bool:
    if entry.channel:
        return user in members[entry.channel]
    return not entry.recipient or entry.type == "member"
