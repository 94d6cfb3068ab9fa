"""The lines of an export: one record each, made from the tables themselves, so that a new column is in it at once.

Ids are decimal strings, times RFC 3339. Columns that follow from others (the folded forms of names) are left out and made anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec
from tortoise.fields import BigIntField, BooleanField, CharField, Field, IntField, TextField
from tortoise.models import Model

from crust.clock import rfc3339
from crust.errors import Invalid
from crust.events.objects import Attachment, Preview
from crust.files.storage import KEY
from crust.ids import MAX_ID
from crust.models import tables
from crust.models.database import Row
from crust.models.fields import JsonField, TimeField, decode_json, encode_json
from crust.models.search_index import TYPES
from crust.services.counters import COUNTED, LAST_MESSAGE, MEMBERS, REACTIONS, REPLIES, TEAMS, Counter
from crust.services.names import fold
from crust.services.times import milliseconds
from crust.strict_json import BAD_TEXT, WHY_BAD

FORMAT = 1
DERIVED = "_key"  # at the end of the name of a column that holds the folded form of another
NUMBER_MAX = 2**31 - 1


POSTGRES_TYPES: tuple[tuple[type[Field[Any]], str], ...] = (
    (JsonField, "jsonb"), (BooleanField, "boolean"), (BigIntField, "bigint"), (IntField, "int"), (CharField, "text"), (TextField, "text"),
)  # fmt: skip
"""Of each kind of column; a BigIntField is an IntField too."""


class Wrong(Exception):
    """A value is not what its column takes; the message says what it takes."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a record: its value in the file and in the database. `shape`: of the JSON that a column of text holds."""

    name: str
    field: Field[Any]
    choices: Sequence[str] = ()
    shape: Any = None
    pattern: re.Pattern[str] | None = None

    @property
    def postgres_type(self) -> str:
        return next(name for kind, name in POSTGRES_TYPES if isinstance(self.field, kind))

    def encoded(self, value: Any) -> Any:
        """What the file says."""
        if value is None:
            return None
        if isinstance(self.field, TimeField):
            return rfc3339(value)
        if self.shape is not None or isinstance(self.field, JsonField):
            return decode_json(value) if isinstance(value, str) else value
        if isinstance(self.field, BooleanField):
            return bool(value)
        return str(value) if isinstance(self.field, BigIntField) else value

    def decoded(self, value: Any) -> Any:
        """What the database takes.

        Raises:
            Wrong: it is nothing of the kind.
        """
        if value is None:
            if self.field.null:
                return None
            raise Wrong("must not be null")
        return self._reader(value)

    @property
    def _reader(self) -> Callable[[Any], Any]:
        if self.shape is not None:
            return self._shaped
        if isinstance(self.field, TimeField):
            return as_time
        if isinstance(self.field, JsonField):
            return as_ids
        if isinstance(self.field, BooleanField):
            return as_bool
        if isinstance(self.field, BigIntField):
            return as_id
        return as_number if isinstance(self.field, IntField) else self._text

    def _shaped(self, value: Any) -> str:
        try:
            return encode_json(msgspec.convert(value, self.shape))
        except msgspec.ValidationError as error:
            raise Wrong(f"is not as it must be: {error}") from None

    def _text(self, value: Any) -> str:
        if not isinstance(value, str) or BAD_TEXT.search(value):
            raise Wrong(WHY_BAD if isinstance(value, str) else "must be text")
        most = getattr(self.field, "max_length", None)
        if most is not None and len(value) > most:
            raise Wrong(f"must have at most {most} characters")
        if self.choices and value not in self.choices:
            raise Wrong(f"must be one of {', '.join(self.choices)}")
        if self.pattern and not self.pattern.fullmatch(value):
            raise Wrong(f"must be like {self.pattern.pattern}")
        return value


