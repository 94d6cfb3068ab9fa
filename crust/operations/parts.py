"""What is stored although it follows from other rows: where it does not agree with them, and how it is made to.

Read some rows at a time, and beside a running server: what seems wrong is looked at twice, since a change may have come in between.
"""

from __future__ import annotations

from collections import Counter as Bag
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from crust.ids import MAX_ID
from crust.log import Change
from crust.models.database import Database, Row, Write, inserting
from crust.models.fields import decode_json
from crust.models.search_index import Document, SearchIndex
from crust.operations.documents import document
from crust.services.counters import COUNTERS, Counter
from crust.services.posts import MENTION_COLUMNS
from crust.services.standing import record_channel
from crust.words import terms

TOGETHER = 1000  # rows that are looked at together


class Difference(NamedTuple):
    """Something that is stored, and what follows from the other rows."""

    part: str
    id: int
    stored: Any
    counted: Any


class Part(Protocol):
    """One of the things that are stored so. `table`: whose rows are gone through, by id."""

    @property
    def name(self) -> str: ...

    @property
    def table(self) -> str: ...

    async def wrong(self, database: Database, after: int, upto: int) -> Mapping[int, Difference]:
        """What differs for the ids in (after, upto], by id."""

    async def mend(self, database: Database, change: Change, ids: Collection[int]) -> None:
        """Inside a change: make these right."""


async def differences(database: Database, part: Part) -> AsyncIterator[tuple[int, list[Difference]]]:
    """Go through all rows of a part; gives, some rows at a time, how many these were and what differs among them."""
    after = 0
    while after < MAX_ID:
        sql = f'SELECT count(*) AS n, max(id) AS last FROM (SELECT id FROM "{part.table}" WHERE id > $1 ORDER BY id LIMIT {TOGETHER}) page'
        (row,) = await database.fetch(sql, after)
        upto = row["last"] if row["n"] == TOGETHER else MAX_ID
        found = await part.wrong(database, after, upto)
        if found:
            again = await part.wrong(database, after, upto)
            found = {id_: difference for id_, difference in again.items() if id_ in found}
        yield row["n"], list(found.values())
        after = upto


# ---- counted columns


@dataclass(frozen=True, slots=True)
class CountedPart:
    """A column that counts, or names the newest."""

    counter: Counter

    @property
    def name(self) -> str:
        return self.counter.name

    @property
    def table(self) -> str:
        return self.counter.table

    async def wrong(self, database: Database, after: int, upto: int) -> Mapping[int, Difference]:
        """See `Part`."""
        rows = await self.counter.wrong(database, after, upto)
        return {row["id"]: Difference(self.name, row["id"], row["stored"], row["counted"]) for row in rows}

    async def mend(self, database: Database, change: Change, ids: Collection[int]) -> None:
        """See `Part`; a channel's members are told how it is now."""
        await self.counter.renew(database, ids)
        if self.table == "channel":
            await tell_channels(database, change, ids, [self.counter.column])


async def tell_channels(database: Database, change: Change, ids: Collection[int], changed: Sequence[str]) -> None:
    """Inside a change: tell the members of those of the channels that have any what is new of it."""
    sql = (
        f"SELECT id FROM channel WHERE members_count > 0 AND removed_at IS NULL AND merged_into IS NULL AND id IN {database.any_of(1)} "
        "ORDER BY id"
    )
    for row in await database.fetch(sql, database.as_list(sorted(ids))):
        await record_channel(database, change, row["id"], "edited", changed)


# ---- mentions

Named = tuple[int, int]  # user, channel


