"""Requests and frames that no client should send; each is refused in its own way, and nothing else happens."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from tests.e2e.soak.people import Person
from tests.e2e.soak.wire import Ended, Refused, Wire

JSON = {"Content-Type": "application/json"}
LOST = "9007199254740993"  # an id that nothing has
ANSWER_S = 10.0

REQUESTS: list[tuple[str, str, int, Mapping[str, Any]]] = [
    ("GET", "/no/such/path", 404, {}),
    ("GET", "//user/me", 404, {}),
    ("GET", "/message/edit", 405, {}),
    ("PUT", "/user/me", 405, {}),
    ("GET", "/user/me", 401, {"headers": {"X-Session-ID": ""}}),
    ("GET", "/user/me", 401, {"headers": {"X-Session-ID": "0" * 43}}),
    ("GET", "/user/me", 401, {"headers": {"X-Client-ID": "somebody-else"}}),
    ("GET", "/user/me", 422, {"headers": {"X-Client-ID": "no spaces"}}),
    ("POST", "/message/edit", 400, {"content": b"{", "headers": JSON}),
    ("POST", "/message/edit", 400, {"content": b"[1]", "headers": JSON}),
    ("POST", "/message/edit", 400, {"content": b"[" * 5000, "headers": JSON}),
    ("POST", "/message/edit", 400, {"content": b"\xff\xfe", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}),
    ("POST", "/message/edit", 400, {"content": b"contents=a", "headers": {"Content-Type": "text/plain"}}),
    ("POST", "/message/edit", 400, {"content": b"--x\r\nnonsense", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}),
    ("POST", "/message/edit", 400, {"content": b"a", "headers": {"Content-Type": "multipart/form-data"}}),
    ("POST", "/message/edit", 413, {"content": b"x" * 1_100_000, "headers": JSON}),
    ("POST", "/message/edit", 422, {"data": {"contents": "where?"}}),
    ("POST", "/message/edit", 422, {"json": {"channel_id": [1], "contents": "a"}}),
    ("POST", "/message/edit", 422, {"json": {"channel_id": "1", "contents": {"a": 1}}}),
    ("POST", "/message/edit", 422, {"data": {"channel_id": "1", "contents": "a"}, "headers": {"Idempotency-Key": "k" * 65}}),
    ("POST", "/message/edit", 404, {"data": {"channel_id": LOST, "contents": "a"}}),
    ("POST", "/message/edit", 404, {"data": {"id": LOST, "contents": "a"}}),
    ("DELETE", "/message/remove", 404, {"params": {"id": LOST}}),
    ("DELETE", "/message/remove", 422, {}),
    ("GET", "/message/read", 422, {}),
    ("GET", "/message/read", 422, {"params": {"id": "abc"}}),
    ("GET", "/message/read", 422, {"params": {"id": "99999999999999999999"}}),
    ("GET", "/message/read", 422, {"params": {"channel_id": "1", "limit": "0"}}),
    ("GET", "/message/read", 422, {"params": {"channel_id": "1", "limit": "201"}}),
    ("GET", "/message/read", 404, {"params": {"channel_id": LOST}}),
    ("POST", "/channel/edit", 422, {"data": {"name": "two\nlines", "topic": ""}}),
    ("POST", "/channel/edit", 422, {"data": {"name": "", "topic": ""}}),
    ("POST", "/channel/edit", 422, {"data": {"name": "x", "topic": "", "type": "secret"}}),
    ("POST", "/channel/edit", 422, {"data": {"name": "", "topic": "", "type": "direct"}}),
    ("POST", "/channel/edit", 422, {"data": {"name": "x", "topic": "", "members": LOST}}),
    ("POST", "/channel/join", 404, {"data": {"id": LOST}}),
    ("POST", "/user/presence", 422, {"data": {"status": "bored"}}),
    ("POST", "/user/presence", 422, {"data": {"status": "away", "until": "tomorrow"}}),
    ("DELETE", "/user/session", 404, {"params": {"id": LOST}}),
    ("GET", "/websocket/client", 400, {}),
    ("OPTIONS", "/user/me", 405, {}),
    ("HEAD", "/user/me", 200, {}),
    ("GET", "/health/ready", 200, {}),
    ("GET", "/openapi.json", 200, {}),
]


async def ask_nonsense(p: Person) -> None:
    """Any of the above."""
    method, path, status, how = p.chance.choice(REQUESTS)
    await p.raw(method, path, {status}, how)


async def ask_badly_in_a_channel(p: Person) -> None:
    """What is refused because of the contents, or because two things do not go together."""
    channel = p.chance.choice(p.world.steady)
    bad: list[tuple[str, str, int, dict[str, Any]]] = [
        ("POST", "/message/edit", 422, {"contents": " \n"}),
        ("POST", "/message/edit", 413, {"contents": "x" * 16_001}),
        ("POST", "/message/edit", 422, {"contents": "a\0b"}),
        ("POST", "/message/edit", 404, {"contents": "a", "reply_to": LOST}),
        ("POST", "/message/edit", 422, {"contents": "a", "client_msg_id": "k" * 65}),
        ("GET", "/message/read", 422, {"around": "5", "before": "9"}),
    ]
    method, path, status, fields = p.chance.choice(bad)
    await p.ask(method, path, {status}, {"channel_id": channel.id, **fields})


# ---- frames


FRAMES: list[tuple[str, Any, int]] = [
    ("nonsense", {}, 400),
    ("ping", [], 400),
    ("login", {"session_id": "x"}, 400),
    ("typing", {"channel_id": "1"}, 422),
    ("typing", {"channel_id": LOST, "state": "start"}, 404),
    ("typing", {"channel_id": "x", "state": "start"}, 422),
    ("options", {"batch": "perhaps"}, 422),
    ("call", {"path": "/user/me"}, 422),
    ("call", {"method": "PATCH", "path": "/user/me"}, 422),
    ("call", {"method": "GET", "path": "/no/such/path"}, 404),
    ("call", {"method": "GET", "path": "/message/edit"}, 405),
    ("message", {}, 422),
    ("message", {"contents": "where?"}, 422),
    ("message", {"user_id": LOST, "contents": "who?"}, 404),
    ("join", {"channel_id": LOST}, 404),
    ("read", {}, 422),
    ("presence", {"status": "bored"}, 422),
]
UNUSABLE = ("no json", "[]", "{}", '{"id": 1, "type": "ping"}', '{"id": "", "type": "ping"}', '{"id": "\ud800', "[" * 2000, "")


async def send_nonsense(p: Person) -> None:
    """Any of the above; each has its error."""
    if not p.wire.open:
        return
    if p.often(0.3):
        answer = await p.wire.error_of(p.chance.choice(UNUSABLE).encode("utf-8", "replace").decode())
        p.ledger.answered("frame", "an unusable one", answer, {400})
    else:
        verb, data, status = p.chance.choice(FRAMES)
        await p.frame(verb, data, {status})
    await p.frame("ping", {}, {200})


async def flood(p: Person) -> None:
    """More at once than may be under way: some are refused, every one is answered."""
    if p.wire.open:
        asked = [await p.wire.begin("ping", {}) for _ in range(60)]
        for task in asked:
            p.ledger.answered("frame", "ping", await task, {200, 429})


async def go_too_far(p: Person) -> None:
    """What ends a socket, with its own code."""
    wire = p.new_wire(p.account.headers)
    ends: list[tuple[list[str | bytes], int]] = [
        ([b"\0"], 4000),
        (["no json"] * 20, 4000),
        (["x" * 300_000], 1009),
        (["ж" * 200_000], 1009),
    ]
    frames, code = p.chance.choice(ends)
    await wire.connect()
    wire.may_close(code)
    with suppress(Ended):
        for frame in frames:
            await wire.send(frame)
    await closes(p, wire)


async def never_sign_in(p: Person) -> None:
    """No session, and a login that is wrong."""
    wire = p.new_wire({})
    try:
        await wire.connect(login={"session_id": "0" * 43, "client_id": "stranger"})
    except Refused as refused:
        p.ledger.answered("frame", "login", refused.args[0], {401})
    await closes(p, wire)


async def closes(p: Person, wire: Wire) -> None:
    if not await wire.ended(ANSWER_S):
        p.ledger.fault("dead socket kept", f"{p.account.username} should have been closed long ago")
        await wire.drop()
    p.wires.remove(wire)


# ---- bytes


def half_a_request(p: Person) -> list[bytes]:
    return [
        b"POST /message/edit HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nX-Session-ID: " + p.account.session_id.encode() + b"\r\n\r\nhalf"
    ]


async def hang_up_in_mid_sentence(p: Person) -> None:
    """Bytes that are no request, half a request, half an upgrade: and then a reset, a farewell, or some silence first."""
    upgrade = b"GET /websocket/client HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    said = p.chance.choice(
        [[b""], [b"\x16\x03\x01\x02\x00\x01"], [b"GET / HTTP/1.1\r\nHo"], half_a_request(p), [upgrade, b"Sec-WebSocket-Key: eA==\r\n\r\n"]]
    )
    parts = urlsplit(p.place.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    with suppress(OSError):
        for part in said:
            writer.write(part)
            await writer.drain()
        if p.often(0.3):
            await asyncio.wait_for(reader.read(65536), p.chance.uniform(0.05, 1))
    if p.often(0.5):
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()
    else:
        writer.close()


async def repeat_an_id(p: Person) -> None:
    """Two requests under one id: at least one answer, and the connection goes on."""
    if p.wire.open:
        await p.wire.send(json.dumps({"id": "twice", "type": "ping", "data": {}}))
        await p.wire.send(json.dumps({"id": "twice", "type": "ping", "data": {}}))
        await p.frame("ping", {}, {200})
