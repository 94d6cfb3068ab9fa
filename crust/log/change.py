"""What the code inside a change works with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Raw, Struct
from tortoise.backends.base.client import TransactionalDBClient

from crust.events.catalogue import CATALOGUE
from crust.events.event import Event
from crust.ids import next_id
from crust.log import audit
from crust.log.audit import AUDIT_COLUMNS, asked_by
from crust.log.way import Way, way
from crust.models.database import Write, inserting

NONE = 0
ADMINISTRATED = frozenset({"organisation", "team", "channel", "member", "user"})  # types of events that may be administrative acts


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event that has no position yet; the fields are those of `Event`. Without `way` it has come by that of the running task."""

    type: str
    event: str
    body: Struct
    organisation: int = NONE
    channel: int = NONE
    recipient: int = NONE
    object: int = NONE
    visibility: str = "none"
    way: Way | None = None


@dataclass(slots=True)
class Change:
    """An open change: the only place where ids and positions are made.

    `now` is the time of the change in milliseconds since 1970. Everything that is read inside sees the state after the wait for the
    writer's turn, so conditions that may have changed meanwhile are checked here, not before.
    """

    epoch: str
    position: int
    last_id: int
    now: int
    transaction: TransactionalDBClient
    events: list[Event] = field(default_factory=list)
    pending: list[Write] = field(default_factory=list)

    def next_id(self) -> int:
        """A new id, greater than every id before."""
        self.last_id = next_id(self.last_id, self.now)
        return self.last_id

    def record(self, new: NewEvent) -> int:
        """Put an event into the log; gives its position. Its kind and body are those of the catalogue."""
        assert type(new.body) is CATALOGUE[new.type, new.event], f"{new.type} {new.event} with a {type(new.body).__name__}"
        self.position += 1
        by = new.way or way.get()
        event = Event(
            position=self.position,
            id=self.next_id(),
            organisation=new.organisation,
            channel=new.channel,
            recipient=new.recipient,
            object=new.object,
            visibility=new.visibility,
            type=new.type,
            event=new.event,
            body=Raw(msgspec.json.encode(new.body)),
            origin=by.origin,
            via=by.via,
            at=self.now,
        )
        self.events.append(event)
        if new.type in ADMINISTRATED and audit.administrative(new.type, new.event, new.body, asked_by.get()):
            self._note(new)
        return self.position

    def _note(self, new: NewEvent) -> None:
        """Put an event into the record. What becomes of an account is told to each of its organisations, and is one act on the server."""
        act, details = f"{new.type} {new.event}", audit.shown(new.body, new.visibility)
        if new.type == "user" and new.organisation != NONE and not self._repeats(new):
            self.audit(act, object_=new.object, **details)
        self.audit(act, organisation_id=new.organisation, object_=new.object, **details)

    def _repeats(self, new: NewEvent) -> bool:
        """Whether the event, which was just recorded, is the one before it told to another organisation."""
        last = self.events[-2] if len(self.events) > 1 else None
        return last is not None and (last.type, last.event, last.object) == (new.type, new.event, new.object)

    def audit(self, act: str, *, organisation_id: int = NONE, object_: int = NONE, **details: Any) -> None:
        """Note an administrative act, and who asked for this change. `details` must bear no secret, and nothing that anybody said."""
        row = audit.row(self.next_id(), asked_by.get(), act, organisation_id, object_, details, self.now)
        self.write(inserting("audit", AUDIT_COLUMNS, [row]))

    def write(self, *writes: Write) -> None:
        """Write something that nothing else in this turn reads: it is done with all that follow, at the turn's end at the latest."""
        self.pending += writes

    def mark(self) -> tuple[int, int, int]:
        """Where the change stands, for `go_back`."""
        return self.position, self.last_id, len(self.events)

    def go_back(self, mark: tuple[int, int, int]) -> None:
        """Forget what came after `mark`. (Its ids are given again: nothing bears them.)"""
        self.position, self.last_id, count = mark
        del self.events[count:]
        self.pending.clear()
