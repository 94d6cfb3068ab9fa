"""People of a demo, signed in, with what they do to a Crust server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from crust.torture.accounts import Account as Person
from tests.benchmarks.client import Http, Websocket
from tests.benchmarks.load import Receiver, Sender

PATH = "/websocket/client"
TOGETHER = 20  # sockets that are opened at once
READY_S = 60.0


async def call(http: Http, person: Person, method: str, path: str, **fields: object) -> Any:
    """An API call that must succeed; gives its response."""
    status, body = await http.request(method, path, person.headers, fields)
    if status != 200:
        raise SystemExit(f"{method} {path}: {status} {body.decode()}")
    return json.loads(body).get("response")


async def channel_of(port: int, people: Sequence[Person]) -> str:
    """A new public channel with all of them; gives its id."""
    http = await Http.open(port)
    made = await call(http, people[0], "POST", "/channel/edit", name="benchmark", topic="")
    for person in people[1:]:
        await call(http, person, "POST", "/channel/join", id=made["id"])
    http.close()
    return str(made["id"])


async def speakers(port: int, people: Sequence[Person], channel: str) -> list[Sender]:
    """A way to speak for each of them, on a connection of its own."""

    async def speaker(person: Person) -> Sender:
        http = await Http.open(port)

        async def send(contents: str) -> None:
            await call(http, person, "POST", "/message/edit", channel_id=channel, contents=contents)

        return send

    return [await speaker(person) for person in people]


async def opened(port: int, person: Person, on_text: Callable[[bytes], None], *, place: str = "", batch: bool = False) -> Websocket:
    """A websocket that is ready; `place` resumes, `batch` asks for joined frames."""
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def until_ready(frame: bytes) -> None:
        if b'"type":"ready"' in frame and not ready.done():
            ready.set_result(None)
        on_text(frame)

    socket = await Websocket.open(port, f"{PATH}?resume={place}" if place else PATH, person.headers, until_ready)
    if batch:
        socket.send('{"id":"b","type":"options","data":{"batch":true}}')
    async with asyncio.timeout(READY_S):
        await ready
    socket.on_text = on_text
    return socket


@asynccontextmanager
async def listening(port: int, people: Sequence[Person], *, batch: bool = False) -> AsyncIterator[list[Receiver]]:
    """A receiver for each of them."""
    receivers = [Receiver() for _ in people]
    sockets: list[Websocket] = []
    pairs = list(zip(people, receivers, strict=True))
    for start in range(0, len(pairs), TOGETHER):
        some = pairs[start : start + TOGETHER]
        sockets += await asyncio.gather(*(opened(port, person, receiver, batch=batch) for person, receiver in some))
    try:
        yield receivers
    finally:
        for socket in sockets:
            socket.drop()
