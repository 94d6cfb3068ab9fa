"""Links as people, the settings and the command line have them: made, shown, changed and ended, and what is said of what cannot be."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from crust.cli.bridges import tried
from crust.cli.plugins import problems_in
from crust.errors import Conflict, CrustError, Forbidden, NotFound
from crust.runtime import Node, opened
from crust.services.actor import Actor
from crust.services.links import Wish
from crust.settings import Settings
from tests.support.asking import ask, registry
from tests.support.hosting import LOOPBACK, Hosted, hosted, loopback
from tests.support.people import channel, events, person
from tests.support.plugins import instance, with_plugins

pytestmark = pytest.mark.asyncio


class Place:
    """A server with a bridge, and who is on it: ana owns the room and administers, ben is a member."""

    def __init__(self, at: Hosted, network: Any, ana: Actor, ben: Actor, room: int) -> None:
        self.at, self.network, self.ana, self.ben, self.room = at, network, ana, ben, room
        self.calls = registry(at.node)

    async def run(self, line: str, who: Actor | None = None, *, key: str | None = None) -> str:
        """What a command answers."""
        params = {"channel_id": str(self.room), "command": line}
        answer = await ask(self.calls, self.calls.find("POST", "/command/run"), who or self.ana, params, key=key)
        return str(answer["response"]["text"])

    async def ask(self, method: str, path: str, who: Actor | None = None, **params: Any) -> Any:
        return (await ask(self.calls, self.calls.find(method, path), who or self.ana, params))["response"]

    async def rooms(self) -> dict[str, int]:
        return {each.remote_room: each.channel_id for each in await self.at.node.core.links.of_bridge("toy")}


@asynccontextmanager
async def place(settings: Settings, links: list[dict[str, object]] | None = None, *, running: bool = False) -> AsyncIterator[Place]:
    """Such a server; again, with other links in its settings, it is the same one."""
    async with opened(settings) as node:
        if await node.core.accounts.empty():
            ana = await person(node, "ana", is_admin=True)
            await channel(node, ana, await person(node, "ben"))
        ana, ben = [await _actor(node, name) for name in ("ana", "ben")]
        [row] = await node.database.fetch("SELECT id FROM channel WHERE name = 'room'")
    name, module = f"n{secrets.token_hex(4)}", loopback()
    module.NETWORKS[name] = network = module.Network()
    wanted = instance("loopback", config={"address": name}, links=links or [])
    async with hosted(settings, LOOPBACK.parent, {"toy": wanted}, running=running) as at:
        yield Place(at, network, ana, ben, row["id"])


async def _actor(node: Node, name: str) -> Actor:
    [row] = await node.database.fetch('SELECT id, is_admin FROM "user" WHERE username_key = $1', name)
    return Actor(row["id"], name, 1, f"client-{name}", bool(row["is_admin"]))


# ---- by the API


async def test_what_clients_are_told_before_they_send(settings: Settings) -> None:
    """A channel says what it is linked with, what crosses and how much; the call gives its makers the whole of it."""
    async with place(settings) as p:
        made = await p.ask("POST", "/bridge/link", bridge="toy", channel_id=str(p.room), room="#Cats", title="cats", crosses=["files"])
        assert (made["room"], made["title"], made["crosses"], made["configured"]) == ("#cats", "cats", ["files"], False)
        [shown] = (await p.ask("GET", "/channel/read", p.ben, id=str(p.room)))["bridged"]
        assert shown == {
            "link_id": made["id"], "bridge": "toy", "network": "loop.example", "room": "cats", "direction": "both",
            "crossings": {
                "edit": "native", "remove": "native", "react": "native", "reply": "native", "thread": "fallback", "file": "fallback",
                "typing": "native", "formatting": "dropped",
            },
            "characters": 200, "lines": None, "file_bytes": None,
        }  # fmt: skip


async def test_who_finds_which_links(settings: Settings) -> None:
    """Everybody of its organisations finds a bridge; its links are found by who may end them, whole channels or one."""
    async with place(settings) as p:
        other = await channel(p.at.node, p.ben, name="other", type_="private")
        for room in (p.room, other):
            await p.ask("POST", "/bridge/link", p.ana if room == p.room else p.ben, bridge="toy", channel_id=str(room), room=f"#{room}")

        async def found(who: Actor, **params: str) -> list[list[str]]:
            return [[each["channel_id"] for each in one["links"]] for one in await p.ask("GET", "/bridge/search", who, **params)]

        assert await found(p.ana) == [[str(p.room)]], "ana is not in the private channel"
        assert await found(p.ben) == [[str(other)]], "ben does not manage the public one"
        assert await found(p.ben, channel_id=str(p.room)) == [[]]
        assert await found(p.ana, query="to") == [[str(p.room)]]
        assert await found(p.ana, query="x") == []


async def test_one_room_has_one_channel_whoever_links(settings: Settings) -> None:
    """A second one is refused by the call, by the command and by the settings, and named there; the first stays."""
    async with place(settings, [{"channel": "room", "room": "#a"}]) as p:
        other = await channel(p.at.node, p.ana, name="other")
        with pytest.raises(Conflict, match="linked with another channel"):
            await p.ask("POST", "/bridge/link", bridge="toy", channel_id=str(other), room="#A")
        await p.ask("POST", "/bridge/link", bridge="toy", channel_id=str(other), room="#b")
        with pytest.raises(Conflict, match="linked with another channel"):
            await p.run("/bridge link toy #b")
    wanted: list[dict[str, object]] = [{"channel": "room", "room": "#a"}, {"channel": "room", "room": "#B"}]
    async with place(settings, wanted) as p:
        assert p.at.host.instances[0].problems == [
            "the link of #b with room: The room '#b' of toy is linked with another channel: unlink it there first."
        ]
        assert await p.rooms() == {"#a": p.room, "#b": other}


# ---- by a command


async def test_the_command_links_lists_and_ends(settings: Settings) -> None:
    """What it answers says what is so; members may list, and are refused the rest; who reads a code stays alone with it."""
    async with place(settings) as p:
        assert await p.run("/bridge list", p.ben) == "This channel is linked with nothing.\nBridges:\n- toy (loop.example)"
        assert await p.run("/bridge link toy #Cats in") == "This channel is linked with #cats of toy, what is said there comes here."
        assert "- #cats of toy, what is said there comes here" in await p.run("/bridge list", p.ben)
        with pytest.raises(Forbidden, match="owners"):
            await p.run("/bridge link toy #dogs", p.ben)
        with pytest.raises(Forbidden, match="owners"):
            await p.run("/bridge unlink toy #cats", p.ben)
        for wrong, said in (
            ("/bridge link irc #x", "there are: toy"), ("/bridge link toy cats", "begins with #"), ("/bridge me irc", "there are: toy"),
            ("/bridge unlink toy #dogs", "it is linked with: toy #cats"), ("/bridge open", "/bridge link, /bridge list, /bridge me"),
            ("/bridge link toy #x up", "both or in or out"),
        ):  # fmt: skip
            with pytest.raises(CrustError, match=re.escape(said)):
                await p.run(wrong)
        assert await p.run("/bridge unlink toy #CATS") == "The link with #cats of toy has ended."
        assert await p.rooms() == {}


async def test_a_link_is_ended_by_its_room_or_else_by_its_title(settings: Settings) -> None:
    """Where one link's title is another one's room, the room counts; a title need be no room's name; of several it has to be the room."""
    async with place(settings) as p:
        for room, title in (("#a", "#b"), ("#b", "our team"), ("#c", "twins"), ("#d", "twins")):
            await p.at.node.core.links.link(p.ana, p.room, "toy", Wish(room=room, title=title))
        assert await p.run('/bridge unlink toy "our team"') == "The link with our team of toy has ended."
        await p.at.node.core.links.link(p.ana, p.room, "toy", Wish(room="#b"))
        assert await p.run("/bridge unlink toy #B") == "The link with #b of toy has ended."
        with pytest.raises(Conflict, match="Several"):
            await p.run("/bridge unlink toy twins")
        with pytest.raises(NotFound, match="linked with: toy #b; toy twins"):
            await p.run("/bridge unlink toy nobody")
        assert await p.run("/bridge unlink toy #b") == "The link with #b of toy has ended."
        assert set(await p.rooms()) == {"#c", "#d"}


