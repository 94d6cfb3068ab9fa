"""Slash commands: found, run, answered to their caller alone; what they do is done once, as the bot or as the caller."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from crust.errors import CrustError, Forbidden, IdempotencyMismatch, Invalid, NotFound, Rejected, TooLarge, Unavailable
from crust.host.signatures import NAMES
from crust.runtime import opened
from crust.services.actor import Actor
from crust.settings import Hosting, PluginInstance, Settings
from tests.support.asking import ask, registry
from tests.support.hosting import Hosted, hosted
from tests.support.people import channel, organisation, person
from tests.support.plugins import instance, written

pytestmark = pytest.mark.asyncio

SOURCE = """
import asyncio
from datetime import datetime, timedelta
from typing import Literal

class Tools(Plugin[PluginConfig]):
    api = 1
    capabilities = frozenset({caps})
    runs = 0

    @hookimpl
    def register_commands(self, commands):
        commands.add("remind", self.remind, help="Reminds you.")
        commands.add("shrug", self.shrug, help="Shrugs.")
        commands.add("topic", self.topic, help="Sets the topic.")
        commands.add("bring", self.bring, help="Brings somebody in.")
        commands.add("announce", self.announce, help="Says it as the bot.")
        commands.add("fail", self.fail, help="Fails.")
        commands.add("poll close", self.quiet, help="Closes a poll.")
        commands.add("poll new", self.quiet, help="Makes a poll.")

    async def remind(self, call: Invocation, who: Literal["me"] | User, when: timedelta, what: Rest) -> str:
        self.runs += 1
        name = who if isinstance(who, str) else who.username
        return f"{name} of {what} in {when.total_seconds():g} s, {call.user.username}; {self.runs}"

    async def shrug(self, call: Invocation, text: Rest = Rest("")) -> None:
        await call.caller.post(f"{text} \\u00af".strip())

    async def topic(self, call: Invocation, topic: Rest) -> None:
        await call.caller.set_topic(topic)

    async def bring(self, call: Invocation, who: User, where: Channel | None = None) -> str:
        await call.caller.invite(who.id)
        return where.name if where else "here"

    async def announce(self, call: Invocation, text: str) -> str:
        await self.ctx.chat.join(call.channel.id)
        self.runs += 1
        first = await self.ctx.chat.post(call.channel.id, f"{text} {self.runs}")
        second = await self.ctx.chat.post(call.channel.id, f"{text} {self.runs}")
        if text == "twice" and self.runs == 1:
            raise RuntimeError("after all its work")
        return f"{first} {second}"

    async def fail(self, call: Invocation, how: Literal["conflict", "away", "bug", "exit", "hang", "number"]) -> str:
        match how:
            case "conflict":
                raise Conflict("It is taken.", field="how")
            case "away":
                raise TargetError("the weather is away", retry_after=7)
            case "bug":
                raise RuntimeError("s3cret")
            case "exit":
                raise SystemExit(3)
            case "hang":
                await asyncio.sleep(60)
        return 3

    async def quiet(self, call: Invocation) -> str:
        return " ".join(each.name for each in call.available if each.name.startswith("/poll")) + f" {call.manages}"
