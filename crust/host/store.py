"""The documents of an instance: named collections of JSON objects by key, found by declared fields.

    polls = store.collection("polls")
    await polls.put("17", {"question": "Lunch?", "ends_at": 1790000000000}, ttl=86_400)
    async with store.transaction():
        poll = await polls.get("17")
        …

Inside a handler, and inside `transaction`, nothing is written until its end, when all is written at once if what was read is still what is
there; whoever reads meanwhile, within it, sees what it has written. Elsewhere every write is stored before it returns.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import msgspec

from crust.clock import Clock
from crust.errors import Conflict, Invalid
from crust.host.held import FIELD_COLUMNS, Document, Held, Pending, new_version, removing, writes_of
from crust.models.database import Database, Row, inserting

NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")  # of collections and fields
TEXT_MAX = 255  # characters of a key, and of a text that documents are found by; PostgreSQL's index entries have an end
INTEGER = 2**63
FIND_MAX = 1000  # documents that one search gives
DECLARED = "_declared"  # the collection in which is kept by which fields others are found
REINDEX = 500  # documents at once

Scalar = str | int | bool
"""What documents can be found by."""

Wanted = Scalar | tuple[Scalar | None, Scalar | None]
"""A value, or the lowest and the highest one (None: no end)."""

holding: ContextVar[Held | None] = ContextVar("held documents", default=None)
"""What the running task holds back."""


class Store:
    """See the module.

    Args:
        database: opened and migrated.
        clock: tells what has expired.
        instance: whose documents.
        collections: by which fields the documents of which collection can be found; those without any need not be named.
        most: largest document, in bytes.
        held: what everything is held back in; left out, what the running task says.
    """

    def __init__(
        self, database: Database, clock: Clock, instance: str, collections: Mapping[str, Sequence[str]], most: int, held: Held | None = None
    ) -> None:
        self.database, self.clock, self.instance, self.most = database, clock, instance, most
        self.collections, self._held = collections, held

    def collection(self, name: str) -> Collection:
        """The collection of that name; it need not be made."""
        if not NAME.fullmatch(name):
            raise Invalid(f"{name!r} is no name of a collection: small letters, digits, dots, - and _, 64 at most.")
        return Collection(self, name, tuple(self.collections.get(name, ())))

    def held_back(self, held: Held) -> Store:
        """The same documents, as a handler sees them."""
        return Store(self.database, self.clock, self.instance, self.collections, self.most, held)

    @property
    def held(self) -> Held | None:
        """What is written now is held back in this; None: it is stored at once."""
        found = self._held or holding.get()
        return found if found is not None and found.instance == self.instance else None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Write everything at the end of the block, or nothing; inside a handler or another transaction, with its end.

        Raises:
            Conflict: something that was read was changed by others; do it again.
            Unavailable: the outcome is unknown.
        """
        if self.held is not None:
            yield
            return
        held = Held(self.instance)
        token = holding.set(held)
        try:
            yield
        finally:
            holding.reset(token)
            held.over = True
        await self._store(held)

    async def _store(self, held: Held) -> None:
        if not held.writes:
            return
        async with self.database.transaction():
            [fits], writes = await writes_of(self.database, self.clock.now(), [held])
            if not fits:
                raise Conflict("Somebody else has changed what was read; do it again.")
            await self.database.run(writes, last=True)

    # ---- the index

    async def reindex(self) -> None:
        """Let documents that are there already be found by the fields that are declared now. Called once, before an instance begins."""
        declared = self._own(DECLARED)
        for name, fields in self.collections.items():
            known = await declared.get(name)
            if known is None or known.body["fields"] != list(fields):
                await self._reindex(name, tuple(fields))
                await declared.put(name, {"fields": list(fields)})

    def _own(self, name: str) -> Collection:
        return Collection(self, name, ())

    async def _reindex(self, name: str, fields: tuple[str, ...]) -> None:
        after: str | None = ""
        while after is not None:
            after = await self._reindex_some(name, fields, after)

    async def _reindex_some(self, name: str, fields: tuple[str, ...], after: str) -> str | None:
        sql = "SELECT key, body FROM document WHERE instance = $1 AND collection = $2 AND key > $3 ORDER BY key LIMIT $4"
        async with self.database.transaction():
            rows = await self.database.fetch(sql, self.instance, name, after, REINDEX)
            keys = [(self.instance, name, row["key"]) for row in rows]
            values = [
                (self.instance, name, row["key"], field, value)
                for row in rows
                for field, value in found_by(msgspec.json.decode(row["body"]), fields).items()
            ]
            await self.database.run([removing("document_field", keys), inserting("document_field", FIELD_COLUMNS, values)], last=bool(rows))
        return rows[-1]["key"] if rows else None


