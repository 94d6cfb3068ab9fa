"""welcome: greets newcomers, once."""

from __future__ import annotations

import pytest
from crust_welcome import Welcome

from crust.settings import Settings
from crust.testing import hosted, problems


@pytest.mark.asyncio
async def test_it_greets_newcomers_once(settings: Settings) -> None:
    """By their names, each time that they come, in the channels that are named; neither programs nor in others; a repeat is none."""
    config = {"greeting": "Welcome, {name} ({mention})!", "channels": ["Room"]}
    async with hosted(Welcome, config=config, settings=settings) as host:
        ben, program = host.user("ben"), await host.node.core.accounts.add("program", password=None, bot=True)
        room = await host.channel("#room")
        await host.assert_idempotent(ben.joins(room))
        await ben.joins("#other")
        await host.node.core.channels.invite(await host.user("owner").actor(), int(room.id), int(program.id))
        await host.settle()
        assert await host.said(room) == ["welcome: Welcome, ben (@ben)!"]
        assert await host.said("#other") == []
        await ben.leaves(room)
        await ben.joins(room)
        await host.settle()
        assert await host.said(room) == ["welcome: Welcome, ben (@ben)!"] * 2


@pytest.mark.parametrize("greeting", ["{nam}", "{0}", "{", " ", "{name.x}"])
def test_a_greeting_that_cannot_be_said(greeting: str) -> None:
    """It is refused at start, by its place in the file."""
    assert problems(Welcome, {"greeting": greeting})[0].startswith("plugins.welcome.config.greeting: ")


@pytest.mark.asyncio
async def test_nobody_is_greeted_where_nobody_may_speak(settings: Settings) -> None:
    """A channel that is archived as soon as somebody came: the event is done with, and nothing is parked."""
    async with hosted(Welcome, settings=settings) as host:
        room = await host.channel("#room")
        await host.end()
        await host.user("ben").joins(room)
        await host.node.core.archiving.archive(await host.user("owner").actor(), int(room.id))
        await host.begin()
        await host.settle()
        assert await host.parked() == []
