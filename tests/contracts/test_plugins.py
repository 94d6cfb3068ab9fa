"""Plugins at work: what their handlers are given, what they do as their bots, once; and how they live."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from crust.clock import ManualClock
from crust.errors import Forbidden, NotFound
from crust.host.attempt import abandoned
from crust.host.states import HOST, RESTARTS, STATES, states_of
from crust.runtime import opened
from crust.services.actor import Actor
from crust.settings import Settings
from tests.support.consumers import states
from tests.support.hosting import Hosted, hosted
from tests.support.people import channel, organisation, person, put, say
from tests.support.plugins import instance, written

pytestmark = pytest.mark.asyncio

LISTENS = """
class Listens(Plugin[PluginConfig]):
    api = 1
    capabilities = frozenset({caps})
    heard = None

    def note(self, *what):
        self.heard = [*(self.heard or []), what]

    @hookimpl
    async def on_message_posted(self, event):
        self.note("posted", event.channel_id, event.body.contents)

    @hookimpl
    async def on_member_joined(self, event):
        self.note("joined", event.channel_id, event.body.user.username)

    @hookimpl
    async def on_reaction_added(self, event):
        self.note("reacted", event.channel_id, event.body.emoji)
"""
ECHOES = """
class Echoes(Plugin[PluginConfig]):
    api = 1
    capabilities = frozenset({"read:public", "message:post", "message:edit", "message:remove", "reaction:add", "channel:join"})
    tries = 0
    sent = ()

    @hookimpl
    async def on_message_posted(self, event):
        self.tries += 1
        chat = self.ctx.chat
        await chat.join(event.channel_id)
        self.sent = (*self.sent, await chat.post(event.channel_id, f"{event.body.contents}, the {self.tries}. time"))
        second = await chat.post(event.channel_id, "more")
        await chat.react(event.body.id, ":wave:")
        await chat.edit(self.sent[0], f"edited {self.tries}")
        await chat.remove(second)
        await self.ctx.store.collection("said").put(str(self.tries), {"it": event.body.contents})
        if self.tries < 3:
            raise RuntimeError("not yet")
