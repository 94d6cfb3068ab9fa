"""Taking people of an export for those who have the same email address here, and so their direct channels for those that are here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from crust.models.database import Database
from crust.models.fields import decode_json, encode_json
from crust.operations.records import Kind
from crust.services.channels import pair

PAIR = re.compile("([0-9]{1,19}):([0-9]{1,19})")
BY = {"user": "email_key", "channel": "pair"}
"""Kind → the column by which one of the file is one of those here."""


class Mapped:
    """See the module. What it remembers is as much as there are people and direct channels that were taken for others."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ids: dict[str, dict[int, int]] = {kind: {} for kind in BY}

    async def taken(self, kind: Kind, found: Mapping[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
        """These rows, by line, without those that are here, and with the ids from here in those that refer to them."""
        rows = {line: self._translated(kind, row) for line, row in found.items()}
        if kind.name not in BY:
            return rows
        column = BY[kind.name]
        here = await self._here(kind, column, rows.values())
        for row in rows.values():
            if here.get(row[column], row["id"]) != row["id"]:
                self._ids[kind.name][row["id"]] = here[row[column]]
        return {line: row for line, row in rows.items() if row["id"] not in self._ids[kind.name]}

    async def _here(self, kind: Kind, column: str, rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
        d = self._database
        wanted = sorted({row[column] for row in rows if row[column] is not None})
        sql = f'SELECT id, {column} AS value FROM "{kind.table}" WHERE {column} IN {d.any_of(1, "text")}'
        return {row["value"]: row["id"] for row in await d.fetch(sql, d.as_list(wanted))}

    def _translated(self, kind: Kind, row: dict[str, Any]) -> dict[str, Any]:
        """A row with the ids from here wherever it names somebody or a channel."""
        users = self._ids["user"]
        ids = {column: self._ids[name] for column, name in kind.refers.items() if name in self._ids}
        changed = {column: known.get(row[column], row[column]) for column, known in ids.items()}
        if kind.name == "message" and users:
            changed["mentions"] = encode_json([str(users.get(int(each), int(each))) for each in decode_json(row["mentions"])])
        if kind.name == "channel" and (both := PAIR.fullmatch(row["pair"] or "")):
            one, other = (users.get(int(each), int(each)) for each in both.groups())
            changed["pair"] = pair(one, other)
        return {**row, **changed}