"""
ALL = '{"read:public", "message:post", "channel:join", "user:act"}'


class Room:
    """Two people of a channel, and a node with plugins."""

    def __init__(self, at: Hosted, ana: Actor, ben: Actor, room: int) -> None:
        self.at, self.ana, self.ben, self.room = at, ana, ben, room
        self.calls = registry(at.node)

    async def run(self, line: str, who: Actor | None = None, *, key: str | None = None, room: int | None = None) -> dict[str, Any]:
        call = self.calls.find("POST", "/command/run")
        params = {"channel_id": str(room or self.room), "command": line}
        return (await ask(self.calls, call, who or self.ana, params, key=key))["response"]  # type: ignore[no-any-return]

    async def search(self, query: str = "", *, room: int | None = None, **more: Any) -> dict[str, Any]:
        call = self.calls.find("GET", "/command/search")
        return await ask(self.calls, call, self.ana, {"channel_id": str(room or self.room), "query": query, **more})

    async def said(self) -> list[tuple[str, str | None]]:
        """Who said what."""
        page = await self.at.node.core.messages.read(self.ana, self.room, before=None, after=None, around=None, limit=50)
        names = {str(self.ana.user_id): "ana", str(self.ben.user_id): "ben"}
        return [(names.get(each.user_id, "bot"), each.contents) for each in page.messages if each.type != "CREATE"]


@asynccontextmanager
async def room(settings: Settings, folder: Path, **instances: PluginInstance) -> AsyncIterator[Room]:
    """A place with these plugins; left out: one, `tools`, that may do everything."""
    settings = settings.model_copy(update={"hosting": Hosting(command_s=0.3)})
    async with opened(settings) as node:
        ana, ben = await person(node, "ana", is_admin=True), await person(node, "ben")
        where = await channel(node, ana)
        await organisation(node, ana, ben)
    instances = instances or {"tools": instance(written(folder, SOURCE.replace("{caps}", ALL)))}
    async with hosted(settings, folder, instances, running=False) as at:
        yield Room(at, ana, ben, where)


async def test_it_answers_its_caller_alone(settings: Settings, tmp_path: Path) -> None:
    """With what its arguments are; the channel hears nothing. The slash may be left out, and names have no case."""
    async with room(settings, tmp_path) as r:
        assert await r.run("/remind me in 2h stand  up") == {"command": "/remind", "text": "me of stand  up in 7200 s, ana; 1"}
        assert (await r.run("  Remind @ben 1h30m tea ", r.ben))["text"] == "ben of tea in 5400 s, ben; 2"
        assert (await r.run("/poll  close"))["text"] == "/poll close /poll new True"
        assert (await r.run("/poll close", r.ben))["text"] == "/poll close /poll new False"
        assert (await r.run("/shrug"))["text"] is None
        assert await r.said() == [("ana", "¯")]


async def test_what_is_wrong_with_a_line(settings: Settings, tmp_path: Path) -> None:
    """The argument, with the usage; the nearest name; the channel; nothing at all; too much."""
    async with room(settings, tmp_path) as r:
        with pytest.raises(Invalid, match=r"^when has to be a duration.*not 'soon'\. Usage: /remind <who> <when> <what…>$"):
            await r.run("/remind me soon tea")
        with pytest.raises(Invalid, match=r"who has to be me or somebody.*there is nobody of that name here"):
            await r.run("/remind @nobody 2h tea")
        with pytest.raises(NotFound, match=r"^There is no command /remnid; is /remind meant\?\.$") as caught:
            await r.run("/remnid me")
        assert caught.value.field == "command"
        with pytest.raises(NotFound, match=r"There is no command /poll open; there are: /poll close, /poll new"):
            await r.run("/poll open")
        for nothing in ("", "/", "  /  "):
            with pytest.raises(Invalid, match="command"):
                await r.run(nothing)
        with pytest.raises(TooLarge):
            await r.run("/shrug " + "x" * 16_000)
        private = await channel(r.at.node, r.ana, type_="private", name="private")
        with pytest.raises(NotFound, match="channel"):
            await r.run("/shrug", r.ben, room=private)
        with pytest.raises(NotFound, match="channel"):
            await r.run("/shrug", room=10**18)
        assert await r.said() == []


async def test_it_is_found(settings: Settings, tmp_path: Path) -> None:
    """By the beginning of its name, with help and arguments, in pages; only where its instance is at work."""
    async with room(settings, tmp_path) as r:
        found = await r.search()
        assert [each["name"] for each in found["response"]] == [
            "/announce", "/bring", "/fail", "/poll close", "/poll new", "/remind", "/shrug", "/topic",
        ]  # fmt: skip
        assert found["next"] is None
        [remind] = (await r.search("/Rem"))["response"]
        assert (remind["usage"], remind["help"], remind["plugin"]) == ("/remind <who> <when> <what…>", "Reminds you.", "tools")
        assert [each["name"] for each in remind["arguments"]] == ["who", "when", "what"]
        assert remind["arguments"][0]["choices"] == ["me"]
        first = await r.search(limit=3)
        assert len(first["response"]) == 3
        rest = await r.search(limit=200, after=first["next"])
        assert [*first["response"], *rest["response"]] == found["response"]
        back = await r.search(limit=2, before=first["next"])
        assert [each["name"] for each in back["response"]] == ["/bring", "/announce"]
        elsewhere = await channel(r.at.node, r.ana, organisation_id=await organisation(r.at.node, r.ana, name="Far"), name="far")
        assert (await r.search(room=elsewhere))["response"] == []
        with pytest.raises(NotFound, match="There is no command /shrug"):
            await r.run("/shrug", room=elsewhere)


async def test_it_acts_as_the_caller(settings: Settings, tmp_path: Path) -> None:
    """With the caller's own rights and no others, filters included; and not without the capability."""
    no = 'class No(Plugin):\n    api = 1\n    @hookimpl\n    async def filter_message_post(self, draft):\n        return Reject("No.") if "darn" in draft.contents else None\n'  # noqa: E501
    tools, limited = (written(tmp_path, SOURCE.replace("{caps}", caps)) for caps in (ALL, '{"read:public"}'))
    plugins = {"tools": instance(tools), "limited": instance(limited), "no": instance(written(tmp_path, no))}
    async with room(settings, tmp_path, **plugins) as r:
        await r.run("/topic All  about it")
        assert (await r.at.node.core.channels.read(r.ana, r.room)).topic == "All about it"
        with pytest.raises(Forbidden, match="join it first"):
            await r.run("/shrug hi", r.ben)
        assert (await r.run("/bring @ben #room"))["text"] == "room"
        await r.run("/shrug hi", r.ben)
        with pytest.raises(Rejected, match="No"):
            await r.run("/shrug darn", r.ben)
        for line in ("/limited:shrug", "/limited:topic x", "/limited:bring @ben"):
            with pytest.raises(Forbidden, match="The plugin of limited has not declared the capability user:act"):
                await r.run(line)
        private = await channel(r.at.node, r.ana, type_="private", name="private")
        with pytest.raises(Invalid, match="tools sees no private channels"):
            await r.run("/bring @ben #private")
        assert (await r.run("/bring @ben #private", room=private))["text"] == "private"
        assert await r.said() == [("ana", "All about it"), ("ben", "hi ¯")]