async def test_a_code_is_given_once_and_nowhere_kept(settings: Settings) -> None:
    """`/bridge me` gives one that the bridge knows the caller by; asked again under the same key another, as none is kept in clear."""
    async with place(settings) as p:
        first, second = [str((await p.run("/bridge me toy", p.ben, key="k")).split("`")[1]) for _ in range(2)]
        assert first != second
        assert not await p.at.node.database.fetch("SELECT 1 FROM document WHERE body LIKE $1", f"%{second}%")
        bridge = p.at.plugin("toy").ctx.bridge
        who = loopback().Remote(id="benny", name="Benny")
        with pytest.raises(NotFound):
            await bridge.identify(who, first, trust=loopback().Trust("verified"))
        assert (await bridge.identify(who, second, trust=loopback().Trust("verified"))).username == "ben"


# ---- by the settings


async def test_links_of_the_settings_are_what_stands_there(settings: Settings) -> None:
    """At each start: the same is nothing new, another channel is another link, what is gone has ended, and so for a whole bridge."""
    async with place(settings, [{"channel": "room", "room": "#a"}, {"channel": "#ROOM", "room": "#b"}]) as p:
        assert await p.rooms() == {"#a": p.room, "#b": p.room}
        other = await channel(p.at.node, p.ana, name="other")
        before = len(await events(p.at.node))
    async with place(settings, [{"channel": "room", "room": "#a"}, {"channel": "room", "room": "#b"}]) as p:
        assert len(await events(p.at.node)) == before
    async with place(settings, [{"channel": str(other), "room": "#a"}]) as p:
        assert await p.rooms() == {"#a": other}
        await p.at.node.core.links.link(p.ana, p.room, "toy", Wish(room="#mine"))
    async with hosted(settings, LOOPBACK.parent, {}) as at:
        assert [each.remote_room for each in await at.node.core.links.of_bridge("toy")] == ["#mine"], "people's links stay"