class Collection:
    """Documents of one kind."""

    def __init__(self, store: Store, name: str, fields: tuple[str, ...]) -> None:
        self._store, self._name, self._fields = store, name, fields

    # ---- reading

    async def get(self, key: str) -> Document | None:
        """A document; None, if there is none or it has expired."""
        place, held = (self._name, checked(key)), self._store.held
        if held is not None and place in held.writes:
            pending = held.writes[place]
            return pending.document if pending and self._lives(pending.document) else None
        rows = await self._store.database.fetch(
            "SELECT key, version, body, expires_at FROM document WHERE instance = $1 AND collection = $2 AND key = $3",
            self._store.instance, self._name, key,
        )  # fmt: skip
        found = [document for document in map(document_of, rows) if self._lives(document)]
        if held is not None:
            held.read(place, found[0].version if found else None)
        return found[0] if found else None

    async def find(
        self, where: Mapping[str, Wanted] | None = None, *, order: str | None = None, descending: bool = False, limit: int = 100
    ) -> list[Document]:
        """Documents by declared fields.

        Args:
            where: field → the value, or the lowest and the highest one.
            order: the field that they come in the order of; left out, the key. Documents without the field are left out.
            descending: the other way round.
            limit: how many at most, 1,000 or fewer.

        Raises:
            Invalid: a field is not declared for this collection.
        """
        wanted = {name: bounds(value) for name, value in (where or {}).items()}
        for name in (*wanted, *([order] if order else [])):
            if name not in self._fields:
                raise Invalid(f"{self._name} cannot be found by {name!r}: declare the field first.")
        limit, held = min(max(limit, 0), FIND_MAX), self._store.held
        hidden = {key for collection, key in held.writes if collection == self._name} if held else set()
        rows = await self._rows(wanted, order, descending, limit + len(hidden))
        found = [document_of(row) for row in rows if row["key"] not in hidden]
        if held is not None:
            for document in found:
                held.read((self._name, document.key), document.version)
            found += self._pending(held, wanted, order)
            found.sort(key=lambda document: self._rank(document, order), reverse=descending)
        return found[:limit]

    def _pending(self, held: Held, wanted: Mapping[str, tuple[str, str]], order: str | None) -> list[Document]:
        """What is held back and would be found."""
        return [
            pending.document
            for (collection, _), pending in held.writes.items()
            if collection == self._name and pending and self._lives(pending.document)
            and all(name in pending.fields and low <= pending.fields[name] <= high for name, (low, high) in wanted.items())
            and (order is None or order in pending.fields)
        ]  # fmt: skip

    def _rank(self, document: Document, order: str | None) -> tuple[str, str]:
        return found_by(document.body, (order,))[order] if order else "", document.key

    async def _rows(self, wanted: Mapping[str, tuple[str, str]], order: str | None, descending: bool, limit: int) -> Sequence[Row]:
        values: list[Any] = [self._store.instance, self._name, self._store.clock.now(), limit]
        joins: list[str] = []
        conditions: list[str] = []
        for name in dict.fromkeys([*wanted, *([order] if order else [])]):
            table, at = f"f{len(joins)}", len(values)
            joins.append(
                f"JOIN document_field {table} ON {table}.instance = d.instance AND {table}.collection = d.collection"
                f" AND {table}.key = d.key AND {table}.field = ${at + 1}"
            )
            values.append(name)
            if name in wanted:
                conditions.append(f" AND {table}.value >= ${at + 2} AND {table}.value <= ${at + 3}")
                values += wanted[name]
        way = "DESC" if descending else "ASC"
        by = f"f{list(dict.fromkeys([*wanted, order])).index(order)}.value {way}, d.key {way}" if order else f"d.key {way}"
        sql = (
            f"SELECT d.key, d.version, d.body, d.expires_at FROM document d {' '.join(joins)}"
            " WHERE d.instance = $1 AND d.collection = $2 AND (d.expires_at IS NULL OR d.expires_at > $3)"
            f"{''.join(conditions)} ORDER BY {by} LIMIT $4"
        )
        return await self._store.database.fetch(sql, *values)

    def _lives(self, document: Document) -> bool:
        return document.expires_at is None or document.expires_at > self._store.clock.now()

    # ---- writing

    async def put(self, key: str, body: Mapping[str, Any], *, ttl: float | None = None) -> Document:
        """Keep a document, in the place of the one that has its key.

        Args:
            body: a JSON object.
            ttl: seconds after which it is gone.

        Raises:
            Invalid: it is none, or too large.
            Conflict, Unavailable: as in `Store.transaction`.
        """
        pending = self._made(checked(key), body, ttl)
        async with self._store.transaction():
            self._write(key, pending)
        return pending.document

    async def cas(self, key: str, version: int | None, body: Mapping[str, Any], *, ttl: float | None = None) -> Document:
        """The same, if the document has this version still; None: if there is none.

        Raises:
            Conflict: it has another.
        """
        pending = self._made(checked(key), body, ttl)
        async with self._store.transaction():
            there = await self.get(key)
            if (there.version if there else None) != version:
                raise Conflict(f"{self._name}/{key} is not of the version that was expected.")
            self._write(key, pending)
        return pending.document

    async def delete(self, key: str) -> bool:
        """Remove a document; gives whether there was one."""
        async with self._store.transaction():
            there = await self.get(key)
            if there is not None:
                self._write(key, None)
        return there is not None

    def _write(self, key: str, pending: Pending | None) -> None:
        held = self._store.held
        assert held is not None, "a transaction holds everything back"
        held.write((self._name, key), pending)

    def _made(self, key: str, body: Mapping[str, Any], ttl: float | None) -> Pending:
        try:
            text = msgspec.json.encode(body).decode()
        except (TypeError, ValueError, RecursionError) as error:
            raise Invalid(f"{self._name}/{key} cannot be written as JSON: {error}") from None
        if len(text) > self._store.most or len(text.encode()) > self._store.most:
            raise Invalid(f"{self._name}/{key} is larger than {self._store.most} bytes.")
        expires_at = None if ttl is None else self._store.clock.now() + round(ttl * 1000)
        kept = msgspec.json.decode(text)  # what others will read, and nothing that the caller may change meanwhile
        if not isinstance(kept, dict):
            raise Invalid("A document is a JSON object.")
        return Pending(Document(key, new_version(), kept, expires_at), text, found_by(kept, self._fields))


