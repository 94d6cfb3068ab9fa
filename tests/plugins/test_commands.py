"""commands: what people type after a slash, done as themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from crust_commands import SmallCommands
from crust_polls import Polls

from crust.errors import CrustError, Forbidden, Invalid, NotFound
from crust.settings import Settings
from crust.testing import Host, Instance, hosted

pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def commanding(settings: Settings) -> AsyncIterator[Host]:
    async with hosted(Instance(SmallCommands, name="commands"), Polls, settings=settings) as host:
        yield host


async def test_they_speak_as_their_caller(settings: Settings) -> None:
    """Said by whoever runs them, once for a request that comes again; and only where they may."""
    async with commanding(settings) as host:
        ana, ben = host.user("owner"), host.user("ben")
        room = await host.channel("#room")
        assert await host.assert_idempotent(ana.runs("/me waves  snake_case", room)) is None
        await host.assert_idempotent(ana.runs("/shrug no idea", room))
        await ana.runs("/shrug", room)
        await host.assert_idempotent(ana.runs("/topic What we build", room))
        assert await ana.runs("/topic", room) == "The topic is: What we build"
        assert await host.said(room) == [
            r"owner: _waves snake\_case_", r"owner: no idea ¯\\\_(ツ)\_/¯", r"owner: ¯\\\_(ツ)\_/¯",
        ]  # fmt: skip
        for line in ("/me waves", "/topic Mine"):
            with pytest.raises(Forbidden):  # who is not in the channel
                await host.node.core.commands.run(await ben.actor(), int(room.id), line, None)


async def test_invite(settings: Settings) -> None:
    """Everybody who can be; nobody who is not there."""
    async with commanding(settings) as host:
        room, ben = int((await host.channel("#room")).id), await host.user("ben").actor()
        assert await host.assert_idempotent(host.user("owner").runs("/invite @ben @ben", "#room")) == "Brought in: @ben"
        members = await host.node.database.fetch("SELECT user_id FROM channel_member WHERE channel_id = $1", room)
        assert [row["user_id"] for row in members].count(ben.user_id) == 1
        with pytest.raises(Invalid, match="nobody of that name"):
            await host.user("owner").runs("/invite @nobody", "#room")


async def test_help(settings: Settings) -> None:
    """All commands, others' too, or one with those that belong to it; what there is not is said."""
    async with commanding(settings) as host:
        ana = host.user("ana")
        everything = await ana.runs("/help") or ""
        for name in ("/me", "/shrug", "/topic", "/invite", "/help", "/poll", "/poll close"):
            assert f"`{name}" in everything
        one = (await ana.runs("/help poll") or "").splitlines()
        assert [line.split(" ")[1].strip("`") for line in one] == ["/poll", "/poll"]
        with pytest.raises(NotFound, match="no command /nothing here"):
            await ana.runs("/help nothing")


@pytest.mark.parametrize("line", ["/me", "/invite", "/invite ana extra-nobody"])
async def test_what_does_not_fit(settings: Settings, line: str) -> None:
    """It is refused with how it is written."""
    async with commanding(settings) as host:
        with pytest.raises(CrustError, match="Usage: /"):
            await host.user("ana").runs(line)
