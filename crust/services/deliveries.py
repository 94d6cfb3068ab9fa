"""How a message was carried over its channel's links, read from the rows that the host keeps."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from crust.clock import rfc3339
from crust.events import objects
from crust.models.database import Database, Row, Write
from crust.services import views
from crust.services.paging import Part

LANE = "link/"  # how lanes are named that are links, before the link's id
ROWS = (
    "SELECT d.lane, d.consumer, d.position, d.state, d.error, d.receipt, d.made_at, d.ended_at, w.error AS lane_error,"
    " w.parked_at AS lane_parked_at, r.title, r.remote_room"
    " FROM event e JOIN delivery d ON d.position = e.position JOIN room_link r ON 'link/' || CAST(r.id AS text) = d.lane"
    " LEFT JOIN lane w ON w.consumer = d.consumer AND w.lane = d.lane"
    " WHERE e.object = $1 AND e.type = 'message' AND e.event IN ('created', 'edited') ORDER BY d.position"
)
RAISED = "Traceback"  # how the error of a bug begins, which is for operators alone
FAILED = "The bridge failed on it; the server's operators can see why."


class Receipt(Struct, frozen=True, omit_defaults=True):
    """What is known of what was sent. `state`: sent, delivered, fallback or failed; `note` says more.

    It became `count` parts there, numbered from `first` on; `arrived` are those that the network has confirmed. `upto`: of a message that
    was edited before it was sent, the position up to which its edits were in it.
    """

    state: str = "sent"
    note: str | None = None
    first: int = 0
    count: int = 0
    arrived: tuple[int, ...] = ()
    upto: int = 0

    def has(self, number: int) -> bool:
        """Whether the part of this number is one of them."""
        return self.first <= number < self.first + self.count

    def confirmed(self, number: int, state: str, note: str | None) -> Receipt:
        """With what the network has said of one part: what has failed has so as a whole, and what arrived has when all of it did."""
        if self.state == "failed":
            return self
        if state == "failed":
            return replace(self, state=state, note=note)
        arrived = tuple(sorted({*self.arrived, number}))
        return replace(self, arrived=arrived, state=state if len(arrived) == self.count else self.state)


DECODER = msgspec.json.Decoder(Receipt)


def receipt_of(text: str | None) -> Receipt:
    """A row's receipt; of one that has none, that it was sent."""
    return DECODER.decode(text) if text else Receipt()


def state_of(row: Row) -> str:
    """A row's state, as people know it: what waits in a lane that is tried no more is parked, too."""
    state = str(row["state"])
    if state == "done":
        return receipt_of(row["receipt"]).state
    if state == "waiting" and row["lane_parked_at"] is not None:
        return "parked"
    return {"running": "waiting", "dropped": "withdrawn"}.get(state, state)


def note_of(row: Row) -> str | None:
    """What of it people may know; never how a bridge failed inside."""
    if row["state"] == "done":
        return receipt_of(row["receipt"]).note
    error = row["error"] or (row["lane_error"] if row["state"] == "waiting" else None)
    if error is None:
        return None
    return FAILED if RAISED in error else str(error)


class Deliveries:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, message_id: int, part: Part) -> list[views.Delivery]:
        """One for each link that a message went over, or is to go over, as it is after its last edit; by link."""
        latest: dict[str, Row] = {}
        for row in await self._database.fetch(ROWS, message_id):
            if row["lane"] not in latest or row["state"] != "skipped":  # an edit that does not cross says nothing of what was sent
                latest[row["lane"]] = row
        found = [delivery(row) for row in latest.values()]
        return cut(sorted(found, key=lambda each: int(each.id)), part)

    async def blank(self, message_id: int) -> None:
        """Inside a change: take out of earlier events what bridges said of a message, which may quote it; the states stay."""
        told = await self._database.fetch("SELECT position, body FROM event WHERE object = $1 AND type = 'delivery'", message_id)
        states = [(row["position"], msgspec.json.decode(row["body"], type=objects.DeliveryChanged)) for row in told]
        bare = [(msgspec.json.encode(replace(each, note=None)).decode(), position) for position, each in states if each.note is not None]
        await self._database.run([Write("UPDATE event SET body = $1 WHERE position = $2", bare)])


def delivery(row: Row) -> views.Delivery:
    link_id = row["lane"].removeprefix(LANE)
    return views.Delivery(
        id=link_id, link_id=link_id, bridge=row["consumer"], room=row["title"] or row["remote_room"], state=state_of(row),
        note=note_of(row), updated_at=rfc3339(row["ended_at"] or row["lane_parked_at"] or row["made_at"]),
    )  # fmt: skip


def cut(found: Sequence[views.Delivery], part: Part) -> list[views.Delivery]:
    """The part of a list, which is in the order of its ids."""
    after, before, limit = part.values
    kept = [each for each in found if after < int(each.id) < before]
    return kept[::-1][:limit] if part.newest_first() else kept[:limit]