async def test_nobody_changes_what_stands_in_the_settings(settings: Settings) -> None:
    """Neither by the call nor by the command: it says where; the same again is no error."""
    async with place(settings, [{"channel": "room", "room": "#a"}]) as p:
        link = await p.ask("POST", "/bridge/link", bridge="toy", channel_id=str(p.room), room="#a")
        assert link["configured"] is True
        for refused in (
            p.ask("POST", "/bridge/link", bridge="toy", channel_id=str(p.room), room="#a", direction="in"),
            p.ask("DELETE", "/bridge/unlink", id=link["id"]), p.run("/bridge unlink toy #a"),
        ):  # fmt: skip
            with pytest.raises(Conflict, match="stands in the server's settings"):
                await refused


WRONG: list[dict[str, object]] = [
    {"channel": "nowhere", "room": "#a"}, {"channel": "room", "room": "bad"}, {"channel": "room", "room": "#ok"},
    {"channel": "room", "room": "#OK", "direction": "in"}, {"channel": "old", "room": "#old"},
]  # fmt: skip
SAID = [
    "the link of #a with nowhere: There is no channel 'nowhere' where the bridge may be at work.",
    "the link of bad with room: A room of the toy network begins with #.",
    "the link of #ok with room: This room stands there twice, and is linked with one channel only.",
    "the link of #old with old: The channel is archived: it can be read, but not changed.",
]


async def test_a_bridge_that_has_another_name_now_keeps_its_rooms(settings: Settings) -> None:
    """At once: the links of the name that stands there no more end before new ones are made."""
    async with place(settings, [{"channel": "room", "room": "#a"}]) as p:
        ana = p.ana
    wanted = instance("loopback", config={"address": "x"}, links=[{"channel": "room", "room": "#a"}])
    async with hosted(settings, LOOPBACK.parent, {"renamed": wanted}, running=False) as at:
        assert at.host.instances[0].problems == []
        linked = await at.node.core.links.of_channel((await at.node.core.links.of_bridge("renamed"))[0].channel_id)
        assert [each.instance for each in linked] == ["renamed"]
        assert (await at.node.core.channels.read(ana, linked[0].channel_id)).bridged[0].bridge == "renamed"


async def test_links_that_cannot_be_are_said(settings: Settings, tmp_path: Path) -> None:
    """In the instance's state and by `crust plugins check`, each with its reason and without making anything; the others are there."""
    async with place(settings) as p:
        await p.at.node.core.archiving.archive(p.ana, await channel(p.at.node, p.ana, name="old"))
    (tmp_path / "config.toml").write_text(
        f'data_dir = "{settings.data_dir}"\ndatabase_url = "{settings.database_url}"\nplugins_dir = "{LOOPBACK.parent}"\n'
        '[plugins.toy]\nuse = "loopback"\nconfig = {address = "x"}\n'
        + "".join("[[plugins.toy.links]]\n" + "".join(f'{name} = "{value}"\n' for name, value in link.items()) for link in WRONG)
    )
    assert await problems_in(tmp_path / "config.toml") == [f"plugins.toy.links: {said}" for said in SAID]
    async with place(settings, WRONG, running=True) as p:
        assert await p.rooms() == {"#ok": p.room}
        sql = "SELECT body FROM document WHERE instance = 'host' AND collection = 'plugins' AND key = 'toy'"
        async with asyncio.timeout(10):
            while not (rows := await p.at.node.database.fetch(sql)) or "degraded" not in rows[0]["body"]:
                await asyncio.sleep(0.01)
        assert all(said.split(": ")[1][:20] in rows[0]["body"] for said in SAID)


async def test_checking_a_bridge_changes_nothing(settings: Settings) -> None:
    """Settings that are tried out beside the server end no link of it and make none, and bring no bot into it."""
    async with place(settings, [{"channel": "room", "room": "#old"}]) as p:
        before = await events(p.at.node)
        address = p.at.host.instances[0].wanted.config.address  # type: ignore[attr-defined]  # the toy bridge's own
        for name, link in (("toy", "#new"), ("other", "#other")):
            wanted = instance("loopback", config={"address": address}, links=[{"channel": "room", "room": link}])
            [finding] = await tried(with_plugins(settings, LOOPBACK.parent, **{name: wanted}), name)
            assert finding.what == "connecting"
        assert await p.rooms() == {"#old": p.room}
        assert await events(p.at.node) == before


async def test_a_link_of_an_archived_channel_stays(settings: Settings) -> None:
    """It ends when it is taken out; until then the settings may name it, and it works again when the channel is brought back."""
    links: list[dict[str, object]] = [{"channel": "room", "room": "#a"}]
    async with place(settings, links) as p:
        await p.at.node.core.archiving.archive(p.ana, p.room)
    async with place(settings, links) as p:
        assert (p.at.host.instances[0].problems, await p.rooms()) == ([], {"#a": p.room})
    async with place(settings) as p:
        assert await p.rooms() == {}