"""


@asynccontextmanager
async def at_home(settings: Settings) -> AsyncIterator[tuple[Actor, Actor, int]]:
    """Two people and a channel, before anything is at work."""
    async with opened(settings) as node:
        ana, ben = await person(node, "ana", is_admin=True), await person(node, "ben")
        room = await channel(node, ana)
    yield ana, ben, room


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


async def state_of(at: Hosted, name: str) -> tuple[str, str | None]:
    document = await states_of(at.node.database, at.clock).collection(STATES).get(name)
    assert document is not None
    return str(document.body["state"]), document.body["reason"]  # type: ignore[return-value]  # a text or nothing


async def test_it_hears_what_it_may_and_acts_as_its_bot(settings: Settings, tmp_path: Path) -> None:
    """The bot is made and is in the organisation; a handler hears of public channels there, and of no other."""
    name = written(tmp_path, LISTENS.replace("{caps}", '{"read:public"}'))
    async with at_home(settings) as (ana, ben, room), hosted(settings, tmp_path, {"listens": instance(name)}) as at:
        node = at.node
        await at.settled("listens")
        elsewhere = await organisation(node, ana)
        far = await channel(node, ana, organisation_id=elsewhere, name="far")
        private = await channel(node, ana, ben, type_="private", name="private")
        for where in (room, far, private):
            await say(node, ana, where, f"in {where}")
        await node.core.channels.join(ben, room)
        message = await say(node, ben, room, "thanks")
        await node.core.messages.react(ana, int(message.id), ":heart:")
        await at.settled("listens")
        assert at.plugin("listens").heard == [
            ("posted", str(room), f"in {room}"),
            ("joined", str(room), "ben"),
            ("posted", str(room), "thanks"),
            ("reacted", str(room), ":heart:"),
        ]
        assert {where for _, where, _ in at.plugin("listens").heard} == {str(room)}
        [bot] = [each for each in await node.core.accounts.all() if each["username"] == "listens"]
        assert bot["kind"] == "bot"


async def test_private_channels_take_the_capability_and_the_membership(settings: Settings, tmp_path: Path) -> None:
    """With read:private it hears of those that its bot is in, from when it is, and of no other."""
    name = written(tmp_path, LISTENS.replace("{caps}", '{"read:public", "read:private"}'))
    async with at_home(settings) as (ana, ben, _), hosted(settings, tmp_path, {"listens": instance(name)}) as at:
        await at.settled("listens")
        node, plugin = at.node, at.plugin("listens")
        one, other = [await channel(node, ana, ben, type_="private", name=name) for name in ("one", "other")]
        await node.core.channels.invite(ana, one, int(plugin.ctx.chat.user_id))
        await say(node, ana, one, "here")
        await say(node, ana, other, "not here")
        await at.settled("listens")
        texts = [text for what, _, text in plugin.heard if what == "posted"]
        assert "here" in texts
        assert "not here" not in texts


async def test_a_handler_that_runs_again_does_nothing_twice(settings: Settings, tmp_path: Path) -> None:
    """It raises twice after all its work: one message, edited once, one reaction; its documents come with the end alone."""
    name, clock = written(tmp_path, ECHOES), ManualClock()
    async with at_home(settings) as (ana, _, room), hosted(settings, tmp_path, {"echoes": instance(name)}, clock) as at:
        await at.settled("echoes")
        message = await say(at.node, ana, room, "hi")
        async with asyncio.timeout(20):
            while at.plugin("echoes").tries < 3:
                clock.advance(60)
                at.host.engine.wake("echoes")
                await asyncio.sleep(0.1)
        await at.settled("echoes")
        plugin = at.plugin("echoes")
        assert plugin.tries == 3, "its own messages are not handed to it"
        assert len(set(plugin.sent)) == 1
        page = await at.node.core.messages.read(ana, room, before=None, after=None, around=None, limit=50)
        said = [each for each in page.messages if each.user_id == plugin.ctx.chat.user_id]
        assert [(each.contents, each.version) for each in said] == [("edited 1", 2)]
        [reaction] = (await at.node.core.messages.read_one(ana, int(message.id))).reactions
        assert reaction.count == 1
        found = await plugin.ctx.store.collection("said").find()
        assert [document.key for document in found] == ["3"]
        assert await states(at.node, "echoes") == ["done"]


async def test_what_it_has_not_declared_is_forbidden(settings: Settings, tmp_path: Path) -> None:
    """Capabilities and organisations hold in the core, whatever the bot was invited to."""
    name = written(tmp_path, LISTENS.replace("{caps}", '{"read:public", "message:post"}'))
    async with at_home(settings) as (ana, _, room), hosted(settings, tmp_path, {"listens": instance(name)}) as at:
        await at.settled("listens")
        ctx, core = at.plugin("listens").ctx, at.node.core
        bot, elsewhere = int(ctx.chat.user_id), await organisation(at.node, ana)
        await core.organisations.invite(ana, elsewhere, user_id=bot, email=None, role="member")
        far = await channel(at.node, ana, organisation_id=elsewhere, name="far")
        private = await channel(at.node, ana, type_="private", name="private")
        for where in (far, room, private):
            await core.channels.invite(ana, where, bot)
        with pytest.raises(Forbidden, match="not configured"):
            await ctx.chat.post(str(far), "hello")
        with pytest.raises(Forbidden, match="read:private"):
            await ctx.chat.channel(str(private))
        with pytest.raises(Forbidden, match="http:request"):
            await ctx.http.request("GET", "https://example.org/")
        with pytest.raises(Forbidden, match="message:edit"):
            await ctx.chat.edit("1", "x")
        with pytest.raises(NotFound):
            await ctx.chat.post("x" * 50, "hello")
        first = await ctx.chat.post(str(room), "hello", key="once")
        assert await ctx.chat.post(str(room), "hello again", key="once") == first
        assert (await ctx.chat.message(first)).contents == "hello"
        assert (await ctx.chat.user(str(ana.user_id))).username == "ana"
        assert await ctx.chat.post(str(room), "hello") != await ctx.chat.post(str(room), "hello")


async def test_it_reads_files_where_it_may_look(settings: Settings, tmp_path: Path) -> None:
    """On messages of channels that it may see: not of a private one that its bot is in, if it has not declared that."""
    source = LISTENS.replace("{caps}", '{"read:public", "file:read", "channel:join"}')
    async with at_home(settings) as (ana, ben, room), hosted(settings, tmp_path, {"listens": instance(written(tmp_path, source))}) as at:
        await at.settled("listens")
        ctx, node = at.plugin("listens").ctx, at.node
        private = await channel(node, ana, ben, type_="private", name="private")
        await node.core.channels.invite(ana, private, int(ctx.chat.user_id))
        shown, hidden = [await put(node, ana, "plan.txt", b"oats", channel_id=each) for each in (room, private)]
        assert await ctx.files.read(shown.attachments[0].id) == b"oats"
        with pytest.raises(Forbidden, match="read:private"):
            await ctx.files.read(hidden.attachments[0].id)
        with pytest.raises(NotFound):
            await ctx.files.read("1")


async def test_a_crash_is_its_own(settings: Settings, tmp_path: Path) -> None:
    """What crashes five times in ten minutes is given up, visibly; what comes and goes is waited for; the others hear everything."""
    head = "class It(Plugin[PluginConfig]):\n    api = 1\n    lives = 0\n"
    crashes = written(tmp_path, head + "    @hookimpl\n    async def run(self):\n        self.lives += 1\n        raise SystemExit(3)\n")
    away = written(
        tmp_path, head + "    @hookimpl\n    async def startup(self):\n        self.lives += 1\n        raise TargetError('away')\n"
    )
    ill = written(tmp_path, head + "    @hookimpl\n    async def health(self):\n        return 'a little ill'\n")
    well = written(tmp_path, LISTENS.replace("{caps}", '{"read:public"}'))
    plugins = {"crashes": instance(crashes), "away": instance(away), "ill": instance(ill), "well": instance(well)}
    async with at_home(settings) as (ana, _, room), hosted(settings, tmp_path, plugins) as at:
        await at.settled("well")
        await until(lambda: at.plugin("away").lives > 7 and at.plugin("crashes").lives >= 5)
        async with asyncio.timeout(20):
            for name, state in (("crashes", "failed"), ("ill", "degraded")):
                while (await state_of(at, name))[0] != state:
                    await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
        assert at.plugin("crashes").lives == 5
        assert await state_of(at, "crashes") == ("failed", "run() raised SystemExit: 3")
        assert (await state_of(at, "away"))[1] in ("away", None), "None while it starts once more"
        assert await state_of(at, "ill") == ("degraded", "a little ill")
        await say(at.node, ana, room, "hello")
        await at.settled("well")
        assert at.plugin("well").heard == [("posted", str(room), "hello")]
        assert await at.node.database.fetch("SELECT 1 FROM document WHERE instance = $1", HOST)


async def test_one_that_cannot_be_made(settings: Settings, tmp_path: Path) -> None:
    """What its maker raises is shown, and the others are at work."""
    broken = "class It(Plugin[PluginConfig]):\n    api = 1\n    def __init__(self, ctx):\n        raise RuntimeError('not today')\n"
    plugins = {
        "broken": instance(written(tmp_path, broken)),
        "well": instance(written(tmp_path, LISTENS.replace("{caps}", '{"read:public"}'))),
    }
    async with at_home(settings), hosted(settings, tmp_path, plugins) as at:
        await at.settled("well")
        assert await state_of(at, "broken") == ("refused", "plugins.broken: it cannot be made: RuntimeError: not today")


async def test_a_name_that_is_taken_and_an_organisation_that_is_not_there(settings: Settings, tmp_path: Path) -> None:
    """Neither begins, each says why and what to do; once the organisation is made, its plugin begins."""
    name = written(tmp_path, LISTENS.replace("{caps}", '{"read:public"}'))
    plugins = {"ben": instance(name), "later": instance(name, organisations=["Later"])}
    async with at_home(settings) as (ana, _, _), hosted(settings, tmp_path, plugins) as at:
        waits = states_of(at.node.database, at.clock).collection(STATES)
        async with asyncio.timeout(20):
            while len(await waits.find()) < 2:
                await asyncio.sleep(0.02)
        state, reason = await state_of(at, "ben")
        assert state == "waiting"
        assert "The username ben is somebody's" in (reason or "")
        assert (await state_of(at, "later"))[1] == "There is no organisation 'Later'."
        before = await waits.get("later")
        await asyncio.sleep(0.1)
        assert await waits.get("later") == before, "it is not written anew while it waits"
        made = await organisation(at.node, ana, name="Later")
        await at.settled("later")
        room = await channel(at.node, ana, organisation_id=made)
        await say(at.node, ana, room, "hello")
        await at.settled("later")
        assert at.plugin("later").heard[-1] == ("posted", str(room), "hello")


STUBBORN = """
import asyncio

