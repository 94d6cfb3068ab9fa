"""Every call that creates takes an Idempotency-Key: a repeat gives what there is, another request under the key nothing."""

from __future__ import annotations

from typing import Any

import pytest

from crust.errors import IdempotencyMismatch
from crust.runtime import Node, opened
from crust.settings import Settings
from tests.support.asking import ask, every, registry
from tests.support.commands import offer
from tests.support.people import channel, organisation, person, position

pytestmark = pytest.mark.asyncio
CREATES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "POST /organisation/edit": ({"name": "One"}, {"name": "Other"}),
    "POST /organisation/invite": ({"id": "$place", "role": "guest"}, {"id": "$place", "role": "member"}),
    "POST /organisation/invite#person": ({"id": "$place", "user_id": "$newcomer"}, {"id": "$place", "user_id": "$other"}),
    "POST /organisation/invite#address": ({"id": "$place", "email": "a@example.org"}, {"id": "$place", "email": "b@example.org"}),
    "POST /team/edit": ({"name": "One"}, {"name": "Other"}),
    "POST /user/register": (
        {"invitation": "$secret", "username": "dora", "password": "correct horse"},
        {"invitation": "$secret", "username": "emil", "password": "correct horse"},
    ),
    "POST /user/register#password": (
        {"invitation": "$secret", "username": "fritz", "password": "correct horse"},
        {"invitation": "$secret", "username": "fritz", "password": "another horse"},
    ),
    "POST /user/add": ({"username": "gerd", "password": "correct horse"}, {"username": "hans", "password": "correct horse"}),
    "POST /channel/edit": ({"name": "one", "topic": ""}, {"name": "other", "topic": ""}),
    "POST /message/edit": ({"channel_id": "$channel", "contents": "one"}, {"channel_id": "$channel", "contents": "other"}),
    "POST /command/run": (
        {"channel_id": "$channel", "command": "/hello"},
        {"channel_id": "$channel", "command": "/hello you"},
    ),
    "PUT /message/attach": ({"channel_id": "$channel", "name": "one"}, {"channel_id": "$channel", "name": "other"}),
}
"""What creates, with two requests that differ."""

CREATES_NOTHING = {
    "DELETE /organisation/remove", "GET /organisation/read", "GET /organisation/search", "POST /organisation/archive",
    "POST /organisation/unarchive", "GET /organisation/members", "GET /organisation/invitations", "DELETE /organisation/invitation",
    "POST /organisation/accept", "GET /organisation/audit", "POST /organisation/role", "DELETE /organisation/expel",
    "DELETE /team/remove", "GET /team/read", "GET /team/search", "POST /team/archive", "POST /team/unarchive", "POST /team/move",
    "POST /team/merge",
    "POST /user/login", "POST /user/logout", "GET /user/me", "GET /user/read", "POST /user/edit", "POST /user/password", "GET /user/search",
    "POST /user/suspend", "POST /user/unsuspend", "GET /user/sessions",
    "DELETE /user/session", "POST /user/presence", "PUT /user/avatar", "DELETE /user/avatar",
    "GET /channel/read", "GET /channel/search", "POST /channel/archive", "POST /channel/unarchive", "DELETE /channel/remove",
    "POST /channel/move", "POST /channel/merge", "POST /channel/share", "POST /channel/unshare", "POST /channel/mute", "POST /channel/join",
    "POST /channel/part", "POST /channel/invite", "POST /channel/kick", "GET /channel/members", "POST /channel/view",
    "GET /message/read", "GET /message/search", "GET /message/thread", "GET /message/history", "GET /message/delivery",
    "DELETE /message/remove", "POST /message/pin", "POST /message/unpin", "POST /message/react", "POST /message/unreact",
    "POST /message/flag", "POST /message/unflag",
    "POST /bridge/link", "POST /bridge/unlink", "DELETE /bridge/unlink", "GET /bridge/search", "POST /bridge/code",
    "DELETE /bridge/identity",
    "GET /file/read", "GET /file/preview", "GET /file/avatar", "GET /server/audit", "GET /command/search",
    "GET /plugin/search",
}  # fmt: skip
"""What changes what is there, so that again is the same, or reads. (A session is for whoever proves who they are, as often as asked.)"""


async def things(node: Node) -> dict[str, Any]:
    """What the requests name."""
    actor = await person(node, "root", is_admin=True)
    offer(node)
    place = await organisation(node, actor)
    link = await node.core.invitations.make(actor, place, role="member", email=None, uses=9)
    return {
        "actor": actor, "$place": str(place), "$channel": str(await channel(node, actor)), "$secret": link.url.partition("token=")[2],
        "$newcomer": str((await person(node, "bob")).user_id), "$other": str((await person(node, "cem")).user_id),
    }  # fmt: skip


async def test_it_is_said_of_every_call(settings: Settings) -> None:
    """Whether it creates; and those that do take the key, and no others."""
    async with opened(settings) as node:
        calls = {f"{call.method} {call.path}": call.creates for call in every(registry(node))}
        creating = {name.partition("#")[0] for name in CREATES}
        assert calls.keys() == creating | CREATES_NOTHING
        assert {name for name, creates in calls.items() if creates} == creating


@pytest.mark.parametrize("name", CREATES)
async def test_a_repeat_creates_nothing(settings: Settings, name: str) -> None:
    """It gives the same thing, marked, and no event; another request under the key is refused, and stores nothing."""
    async with opened(settings) as node:
        there, calls = await things(node), registry(node)
        call = calls.find(*name.partition("#")[0].split())
        body = b"bytes" if call.uploads else None
        same, other = ({field: there.get(value, value) for field, value in each.items()} for each in CREATES[name])
        actor = there["actor"] if call.access == "session" else None
        first = (await ask(calls, call, actor, same, key="one", body=body)).get("response", {})
        before = await position(node)
        for _ in range(2):
            again = (await ask(calls, call, actor, same, key="one", body=body)).get("response", {})
            assert identity(again) == identity(first)
            assert again.get("duplicate", "none") == (True if first else "none")
        with pytest.raises(IdempotencyMismatch):
            await ask(calls, call, actor, other, key="one", body=body)
        assert await position(node) == before
        assert "duplicate" not in first


def identity(response: dict[str, Any]) -> Any:
    """Which thing it is; None where somebody was brought in, for which nothing is shown."""
    return response.get("user", response).get("id")
