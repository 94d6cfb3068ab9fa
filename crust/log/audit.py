"""The record of administrative acts: who did what to whom, written in the change that does it.

Most acts are events already, so they are taken from there; what is no event is noted by name (`Change.audit`). Nothing that anybody said
is in it, and no secret.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct

AUDIT_COLUMNS = {
    "id": "bigint", "user_id": "bigint", "username": "text", "client_id": "text", "address": "text", "act": "text",
    "organisation_id": "bigint", "object": "bigint", "details": "text", "at": "bigint",
}  # fmt: skip
ALL_EVENTS = frozenset({"organisation", "team"})  # types of which every event is an administrative act
CHANNEL_EVENTS = frozenset({"archived", "unarchived", "removed", "moved", "merged", "shared", "unshared", "linked", "unlinked"})
SHOWN = ("name", "username", "role", "user_id", "changed", "left")  # of an event's body
ADDRESS_MAX = 64


@dataclass(frozen=True, slots=True)
class By:
    """Who asks for a change. `user_id` is 0 for whoever is no user; `username` then says who it is."""

    user_id: int
    username: str
    client_id: str = ""
    address: str = ""


SERVER = By(0, "the server")
COMMAND_LINE = By(0, "the command line")
asked_by: ContextVar[By] = ContextVar("asked_by", default=SERVER)
"""Set where a request comes in; a change that it leads to runs in the same task."""


@contextmanager
def asking(by: By) -> Iterator[None]:
    """For the length of a block it is this one who asks."""
    token = asked_by.set(by)
    try:
        yield
    finally:
        asked_by.reset(token)


def administrative(type_: str, event: str, body: Struct, by: By) -> bool:
    """Whether an event is an act over others, and no everyday one of one's own."""
    if type_ in ALL_EVENTS:
        return True
    if type_ == "channel":
        return event in CHANNEL_EVENTS
    if type_ == "member":
        over_others = getattr(body, "by", None) != getattr(body, "user_id", None)
        return over_others and (getattr(body, "channel_id", None) is None or event == "parted")
    if getattr(body, "kind", None) == "ghost":  # a bridge makes and renames those, as they come
        return False
    return type_ == "user" and (event != "edited" or str(by.user_id) != getattr(body, "id", None))


def shown(body: Struct, visibility: str) -> dict[str, Any]:
    """What of an event's body the record keeps: of a private channel not its name, which admins outside do not know."""
    kept = [name for name in SHOWN if name != "name" or visibility != "private"]
    return {name: value for name in kept if (value := getattr(body, name, None)) is not None}


def row(id_: int, by: By, act: str, organisation_id: int, object_: int, details: dict[str, Any], at: int) -> tuple[Any, ...]:
    """An act as its table has it."""
    text = msgspec.json.encode(details).decode()
    return id_, by.user_id, by.username, by.client_id, by.address[:ADDRESS_MAX], act, organisation_id, object_, text, at
