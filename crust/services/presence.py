"""Who is there: what people chose to say, and whether any socket of theirs is open, on any node.

State, not log: the last writer wins, and a node that missed a change learns the next one. Each node tells the others who comes and goes on
its sockets, and all of them every 10 s; a node that was not heard of for 30 s is gone, and its people with it. Heard of again, it is back,
with them. A node that stood still itself, or has no way to the others, judges nobody by what it has not heard meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from crust.clock import Clock, rfc3339_or_none
from crust.errors import Invalid, Unavailable
from crust.events.control import Connected, Control, Disconnected, NodeOnline, PresenceChanged, Reachable
from crust.events.objects import Presence
from crust.log import Log
from crust.models.database import Database, Row
from crust.services import names
from crust.services.actor import Actor
from crust.services.times import milliseconds
from crust.telemetry import get_logger

log = get_logger(__name__)

STATUSES = frozenset({"available", "away", "dnd"})
GRACE_S = 60.0  # a closed laptop or a change of network is no farewell
TEXT_MAX = 200
HEARTBEAT_S = 10.0
GONE_AFTER_S = 30.0  # three heartbeats
OFFLINE = Presence(status="offline")


@dataclass(slots=True)
class OtherNode:
    """What another node has told: who is there, and when it was last heard of, by our own monotonic clock."""

    heard: float
    users: set[int] = field(default_factory=set)


class PresenceService:
    """See the module.

    Args:
        node: the name of this process.
        tell: sends a control message to all nodes.
    """

    def __init__(self, database: Database, log: Log, clock: Clock, node: str, tell: Callable[[Control], None]) -> None:
        self._database, self._log, self._clock, self._node, self._tell = database, log, clock, node, tell
        self._online: set[int] = set()
        self._leaving: dict[int, asyncio.TimerHandle] = {}
        self._others: dict[str, OtherNode] = {}
        self._gone: set[str] = set()  # nodes that were not heard of for long
        self._hears = True  # unless the broker says that it does not
        self._telling: set[asyncio.Task[None]] = set()

    def of(self, row: Row) -> Presence:
        """How reachable a user is; `row` has the presence columns and the id."""
        if not self._is_online(row["id"]):
            return OFFLINE
        until = row["presence_until"]
        if until is not None and until <= self._clock.now():
            return Presence(status="available")
        return Presence(status=row["presence_status"], text=row["presence_text"], until=rfc3339_or_none(until))

    def _is_online(self, user_id: int) -> bool:
        return user_id in self._online or self._is_elsewhere(user_id)

    def _is_elsewhere(self, user_id: int) -> bool:
        return any(user_id in other.users for other in self._others.values())

    async def choose(self, actor: Actor, status: str, text: str | None, until: str | None) -> Presence:
        """Say how reachable one is, until a time if given (RFC 3339).

        Raises:
            Invalid: an unknown status, a text over 200 characters or not fit to stand beside a name, a time that is none.
        """
        if status not in STATUSES:
            raise Invalid(f"status must be one of {', '.join(sorted(STATUSES))}.", field="status")
        text = None if text is None else names.line(text, "text", TEXT_MAX)
        end = None if until is None else milliseconds(until, "until")
        async with self._log.change():
            sql = 'UPDATE "user" SET presence_status = $1, presence_text = $2, presence_until = $3 WHERE id = $4'
            await self._database.execute(sql, status, text, end, actor.user_id)
        chosen = Presence(status=status, text=text, until=rfc3339_or_none(end))
        if self._is_online(actor.user_id):
            await self._tell_others(actor.user_id, chosen)
        return chosen

    async def _tell_others(self, user_id: int, presence: Presence) -> None:
        """Tell those who are with somebody in a channel."""
        try:
            rows = await self._database.fetch("SELECT channel_id FROM channel_member WHERE user_id = $1", user_id)
        except Unavailable:
            log.warning("a presence could not be told", user=user_id)
            return
        self._tell(PresenceChanged(user_id, presence, tuple(row["channel_id"] for row in rows)))

    # ---- sockets

    def connected(self, user_id: int) -> None:
        """The first socket of a user on this node has opened."""
        leaving = self._leaving.pop(user_id, None)
        if leaving is not None:
            leaving.cancel()
        if user_id in self._online:
            return
        known = self._is_elsewhere(user_id)
        self._online.add(user_id)
        self._tell(Reachable(self._node, user_id, online=True))
        if not known:
            self._tell_soon([user_id])

    async def _tell_back(self, users: Iterable[int]) -> None:
        """Tell of people who are there, or there again, how reachable they say that they are."""
        sql = 'SELECT id, presence_status, presence_text, presence_until FROM "user" WHERE id = $1'
        for user_id in users:
            for row in await self._database.fetch(sql, user_id):
                await self._tell_others(user_id, self.of(row))

    def disconnected(self, user_id: int, channels: Iterable[int]) -> None:
        """The last socket of a user on this node has closed; told to those in these channels after a minute's grace."""
        if user_id not in self._leaving:
            self._leaving[user_id] = asyncio.get_running_loop().call_later(GRACE_S, self._left, user_id, tuple(channels))

    def _left(self, user_id: int, channels: tuple[int, ...]) -> None:
        self._leaving.pop(user_id, None)
        self._online.discard(user_id)
        self._tell(Reachable(self._node, user_id, online=False))
        if not self._is_elsewhere(user_id):
            self._tell(PresenceChanged(user_id, OFFLINE, channels))

    def close(self) -> None:
        """Forget who is leaving."""
        for handle in self._leaving.values():
            handle.cancel()
        self._leaving.clear()

    # ---- other nodes

    async def tell_always(self) -> None:
        """Tell the other nodes every 10 s who is here, for ever."""
        asks = False
        while True:
            self._tell_who_is_here(asks=asks)
            before = self._clock.monotonic()
            await asyncio.sleep(HEARTBEAT_S)
            asks = self._clock.monotonic() - before > 2 * HEARTBEAT_S  # it stood still: what it was told meanwhile waits to be read
            if asks or not self._hears:
                self._judge_nobody()
            await self._forget_the_gone()

    def _tell_who_is_here(self, *, asks: bool = False) -> None:
        self._tell(NodeOnline(self._node, tuple(self._online), asks=asks))

    def _judge_nobody(self) -> None:
        """By what was not heard until now."""
        for other in self._others.values():
            other.heard = self._clock.monotonic()

    async def _forget_the_gone(self) -> None:
        """A node that died said no farewell: its people are gone with it, unless they are somewhere else by now."""
        now = self._clock.monotonic()
        for node in [node for node, other in self._others.items() if now - other.heard > GONE_AFTER_S]:
            users = self._others.pop(node).users
            self._gone.add(node)
            log.warning("a node was not heard of for long", node=node, people=len(users))
            for user_id in users:
                if not self._is_online(user_id):
                    await self._tell_others(user_id, OFFLINE)

    def _tell_soon(self, users: Iterable[int]) -> None:
        async def told() -> None:
            try:
                await self._tell_back(users)
            except Unavailable:
                log.warning("it could not be told who is there")

        task = asyncio.get_running_loop().create_task(told(), name="presence")
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    def control(self, message: Control) -> None:
        """A control message of any node."""
        if isinstance(message, Connected):
            self._hears = True
            self._judge_nobody()
            self._tell_who_is_here(asks=True)
        elif isinstance(message, Disconnected):
            self._hears = False
        elif isinstance(message, NodeOnline) and message.node != self._node:
            back = [each for each in message.users if not self._is_online(each)] if message.node in self._gone else []
            self._gone.discard(message.node)
            self._others[message.node] = OtherNode(self._clock.monotonic(), set(message.users))
            if back:
                self._tell_soon(back)
            if message.asks:
                self._tell_who_is_here()
        elif isinstance(message, Reachable) and message.node != self._node:
            other = self._others.setdefault(message.node, OtherNode(self._clock.monotonic()))
            if message.online:
                other.users.add(message.user_id)
            else:
                other.users.discard(message.user_id)
