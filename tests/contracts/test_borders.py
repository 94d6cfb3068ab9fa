"""Every call of the API, asked by nobody and by somebody outside the organisation: a call that is not listed here fails the test."""

from __future__ import annotations

from typing import Any

import pytest

from crust.api.calls import Context, Registry
from crust.clock import SystemClock
from crust.errors import CrustError, NotFound, Unauthenticated
from crust.runtime import NOUNS, Node, opened
from crust.services.actor import Actor
from crust.services.limits import TokenBuckets
from crust.settings import Limits, Settings
from tests.support.people import channel, events, organisation, person, position, put, say, show
from tests.support.pictures import picture

pytestmark = pytest.mark.asyncio
SECRET = "Quellwolke"  # in the name of all that the organisation has

OPEN = {("POST", "/user/login"), ("POST", "/user/register")}
"""Calls that need no session."""

OWN = {
    ("GET", "/user/me"), ("GET", "/user/sessions"), ("POST", "/user/logout"), ("DELETE", "/user/session"), ("POST", "/user/presence"),
    ("POST", "/user/edit"), ("POST", "/user/password"), ("PUT", "/user/avatar"), ("DELETE", "/user/avatar"),
    ("POST", "/organisation/accept"),
}  # fmt: skip
"""Calls that are about the caller alone, and take no id of anybody else's things."""

ADMINISTRATORS = {("GET", "/server/audit")}
"""Calls for the server's administrators, who are told nothing of what is in an organisation."""

SEARCHES: dict[tuple[str, str], dict[str, Any]] = {
    ("GET", "/organisation/search"): {"query": SECRET, "archived": True},
    ("GET", "/channel/search"): {"query": SECRET, "archived": True, "organisation_id": "organisation"},
    ("GET", "/team/search"): {"query": SECRET, "archived": True, "organisation_id": "organisation"},
    ("GET", "/user/search"): {"query": SECRET},
    ("GET", "/message/search"): {"query": SECRET},
}
"""Calls that find nothing of the organisation; a word that names one of its things stands for that thing's id."""

AIMED: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/organisation/edit"): {"id": "organisation", "name": "x"},
    ("DELETE", "/organisation/remove"): {"id": "organisation"},
    ("GET", "/organisation/read"): {"id": "organisation"},
    ("POST", "/organisation/archive"): {"id": "organisation"},
    ("POST", "/organisation/unarchive"): {"id": "organisation"},
    ("GET", "/organisation/members"): {"id": "organisation"},
    ("POST", "/organisation/invite"): {"id": "organisation", "user_id": "outsider"},
    ("GET", "/organisation/invitations"): {"id": "organisation"},
    ("DELETE", "/organisation/invitation"): {"id": "invitation"},
    ("GET", "/organisation/audit"): {"id": "organisation"},
    ("POST", "/organisation/role"): {"id": "organisation", "user_id": "outsider", "role": "owner"},
    ("DELETE", "/organisation/expel"): {"id": "organisation", "user_id": "insider"},
    ("POST", "/team/edit"): {"id": "team", "name": "x"},
    ("DELETE", "/team/remove"): {"id": "team"},
    ("GET", "/team/read"): {"id": "team"},
    ("POST", "/team/archive"): {"id": "team"},
    ("POST", "/team/unarchive"): {"id": "team"},
    ("POST", "/team/move"): {"id": "team", "organisation_id": "home"},
    ("POST", "/team/merge"): {"destination": "team", "source": "team"},
    ("POST", "/channel/edit"): {"name": "x", "topic": "", "organisation_id": "organisation"},
    ("DELETE", "/channel/remove"): {"id": "channel"},
    ("GET", "/channel/read"): {"id": "channel"},
    ("POST", "/channel/archive"): {"id": "channel"},
    ("POST", "/channel/unarchive"): {"id": "channel"},
    ("POST", "/channel/move"): {"id": "channel", "organisation_id": "home"},
    ("POST", "/channel/merge"): {"destination": "own", "source": "channel"},
    ("POST", "/channel/share"): {"id": "channel", "team_id": "team"},
    ("POST", "/channel/unshare"): {"id": "channel", "team_id": "team"},
    ("POST", "/channel/mute"): {"id": "channel"},
    ("POST", "/channel/join"): {"id": "channel"},
    ("POST", "/channel/part"): {"id": "channel"},
    ("POST", "/channel/invite"): {"id": "channel", "user_id": "outsider"},
    ("POST", "/channel/kick"): {"id": "channel", "user_id": "insider"},
    ("GET", "/channel/members"): {"id": "channel"},
    ("POST", "/channel/view"): {"id": "channel"},
    ("POST", "/message/edit"): {"channel_id": "channel", "contents": "x"},
    ("GET", "/message/read"): {"channel_id": "channel"},
    ("DELETE", "/message/remove"): {"id": "message"},
    ("GET", "/message/thread"): {"id": "message"},
    ("GET", "/message/history"): {"id": "message"},
    ("GET", "/message/delivery"): {"id": "message"},
    ("POST", "/message/react"): {"id": "message", "emoji": "+1"},
    ("POST", "/message/unreact"): {"id": "message", "emoji": "+1"},
    ("GET", "/user/read"): {"id": "insider"},
    ("POST", "/message/pin"): {"id": "message"},
    ("POST", "/message/unpin"): {"id": "message"},
    ("POST", "/message/flag"): {"id": "message"},
    ("POST", "/message/unflag"): {"id": "message"},
    ("PUT", "/message/attach"): {"channel_id": "channel"},
    ("GET", "/file/read"): {"id": "file"},
    ("GET", "/file/preview"): {"id": "file"},
    ("GET", "/file/avatar"): {"id": "avatar"},
}
"""Calls that say that the organisation's thing is not there."""