class Stubborn(Plugin[PluginConfig]):
    api = 1
    runs = 0
    free = False

    async def hold(self):
        while not self.free:
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                pass

    @hookimpl
    async def run(self):
        self.runs += 1
        self.ctx.tasks.start(self.hold(), name="held")
        await self.hold()

    @hookimpl
    async def health(self):
        await self.hold()

    @hookimpl
    async def shutdown(self):
        await self.hold()
"""


async def test_one_that_does_not_end_is_left_alone(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its hooks and tasks swallow their cancellation: it is ill, begins again when an operator wants it to, and ends with the rest."""
    monkeypatch.setattr("crust.host.attempt.GRACE_S", 0.1)
    monkeypatch.setattr("crust.host.supervisor.SHUTDOWN_S", 0.1)
    name = written(tmp_path, STUBBORN)
    async with at_home(settings), asyncio.timeout(20):
        async with hosted(settings, tmp_path, {"stubborn": instance(name)}) as at:
            plugin = at.plugin("stubborn")
            await until(lambda: plugin.runs == 1)
            while await state_of(at, "stubborn") != ("degraded", "it does not say how it is"):
                await asyncio.sleep(0.02)
            await states_of(at.node.database, at.clock).collection(RESTARTS).put("stubborn", {})
            await until(lambda: plugin.runs == 2)
        assert {"stubborn run", "stubborn task held", "stubborn shutdown"} <= {task.get_name() for task in abandoned}
        plugin.free = True
        await until(lambda: not abandoned)


async def test_one_that_is_cancelled_by_what_it_waits_for_has_crashed(settings: Settings, tmp_path: Path) -> None:
    """Its run() ends with the cancellation of another's work: that is its crash, and not the end of its life."""
    source = """
import asyncio
class Confused(Plugin[PluginConfig]):
    api = 1
    runs = 0
    @hookimpl
    async def run(self):
        self.runs += 1
        raise asyncio.CancelledError
"""
    async with at_home(settings), hosted(settings, tmp_path, {"confused": instance(written(tmp_path, source))}) as at:
        await until(lambda: at.plugin("confused").runs == 5)
        async with asyncio.timeout(20):
            while (await state_of(at, "confused"))[0] != "failed":
                await asyncio.sleep(0.02)
        assert at.plugin("confused").runs == 5
        assert (await state_of(at, "confused"))[1] == "run() has ended: it was cancelled by something that it waited for"
