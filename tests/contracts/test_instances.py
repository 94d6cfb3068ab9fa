"""What administrators see of instances of plugins: the list, and an event when one has another state; and how one is begun again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from crust.errors import Forbidden
from crust.host.states import RESTARTS, states_of
from crust.runtime import opened
from crust.settings import Settings
from tests.support.asking import ask, registry
from tests.support.hosting import hosted
from tests.support.people import channel, events, person, put
from tests.support.plugins import instance, written

pytestmark = pytest.mark.asyncio

SOURCE = """
class Lives(Plugin[PluginConfig]):
    api = 1
    capabilities = frozenset({"read:public", "message:post", "file:upload", "channel:join"})
    lives = 0
    well = False

    @hookimpl
    async def run(self):
        self.lives += 1
        if not self.well:
            raise RuntimeError("not well")
        import asyncio
        await asyncio.Event().wait()

    @hookimpl
    def register_commands(self, commands):
        commands.add("live", self.live, help="Lives.")

    async def live(self, call: Invocation) -> None: ...
"""


async def test_they_are_listed_told_of_and_begun_again(settings: Settings, tmp_path: Path) -> None:
    """For administrators alone; what has failed rests until an operator wants it to begin again, and then it does."""
    async with opened(settings) as node:
        ana, ben = await person(node, "ana", is_admin=True), await person(node, "ben")
    plugins = {"lives": instance(written(tmp_path, SOURCE)), "off": instance("nothing", enabled=False)}
    async with hosted(settings, tmp_path, plugins) as at:
        calls = registry(at.node)
        search, plugin = calls.find("GET", "/plugin/search"), at.plugin("lives")
        await state(at, "lives", "failed")
        answer = await ask(calls, search, ana, {})
        assert [(each["name"], each["state"], each["enabled"]) for each in answer["response"]] == [
            ("lives", "failed", True), ("off", "refused", False),
        ]  # fmt: skip
        lives = answer["response"][0]
        assert lives["reason"] == "run() raised RuntimeError: not well"
        assert (lives["hooks"], lives["commands"]) == (["register_commands", "run"], ["/live"])
        assert "file:upload" in lives["capabilities"]
        assert [each["name"] for each in (await ask(calls, search, ana, {"query": "of"}))["response"]] == ["off"]
        with pytest.raises(Forbidden, match="administrators"):
            await ask(calls, search, ben, {})
        before, plugin.well = plugin.lives, True
        await asyncio.sleep(0.1)
        assert plugin.lives == before
        await states_of(at.node.database, at.clock).collection(RESTARTS).put("lives", {"at": 1})
        await state(at, "lives", "running")
        async with asyncio.timeout(5):
            while plugin.lives != before + 1:  # it is said to run a moment before
                await asyncio.sleep(0.01)
        await states_of(at.node.database, at.clock).collection(RESTARTS).put("lives", {"at": 2})
        async with asyncio.timeout(20):
            while plugin.lives != before + 2:
                await asyncio.sleep(0.02)
        await state(at, "lives", "running")
        told = [each for each in await events(at.node) if each.type == "plugin"]
        assert {(each.recipient, each.organisation, each.channel) for each in told} == {(ana.user_id, 0, 0)}
        states = [msgspec.json.decode(each.body)["state"] for each in told]
        assert states.count("failed") == 1
        assert states[-1] == "running"
        everything = (0, 10**9, 1000)
        assert any(each.type == "plugin" for each in await at.node.log.visible(ana.user_id, [], {}, *everything))
        assert not any(each.type == "plugin" for each in await at.node.log.visible(ben.user_id, [], {}, *everything))


async def state(at: object, name: str, wanted: str) -> None:
    async with asyncio.timeout(20):
        while True:
            document = await states_of(at.node.database, at.clock).collection("plugins").get(name)  # type: ignore[attr-defined]
            if document is not None and document.body["state"] == wanted:
                return
            await asyncio.sleep(0.02)


async def test_it_posts_files(settings: Settings, tmp_path: Path) -> None:
    """As its bot, once for a key; with the capability, where its bot is."""
    limited = SOURCE.replace('"file:upload", ', "")
    async with opened(settings) as node:
        ana = await person(node, "ana", is_admin=True)
        room = await channel(node, ana)
        await put(node, ana, "mine.txt", b"mine", channel_id=room)
    plugins = {"lives": instance(written(tmp_path, SOURCE)), "limited": instance(written(tmp_path, limited))}
    async with hosted(settings, tmp_path, plugins, running=False) as at:
        chat = at.plugin("lives").ctx.chat
        await chat.join(str(room))
        first = await chat.upload(str(room), "plan.txt", b"x" * 100_000, "The plan", key="once")
        assert await chat.upload(str(room), "plan.txt", b"other", key="once") == first
        message = await at.node.core.messages.read_one(ana, int(first))
        [file] = message.attachments
        assert (message.contents, file.name, file.size) == ("The plan", "plan.txt", 100_000)
        reply = await chat.upload(str(room), "more.txt", b"x", reply_to=first)
        assert (await at.node.core.messages.read_one(ana, int(reply))).reply_to == first
        with pytest.raises(Forbidden, match="file:upload"):
            await at.plugin("limited").ctx.chat.upload(str(room), "x", b"x")
