"""Every list of the API is walked from either end, in small pages, and gives each thing once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import get_origin

import pytest

from crust.api.calls import Call, Page, Registry
from crust.api.lists import Listed
from crust.api.openapi import parts, unwrapped
from crust.errors import Invalid
from crust.ids import MAX_ID
from crust.runtime import Node, opened
from crust.services.actor import Actor
from crust.settings import Settings
from tests.support.asking import ask, every, registry
from tests.support.bridges import bridged, linked
from tests.support.commands import offer
from tests.support.people import channel, organisation, person, say

pytestmark = pytest.mark.asyncio
MANY = 5
SMALL = 2
PARAMETERS: dict[str, Mapping[str, str]] = {
    "/organisation/search": {},
    "/organisation/members": {"id": "organisation"},
    "/organisation/invitations": {"id": "organisation"},
    "/organisation/audit": {"id": "organisation"},
    "/team/search": {},
    "/user/search": {},
    "/user/sessions": {},
    "/channel/search": {},
    "/channel/members": {"id": "channel"},
    "/message/read": {"channel_id": "channel"},
    "/message/search": {"query": "word"},
    "/message/thread": {"id": "message"},
    "/message/history": {"id": "message"},
    "/message/delivery": {"id": "message"},
    "/command/search": {"channel_id": "channel"},
    "/plugin/search": {},
    "/server/audit": {},
    "/bridge/search": {},
}
"""What each list is asked for with; values are names of things, or themselves."""

EMPTY = {"/message/delivery", "/plugin/search"}  # there are neither bridges nor plugins
NEWEST_FIRST = {"/organisation/audit", "/server/audit", "/user/sessions", "/message/search"}
BOUNDS: tuple[dict[str, int], ...] = ({}, {"after": 1}, {"before": MAX_ID}, {"after": 1, "before": MAX_ID})


def lists(calls: Registry) -> list[Call]:
    """Every call that gives a list."""
    return [call for call in every(calls) if any(get_origin(unwrapped(part)) is list for part in parts(call.result))]


@dataclass
class Scene:
    """Somebody, and things of each kind."""

    actor: Actor
    things: Mapping[str, str]


async def scene(node: Node) -> Scene:
    """Several of everything that there are lists of."""
    root = await person(node, "root", is_admin=True)
    offer(node, *(f"hello-{n}" for n in range(MANY)))
    others = [await person(node, f"someone{n}") for n in range(MANY)]
    actor = root
    for n in range(MANY):
        actor = (await node.core.sessions.sign_in("root", "correct horse", f"client-{n}", "", "")).actor
    places = [await organisation(node, actor, *others, name=f"Place {n}") for n in range(MANY)]
    rooms = [await channel(node, actor, *others, organisation_id=places[0], name=f"room {n}") for n in range(MANY)]
    for n in range(MANY):
        await node.core.teams.create(actor, f"Team {n}", [], places[0], None)
        await node.core.invitations.make(actor, places[0], role="member", email=None, uses=1)
    message = int((await say(node, actor, rooms[0], "word 0")).id)
    for n in range(MANY):
        await node.core.messages.post(others[n], rooms[0], f"word {n}", reply_to=message, client_msg_id=None, key=None)
        await node.core.messages.edit(actor, message, f"a word {n}", None)
        bridged(node, others[n].user_id, f"bridge-{n}")
        await linked(node, rooms[n], f"bridge-{n}")
        await linked(node, rooms[0], f"bridge-{n}")
    return Scene(actor, {"organisation": str(places[0]), "channel": str(rooms[0]), "message": str(message)})


class Asking:
    """A list, asked for by somebody who knows of it what the contract says of all lists."""

    def __init__(self, calls: Registry, call: Call, scene: Scene) -> None:
        self._calls, self._call, self._actor = calls, call, scene.actor
        self._fixed = {name: scene.things.get(value, value) for name, value in PARAMETERS[call.path].items()}

    async def page(self, **params: int) -> tuple[list[int], str | None]:
        answer = await ask(self._calls, self._call, self._actor, {**self._fixed, **params})
        return [int(each["id"]) for each in answer["response"]], answer["next"]

    async def walk(self, bounds: Mapping[str, int]) -> list[list[int]]:
        """All pages from there on."""
        pages, where = [], dict(bounds)
        while True:
            page, on = await self.page(**where, limit=SMALL)
            pages.append(page)
            if on is None:
                return pages
            assert len(page) == SMALL
            backward = page[0] > page[-1] or (self._call.path == "/message/read" and "after" not in where)
            where["before" if backward else "after"] = int(on)


async def test_every_list_is_a_page(settings: Settings) -> None:
    """What gives a list takes the three parameters and bears `next`; each is tried below."""
    async with opened(settings) as node:
        found = lists(registry(node))
        assert {call.path for call in found} == set(PARAMETERS)
        for call in found:
            assert any(get_origin(part) is Page for part in parts(call.result)), call.path
            assert issubclass(call.params, Listed), call.path


async def test_every_list_is_walked_from_either_end(settings: Settings) -> None:
    """From where it begins, from its oldest, from its newest, and between two bounds: each thing comes once, in order."""
    async with opened(settings) as node:
        there, calls = await scene(node), registry(node)
        for call in lists(calls):
            asking = Asking(calls, call, there)
            everything, on = await asking.page(limit=200)
            assert on is None
            assert (len(everything) >= MANY) != (call.path in EMPTY), call.path
            assert everything == sorted(everything, reverse=call.path in NEWEST_FIRST), call.path
            for bounds in BOUNDS:
                walked = [id_ for page in await asking.walk(bounds) for id_ in page]
                assert sorted(walked) == sorted(everything), (call.path, bounds)


async def test_the_order_of_a_part(settings: Settings) -> None:
    """A bound that stands alone is what the part lies next to; the two that say their order themselves keep it."""
    async with opened(settings) as node:
        there, calls = await scene(node), registry(node)
        for call in lists(calls):
            if call.path in EMPTY:
                continue
            asking = Asking(calls, call, there)
            everything = sorted((await asking.page(limit=200))[0])
            first, last = everything[0], everything[-1]
            later, _ = await asking.page(after=first, limit=SMALL)
            earlier, _ = await asking.page(before=last, limit=SMALL)
            between, on = await asking.page(after=first, before=last, limit=200)
            assert later == (everything[:-3:-1] if call.path == "/message/search" else everything[1:3]), call.path
            assert earlier == (everything[-3:-1] if call.path == "/message/read" else everything[-2:-4:-1]), call.path
            assert (sorted(between), on) == (everything[1:-1], None), call.path
            descends = all(one > other for one, other in pairwise(between))
            assert descends == (call.path in NEWEST_FIRST), call.path


async def test_bounds_are_checked(settings: Settings) -> None:
    """What is no id, and a limit out of range, is refused by name, whatever the list."""
    async with opened(settings) as node:
        there, calls = await scene(node), registry(node)
        for call in lists(calls):
            asking = Asking(calls, call, there)
            for name, value in (("after", 0), ("before", -1), ("limit", 0), ("limit", 201)):
                with pytest.raises(Invalid) as refused:
                    await asking.page(**{name: value})
                assert refused.value.field == name, call.path
