"""Sockets and sessions that come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from tests.e2e.soak.people import Person
from tests.e2e.soak.wire import Wire

END_S = 10.0  # within which a session's end must have closed its sockets; the protocol promises 5


async def come(p: Person) -> None:
    """Be connected; or, being so, leave in some way, and come back at once or at some later turn."""
    if p.wire.open:
        ways: list[Callable[[], Awaitable[None]]] = [p.wire.close, p.wire.close, p.wire.reset, p.wire.hang_up, partial(leave_politely, p)]
        way = p.chance.choice(ways)
        await way()
        if p.often(0.5):
            return
    await p.wire.connect(resume=p.often(0.85), batch=p.often(0.5), narrow=p.often(0.1))


async def leave_politely(p: Person) -> None:
    p.wire.may_close(1000, 1005)
    await p.frame("quit", {}, {200})
    if not await p.wire.ended():
        p.ledger.fault("unexpected close", f"{p.account.username} said quit and was not closed")


async def come_with_nonsense(p: Person) -> None:
    """Resume from where nobody can: a fresh start."""
    if p.wire.open:
        await p.wire.close()
    await p.wire.connect(place=p.chance.choice(["nonsense", "0.1", f"{p.wire.epoch}.999999999999", "%00.5", "a.b.c.-1"]))


async def ping(p: Person) -> None:
    if p.wire.open:
        await p.frame("ping", {}, {200})


async def doze(p: Person) -> None:
    """Read nothing for a moment, and then all of it."""
    if p.wire.open:
        p.wire.freeze()
        await asyncio.sleep(p.chance.uniform(0.1, 2))
        p.wire.thaw()


# ---- sessions


async def sign_in(p: Person) -> None:
    """A second session: it works, in calls and by a socket's first frame, until it is ended in one way or the other."""
    device = p.token()
    fields = {"username": p.account.username, "password": p.place.password, "client_id": device}
    answer = await p.raw("POST", "/user/login", {200}, {"data": fields, "headers": {"X-Client-ID": device, "X-Session-ID": ""}})
    if answer.status != 200:
        return
    p.client.cookies.clear()
    secret = answer.response["session_id"]
    own = {"headers": {"X-Session-ID": secret, "X-Client-ID": device}}
    await p.raw("GET", "/user/me", {200}, own)
    wire = await second_wire(p, secret, device) if p.often(0.7) else None
    await sign_out(p, device, own)
    await p.raw("GET", "/user/me", {401}, own)
    if wire is not None:
        if not await wire.ended(END_S):
            p.ledger.fault("dead socket kept", f"{p.account.username}: the session ended {END_S} s ago")
            await wire.drop()
        p.wires.remove(wire)


async def second_wire(p: Person, secret: str, device: str) -> Wire:
    """A socket of that session, signed in by the upgrade or by a frame."""
    wire = p.new_wire({"X-Session-ID": secret, "X-Client-ID": device})
    await wire.connect(login={"session_id": secret, "client_id": device} if p.often(0.5) else None)
    p.ledger.answered("frame", "ping", await wire.ask("ping", {}), {200})
    wire.may_close(4001)
    return wire


async def sign_out(p: Person, device: str, own: dict[str, Any]) -> None:
    """By itself, or from one's other session's list."""
    if p.often(0.5):
        await p.raw("POST", "/user/logout", {200}, own)
        p.client.cookies.clear()
        return
    listed = await p.ask("GET", "/user/sessions", {200}, {})
    [session_id] = [each["id"] for each in listed.response if each["client_id"] == device]
    await p.ask("DELETE", "/user/session", {200}, {"id": session_id})
    await p.ask("DELETE", "/user/session", {404}, {"id": session_id})


async def sign_in_wrongly(p: Person) -> None:
    """A wrong password, or nobody's name."""
    name = p.chance.choice([p.account.username, "nobody.at.all"])
    await p.raw("POST", "/user/login", {401}, {"data": {"username": name, "password": p.token()}, "headers": {"X-Session-ID": ""}})
