"""The websocket protocol in words, beside the tables that it is run by; a test holds the two together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from crust.events.catalogue import CATALOGUE
from crust.ws.protocol import VERBS, Close, Fields

CALLS = {
    "join": ("POST", "/channel/join"), "part": ("POST", "/channel/part"), "message": ("POST", "/message/edit"),
    "presence": ("POST", "/user/presence"), "read": ("POST", "/channel/view"),
}  # fmt: skip
"""Verbs that are calls of the API: the call checks their data, and answers."""
RENAMED = {verb: {"id": "channel_id"} for verb in ("join", "part", "read")}
"""What of a call's parameters is called otherwise in frames."""
MORE: dict[str, dict[str, Any]] = {
    "message": {"user_id": {"type": "string", "description": "Instead of channel_id: to the direct channel with them, which is opened."}},
}
"""What verbs take beside their call's parameters."""

TOLD = {
    "login": "Signs the connection in, where the upgrade bore no session; the first frame, within 10 seconds.",
    "join": "Joins a public channel.",
    "part": "Leaves a channel.",
    "message": "Posts, or with `id` edits. Two of them to one channel keep their order.",
    "typing": "Tells the channel that one types, or has stopped. It is told, not stored.",
    "presence": "Says how reachable one is.",
    "call": "Any call of the API, in a frame: the same parameters, rights and answer. What streams (files) goes over HTTP alone.",
    "read": "Moves the read mark.",
    "options": "After `batch: true` a frame of the server may be a JSON array of frames, in order.",
    "ping": "Answered with the server's `time`.",
    "quit": "Ends the connection with 1000.",
}
FRAMES = {
    "hello": "The first frame: `connection_id`, `epoch`, `position`, `resumed`, `server`, `user`, `heartbeat`, `limits`.",
    "channel": "A channel as it comes into view: with `members` (up to 100), `members_count`, `messages` (the newest, oldest first),"
    " `has_more`, `unread`, `mentions`.",
    "ready": "All that belongs to the start has been sent; now comes what happens.",
    "unread": "`channel_id`, `unread`, `mentions`, `last_read_id`: one's mark has moved, or one was mentioned. To oneself only.",
    "typing": "`channel_id`, `user_id`, `state`. May be dropped under load.",
    "presence": "`user_id` and `presence`. May be dropped under load.",
    "shutdown": "The server goes away; come back after `reconnect_after` seconds.",
}
CLOSES = {
    Close.NORMAL: "The client said `quit`.",
    Close.GOING_AWAY: "The server ends or restarts; `shutdown` said when to come back.",
    Close.TOO_BIG: "A frame was longer than `limits` in `hello` says.",
    Close.INTERNAL: "An error of the server; its log says which.",
    Close.PROTOCOL: "A binary frame, or too many unusable frames in a row.",
    Close.SESSION_ENDED: "No session, or it was ended or has run out.",
    Close.FORBIDDEN: "The account is suspended.",
    Close.SLOW: "More waited for this client than is kept; resume, nothing is lost.",
    Close.SILENT: "Nothing was heard for too long, not even a pong.",
    Close.TOO_MANY: "This person has too many connections.",
    Close.RATE: "Limits were passed again and again.",
}


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb.

    `data`: the JSON Schema of what it takes, as far as the protocol itself looks at it; `call`: method and path of the call that takes the
    rest, its parameters under their own names but for those `renamed`.
    """

    name: str
    does: str
    data: Mapping[str, Any]
    call: tuple[str, str] | None
    renamed: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Description:
    """The whole: `events` maps each type to its events, and each of these to the name of its body's schema in `schemas`."""

    verbs: list[Verb]
    frames: Mapping[str, str]
    closes: Mapping[int, str]
    events: Mapping[str, Mapping[str, str]]
    schemas: Mapping[str, Any]


def description() -> Description:
    """What the tables of the protocol and of the events say."""
    events: dict[str, dict[str, str]] = {}
    for (type_, event), body in CATALOGUE.items():
        events.setdefault(type_, {})[event.upper()] = body.__name__
    _, schemas = msgspec.json.schema_components(set(CATALOGUE.values()), ref_template="#/components/schemas/{name}")
    return Description([verb(name) for name in VERBS], FRAMES, {int(code): why for code, why in CLOSES.items()}, events, schemas)


def verb(name: str) -> Verb:
    kind = VERBS[name]
    checked = {"properties": MORE.get(name, {})} if issubclass(kind, Fields) else msgspec.json.schema(kind)["$defs"][kind.__name__]
    return Verb(name, TOLD[name], checked, CALLS.get(name), RENAMED.get(name, {}))
