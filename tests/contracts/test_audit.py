"""The record of administrative acts."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from crust.api.calls import Context, Registry
from crust.clock import SystemClock
from crust.errors import Conflict, CrustError, Forbidden, Invalid
from crust.log.audit import COMMAND_LINE, SERVER, asked_by
from crust.operations.backup import back_up
from crust.operations.progress import Step
from crust.runtime import NOUNS, Node, opened
from crust.services.actor import Actor
from crust.services.invitations import NewAccount
from crust.services.limits import TokenBuckets
from crust.services.paging import Part
from crust.services.views import ViewedAct
from crust.settings import Limits, Settings
from tests.support.people import channel, organisation, person, say
from tests.support.recounting import recounted
from tests.support.transfer import exported, imported

pytestmark = pytest.mark.asyncio


class Asking:
    """Calls as they come in, from an address."""

    def __init__(self, node: Node) -> None:
        self._registry = Registry(TokenBuckets.of(Limits(enabled=False), SystemClock()))
        for noun in NOUNS:
            noun.register(self._registry, node.core)

    async def __call__(self, who: Actor, method: str, path: str, **params: object) -> dict[str, object]:
        context = Context("r", address="192.0.2.7", client_id=who.client_id, actor=who)
        answer = await self._registry.run(self._registry.find(method, path), context, params)
        found: dict[str, object] = msgspec.json.decode(answer.envelope).get("response") or {}
        return found


def told(acts: list[ViewedAct]) -> list[str]:
    """The acts, oldest first."""
    return [act.act for act in reversed(acts)]


async def test_who_did_what_from_where(settings: Settings) -> None:
    """Each act over others in an organisation is there, with who asked for it and on what; everyday ones are not, nor are words."""
    async with opened(settings) as node:
        ana, bob = await person(node, "ana", is_admin=True), await person(node, "bob")
        ask = Asking(node)
        place = str((await ask(ana, "POST", "/organisation/edit", name="Elsewhere"))["id"])
        await ask(ana, "POST", "/organisation/invite", id=place, user_id=str(bob.user_id))
        await ask(ana, "POST", "/organisation/role", id=place, user_id=str(bob.user_id), role="admin")
        room = str((await ask(bob, "POST", "/channel/edit", name="room", topic="Quellwolke", organisation_id=place))["id"])
        await ask(ana, "POST", "/channel/join", id=room)
        await ask(bob, "POST", "/message/edit", channel_id=room, contents="Quellwolke")
        await ask(bob, "POST", "/channel/kick", id=room, user_id=str(ana.user_id))
        await ask(bob, "POST", "/channel/archive", id=room)
        await ask(ana, "DELETE", "/organisation/expel", id=place, user_id=str(bob.user_id))
        acts = await node.core.audit.of_organisation(ana, int(place), Part())
        assert told(acts) == [
            "organisation created", "member joined", "member role", "member parted", "channel archived",
            "member parted", "member parted",  # from the channel, and so from the organisation
        ]  # fmt: skip
        role = next(act for act in acts if act.act == "member role")
        assert (role.username, role.user_id, role.client_id, role.address) == ("ana", str(ana.user_id), "client-ana", "192.0.2.7")
        assert role.object == str(bob.user_id)
        assert role.details["role"] == "admin"
        assert "Quellwolke" not in str(acts)


async def test_what_others_said_or_pinned_is_taken_away(settings: Settings) -> None:
    """By whom, and whose it was; what it said is not there, and what one takes back oneself is nobody's act."""
    async with opened(settings) as node:
        ana, bob = await person(node, "ana", is_admin=True), await person(node, "bob")
        place = await organisation(node, ana, bob)
        room = await channel(node, ana, bob, organisation_id=place)
        before = len(await node.core.audit.of_organisation(ana, place, Part()))
        own, other = await say(node, bob, room, "Quellwolke"), await say(node, bob, room, "Quellwolke")
        await node.core.messages.pin(bob, int(own.id))
        await node.core.messages.unpin(bob, int(own.id))
        await node.core.messages.remove(bob, int(own.id))
        await node.core.messages.pin(bob, int(other.id))
        await node.core.messages.unpin(ana, int(other.id))
        await node.core.messages.remove(ana, int(other.id))
        acts = await node.core.audit.of_organisation(ana, place, Part())
        assert told(acts)[before:] == ["pin removed", "message removed"]
        for act in acts[:2]:
            assert (act.object, act.details) == (other.id, {"channel_id": str(room), "user_id": str(bob.user_id)})
        assert "Quellwolke" not in str(acts)


async def test_it_names_no_private_channel(settings: Settings) -> None:
    """An organisation's admins who are not in one do not learn what it is called."""
    async with opened(settings) as node:
        ana, bob = await person(node, "ana", is_admin=True), await person(node, "bob")
        place = str(await organisation(node, ana, bob))
        ask = Asking(node)
        for type_, name in (("private", "Quellwolke"), ("public", "Kiesel")):
            room = (await ask(bob, "POST", "/channel/edit", name=name, topic="", type=type_, organisation_id=place))["id"]
            await ask(bob, "POST", "/channel/archive", id=room)
        acts = await node.core.audit.of_organisation(ana, int(place), Part())
        assert [act.details.get("name") for act in acts if act.act == "channel archived"] == ["Kiesel", None]
        assert "Quellwolke" not in str(acts)


async def test_what_was_refused_is_not_there(settings: Settings) -> None:
    """The act and its record are one change: there is none of either."""
    async with opened(settings) as node:
        ana, bob = await person(node, "ana", is_admin=True), await person(node, "bob")
        place = await organisation(node, ana, bob)
        before = told(await node.core.audit.of_organisation(ana, place, Part()))
        with pytest.raises(CrustError):
            await Asking(node)(bob, "POST", "/organisation/archive", id=str(place))
        assert told(await node.core.audit.of_organisation(ana, place, Part())) == before


