"""A random person: one at a time, things that people do, each by a call over HTTP or a frame, whichever comes."""

from __future__ import annotations

import asyncio
import json
import random
import traceback
from array import array
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from websockets.exceptions import WebSocketException

from crust.torture.accounts import Account
from tests.e2e.soak.ledger import Allowed, Answer, Ledger, Said
from tests.e2e.soak.wire import Ended, Wire
from tests.e2e.soak.world import Channel, Look, World

FIRST_WORDS = ("maybe", "yesterday", "the build", "look:", "**no**", "`code @nobody`", "🎉", "als ob", "что", "会議")
LONG = 2_000  # characters of a long message; a few are the longest that there may be
LONGEST = 15_900
BEHIND_S = 5.0  # who is held up for longer than that does not catch up: the rate is what the server bears

Encode = Callable[[Mapping[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the trial takes place: the server, its people, and what all of them know."""

    url: str
    websocket_url: str
    password: str
    accounts: Sequence[Account]
    world: World
    ledger: Ledger


def as_json(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"json": fields}


def as_form(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"data": fields}


def as_multipart(fields: Mapping[str, Any]) -> dict[str, Any]:
    pairs = [(name, each) for name, value in fields.items() for each in (value if isinstance(value, list) else [value])]
    return {"files": [(name, (None, str(value))) for name, value in pairs]}


ENCODINGS: tuple[Encode, ...] = (as_json, as_form, as_form, as_multipart)


class Person:
    """See the module. Its decisions come from a generator of its own, so they do not depend on others' speed."""

    def __init__(self, place: Place, number: int, seed: int) -> None:
        self.place, self.world, self.ledger = place, place.world, place.ledger
        self.account = place.accounts[number]
        self.others = [account for account in place.accounts if account is not self.account]
        self.chance = random.Random(f"{seed} {self.account.username}")
        self.client = httpx.AsyncClient(base_url=place.url, headers=self.account.headers, timeout=30)
        self.wires: list[Wire] = []
        self.received: list[array[int]] = []
        self.wire = self.new_wire(self.account.headers)
        self.mine: list[Said] = []
        self._count = 0

    @property
    def id(self) -> str:
        return self.account.user_id

    def new_wire(self, headers: Mapping[str, str]) -> Wire:
        wire = Wire(self.account.username, self.place.websocket_url, headers, self.ledger)
        self.wires.append(wire)
        self.received.append(wire.positions)
        return wire

    async def live(self, rate: float, stop: asyncio.Event, actions: Mapping[Callable[[Person], Awaitable[None]], int]) -> None:
        """Act at a rate until told to stop; what is begun is finished."""
        names, weights = list(actions), list(actions.values())
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not stop.is_set():
            due = max(due + self.chance.expovariate(rate), loop.time() - BEHIND_S)
            await asyncio.sleep(max(0.0, due - loop.time()))
            [action] = self.chance.choices(names, weights)
            await self._act(action)
        for wire in self.wires:
            await wire.drop()
        await self.client.aclose()

    async def _act(self, action: Callable[[Person], Awaitable[None]]) -> None:
        self.ledger.actions[action.__name__] += 1
        try:
            await action(self)
        except (Ended, WebSocketException, OSError) as error:
            self.ledger.fault("unanswered request", f"{self.account.username}, {action.__name__}: {error!r}")
        except Exception:  # noqa: BLE001  # the boundary: one action's failure is told, and does not end the trial
            self.ledger.fault("trial failed", f"{action.__name__}: {traceback.format_exc()}")

    # ---- asking

    async def ask(self, method: str, path: str, allowed: Allowed, fields: Mapping[str, Any], key: str | None = None) -> Answer:
        """One API call: over HTTP in any encoding, or inside a frame. With a `key` (Idempotency-Key) only HTTP will do."""
        if key is None and self.wire.open and self.chance.random() < 0.5:
            return await self.frame("call", {"method": method, "path": path, "params": fields}, allowed)
        return await self.http(method, path, allowed, fields, {"Idempotency-Key": key} if key else {})

    async def http(self, method: str, path: str, allowed: Allowed, fields: Mapping[str, Any], headers: Mapping[str, str]) -> Answer:
        encode = self.chance.choice(ENCODINGS)
        how = {"params": fields} if method in ("GET", "DELETE") else encode(fields)
        return await self.raw(method, path, allowed, {**how, "headers": headers})

    async def raw(self, method: str, path: str, allowed: Allowed, how: Mapping[str, Any]) -> Answer:
        """Any request; `how` is for httpx."""
        try:
            answer = await self.client.request(method, path, **how)
        except httpx.TransportError as error:
            raise Ended(f"{method} {path} {how}: {error!r}"[:400]) from None
        try:
            body = answer.json()
        except json.JSONDecodeError:
            body = {"text": answer.text}
        return self.ledger.answered("HTTP", f"{method} {path} {how}"[:400], Answer(answer.status_code, body), allowed)

    async def frame(self, verb: str, data: Mapping[str, Any], allowed: Allowed) -> Answer:
        """One request by frame."""
        return self.ledger.answered("frame", f"{verb} {data}"[:400], await self.wire.ask(verb, data), allowed)

    # ---- choosing

    def look(self, channel: Channel) -> Look:
        return Look(channel, self.id)

    def a_seat(self) -> Channel:
        return self.world.a_seat(self.chance, self.id)

    def another(self) -> Account:
        return self.chance.choice(self.others)

    def often(self, share: float) -> bool:
        return self.chance.random() < share

    # ---- saying

    def token(self) -> str:
        """A word that nobody else says: what a message is found by."""
        self._count += 1
        return f"{self.account.username}-{self._count}"

    def words(self, token: str) -> str:
        """Something to say, that begins with a token."""
        size = self.chance.choices((0, LONG, LONGEST), (960, 39, 1))[0]
        named = f" @{self.another().username}" if self.often(0.1) else ""
        return f"{token} {self.chance.choice(FIRST_WORDS)} {self.chance.randrange(10**6)}{named}" + " so" * (size // 3)

    def said(self, channel: Channel, token: str, message: Mapping[str, Any]) -> Said:
        said = self.ledger.acknowledged(self.account.username, channel.id, token, message)
        channel.recent.append(said)
        self.mine.append(said)
        if len(self.mine) > 1000:
            del self.mine[:500]
        return said


Action = Callable[[Person], Awaitable[None]]
