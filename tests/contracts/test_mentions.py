"""Channels that messages name: by those who see them, to those who may."""

from __future__ import annotations

import json

import pytest

from crust.runtime import opened
from crust.settings import Settings
from tests.support.people import channel, events, organisation, person, position, say

pytestmark = pytest.mark.asyncio


async def test_channels_are_named_where_all_may_see_them(settings: Settings) -> None:
    """Those open to the organisation, by name whatever its case; not private, another team's or another organisation's ones, nor those that
    the author does not see. An edit names anew, a removal nothing."""
    async with opened(settings) as node:
        ana, ben = await person(node, "ana", is_admin=True), await person(node, "ben")
        room, general = await channel(node, ana, ben), await channel(node, ana, name="General")
        await channel(node, ana, ben, name="secret", type_="private")
        await channel(node, ana, name="theirs", organisation_id=await organisation(node, ana, ben))
        team = int((await node.core.teams.create(ana, "Team", [ben.user_id], None, None)).id)
        await node.core.channels.create(
            ana, name="inner", topic="", type_="public", organisation_id=None, members=[], key=None, team_id=team
        )
        before = await position(node)
        message = await say(node, ben, room, "see #general, #secret, #inner, #theirs, #none and `#room`")
        assert message.channels == [str(general)]
        assert json.loads(bytes((await events(node, before))[0].body))["channels"] == [str(general)]
        edited = await node.core.messages.edit(ben, int(message.id), "rather #ROOM", None)
        assert edited.channels == [str(room)]
        home = int((await node.core.accounts.me(ana)).organisation_id or 0)
        await node.core.organisations.give_role(ana, home, ben.user_id, "guest")
        assert (await say(node, ben, room, "#general #room")).channels == [str(room)]
        await node.core.messages.remove(ben, int(message.id))
        assert "rather" not in str([bytes(event.body) for event in await events(node)])


async def test_a_teams_channels_name_each_other(settings: Settings) -> None:
    """Who is in one of a team's channels sees the others."""
    async with opened(settings) as node:
        ana = await person(node, "ana", is_admin=True)
        team = int((await node.core.teams.create(ana, "Team", [ana.user_id], None, None)).id)
        one, two = [
            int(
                (
                    await node.core.channels.create(
                        ana, name=name, topic="", type_="public", organisation_id=None, members=[], key=None, team_id=team
                    )
                ).id
            )
            for name in ("one", "two")
        ]
        assert (await say(node, ana, one, "#two")).channels == [str(two)]
        assert (await say(node, ana, await channel(node, ana), "#two")).channels == []
