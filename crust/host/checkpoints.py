"""How a message is carried over a link, as its author is told; and how a bridge is, as administrators are.

The state of a message is that of its rows, with what the target gave for them, so it outlives every process. That its author is told of a
change is one more event, written a moment later; who missed it (the process ended in between) sees the state when they ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from crust.errors import CrustError
from crust.events import objects
from crust.host.consumer import Over
from crust.host.states import BRIDGES, states_of
from crust.log import NewEvent
from crust.models.database import Row
from crust.services.core import Core
from crust.services.deliveries import LANE, Receipt, note_of, receipt_of, state_of
from crust.telemetry import get_logger

log = get_logger(__name__)

TOGETHER = 200  # changes that are told in one
TOLD = (
    "SELECT d.lane, d.position, d.state, d.error, d.receipt, e.object, m.user_id FROM delivery d JOIN event e ON e.position = d.position"
    ' JOIN message m ON m.id = e.object JOIN "user" u ON u.id = m.user_id'
    " WHERE d.consumer = $1 AND e.type = 'message' AND u.kind <> 'ghost' AND d.position IN {}"
    " AND (e.event = 'created' OR (e.event = 'edited' AND d.state <> 'skipped'))"
)
ROW = (
    "SELECT d.lane, d.position, d.receipt FROM delivery d JOIN event e ON e.position = d.position"
    " WHERE d.consumer = $1 AND d.lane = $2 AND d.state = 'done' AND e.object = $3 AND e.type = 'message' AND e.event = 'created'"
)


class Checkpoints:
    """Those of one bridge."""

    def __init__(self, name: str, core: Core, node: str) -> None:
        self._name, self._core, self._node = name, core, node
        self._database, self._log = core.database, core.log
        self._over: dict[tuple[str, int], Over] = {}
        self._telling: asyncio.Task[None] | None = None
        self._waiting: set[tuple[str, int]] = set()

    # ---- messages

    def over(self, over: Over) -> None:
        """Tell the author soon; that something waits, once."""
        place = (over.lane, over.position)
        if not over.lane.startswith(LANE) or (not over.final and place in self._waiting):
            return
        (self._waiting.discard if over.final else self._waiting.add)(place)
        self._over[place] = over
        if self._telling is None or self._telling.done():
            self._telling = asyncio.get_running_loop().create_task(self._tell_all(), name=f"what became of messages over {self._name}")

    async def _tell_all(self) -> None:
        while self._over:
            places = list(self._over)[:TOGETHER]
            for place in places:
                del self._over[place]
            try:
                await self._tell(places)
            except CrustError as error:
                log.warning("authors could not be told what became of their messages", bridge=self._name, error=error.message)

    async def _tell(self, places: Sequence[tuple[str, int]]) -> None:
        d = self._database
        rows = await d.fetch(TOLD.format(d.any_of(2)), self._name, d.as_list(sorted({position for _, position in places})))
        changed = [row for row in rows if (row["lane"], row["position"]) in set(places)]
        if changed:
            async with self._log.change() as change:
                for row in changed:
                    change.record(told(row, state_of(row), note_of(row)))

    async def confirm(self, link_id: int, message_id: int, state: str, note: str | None) -> bool:
        """What the network said later of what was sent; gives whether there was anything to say it of."""
        rows = await self._database.fetch(ROW, self._name, f"{LANE}{link_id}", message_id)
        if not rows:
            return False
        before = receipt_of(rows[0]["receipt"])
        if before.state == state or (before.state == "delivered" and state == "sent"):
            return True
        now = Receipt(state=state, note=note if note is not None else before.note)
        async with self._log.change() as change:
            sql = "UPDATE delivery SET receipt = $1 WHERE consumer = $2 AND lane = $3 AND position = $4"
            text = msgspec.json.encode(now).decode()
            await self._database.execute(sql, text, self._name, rows[0]["lane"], rows[0]["position"])
            (author,) = await self._database.fetch("SELECT user_id FROM message WHERE id = $1", message_id)
            shown = {"lane": rows[0]["lane"], "object": message_id, "user_id": author["user_id"]}
            change.record(told(shown, state, now.note))
        return True

    # ---- the bridge itself

    async def state(self, state: str, reason: str | None, link_id: int | None) -> None:
        """Keep it for operators, and tell the server's administrators; the same again is not told again."""
        collection = states_of(self._database, self._core.clock).collection(BRIDGES)
        key = self._name if link_id is None else f"{self._name}/{link_id}"
        before = await collection.get(key)
        if before is not None and (before.body["state"], before.body["reason"]) == (state, reason):
            return
        now = {"state": state, "reason": reason, "node": self._node, "since": self._core.clock.now()}
        await collection.put(key, now)
        log.info("a bridge is", bridge=self._name, link=link_id, state=state, reason=reason)
        await self._core.instances.tell_of_bridge(self._name, state, reason, link_id)


def told(row: Row | dict[str, object], state: str, note: str | None) -> NewEvent:
    """The event that tells a message's author."""
    message, author = row["object"], row["user_id"]
    body = objects.DeliveryChanged(message_id=str(message), link_id=str(row["lane"]).removeprefix(LANE), state=state, note=note)
    return NewEvent(type="delivery", event="changed", body=body, recipient=int(str(author)), object=int(str(message)))
