"""How a message is carried over a link, as its author is told; and how a bridge is, as administrators are.

The state of a message is that of its rows, with what the target gave for them, so it outlives every process. That its author is told of a
change is one more event, written a moment later; who missed it (the process ended in between) sees the state when they ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from crust.errors import CrustError, Unavailable
from crust.events import objects
from crust.host.attempt import kept
from crust.host.bridges import given_up
from crust.host.consumer import Over, outside
from crust.host.states import BRIDGES, states_of
from crust.log import Change, NewEvent
from crust.models.database import Row
from crust.services.core import Core
from crust.services.deliveries import LANE, Receipt, note_of, receipt_of, state_of
from crust.services.parts import remote_id
from crust.telemetry import get_logger

log = get_logger(__name__)

TOGETHER = 200  # changes that are told in one
TOLD = (
    "SELECT d.lane, d.position, d.state, d.error, d.receipt, e.object, m.user_id, m.removed_at,"
    " w.error AS lane_error, w.parked_at AS lane_parked_at FROM delivery d JOIN event e ON e.position = d.position"
    " LEFT JOIN lane w ON w.consumer = d.consumer AND w.lane = d.lane"
    ' JOIN message m ON m.id = e.object JOIN "user" u ON u.id = m.user_id'
    " WHERE d.consumer = $1 AND e.type = 'message' AND u.kind <> 'ghost' AND d.position IN {}"
    " AND (e.event = 'created' OR (e.event = 'edited' AND d.state <> 'skipped'))"
)
SENT = (
    "SELECT d.lane, d.position, d.receipt, e.object, m.user_id, m.removed_at, u.kind"
    " FROM event e JOIN delivery d ON d.position = e.position"
    ' JOIN message m ON m.id = e.object JOIN "user" u ON u.id = m.user_id'
    " WHERE d.consumer = $1 AND d.lane = $2 AND d.state = 'done' AND e.object = $3 AND e.type = 'message'"
    " AND e.event IN ('created', 'edited')"
)
BEHIND = "SELECT position FROM delivery WHERE consumer = $1 AND lane = $2 AND state = 'waiting' ORDER BY position LIMIT $3"
BEHIND_MAX = 1000  # messages that wait for a link that is given up whose authors are told so; those of the others see it when they ask
LOOKS_S = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)  # for the end of a row, which may be stored after its confirmation has come
LOOKING_MAX = 1000  # confirmations that wait for that


class Checkpoints:
    """Those of one bridge."""

    def __init__(self, name: str, core: Core, node: str) -> None:
        self._name, self._core, self._node = name, core, node
        self._database, self._log = core.database, core.log
        self._over: dict[tuple[str, int], None] = {}
        self._given_up: set[str] = set()
        self._telling: asyncio.Task[None] | None = None
        self._waiting: set[tuple[str, int]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    # ---- messages

    def over(self, over: Over) -> None:
        """Tell the author soon; that something waits, once."""
        place = (over.lane, over.position)
        if not over.lane.startswith(LANE) or (not over.final and place in self._waiting):
            return
        (self._waiting.discard if over.final else self._waiting.add)(place)
        if over.how == "done" and over.lane in self._given_up:
            self._given_up.discard(over.lane)
            self._beside(self._tell_of_link(int(over.lane.removeprefix(LANE)), "connected", None))
        self._tell_soon([place])

    def given_up(self, link_id: int, why: str) -> None:
        """Tell those who can see to it that nothing goes out over a link any more, and the authors of what waits there."""
        self._given_up.add(f"{LANE}{link_id}")
        self._beside(self._tell_given_up(link_id, why))

    async def _tell_given_up(self, link_id: int, why: str) -> None:
        await self._tell_of_link(link_id, "needs-attention", given_up(self._name, link_id, why))
        lane = f"{LANE}{link_id}"
        rows = await self._database.fetch(BEHIND, self._name, lane, BEHIND_MAX)
        self._tell_soon([(lane, row["position"]) for row in rows])

    async def _tell_of_link(self, link_id: int, state: str, reason: str | None) -> None:
        """Tell administrators, and who made it."""
        link = await self._core.links.ended(link_id)
        await self._core.instances.tell_of_bridge(self._name, state, reason, link_id, link.made_by if link else 0)

    def _tell_soon(self, places: Sequence[tuple[str, int]]) -> None:
        self._over |= dict.fromkeys(places)
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
        if await self._changed(places):
            async with self._log.change() as change:  # beside which nothing is removed: of what was, no note is told
                for row in await self._changed(places):
                    change.record(told(row, state_of(row), note_of(row)))

    async def _changed(self, places: Sequence[tuple[str, int]]) -> list[Row]:
        """Of these rows, those that somebody is told of."""
        d = self._database
        rows = await d.fetch(TOLD.format(d.any_of(2)), self._name, d.as_list(sorted({position for _, position in places})))
        return [row for row in rows if (row["lane"], row["position"]) in places]

    async def confirm(self, link_id: int, remote: str, state: str, note: str | None) -> None:
        """What the network said later of a part. One that is not known is looked for beside, a while; what is never known is not said.

        Raises:
            Invalid: its id can be none.
        """
        remote, note = remote_id(remote), kept(note)
        if await self._confirmed(link_id, remote, state, note):
            return
        if len(self._tasks) < LOOKING_MAX:
            self._beside(self._look_for(link_id, remote, state, note))
        else:
            log.warning("a confirmation is left out: too many are of what is not known", bridge=self._name, link=link_id, id=remote)

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it in a task that outlives whoever wants it."""
        task = asyncio.get_running_loop().create_task(self._logged(work), name=f"word of {self._name}", context=outside())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _logged(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except CrustError as error:
            log.warning("somebody could not be told of a link", bridge=self._name, error=error.message)

    async def _look_for(self, link_id: int, remote: str, state: str, note: str | None) -> None:
        for seconds in LOOKS_S:
            await asyncio.sleep(seconds)
            with suppress(Unavailable):
                if await self._confirmed(link_id, remote, state, note):
                    return

    async def _confirmed(self, link_id: int, remote: str, state: str, note: str | None) -> bool:
        """Keep it, and tell the author; gives whether it is known of what."""
        part = await self._core.injects.parts.found(link_id, remote)
        if part is None:
            return False
        async with self._log.change() as change:
            for row in await self._database.fetch(SENT, self._name, f"{LANE}{link_id}", part["message_id"]):
                before = receipt_of(row["receipt"])
                if before.has(part["number"]):
                    await self._keep(change, row, before, before.confirmed(part["number"], state, note))
                    return True
        return False

    async def _keep(self, change: Change, row: Row, before: Receipt, now: Receipt) -> None:
        sql = "UPDATE delivery SET receipt = $1 WHERE consumer = $2 AND lane = $3 AND position = $4"
        await self._database.execute(sql, msgspec.json.encode(now).decode(), self._name, row["lane"], row["position"])
        if now.state != before.state and row["kind"] != "ghost":
            change.record(told(row, now.state, now.note))

    # ---- the bridge itself

    async def state(self, state: str, reason: str | None, link_id: int | None) -> None:
        """Keep it for operators, and tell the server's administrators; the same again is not told again."""
        reason, collection = kept(reason), states_of(self._database, self._core.clock).collection(BRIDGES)
        key = self._name if link_id is None else f"{self._name}/{link_id}"
        before = await collection.get(key)
        if before is not None and (before.body["state"], before.body["reason"]) == (state, reason):
            return
        now = {"state": state, "reason": reason, "node": self._node, "since": self._core.clock.now()}
        await collection.put(key, now)
        log.info("a bridge is", bridge=self._name, link=link_id, state=state, reason=reason)
        await self._core.instances.tell_of_bridge(self._name, state, reason, link_id)


def told(row: Row, state: str, note: str | None) -> NewEvent:
    """The event that tells a message's author; of what was removed without a note, which might quote it."""
    note = note if row["removed_at"] is None else None
    body = objects.DeliveryChanged(message_id=str(row["object"]), link_id=row["lane"].removeprefix(LANE), state=state, note=note)
    return NewEvent(type="delivery", event="changed", body=body, recipient=row["user_id"], object=row["object"])
