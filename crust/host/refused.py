"""What programs have sent and can never be right: kept for operators, the newest of it, each under a number.

Operators may want it to be done again, such as once a room is linked: whichever process reads what programs send does it then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from crust.broker.injecting import NAME, Asked
from crust.clock import Clock
from crust.errors import Conflict
from crust.host.held import Document
from crust.host.states import states_of
from crust.host.store import Collection
from crust.models.database import Database

KEPT = 200  # older ones go
BODY = 16_384  # characters of a body that are kept; a longer one can only be sent again
NOBODY = "-"  # in the place of an account that was not said
SHOWN = 2000  # characters of one


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be done again, and its number."""

    number: int
    asked: Asked


class Refused:
    """See the module."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._collection: Collection = states_of(database, clock).collection(NAME)
        self._clock = clock

    async def keep(self, asked: Asked, reason: str, days: int) -> None:
        """Keep one more, and let the oldest go. The number is that of the millisecond, or of the next one that is free."""
        text = asked.body.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
        refused = {
            "account": asked.account or NOBODY, "reason": reason, "body": text[:BODY], "whole": len(text) <= BODY, "again": False,
            "at": self._clock.now(), "days": days,
        }  # fmt: skip
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

    async def those(self, *, account: str | None = None, number: int | None = None, since: int = 0) -> list[Document]:
        """The newest first: those of an account, of one number, or since a time in milliseconds since 1970."""
        return [
            each for each in await self.all()
            if account in (None, each.body["account"]) and number in (None, int(each.key)) and cast("int", each.body["at"]) >= since
        ]  # fmt: skip

    async def shown(self, **which: Any) -> list[dict[str, Any]]:
        """The same, as rows of what is parked."""
        return [shown(each.key, each.body) for each in await self.those(**which)]

    async def again(self, **which: Any) -> int:
        """Have done again what `those` gives and was kept whole; gives how many."""
        found = [each for each in await self.those(**which) if each.body["whole"]]
        for each in reversed(found):  # whoever does it may look in between, and is to find the oldest
            body: Mapping[str, Any] = {**each.body, "again": True}
            await self._collection.put(each.key, body, ttl=86_400.0 * float(body["days"]))
        return len(found)

    async def wanted(self) -> list[Wanted]:
        """What is to be done again, the oldest first."""
        return [Wanted(int(each.key), asked_of(each.body)) for each in reversed(await self.all()) if each.body["again"]]

    async def drop(self, number: int) -> bool:
        """Keep one no longer; gives whether there was one."""
        return await self._collection.delete(key_of(number))


def asked_of(body: Mapping[str, Any]) -> Asked:
    """What a program had sent."""
    account = str(body["account"])
    return Asked(None if account == NOBODY else account, str(body["body"]).encode())


def shown(key: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """One as a row of what is parked."""
    return {
        "consumer": NAME, "lane": body["account"], "position": int(key), "state": "waiting" if body["again"] else "parked", "attempts": 1,
        "deaths": 0, "owner": None, "receipt": None, "error": body["reason"], "made_at": body["at"], "ended_at": None, "next_at": None,
        "body": body["body"][:SHOWN], "whole": body["whole"],
    }  # fmt: skip


def key_of(number: int) -> str:
    """A number as a key, in the order of numbers."""
    return f"{number:015d}"
