"""Idempotency: the same key with the same request does its work once, for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from crust.errors import IdempotencyMismatch
from crust.log import Change
from crust.models.database import Database, Write, inserting

OTHER = "This idempotency key was used for a different request; nothing was stored."
KEY_COLUMNS = {"id": "bigint", "scope": "text", "key": "text", "fingerprint": "text", "result": "bigint"}


@dataclass(frozen=True, slots=True)
class Key:
    """An idempotency key as a request bears it.

    `scope` says whose keys it is among (user and client, plugin instance or link), `fingerprint` what the request asked for.
    """

    scope: str
    key: str
    fingerprint: str


def fingerprint(call: str, *parts: object) -> str:
    """What a request asked for, as 64 characters."""
    return hashlib.sha256(msgspec.json.encode([call, *parts])).hexdigest()


def request_key(scope: str, key: str | None, call: str, *parts: object) -> Key | None:
    """The key of a request, if it bears one."""
    return None if key is None else Key(scope, key, fingerprint(call, *parts))


async def results(database: Database, keys: Sequence[Key]) -> dict[tuple[str, str], tuple[str, int]]:
    """What is known of these keys: (scope, key) → (fingerprint, result)."""
    if not keys:
        return {}
    among = f"scope IN {database.any_of(1, 'text')} AND key IN {database.any_of(2, 'text')}"
    sql = f"SELECT scope, key, fingerprint, result FROM key WHERE {among}"
    scopes, names = sorted({key.scope for key in keys}), sorted({key.key for key in keys})
    rows = await database.fetch(sql, database.as_list(scopes), database.as_list(names))
    return {(row["scope"], row["key"]): (row["fingerprint"], row["result"]) for row in rows}


def match(key: Key, known: tuple[str, int]) -> int:
    """The result that a key has led to before.

    Raises:
        IdempotencyMismatch: it was used for another request.
    """
    before, result = known
    if before != key.fingerprint:
        raise IdempotencyMismatch(OTHER)
    return result


async def result(database: Database, key: Key | None) -> int | None:
    """What one key has led to before, if anything."""
    if key is None:
        return None
    known = (await results(database, [key])).get((key.scope, key.key))
    return None if known is None else match(key, known)


def keep(change: Change, key: Key | None, result: int) -> None:
    """Remember, in the change that did the work, what a key has led to."""
    if key is not None:
        change.write(keeping(change, [(key, result)]))


def keeping(change: Change, kept: Sequence[tuple[Key, int]]) -> Write:
    """The same for many, to be written."""
    rows = [(change.next_id(), key.scope, key.key, key.fingerprint, result) for key, result in kept]
    return inserting("key", KEY_COLUMNS, rows)