def as_id(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and int(value) <= MAX_ID:
        return int(value)
    raise Wrong("must be an id, as a string of digits")


def as_ids(value: Any) -> str:
    """The one kind of JSON that columns hold."""
    if not isinstance(value, list):
        raise Wrong("must be a list of ids")
    return encode_json([str(as_id(each)) for each in value])


def as_time(value: Any) -> int:
    if isinstance(value, str):
        try:
            return milliseconds(value, "")
        except Invalid:
            pass
    raise Wrong("must be a time like 2026-11-24T01:47:00.123Z")


def as_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise Wrong("must be true or false")


def as_number(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= NUMBER_MAX:
        return value
    raise Wrong("must be a whole number")


@dataclass(frozen=True)
class Kind:
    """A kind of record.

    Args:
        name: as the file has it.
        model: the table.
        same: the columns by which two records of one id are the same thing; the others may have changed since.
        refers: column → the kind of record that it names by id.
        unique: columns of which no two records have the same; those of which both are in `same` are the same thing under another id.
        choices: column → what may stand in it.
        shapes: column of text that holds JSON → its type.
        patterns: column → what its text is like.
        secret: columns that are exported only when asked for.
        local: columns that tell of this server alone: they are never exported, and begin anew.
        counts: column → what is counted anew of the row that it names: a counter in a file counts what that server had.
    """

    name: str
    model: type[Model]
    same: Sequence[str]
    refers: Mapping[str, str] = field(default_factory=dict)
    unique: Sequence[Sequence[str]] = ()
    choices: Mapping[str, Sequence[str]] = field(default_factory=dict)
    shapes: Mapping[str, Any] = field(default_factory=dict)
    patterns: Mapping[str, re.Pattern[str]] = field(default_factory=dict)
    secret: Sequence[str] = ()
    local: Sequence[str] = ()
    counts: Mapping[str, Counter] = field(default_factory=dict)

    @property
    def table(self) -> str:
        return str(self.model._meta.db_table)

    @cached_property
    def columns(self) -> list[Column]:
        """Those that stand in the file."""
        fields = self.model._meta.fields_map
        return [
            Column(name, each, self.choices.get(name, ()), self.shapes.get(name), self.patterns.get(name))
            for name, each in fields.items()
            if not is_derived(name, fields) and name not in self.local
        ]

    @cached_property
    def derived(self) -> list[str]:
        """Those that are made anew."""
        fields = self.model._meta.fields_map
        return [name for name in fields if is_derived(name, fields)]

    @cached_property
    def begins(self) -> dict[str, Any]:
        """The counted columns, as they are before anything is counted."""
        return {counter.column: counter.begins for counter in COUNTED if counter.table == self.table}

    @property
    def types(self) -> dict[str, str]:
        """All columns, with PostgreSQL's types, in the order of `row`."""
        return {**{column.name: column.postgres_type for column in self.columns}, **dict.fromkeys(self.derived, "text")}

    def record(self, row: Row, *, secrets: bool) -> dict[str, Any]:
        """A row as the file has it."""
        shown = [column for column in self.columns if secrets or column.name not in self.secret]
        return {"record": self.name, **{column.name: column.encoded(row[column.name]) for column in shown}}

    def row(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """A record as the database takes it.

        Raises:
            Wrong: a value is missing, not as it must be, or of no column; it is named.
        """
        if unknown := record.keys() - {column.name for column in self.columns} - {"record"}:
            raise Wrong(f"{min(unknown)} is nothing that a {self.name} has")
        row = {}
        for column in self.columns:
            if column.name not in record and column.name not in self.secret:
                raise Wrong(f"{column.name} is missing")
            try:
                row[column.name] = column.decoded(record.get(column.name))
            except Wrong as wrong:
                raise Wrong(f"{column.name} {wrong}") from None
        for name in self.derived:
            shown = row[name.removesuffix(DERIVED)]
            row[name] = None if shown is None else fold(shown)
        return row


def is_derived(name: str, fields: Mapping[str, Any]) -> bool:
    return name.endswith(DERIVED) and name.removesuffix(DERIVED) in fields


ROLES = ("owner", "admin", "member", "guest")
KINDS = [
    Kind("organisation", tables.Organisation, ["created_at"]),
    Kind(
        "user", tables.User, ["created_at"], {"organisation_id": "organisation"}, [["username_key"], ["email_key"]],
        {"kind": ("person", "bot", "ghost"), "presence_status": ("available", "away", "dnd")}, secret=["password_hash"],
    ),
    Kind(
        "organisation_member", tables.OrganisationMember, ["organisation_id", "user_id"],
        {"organisation_id": "organisation", "user_id": "user"}, [["organisation_id", "user_id"]], {"role": ROLES},
    ),
    Kind("team", tables.Team, ["created_at"], {"organisation_id": "organisation"}),
    Kind("team_member", tables.TeamMember, ["team_id", "user_id"], {"team_id": "team", "user_id": "user"}, [["team_id", "user_id"]]),
    Kind(
        "channel", tables.Channel, ["created_at"], {"organisation_id": "organisation"}, [["pair"]],
        {"type": ("public", "private", "direct")}, local=["bridged"],
    ),
    Kind(
        "team_channel", tables.TeamChannel, ["channel_id", "team_id"], {"channel_id": "channel", "team_id": "team"},
        [["channel_id", "team_id"]], counts={"channel_id": TEAMS},
    ),
    Kind(
        "message", tables.Message, ["user_id", "created_at"],
        {"channel_id": "channel", "user_id": "user", "reply_to": "message", "pinned_by": "user"}, choices={"type": TYPES},
        shapes={"attachments": list[Attachment], "channels": list[str], "preview": Preview},
        counts={"channel_id": LAST_MESSAGE, "reply_to": REPLIES},
    ),
    Kind("file", tables.File, ["sha256"], {"message_id": "message", "user_id": "user"}, [["key"]], patterns={"key": KEY}),
    Kind("message_version", tables.MessageVersion, ["message_id", "version"], {"message_id": "message"}, [["message_id", "version"]]),
    Kind(
        "reaction", tables.Reaction, ["message_id", "emoji", "user_id"], {"message_id": "message", "user_id": "user"},
        [["message_id", "emoji", "user_id"]], counts={"message_id": REACTIONS},
    ),
    Kind("flag", tables.Flag, ["user_id", "message_id"], {"message_id": "message", "user_id": "user"}, [["user_id", "message_id"]]),
    Kind("mention", tables.Mention, ["user_id", "message_id"], {"message_id": "message", "user_id": "user", "channel_id": "channel"}),
    Kind(
        "channel_member", tables.ChannelMember, ["channel_id", "user_id"], {"channel_id": "channel", "user_id": "user"},
        [["channel_id", "user_id"]], {"role": ("owner", "member")}, counts={"channel_id": MEMBERS},
    ),
]  # fmt: skip
"""Every kind, those that others refer to first: the order of an export. Members come last: they are shown a channel that is whole."""