# ---- keys and values


def checked(key: str) -> str:
    """A key, if it is one."""
    if not key or not storable(key):
        raise Invalid(f"A key is a text of 1 to {TEXT_MAX} characters.")
    return key


def storable(text: str) -> bool:
    """Whether both databases can have it in an index."""
    return len(text) <= TEXT_MAX and "\0" not in text and text.encode(errors="replace").decode() == text  # half a surrogate is no text


def document_of(row: Row) -> Document:
    return Document(row["key"], row["version"], msgspec.json.decode(row["body"]), row["expires_at"])


def found_by(body: Mapping[str, Any], fields: Sequence[str]) -> dict[str, str]:
    """The declared fields that a document has, as they stand in the index; null is as good as missing."""
    return {name: sortable(body[name]) for name in fields if body.get(name) is not None}


def bounds(value: Wanted) -> tuple[str, str]:
    """The lowest and the highest text in the index."""
    if not isinstance(value, tuple):
        return sortable(value), sortable(value)
    low, high = value
    kind = next((sortable(end)[0] for end in (low, high) if end is not None), "")
    # Without an end, as far as values of that kind go.
    return kind if low is None else sortable(low), (chr(ord(kind) + 1) if kind else "\U0010ffff") if high is None else sortable(high)


def sortable(value: object) -> str:
    """A text whose order among others is that of the values: numbers by size, texts by code points."""
    match value:
        case bool():
            return f"b{value:d}"
        case int() if -INTEGER <= value < INTEGER:
            return f"i{value + INTEGER:020d}"
        case str() if storable(value):
            return f"s{value}"
    raise Invalid(
        f"Documents are found by texts of {TEXT_MAX} characters at most, whole numbers and booleans, and {value!r:.80} is neither."
    )
