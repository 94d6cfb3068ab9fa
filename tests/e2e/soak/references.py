"""Clients that miss nothing, however they come and go: what each was sent must be what the log says, and its channels what the API says."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from websockets.exceptions import WebSocketException

from tests.e2e.soak.ledger import Ledger
from tests.e2e.soak.wire import ANSWER_S, Ended, Frame, Wire

PAGES = 30  # requests that a slow reader has under way: below the limit, and more than any buffer on the way takes
LATE_S = 5.0  # to read what is left of a connection that has ended long ago
DEAD_S = 30.0  # within which the server has to notice a dead peer, with the trial's settings

AWAY = (Ended, OSError, WebSocketException, TimeoutError)


@dataclass(slots=True)
class Heard:
    """A message as the events tell of it."""

    contents: str | None
    version: int
    pinned: bool = False


class Reference:
    """A member of the steady channels, with a habit:

    steady: never leaves; batch: the same, with joined frames; returning: closes and resumes; torn: its connection breaks in every way;
    slow: stops reading until it is closed, and resumes; dead: stops for good, and comes back on a new connection.
    """

    def __init__(self, habit: str, wire: Wire, chance: random.Random, ledger: Ledger) -> None:
        self.habit, self.wire, self._chance, self._ledger = habit, wire, chance, ledger
        self.channels: dict[str, dict[int, Heard]] = {}
        self.dead_sockets = 0

    # ---- hearing

    def heard(self, frame: Frame) -> None:
        """An event: let it take effect as a client would."""
        messages = self.channels.setdefault(str(frame["channel_id"]), {})
        data, kind = frame["data"], (frame["type"], frame["event"])
        if kind in (("message", "CREATED"), ("message", "EDITED")):
            before = messages.get(int(data["id"]))
            pinned = before.pinned if before else data["pinned"]
            messages[int(data["id"])] = Heard(data["contents"], data["version"], pinned)
        elif kind == ("message", "REMOVED"):
            messages.pop(int(data["id"]), None)
        elif frame["type"] == "pin" and (message := messages.get(int(data["message_id"]))):
            message.pinned = frame["event"] == "ADDED"

    # ---- living

    async def live(self, stop: asyncio.Event, pages: Mapping[str, Any]) -> None:
        """Come and go by habit, until told to stop; then be there. `pages`: what a slow reader asks for, to be given more than it reads."""
        habits = {"returning": self._return, "torn": self._tear, "slow": self._stall, "dead": self._die}
        while not stop.is_set():
            if self.habit in habits:
                await self._wait(stop, self._chance.uniform(1, 6))
                await habits[self.habit](stop, pages)
            await self._wait(stop, 1.0)
            if not self.wire.open:
                await self.come()
        if not self.wire.open:
            await self.come()

    async def come(self) -> None:
        """Be connected."""
        for _ in range(20):
            try:
                await self.wire.connect(batch=self._batch(), narrow=self.habit == "slow")
            except AWAY:
                await asyncio.sleep(0.5)
            else:
                return

    def _batch(self) -> bool:
        return self.habit == "batch" or (self.habit != "steady" and self._chance.random() < 0.5)

    async def _wait(self, stop: asyncio.Event, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await stop.wait()
        except TimeoutError:
            pass

    async def _return(self, stop: asyncio.Event, pages: Mapping[str, Any]) -> None:
        await self.wire.close()
        await self._wait(stop, self._chance.uniform(0, 4))

    async def _tear(self, stop: asyncio.Event, pages: Mapping[str, Any]) -> None:
        await self._chance.choice([self.wire.reset, self.wire.hang_up])()
        await self._wait(stop, self._chance.uniform(0, 4))

    async def _stall(self, stop: asyncio.Event, pages: Mapping[str, Any]) -> None:
        """Ask for more than is read, then read on: what was sent, and perhaps a close frame that says why."""
        self.wire.freeze()
        page = {"method": "GET", "path": "/message/read", "params": pages}
        try:
            asked = [await self.wire.begin("call", page) for _ in range(PAGES)]
        except Ended:
            asked = []
        await self._wait(stop, self._chance.uniform(0.5, 6))
        self.wire.thaw()
        await asyncio.gather(*asked, return_exceptions=True)

    async def _die(self, stop: asyncio.Event, pages: Mapping[str, Any]) -> None:
        """Leave the old connection for dead, and resume on a new one; the server must notice in time."""
        old = self.wire
        old.freeze()
        self.dead_sockets += 1
        self.wire = old.successor()
        await self.come()
        await self._wait(stop, self._chance.uniform(0.8, 1) * DEAD_S)
        if not stop.is_set():
            old.thaw()  # to read what was on the way, and find that the rest is missing
            if not await old.ended(LATE_S):
                self._ledger.fault("dead socket kept", f"{self.habit} was still served after {DEAD_S} s")
        await old.drop()

    # ---- the end

    async def caught_up(self, position: int) -> None:
        """Wait until it has been sent everything up to there; who is not is found out later."""
        deadline = asyncio.get_running_loop().time() + ANSWER_S
        while self.wire.position < position and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.05)

    def comings(self) -> str:
        return f"{self.wire.resumes} resumes, {self.wire.fresh} fresh, {self.dead_sockets} left for dead"

    def compare_positions(self, expected: Sequence[int], last: int) -> None:
        """Up to `last`, it must have had exactly these events."""
        had, due = {position for position in self.wire.positions if position <= last}, set(expected)
        if missing := sorted(due - had):
            self._ledger.fault("event missing", f"{self.habit}: {missing[:5]}", len(missing))
        if more := sorted(had - due):
            self._ledger.fault("event too many", f"{self.habit}: {more[:5]}", len(more))

    def compare_channel(self, channel_id: str, history: Collection[Mapping[str, Any]], since: int) -> None:
        """What its events made of a channel must be what the channel's history is, from message `since` on."""
        mine = {message_id: heard for message_id, heard in self.channels.get(channel_id, {}).items() if message_id > since}
        stored = {int(each["id"]): Heard(each["contents"], each["version"], each["pinned"]) for each in history if int(each["id"]) > since}
        wrong = [message_id for message_id in mine.keys() | stored.keys() if mine.get(message_id) != stored.get(message_id)]
        if wrong:
            first = min(wrong)
            detail = f"{self.habit} in {channel_id}: {first} is {mine.get(first)}, stored {stored.get(first)}"
            self._ledger.fault("stream unlike the history", detail, len(wrong))
