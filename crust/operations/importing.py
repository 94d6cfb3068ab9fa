"""Import: the records of an export into a server, some hundred in one change, so that others can go on meanwhile.

Nothing is made twice: a record that is there already, under its id, stays as it is there. So an import that was cut off is done again with
the same file. What is wrong ends it with the line's number; of its batch nothing is written then, and what came before stays.

What is imported is history, and no event for each of its messages: the log tells who is signed in of the channels that they are in from
now on, once these are whole, and the members of a channel that was there that it has other members, teams or messages. Who wants those
reads them.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from crust.clock import SystemClock
from crust.errors import Invalid
from crust.events import objects
from crust.ids import next_id
from crust.log import Change
from crust.models.database import inserting
from crust.models.search_index import SearchIndex, flagged_by
from crust.operations.bytes import copied_in
from crust.operations.documents import document
from crust.operations.exporting import END, HEADER
from crust.operations.mapping import Mapped
from crust.operations.noting import IMPORTED
from crust.operations.parts import tell_channels
from crust.operations.progress import Step
from crust.operations.records import FORMAT, KINDS, Kind, Wrong
from crust.services.core import Core
from crust.services.standing import channel_row
from crust.settings import Settings
from crust.strict_json import BadJson, read_bytes

TOGETHER = 500  # lines of one change
AHEAD_MS = 86_400_000  # how much later than now an id may be: the clock of the server that made it may be wrong. All new ids come after it
LAST_BYTES = 256  # in which the last line has room
LINE_BYTES = 1_048_576  # the longest line: a message of 16,000 characters takes a tenth of it
BY_NAME = {kind.name: kind for kind in KINDS}


class Numbered(NamedTuple):
    """A record and the line that it stands in."""

    line: int
    kind: str
    record: Mapping[str, Any]


def lines(file: BinaryIO) -> Iterator[Numbered]:
    """The records of an export.

    Raises:
        Invalid: a line is none, or the file is no whole export; the line is named.
    """
    number = 0
    ended = False
    while text := file.readline(LINE_BYTES + 1):
        number += 1
        if ended:
            raise Invalid(f"Line {number}: the file goes on after its end; are these two files?")
        found = read(number, text)
        if (number == 1) != (found.kind == HEADER):
            raise Invalid(f"Line {number}: an export begins with a line that says so, once.")
        if found.kind == HEADER and found.record.get("format") != FORMAT:
            raise Invalid(f"Line 1: this is format {found.record.get('format')}; this Crust reads format {FORMAT}.")
        ended = found.kind == END
        if ended and found.record.get("records") != number - 2:
            raise Invalid(f"Line {number}: there should be {found.record.get('records')} records before it, and there are {number - 2}.")
        if found.kind in BY_NAME:
            yield found
    if not ended:
        raise Invalid(f"The file ends in line {number}, and not with a line that says so: a part of it is missing.")


def total(file: BinaryIO) -> int | None:
    """How many records a file says, in its last line, that it has; None where it does not, or is read as it comes. The place stays."""
    if not file.seekable():
        return None
    place = file.tell()
    try:
        file.seek(max(place, file.seek(0, os.SEEK_END) - LAST_BYTES))
        last = file.read(LAST_BYTES).rpartition(b"\n{")[2]
        found = read_bytes(b"{" + last)
    except BadJson:
        return None
    finally:
        file.seek(place)
    records = found.get("records") if isinstance(found, dict) and found.get("record") == END else None
    return records if isinstance(records, int) else None


def read(number: int, text: bytes) -> Numbered:
    if len(text) > LINE_BYTES:
        raise Invalid(f"Line {number}: a line has at most {LINE_BYTES} bytes.")
    try:
        record = read_bytes(text)
    except BadJson as error:
        raise Invalid(f"Line {number}: this is no JSON: {error}.") from None
    kind = record.get("record") if isinstance(record, dict) else None
    if kind not in BY_NAME and kind not in (HEADER, END):
        raise Invalid(f"Line {number}: there is no kind of record {kind!r}; there are {', '.join(BY_NAME)}.")
    return Numbered(number, kind, record)


def batches(records: Iterable[Numbered]) -> Iterator[tuple[Kind, list[Numbered]]]:
    """Neighbours of one kind, up to so many."""
    for name, same in groupby(records, key=lambda each: each.kind):
        while some := list(islice(same, TOGETHER)):
            yield BY_NAME[name], some


def check(file: BinaryIO) -> Iterator[int]:
    """Look at every line by itself, writing nothing; gives, now and then, how many were as they must be.

    Raises:
        Invalid: as when it is imported, but for what depends on other records.
    """
    done = 0
    for kind, some in batches(lines(file)):
        rows(kind, some, SystemClock().now())
        yield (done := done + len(some))


def rows(kind: Kind, records: Sequence[Numbered], now: int) -> dict[int, dict[str, Any]]:
    """Line → row.

    Raises:
        Invalid: a record is not as it must be.
    """
    found, latest = {}, next_id(0, now + AHEAD_MS)
    for number, _, record in records:
        try:
            found[number] = row = kind.row(record)
        except Wrong as wrong:
            raise Invalid(f"Line {number}: {kind.name} {record.get('id')}: {wrong}.") from None
        if row["id"] > latest:
            raise Invalid(f"Line {number}: {kind.name} {row['id']}: id is one of a time to come.")
    return found


def _names(folder: Path) -> Iterator[str]:
    """The files below a folder."""
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.relative_to(folder).as_posix()


class Import:
    """See the module. `made` and `kept` count the records by kind: those that were written, and those that were there.

    Args:
        map_users: take a person for the one who has the same email address here, and so their direct channels; else they are refused.
    """

    def __init__(self, core: Core, *, map_users: bool = False) -> None:
        self._core, self._database = core, core.database
        self._index = SearchIndex(core.database.dialect)
        self._mapped = Mapped(core.database) if map_users else None
        self._noted = False  # in the first change: what is refused at once is no act
        self.made: Counter[str] = Counter()
        self.kept: Counter[str] = Counter()

    async def run(self, file: BinaryIO) -> AsyncIterator[int]:
        """Import a file; gives, now and then, how many records have been dealt with.

        Raises:
            Invalid: a record cannot be imported; the line is named.
        """
        for kind, some in batches(lines(file)):
            async with self._core.log.change() as change:
                found = rows(kind, some, change.now)
                if self._mapped:
                    found = await self._mapped.taken(kind, found)
                new = await self._new(kind, found)
                await self._check_references(kind, new)
                await self._write(change, kind, list(new.values()))
                if not self._noted:
                    change.audit(IMPORTED, map_users=self._mapped is not None)
            self._noted = True
            self.made[kind.name] += len(new)
            self.kept[kind.name] += len(some) - len(new)
            yield self.made.total() + self.kept.total()

    async def files(self, settings: Settings, folder: Path) -> AsyncIterator[Step]:
        """Put the bytes of files that have a record here into the storage; gives, now and then, how many were dealt with.

        What is stored already stays.
        """
        d, count = self._database, 0
        every = await asyncio.to_thread(lambda: sum(1 for _ in _names(folder)))
        names = _names(folder)
        while some := await asyncio.to_thread(lambda: list(islice(names, TOGETHER))):
            rows = await d.fetch(f"SELECT key FROM file WHERE key IN {d.any_of(1, 'text')}", d.as_list(some))
            async for _ in copied_in(settings, folder, [row["key"] for row in rows]):
                pass
            yield Step("files", count := count + len(some), every)

    # ---- checking

    async def _new(self, kind: Kind, found: Mapping[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
        """Those that are not there yet."""
        there = await self._by(kind, ["id"], found.values())
        new: dict[int, dict[str, Any]] = {}
        for number, row in found.items():
            known = there.get((row["id"],))
            if known is None:
                there[(row["id"],)] = row
                new[number] = row
            elif any(known[name] != row[name] for name in kind.same):
                raise Invalid(f"Line {number}: there is another {kind.name} with the id {row['id']} already.")
        for columns in kind.unique:
            new = await self._without_twins(kind, columns, new)
        return new

    async def _without_twins(self, kind: Kind, columns: Sequence[str], new: Mapping[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
        """Those whose unique columns nothing else has. What is the same thing under another id is left out; what is not is refused."""
        there = await self._by(kind, columns, [row for row in new.values() if row[columns[0]] is not None])
        left = {}
        for number, row in new.items():
            key = tuple(row[name] for name in columns)
            if None in key or key not in there:
                there[key] = row
                left[number] = row
            elif not set(columns) <= set(kind.same):
                shown = columns[0].removesuffix("_key")
                raise Invalid(
                    f"Line {number}: there is another {kind.name} with the {shown} {row[shown]!r} already, under the id {there[key]['id']}."
                )
        return left

    async def _by(self, kind: Kind, columns: Sequence[str], wanted: Iterable[Mapping[str, Any]]) -> dict[tuple[Any, ...], Any]:
        """What is stored with the values that these have in the columns, by them."""
        d = self._database
        values = sorted({row[columns[0]] for row in wanted})
        if not values:
            return {}
        type_ = kind.types[columns[0]]
        sql = f'SELECT * FROM "{kind.table}" WHERE {columns[0]} IN {d.any_of(1, type_)}'
        return {tuple(row[name] for name in columns): row for row in await d.fetch(sql, d.as_list(values))}

    async def _check_references(self, kind: Kind, new: Mapping[int, Mapping[str, Any]]) -> None:
        own = {row["id"] for row in new.values()}
        for column, name in kind.refers.items():
            wanted = {row[column] for row in new.values() if row[column] is not None} - (own if name == kind.name else set())
            there = {key[0] for key in await self._by(BY_NAME[name], ["id"], [{"id": each} for each in wanted])}
            for number, row in new.items():
                if row[column] in wanted - there:
                    raise Invalid(f"Line {number}: {kind.name} {row['id']}: there is no {name} {row[column]} ({column}).")

    # ---- writing

    async def _write(self, change: Change, kind: Kind, new: Sequence[Mapping[str, Any]]) -> None:
        columns, live = kind.types, await self._live(kind, new)
        values = [{**row, **kind.begins} for row in new]
        await self._database.run([inserting(kind.table, columns, [[row[name] for name in columns] for row in values])])
        change.last_id = max([change.last_id, *(row["id"] for row in new)])
        for column, counter in kind.counts.items():
            await counter.renew(self._database, {row[column] for row in new if row[column] is not None})
        if kind.name == "message":
            change.write(self._index.adding([document(row) for row in new if row["removed_at"] is None]))
        elif kind.name == "flag":
            change.write(*(self._index.labelling(row["message_id"], flagged_by(row["user_id"]), on=True) for row in new))
        elif kind.name in ("channel_member", "organisation_member"):
            live -= await self._tell(change, kind, new)
        if live:
            await tell_channels(self._database, change, live, [kind.counts["channel_id"].column])

    async def _live(self, kind: Kind, new: Sequence[Mapping[str, Any]]) -> set[int]:
        """Those of the channels that these rows change in which somebody is already."""
        if "channel_id" not in kind.counts or not new:
            return set()
        d = self._database
        sql = f"SELECT id FROM channel WHERE members_count > 0 AND id IN {d.any_of(1)}"
        return {row["id"] for row in await d.fetch(sql, d.as_list(sorted({row["channel_id"] for row in new})))}

    async def _tell(self, change: Change, kind: Kind, new: Sequence[Mapping[str, Any]]) -> set[int]:
        """Tell those who are signed in, and may be connected, that they are in something new; gives the channels that hear of it."""
        d = self._database
        sql = f"SELECT DISTINCT user_id FROM session WHERE user_id IN {d.any_of(1)}"
        signed_in = {row["user_id"] for row in await d.fetch(sql, d.as_list(sorted({row["user_id"] for row in new})))}
        users = await self._core.members.users(sorted(signed_in))
        told = [row for row in new if row["user_id"] in users]
        for row in told:
            await self._tell_one(change, kind, row, users[row["user_id"]])
        return {row["channel_id"] for row in told if "channel_id" in row}

    async def _tell_one(self, change: Change, kind: Kind, row: Mapping[str, Any], user: objects.User) -> None:
        members, person = self._core.members, row["user_id"]
        if kind.name == "organisation_member":
            members.record_in_organisation(change, row["organisation_id"], "joined", user, row["role"], person)
            return
        if await self._database.fetch("SELECT 1 FROM channel WHERE id = $1 AND removed_at IS NOT NULL", row["channel_id"]):
            return
        channel = await channel_row(self._database, row["channel_id"])
        members.record_in_channel(change, channel, "joined", user, row["role"], person, channel["members_count"])