class Mentions:
    """The rows by which people's new mentions are counted: one for each member whom a living message names, its author aside.

    Who came after the message may lack one: it was read for them. Who has left has none.
    """

    name, table = "mention", "message"

    async def wrong(self, database: Database, after: int, upto: int) -> Mapping[int, Difference]:
        """See `Part`."""
        stored = await self._stored(database, after, upto)
        wanted, allowed = await self._following(database, after, upto, stored)
        found = {}
        for id_ in sorted(stored.keys() | wanted.keys()):
            rows = stored.get(id_, Bag())
            right = wanted.get(id_, set()) | (set(rows) & allowed.get(id_, set()))
            if rows != Bag(right):
                found[id_] = Difference(self.name, id_, shown(rows), shown(right))
        return found

    async def _stored(self, database: Database, after: int, upto: int) -> dict[int, Bag[Named]]:
        sql = "SELECT message_id, user_id, channel_id FROM mention WHERE message_id > $1 AND message_id <= $2"
        found: dict[int, Bag[Named]] = {}
        for row in await database.fetch(sql, after, upto):
            found.setdefault(row["message_id"], Bag())[(row["user_id"], row["channel_id"])] += 1
        return found

    async def _following(
        self, database: Database, after: int, upto: int, stored: Mapping[int, Bag[Named]]
    ) -> tuple[dict[int, set[Named]], dict[int, set[Named]]]:
        """By message: the rows that there must be, and those that there may be."""
        sql = (
            "SELECT id, channel_id, user_id, mentions, created_at FROM message "
            "WHERE id > $1 AND id <= $2 AND removed_at IS NULL AND mentions <> '[]'"
        )
        rows = await database.fetch(sql, after, upto)
        named = {row["id"]: [int(each) for each in ids_in(row["mentions"]) if int(each) != row["user_id"]] for row in rows}
        joined = await self._joined(database, {row["channel_id"] for row in rows}, {user for users in named.values() for user in users})
        wanted, allowed = {}, {}
        for row in rows:
            inside = {(user, row["channel_id"]) for user in named[row["id"]] if (user, row["channel_id"]) in joined}
            allowed[row["id"]] = inside
            wanted[row["id"]] = {each for each in inside if joined[each] <= row["created_at"]}
        return wanted, allowed

    async def _joined(self, database: Database, channels: Collection[int], users: Collection[int]) -> dict[Named, int]:
        """When each of these people came into each of these channels."""
        if not users:
            return {}
        d = database
        sql = f"SELECT user_id, channel_id, joined_at FROM channel_member WHERE channel_id IN {d.any_of(1)} AND user_id IN {d.any_of(2)}"
        rows = await d.fetch(sql, d.as_list(sorted(channels)), d.as_list(sorted(users)))
        return {(row["user_id"], row["channel_id"]): row["joined_at"] for row in rows}

    async def mend(self, database: Database, change: Change, ids: Collection[int]) -> None:
        """See `Part`."""
        rows = []
        for id_ in sorted(ids):
            for difference in (await self.wrong(database, id_ - 1, id_)).values():
                rows += [(change.next_id(), user, channel, id_) for user, channel in pairs(difference.counted)]
                await database.execute("DELETE FROM mention WHERE message_id = $1", id_)
        await database.run([inserting("mention", MENTION_COLUMNS, rows)])


def ids_in(mentions: Any) -> list[str]:
    """A JSON column, which drivers give as text."""
    found: list[str] = decode_json(mentions) if isinstance(mentions, str | bytes) else mentions
    return found


def shown(rows: Bag[Named] | set[Named]) -> list[str]:
    """Rows as `user:channel`."""
    return sorted(f"{user}:{channel}" for user, channel in (rows.elements() if isinstance(rows, Bag) else rows))


def pairs(texts: Sequence[str]) -> list[Named]:
    """The inverse of `shown`."""
    return [(int(user), int(channel)) for user, _, channel in (text.partition(":") for text in texts)]


# ---- the search index


class Searched:
    """The row in the search index that each living message has."""

    name, table = "message_search", "message"

    async def wrong(self, database: Database, after: int, upto: int) -> Mapping[int, Difference]:
        """See `Part`."""
        wanted = {each.id: entry(each) for each in await documents(database, after, upto)}
        stored = await self._stored(database, after, upto)
        return {
            id_: Difference(self.name, id_, said(stored.get(id_)), said(wanted.get(id_)))
            for id_ in sorted(wanted.keys() | stored.keys())
            if wanted.get(id_) != stored.get(id_)
        }

    async def _stored(self, database: Database, after: int, upto: int) -> dict[int, tuple[frozenset[str], frozenset[str]]]:
        rows = await database.fetch(SearchIndex(database.dialect).entries, after, upto)
        return {row["id"]: (frozenset(row["words"].split(" ")) - {""}, frozenset(row["labels"].split())) for row in rows}

    async def mend(self, database: Database, change: Change, ids: Collection[int]) -> None:
        """See `Part`."""
        index = SearchIndex(database.dialect)
        found = [each for id_ in sorted(ids) for each in await documents(database, id_ - 1, id_)]
        writes: list[Write] = [index.removing(id_) for id_ in sorted(ids)]
        await database.run([*writes, index.adding(found)])


async def documents(database: Database, after: int, upto: int) -> list[Document]:
    """The living messages with ids in (after, upto], as they are to be found."""
    rows: Sequence[Row] = await database.fetch(
        "SELECT * FROM message WHERE id > $1 AND id <= $2 AND removed_at IS NULL ORDER BY id", after, upto
    )
    flagged: dict[int, list[int]] = {}
    for row in await database.fetch("SELECT message_id, user_id FROM flag WHERE message_id > $1 AND message_id <= $2", after, upto):
        flagged.setdefault(row["message_id"], []).append(row["user_id"])
    return [document(row, flagged.get(row["id"], ())) for row in rows]


def entry(document: Document) -> tuple[frozenset[str], frozenset[str]]:
    return frozenset(terms(document.text)), frozenset(document.labels)


def said(found: tuple[frozenset[str], frozenset[str]] | None) -> str:
    """What is found of a message, without its words: they are nobody's business here."""
    return "nothing" if found is None else f"{len(found[0])} words, {' '.join(sorted(found[1]))}"


PARTS: Sequence[Part] = (*(CountedPart(counter) for counter in COUNTERS), Mentions(), Searched())
