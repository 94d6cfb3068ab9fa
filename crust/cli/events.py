"""`crust events`: look into the log."""

from __future__ import annotations

from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from crust.broker.asyncapi import asyncapi
from crust.broker.follower import Follower
from crust.cli.common import Config, Json, core
from crust.clock import rfc3339
from crust.events.event import Event

app = App(name="events", help="Look into the event log; describe what RabbitMQ carries of it.")


@app.command
async def tail(
    *,
    lines: Annotated[int, Parameter(name=["--lines", "-n"], help="How many of the newest to begin with.")] = 10,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], help="Go on with what comes, until interrupted.", negative="")] = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Print the newest events. Private channels' are among them: this is for operators."""
    async with core(config) as node:
        head = await node.log.head()
        start = max(0, head.position - max(0, lines))
        if not follow:
            for event in await node.log.read(start, head.position, max(1, lines)):
                print(shown(event, json=json))
            return
        async for events in Follower(node.log, node.broker, start).events():
            for event in events:
                print(shown(event, json=json), flush=True)


@app.command
def schema() -> None:
    """Print the AsyncAPI 3 description of what goes out over RabbitMQ, on the exchange crust.v1.events, as JSON."""
    print(msgspec.json.format(msgspec.json.encode(asyncapi()), indent=2).decode())


def shown(event: Event, *, json: bool) -> str:
    """One event on one line."""
    if json:
        return msgspec.json.encode(event).decode()
    where = f"channel {event.channel}" if event.channel else f"organisation {event.organisation}" if event.organisation else ""
    whom = f"for {event.recipient}" if event.recipient else ""
    parts = [str(event.position), rfc3339(event.at), f"{event.type} {event.event}", where, whom, bytes(event.body).decode()]
    return "  ".join(part for part in parts if part)
