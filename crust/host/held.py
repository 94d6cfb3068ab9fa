"""Documents that are to be written later, all at once, if nothing that was read for them has changed meanwhile."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from crust.models.database import Database, Write, inserting, insertion

Place = tuple[str, str]
"""Collection and key."""

VERSION_BITS = 53  # what JSON and JavaScript can count to
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
DOCUMENT_COLUMNS = {"instance": "text", "collection": "text", "key": "text", "version": "bigint", "body": "text", "expires_at": "bigint"}
FIELD_COLUMNS = {"instance": "text", "collection": "text", "key": "text", "field": "text", "value": "text"}
UPDATED = (
    " ON CONFLICT (instance, collection, key)"
    " DO UPDATE SET version = excluded.version, body = excluded.body, expires_at = excluded.expires_at"
)


@dataclass(frozen=True, slots=True)
class Document:
    """What is kept under a key.

    `version` is another after every write, and none comes again; `expires_at` is in milliseconds since 1970.
    """

    key: str
    version: int
    body: Mapping[str, object]
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """A document as it is to be written: its text, and its declared fields as they are found by."""

    document: Document
    text: str
    fields: Mapping[str, str]


class HandlerOver(RuntimeError):
    """Whoever writes here belongs to a handler that has ended: what it wrote would have been stored with its end."""


@dataclass(slots=True)
class Held:
    """What was read and what is to be written, by one handler or in one transaction, of one instance's documents."""

    instance: str
    reads: dict[Place, int | None] = field(default_factory=dict)
    writes: dict[Place, Pending | None] = field(default_factory=dict)
    over: bool = False

    def read(self, place: Place, version: int | None) -> None:
        """Note which version was seen; the first one counts."""
        if place not in self.writes:
            self.reads.setdefault(place, version)

    def write(self, place: Place, pending: Pending | None) -> None:
        """Note what is to be written; None: that it is to be removed.

        Raises:
            HandlerOver: it is too late.
        """
        if self.over:
            raise HandlerOver("the handler that this task belongs to has ended: start such work through ctx.tasks")
        self.writes[place] = pending


def new_version() -> int:
    """A version that no document has had."""
    return random.getrandbits(VERSION_BITS)


async def writes_of(database: Database, now: int, helds: Sequence[Held]) -> tuple[list[bool], list[Write]]:
    """Say which may be written, one after the other, and what that takes. Inside a writing transaction; all of one instance.

    Those before count for those after. Whoever has read something that is another by now may not; nothing of theirs is written.
    """
    busy = [held for held in helds if held.writes]
    if not busy:
        return [True] * len(helds), []
    instance = busy[0].instance
    if database.dialect == "postgres":
        await database.fetch(LOCK, instance)  # whoever writes an instance's documents does it alone, so that no two can wait for each other
    places = sorted(set(chain.from_iterable(held.reads for held in busy)))
    versions = await _versions(database, instance, places, now)
    written: dict[Place, Pending | None] = {}
    fits = []
    for held in helds:
        fit = not held.writes or all(versions.get(place) == seen for place, seen in held.reads.items())
        fits.append(fit)
        if fit:
            written |= held.writes
            versions |= {place: pending.document.version if pending else None for place, pending in held.writes.items()}
    return fits, _writes(instance, written)


async def _versions(database: Database, instance: str, places: Sequence[Place], now: int) -> dict[Place, int | None]:
    """The versions of documents as they are now; nothing for those that are not there, or have expired."""
    if not places:
        return {}
    sql = (
        "SELECT collection, key, version FROM document WHERE instance = $1 AND (expires_at IS NULL OR expires_at > $4)"
        f" AND collection IN {database.any_of(2, 'text')} AND key IN {database.any_of(3, 'text')}"
    )
    collections, keys = ({place[at] for place in places} for at in (0, 1))
    rows = await database.fetch(sql, instance, database.as_list(sorted(collections)), database.as_list(sorted(keys)), now)
    return {(row["collection"], row["key"]): row["version"] for row in rows}


def _writes(instance: str, written: Mapping[Place, Pending | None]) -> list[Write]:
    touched = [(instance, *place) for place in written]
    kept = [(place, pending) for place, pending in written.items() if pending is not None]
    gone = [(instance, *place) for place, pending in written.items() if pending is None]
    documents = [(instance, *place, p.document.version, p.text, p.document.expires_at) for place, p in kept]
    fields = [(instance, *place, name, value) for place, p in kept for name, value in p.fields.items()]
    return [  # documents before fields, as whoever sweeps away what has expired does it, so that nobody waits in a circle
        removing("document", gone),
        replacing(documents),
        removing("document_field", touched),
        inserting("document_field", FIELD_COLUMNS, fields),
    ]


def replacing(rows: Sequence[Sequence[object]]) -> Write:
    """The insertion of many documents, each in the place of the one that has its key."""
    one, many = insertion("document", tuple(DOCUMENT_COLUMNS.items()))
    return Write(one + UPDATED, rows, many + UPDATED)


def removing(table: str, rows: Sequence[Sequence[object]]) -> Write:
    """The removal of many rows by instance, collection and key."""
    arrays = ", ".join(f"${n}::text[]" for n in (1, 2, 3))
    return Write(
        f"DELETE FROM {table} WHERE instance = $1 AND collection = $2 AND key = $3",
        rows,
        f"DELETE FROM {table} t USING unnest({arrays}) AS g(instance, collection, key)"
        " WHERE t.instance = g.instance AND t.collection = g.collection AND t.key = g.key",
    )
