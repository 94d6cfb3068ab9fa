"""Column types of our own."""

from __future__ import annotations

from typing import Any

import msgspec
from tortoise.fields import BigIntField, JSONField


class IdField(BigIntField):
    """A 63-bit id that we make ourselves.

    Tortoise's migrations forget `generated=False` on an integer key and would then drop and re-add the key with every new migration;
    forcing it here cures that. On SQLite the column must be spelt INTEGER, otherwise it is no alias of the row id.
    """

    def __init__(self, **kwargs: Any) -> None:
        if kwargs.get("primary_key") or kwargs.get("pk"):
            kwargs["generated"] = False
        super().__init__(**kwargs)

    class _db_sqlite:  # noqa: N801  # Tortoise looks it up by this name
        SQL_TYPE = "INTEGER"


class TimeField(BigIntField):
    """Milliseconds since 1970, UTC: the same on every database, and cheap to read and compare."""


def encode_json(value: Any) -> str:
    """JSON text by our own codec, so that a migration never depends on which other codec happens to be installed."""
    return msgspec.json.encode(value).decode()


def decode_json(text: str | bytes) -> Any:
    """The inverse of `encode_json`."""
    return msgspec.json.decode(text)


class JsonField(JSONField[Any]):
    """JSON with our own codec."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "encoder": encode_json, "decoder": decode_json})
