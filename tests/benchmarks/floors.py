"""What the parts can do by themselves: the figures that Crust's own stand beside.

`noop` is a Quart endpoint that does nothing; `fan_out` a bare ASGI websocket that sends every text to all who are connected. Both are
served by the same server as Crust, in a process of their own: `hypercorn tests.benchmarks.floors:noop`.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from quart import Quart

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]

noop = Quart("noop")
connected: set[Send] = set()


@noop.get("/noop")
async def nothing() -> dict[str, Any]:
    return {"response": {}}


async def fan_out(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """A text that anybody sends goes to everybody."""
    if scope["type"] != "websocket":
        await _lifespan(receive, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    connected.add(send)
    try:
        while (message := await receive())["type"] == "websocket.receive":
            event = {"type": "websocket.send", "text": message["text"], "bytes": None}
            for each in list(connected):
                await each(event)
    finally:
        connected.discard(send)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def commits(folder: Path, group: int, seconds: float = 3.0) -> float:
    """Messages a second that plain SQLite stores, each with its event, in transactions of `group`, with synchronous=FULL."""
    database = sqlite3.connect(folder / "floor.db", isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE message (id INTEGER PRIMARY KEY, channel INTEGER, contents TEXT)")
    database.execute("CREATE TABLE event (position INTEGER PRIMARY KEY, body TEXT)")
    count, began = 0, time.monotonic()
    while time.monotonic() - began < seconds:
        database.execute("BEGIN IMMEDIATE")
        database.executemany("INSERT INTO message VALUES (?, 1, ?)", [(count + n, "x" * 200) for n in range(group)])
        database.executemany("INSERT INTO event VALUES (?, ?)", [(count + n, "x" * 500) for n in range(group)])
        database.execute("COMMIT")
        count += group
    database.close()
    return count / (time.monotonic() - began)