async def test_who_may_read_it(settings: Settings) -> None:
    """An organisation's owners and admins its own; the server's administrators all."""
    async with opened(settings) as node:
        root, ana, bob = await person(node, "root", is_admin=True), await person(node, "ana"), await person(node, "bob")
        place = await organisation(node, root, ana, bob)
        await node.core.organisations.give_role(root, place, ana.user_id, "owner")
        await node.core.organisations.expel(ana, place, root.user_id)
        await node.core.audit.of_organisation(ana, place, Part())
        with pytest.raises(Forbidden):
            await node.core.audit.of_organisation(bob, place, Part())
        assert await node.core.audit.of_organisation(root, place, Part())
        with pytest.raises(Forbidden):
            await node.core.audit.of_server(ana, Part())
        assert {act.act for act in await node.core.audit.of_server(root, Part())} == {"user created"}


@pytest.mark.parametrize("page", [False, True])
async def test_who_comes_in_by_a_link_is_who_acts(settings: Settings, page: bool) -> None:
    """With the address that they came from, over the API and the page; the invitation says by whom it was made."""
    async with opened(settings) as node:
        ana = await person(node, "ana", is_admin=True)
        place = await organisation(node, ana)
        made = await node.core.invitations.make(ana, place, role="member", email=None, uses=1)
        before = len(await node.core.audit.of_organisation(ana, place, Part()))
        account = NewAccount(made.url.partition("token=")[2], "bob", None, None, "correct horse")
        if page:
            await node.core.invitations.enrol(account, "192.0.2.8")
        else:
            await node.core.invitations.register(account, "client-bob", "192.0.2.8", "")
        acts = await node.core.audit.of_organisation(ana, place, Part())
        assert told(acts)[before:] == ["invitation used", "user created", "member joined"]
        (bob,) = {act.object for act in acts if act.act == "user created"}
        by = ("bob", bob, "192.0.2.8", "" if page else "client-bob")
        assert {(act.username, act.user_id, act.address, act.client_id) for act in acts[:3]} == {by}
        assert asked_by.get() is SERVER


async def test_what_becomes_of_an_account_is_one_act(settings: Settings) -> None:
    """For the server, however many organisations somebody is in; each of these has it, too."""
    async with opened(settings) as node:
        ana, bob = await person(node, "ana", is_admin=True), await person(node, "bob")
        places = [await organisation(node, ana, bob) for _ in range(3)]
        for change in (node.core.profiles.suspend, node.core.profiles.unsuspend, node.core.profiles.suspend):
            await change("bob")
        expected = ["user suspended", "user edited", "user suspended"]
        assert told(await node.core.audit.of_server(ana, Part()))[-3:] == expected
        assert told(await node.core.audit.all(username=None, since=0, limit=50))[-3:] == expected
        for place in places:
            assert told(await node.core.audit.of_organisation(ana, place, Part()))[-3:] == expected
        await node.core.profiles.unsuspend("bob")
        for place in [*places, int((await node.core.accounts.me(bob)).organisation_id or 0)]:
            await node.core.organisations.expel(bob, place, bob.user_id)
        await node.core.profiles.suspend("bob")
        acts = await node.core.audit.of_server(ana, Part())
        assert told(acts)[-2:] == ["user edited", "user suspended"]
        assert {act.organisation_id for act in acts} == {None}


async def test_work_on_the_whole_server_is_noted_before_it_begins(settings: Settings, tmp_path: Path) -> None:
    """As the server's act, not its organisations': a backup that was cut off is there, what was refused or only looked is not."""

    def stop(_step: Step) -> None:
        raise InterruptedError

    async with opened(settings) as node:
        ana = await person(node, "ana", is_admin=True)
        home = int((await node.core.accounts.me(ana)).organisation_id or 0)
        before = len(await node.core.audit.of_server(ana, Part()))
    lines = await exported(settings, passwords=False)
    (tmp_path / "mine").write_text("keep")
    for folder, error in ((tmp_path / "backup", InterruptedError), (tmp_path, Conflict)):
        with pytest.raises(error):
            await back_up(settings, folder, stop)
    async with opened(settings) as node:
        await imported(node, lines)
        with pytest.raises(Invalid):
            await imported(node, lines[:10])
        await recounted(node, dry=True)
        await recounted(node)
        acts = await node.core.audit.of_server(ana, Part())
        assert told(acts)[before:] == ["server exported", "server backed up", "server imported", "server recounted"]
        assert [act.details for act in acts[:4]] == [{}, {"map_users": False}, {}, {"passwords": False}]
        assert not any(act.act.startswith("server") for act in await node.core.audit.of_organisation(ana, home, Part()))


async def test_the_command_line_is_named(settings: Settings) -> None:
    """As itself, for it is no user; every way of listing finds it."""
    async with opened(settings) as node:
        await person(node, "ana", is_admin=True)
        token = asked_by.set(COMMAND_LINE)
        await node.core.profiles.suspend("ana")
        await node.core.profiles.unsuspend("ana")
        await node.core.profiles.set_password("ana", "battery staple")
        made = await node.core.tokens.create("ana", name="build")
        await node.core.tokens.revoke(made.id)
        asked_by.reset(token)
        acts = await node.core.audit.all(username="The command line", since=0, limit=50)
        assert told(acts) == ["user suspended", "user edited", "user password", "token created", "token revoked"]
        assert {act.user_id for act in acts} == {None}
        assert made.secret not in str(acts)
        assert await node.core.audit.all(username=None, since=node.core.clock.now() + 60_000, limit=50) == []
