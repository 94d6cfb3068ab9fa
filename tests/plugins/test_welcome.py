"""welcome: greets newcomers, once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from crust.host.registration import registered
from crust.runtime import opened
from crust.services.actor import Actor
from crust.settings import Settings
from tests.support.hosting import Hosted, hosted
from tests.support.people import channel, person
from tests.support.plugins import instance, with_plugins

FOLDER = Path(__file__).parents[2] / "plugins"


async def said(at: Hosted, who: Actor, room: int) -> list[str | None]:
    """What people and bots said in a channel."""
    page = await at.node.core.messages.read(who, room, before=None, after=None, around=None, limit=50)
    return [message.contents for message in page.messages if message.type == "MESSAGE"]


@pytest.mark.asyncio
async def test_it_greets_newcomers_once(settings: Settings) -> None:
    """By their names, each time that they come, in the channels that are named; neither programs nor in others; a repeat is none."""
    config = {"greeting": "Welcome, {name} ({mention})!", "channels": ["Room"]}
    async with opened(settings) as node:
        ana, ben = await person(node, "ana", is_admin=True), await person(node, "ben")
        room, other = await channel(node, ana), await channel(node, ana, name="other")
        bot = await node.core.accounts.add("program", password=None, bot=True)
    async with hosted(settings, FOLDER, {"greeter": instance("welcome", config=config)}) as at:
        await at.settled("greeter")
        channels = at.node.core.channels
        await channel(at.node, ben, name="room")
        await channels.join(ben, room)
        await channels.join(ben, other)
        await channels.invite(ana, room, int(bot.id))
        await at.settled("greeter")
        assert await said(at, ana, room) == ["Welcome, ben (@ben)!"]
        assert await said(at, ana, other) == []
        async with at.node.database.transaction():  # all of it again
            await at.node.database.execute("UPDATE delivery SET state = 'waiting', claim = 0 WHERE consumer = 'greeter'")
        at.host.engine.wake("greeter")
        await asyncio.sleep(0.1)
        await at.settled("greeter")
        assert await said(at, ana, room) == ["Welcome, ben (@ben)!"]
        await channels.part(ben, room)
        await channels.join(ben, room)
        await at.settled("greeter")
        assert await said(at, ana, room) == ["Welcome, ben (@ben)!"] * 2


@pytest.mark.parametrize("greeting", ["{nam}", "{0}", "{", " ", "{name.x}"])
def test_a_greeting_that_cannot_be_said(greeting: str) -> None:
    """It is refused at start, by its place in the file."""
    _, [refused] = registered(with_plugins(Settings(), FOLDER, it=instance("welcome", config={"greeting": greeting})))
    assert refused.problems[0].startswith("plugins.it.config.greeting: ")