AIMED_OTHERWISE: list[tuple[tuple[str, str], dict[str, Any]]] = [
    (("POST", "/team/edit"), {"name": "x", "organisation_id": "organisation"}),
    (("POST", "/channel/edit"), {"id": "channel", "name": "x", "topic": ""}),
    (("POST", "/channel/edit"), {"name": "x", "topic": "", "team_id": "team"}),
    (("POST", "/channel/edit"), {"name": "", "topic": "", "type": "direct", "members": ["insider"]}),
    (("POST", "/channel/move"), {"id": "own", "organisation_id": "organisation"}),
    (("POST", "/channel/move"), {"id": "own", "team_id": "team"}),
    (("POST", "/channel/merge"), {"destination": "channel", "source": "own"}),
    (("POST", "/channel/share"), {"id": "own", "team_id": "team"}),
    (("POST", "/channel/invite"), {"id": "own", "user_id": "insider"}),
    (("POST", "/message/edit"), {"id": "message", "contents": "x"}),
    (("GET", "/message/read"), {"id": "message"}),
    (("PUT", "/message/attach"), {"message_id": "message"}),
]
"""The same calls, aimed at it in other ways."""


def registry(node: Node) -> Registry:
    made = Registry(TokenBuckets.of(Limits(enabled=False), SystemClock()))
    for noun in NOUNS:
        noun.register(made, node.core)
    return made


async def things(node: Node, type_: str) -> tuple[Actor, dict[str, str]]:
    """Somebody outside an organisation, and the ids of what is in it, with a channel of this type."""
    root, insider, outsider = [await person(node, name, is_admin=name == "root") for name in ("root", f"{SECRET}-1", "bob")]
    other = await organisation(node, root, insider, name=SECRET)
    home = int((await node.core.accounts.me(insider)).organisation_id or 0)
    await node.core.organisations.expel(insider, home, insider.user_id)
    room = await channel(node, insider, root, type_=type_, organisation_id=other, name=SECRET)
    message = await say(node, insider, room, SECRET)
    file = (await put(node, insider, f"{SECRET}.txt", SECRET.encode(), channel_id=room)).attachments[0]
    avatar = (await show(node, insider, picture(20, 10))).avatar or ""
    team = await node.core.teams.create(root, SECRET, [insider.user_id], other, None)
    link = await node.core.invitations.make(root, other, role="member", email=None, uses=1)
    return outsider, {
        "invitation": link.id,
        "organisation": str(other), "channel": str(room), "message": message.id, "team": team.id,
        "file": file.id, "avatar": avatar.partition("=")[2],
        "home": str(home), "own": str(await channel(node, outsider)),
        "insider": str(insider.user_id), "outsider": str(outsider.user_id),
    }  # fmt: skip


def aimed(params: dict[str, Any], ids: dict[str, str]) -> dict[str, Any]:
    def of(value: Any) -> Any:
        return [of(each) for each in value] if isinstance(value, list) else ids.get(value, value) if isinstance(value, str) else value

    return {name: of(value) for name, value in params.items()}


async def test_every_call_is_listed(settings: Settings) -> None:
    """Once, and none that there is not."""
    async with opened(settings) as node:
        calls = [(method, path) for path, methods in registry(node).calls.items() for method in methods]
    assert sorted(calls) == sorted([*OPEN, *OWN, *ADMINISTRATORS, *SEARCHES, *AIMED])


async def test_nothing_is_done_for_nobody(settings: Settings) -> None:
    """Without a session, every call but the open ones is refused, whatever it is given."""
    async with opened(settings) as node:
        calls = registry(node)
        for method, path in [*OWN, *ADMINISTRATORS, *SEARCHES, *AIMED]:
            with pytest.raises(Unauthenticated):
                await calls.frame(method, path, Context("r"), {"id": "1"})


@pytest.mark.parametrize("type_", ["public", "private", "direct"])
async def test_nothing_of_an_organisation_is_there_outside(settings: Settings, type_: str) -> None:
    """Aimed at by id, it is not found; searched for, it is not among what is found; and nothing happens."""
    async with opened(settings) as node:
        outsider, ids = await things(node, type_)
        calls, context = registry(node), Context("r", actor=outsider, client_id="c")
        before = await position(node)
        for (method, path), params in [*AIMED.items(), *AIMED_OTHERWISE]:
            try:
                answer: Any = await calls.frame(method, path, context, aimed(params, ids))
            except CrustError as error:
                answer = error
            assert isinstance(answer, NotFound), (path, answer)
            assert SECRET not in answer.message
        for (method, path), params in SEARCHES.items():
            assert await calls.frame(method, path, context, aimed(params, ids)) == b'{"response":[],"next":null}', path
        assert await events(node, before) == []
