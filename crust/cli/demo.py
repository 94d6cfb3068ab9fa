"""`crust demo`: an empty server filled with people, channels and talk."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter
from cyclopts.validators import Number

from crust.cli.common import Config, core
from crust.cli.progress import progress
from crust.operations.progress import Step
from crust.services.demo import Demo, Resident

SECRET_FILE = 0o600


async def demo(
    *,
    users: Annotated[int, Parameter(help="How many people.", validator=Number(gte=1, lte=100_000))] = 20,
    channels: Annotated[int, Parameter(help="How many channels.", validator=Number(gte=1, lte=10_000))] = 5,
    messages: Annotated[int, Parameter(help="How many messages, over all channels.", validator=Number(gte=0, lte=100_000_000))] = 200,
    sessions: Annotated[
        Path | None, Parameter(help="Write a session of each of them here: one JSON object a line. It holds secrets.")
    ] = None,
    config: Config = None,
) -> None:
    """Fill an empty server with people, channels and talk, to try it on or to measure it."""
    password = secrets.token_urlsafe(9)
    async with core(config) as node:
        made = Demo(node.core, password)
        people: list[Resident] = []
        async for some in made.people(users):
            people += some
            progress(Step("people", len(people), users))
        places = await made.channels(people, channels)
        said = 0
        async for count in made.talk(people, places, messages):
            said += count
            progress(Step("messages", said, messages))
    if sessions is not None:
        write_sessions(sessions, people)
    progress.end()
    print(
        f"{len(people)} people, {len(places)} channels, {said} messages. Sign in as {people[0].actor.username} with the password {password}"
    )


def write_sessions(path: Path, people: list[Resident]) -> None:
    """One JSON object a line, in a file that only its owner reads."""
    path.touch(SECRET_FILE)
    path.chmod(SECRET_FILE)
    with path.open("wb") as file:
        for actor, secret in people:
            line = {"user_id": str(actor.user_id), "username": actor.username, "session_id": secret, "client_id": actor.client_id}
            file.write(msgspec.json.encode(line) + b"\n")
