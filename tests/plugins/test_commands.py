"""commands: what people type after a slash, done as themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from crust.errors import CrustError, Forbidden, Invalid, NotFound
from crust.runtime import opened
from crust.services.actor import Actor
from crust.services.keys import Key, fingerprint
from crust.settings import Settings
from tests.support.hosting import Hosted, hosted
from tests.support.people import channel, person
from tests.support.plugins import instance

pytestmark = pytest.mark.asyncio
FOLDER = Path(__file__).parents[2] / "plugins"


@asynccontextmanager
async def commanding(settings: Settings) -> AsyncIterator[tuple[Hosted, Actor, Actor, int]]:
    async with opened(settings) as node:
        ana, ben = await person(node, "ana", is_admin=True), await person(node, "ben")
        room = await channel(node, ana)
    async with hosted(settings, FOLDER, {"commands": instance("commands"), "polls": instance("polls")}, running=False) as at:
        yield at, ana, ben, room


async def run(at: Hosted, who: Actor, room: int, line: str, key: str | None = None) -> str | None:
    once = None if key is None else Key(f"{who.user_id}", key, fingerprint(line))
    return (await at.node.core.commands.run(who, room, line, once)).text


async def test_they_speak_as_their_caller(settings: Settings) -> None:
    """Said by whoever runs them, once for a request that comes again; and only where they may."""
    async with commanding(settings) as (at, ana, ben, room):
        for _ in range(2):
            assert await run(at, ana, room, "/me waves  snake_case", "one") is None
        await run(at, ana, room, "/shrug no idea")
        await run(at, ana, room, "/shrug")
        await run(at, ana, room, "/topic What we build")
        assert await run(at, ana, room, "/topic") == "The topic is: What we build"
        page = await at.node.core.messages.read(ana, room, before=None, after=None, around=None, limit=50)
        said = [each.contents for each in page.messages if each.type == "MESSAGE"]
        assert said == [r"_waves snake\_case_", r"no idea ¯\\\_(ツ)\_/¯", r"¯\\\_(ツ)\_/¯"]
        assert {each.user_id for each in page.messages} == {str(ana.user_id)}
        for line in ("/me waves", "/topic Mine"):
            with pytest.raises(Forbidden):
                await run(at, ben, room, line)


async def test_invite(settings: Settings) -> None:
    """Everybody who can be; nobody who is not there."""
    async with commanding(settings) as (at, ana, ben, room):
        assert await run(at, ana, room, "/invite @ben @ben") == "Brought in: @ben"
        assert (
            len(await at.node.database.fetch("SELECT 1 FROM channel_member WHERE channel_id = $1 AND user_id = $2", room, ben.user_id)) == 1
        )
        with pytest.raises(Invalid, match="nobody of that name"):
            await run(at, ana, room, "/invite @nobody")


async def test_help(settings: Settings) -> None:
    """All commands, others' too, or one with those that belong to it; what there is not is said."""
    async with commanding(settings) as (at, ana, _, room):
        everything = await run(at, ana, room, "/help") or ""
        for name in ("/me", "/shrug", "/topic", "/invite", "/help", "/poll", "/poll close"):
            assert f"`{name}" in everything
        one = (await run(at, ana, room, "/help poll") or "").splitlines()
        assert [line.split(" ")[1].strip("`") for line in one] == ["/poll", "/poll"]
        with pytest.raises(NotFound, match="no command /nothing here"):
            await run(at, ana, room, "/help nothing")


@pytest.mark.parametrize("line", ["/me", "/invite", "/invite ana extra-nobody"])
async def test_what_does_not_fit(settings: Settings, line: str) -> None:
    """It is refused with how it is written."""
    async with commanding(settings) as (at, ana, _, room):
        with pytest.raises(CrustError, match="Usage: /"):
            await run(at, ana, room, line)
