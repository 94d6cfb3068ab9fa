"""What programs have sent and can never be right: kept for operators, the newest of it, each under a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crust.broker.injecting import NAME
from crust.clock import Clock
from crust.errors import Conflict
from crust.host.held import Document
from crust.host.states import states_of
from crust.host.store import Collection
from crust.models.database import Database

KEPT = 200  # older ones go


class Refused:
    """See the module."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._collection: Collection = states_of(database, clock).collection(NAME)
        self._clock = clock

    async def keep(self, refused: Mapping[str, Any], days: int) -> None:
        """Keep one more, and let the oldest go. The number is that of the millisecond, or of the next one that is free."""
        number = self._clock.now()
        while True:
            try:
                await self._collection.cas(key_of(number), None, refused, ttl=86_400.0 * days)
                break
            except Conflict:
                number += 1
        for old in (await self.all())[KEPT:]:
            await self._collection.delete(old.key)

    async def all(self) -> list[Document]:
        """The newest first."""
        return await self._collection.find(descending=True, limit=KEPT + 50)

    async def shown(self) -> list[dict[str, Any]]:
        """As rows of what is parked."""
        return [shown(each.key, each.body) for each in await self.all()]


def shown(key: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """One as a row of what is parked."""
    return {
        "consumer": NAME, "lane": body["account"], "position": int(key), "state": "parked", "attempts": 1, "deaths": 0, "owner": None,
        "receipt": None, "error": body["reason"], "made_at": body["at"], "ended_at": None, "next_at": None, "body": body["body"],
    }  # fmt: skip


def key_of(number: int) -> str:
    """A number as a key, in the order of numbers."""
    return f"{number:015d}"