async def test_a_request_that_comes_again(settings: Settings, tmp_path: Path) -> None:
    """With the same key the answer is the first and nothing is done; after a failure what is left is done; other requests are refused."""
    async with room(settings, tmp_path) as r:
        with pytest.raises(Unavailable):
            await r.run("/announce twice", key="one")
        answer = await r.run("/announce twice", key="one")
        again = await r.run("/announce twice", key="one")
        assert again == {**answer, "duplicate": True}
        assert await r.said() == [("bot", "twice 1"), ("bot", "twice 1")]
        with pytest.raises(IdempotencyMismatch):
            await r.run("/announce other", key="one")
        await r.run("/shrug hi", key="two")
        async with r.at.node.database.transaction():  # as if it had not been kept
            await r.at.node.database.execute("DELETE FROM document WHERE collection = 'answers'")
        await r.run("/shrug hi", key="two")
        assert (await r.said())[2:] == [("ana", "hi ¯")]
        await r.run("/announce free")
        await r.run("/announce free")
        assert len(await r.said()) == 7
        await r.run("/shrug hi", Actor(r.ana.user_id, "ana", 1, "another-client"), key="two")
        assert len(await r.said()) == 8, "keys are a client's own"


@pytest.mark.parametrize(
    ("how", "error", "text"),
    [
        ("conflict", "conflict", "It is taken."),
        ("away", "unavailable", "the weather is away"),
        ("bug", "unavailable", "/fail of tools failed; the server's log has the reason."),
        ("exit", "unavailable", "/fail of tools failed"),
        ("hang", "unavailable", "/fail of tools failed"),
        ("number", "unavailable", "/fail of tools failed"),
    ],
)
async def test_how_it_fails(settings: Settings, tmp_path: Path, how: str, error: str, text: str) -> None:
    """What it refuses is shown; that it has a bug, or takes too long, is told without what is meant for operators."""
    async with room(settings, tmp_path) as r:
        with pytest.raises(CrustError) as caught:
            await r.run(f"/fail {how}")
        assert caught.value.code == error
        assert text in caught.value.message
        assert "s3cret" not in caught.value.message
        how = "failed" if text.startswith("/fail") else "refused"
        assert r.at.host.metrics.plugin_calls["tools", "command", how] == 1


async def test_two_of_one_name(settings: Settings, tmp_path: Path) -> None:
    """The first one in the settings has the plain name; each has its own."""
    source = 'class Says(Plugin):\n    api = 1\n    @hookimpl\n    def register_commands(self, commands):\n        commands.add("who", self.who, help="Who.")\n    async def who(self, call: Invocation) -> str:\n        return self.ctx.name\n'  # noqa: E501
    name = written(tmp_path, source)
    async with room(settings, tmp_path, one=instance(name), two=instance(name), far=instance(name, organisations=["Elsewhere"])) as r:
        assert [each["name"] for each in (await r.search())["response"]] == ["/who", "/two:who"]
        assert [(await r.run(line))["text"] for line in ("/who", "/one:who", "/two:who")] == ["one", "one", "two"]
        with pytest.raises(NotFound):
            await r.run("/far:who")


async def test_what_cannot_be_offered(settings: Settings, tmp_path: Path) -> None:
    """It is refused by name, all that is wrong at once, and the others are at work."""
    bad = 'class Bad(Plugin):\n    api = 1\n    @hookimpl\n    def register_commands(self, commands):\n        commands.add("Bad!", self.bad, help="x")\n        commands.add("bad", self.bad, help="x")\n        raise RuntimeError("oh")\n    async def bad(self, call, x): ...\n'  # noqa: E501
    plugins = {"bad": instance(written(tmp_path, bad)), "tools": instance(written(tmp_path, SOURCE.replace("{caps}", ALL)))}
    async with room(settings, tmp_path, **plugins) as r:
        assert (await r.run("/shrug"))["command"] == "/shrug"
        [refused] = r.at.host.refused
        assert refused.problems == (
            "plugins.bad: register_commands() raised RuntimeError: oh",
            "plugins.bad: the command 'Bad!': its name has to be one or two words of small letters, digits, - and _, without the /",
            f"plugins.bad: the command 'bad': x has no type: annotate it with one of {NAMES}",
        )
