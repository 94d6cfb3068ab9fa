"""Exports and imports, and a server that is worth one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

from crust.operations.exporting import export
from crust.operations.importing import Import
from crust.runtime import Node, opened
from crust.services.files import Aim
from crust.settings import Settings
from tests.support.people import channel, organisation, person, say


async def exported(settings: Settings, *, passwords: bool = True, files: Path | None = None) -> bytes:
    out = BytesIO()
    async for _ in export(settings, out, passwords=passwords, files=files):
        pass
    return out.getvalue()


async def imported(node: Node, lines: bytes, *, map_users: bool = False) -> Import:
    work = Import(node.core, map_users=map_users)
    async for _ in work.run(BytesIO(lines)):
        pass
    return work


def records(lines: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.splitlines()]


def without_header(lines: bytes) -> list[bytes]:
    return lines.splitlines()[1:]


def as_lines(found: list[dict[str, Any]]) -> bytes:
    """Records as a file, its end corrected."""
    inner = [record for record in found if record["record"] not in ("crust", "end")]
    return b"".join(json.dumps(each).encode() + b"\n" for each in [found[0], *inner, {"record": "end", "records": len(inner)}])


async def a_life(settings: Settings) -> None:
    """A server in which there is some of everything."""
    async with opened(settings) as node:
        core = node.core
        ana, ben = await person(node, "ana", is_admin=True), await person(node, "ben")
        elsewhere = await organisation(node, ana, ben)
        place = await channel(node, ana, ben)
        team = await core.teams.create(ana, "Builders", [ben.user_id], None, None)
        await core.channels.create(
            ana, name="team-talk", topic="ours", type_="public", organisation_id=None, members=[], key=None, team_id=int(team.id)
        )
        await core.channels.create(ana, name="", topic="", type_="direct", organisation_id=None, members=[ben.user_id], key=None)
        first = await say(node, ana, place, "a word for @ben: Grüße 你好世界")
        answer = await core.messages.post(ben, place, "an answer", reply_to=int(first.id), client_msg_id=None, key=None)
        await core.messages.edit(ana, int(first.id), "another word for @ben: Grüße 你好世界", None)
        await core.messages.react(ben, int(first.id), "👍")
        await core.messages.pin(ben, int(first.id))
        await core.messages.flag(ben, int(answer.id), flagged=True)
        gone = await say(node, ana, place, "taken back")
        await core.messages.remove(ana, int(gone.id))
        async with core.files.receiving(some(b"what we will do")) as received:
            await core.files.send(ana, Aim(channel_id=place), received, "plan.txt", None)
        assert elsewhere


async def some(data: bytes) -> AsyncIterator[bytes]:
    yield data
