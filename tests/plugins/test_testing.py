"""crust.testing: what is right passes, and what is wrong is found, and said so that its author finds it."""

from __future__ import annotations

import asyncio
import traceback
from datetime import timedelta
from itertools import count

import pytest
from pydantic import Field

from crust.plugin import (
    Commands,
    EventRefused,
    Happened,
    Invocation,
    JobRun,
    Jobs,
    Message,
    MessageDraft,
    Plugin,
    PluginConfig,
    Reject,
    Rejected,
    TargetError,
    hookimpl,
)
from crust.testing import Instance, NotSettled, PluginFailed, PluginRefused, hosted, problems

pytestmark = pytest.mark.asyncio
numbers = count()


class Config(PluginConfig):
    answer: str = Field("heard", min_length=1, description="What it says")


class Echo(Plugin[Config]):
    """Answers; some words let it do wrong."""

    api = 1
    capabilities = frozenset({"read:public", "message:post", "reaction:add", "channel:join"})

    @hookimpl
    async def filter_message_post(self, draft: MessageDraft) -> Reject | None:
        if draft.contents == "bug in a filter":
            raise KeyError("filtered")
        return Reject("not that") if draft.contents == "rejected" else None

    @hookimpl
    async def on_message_posted(self, event: Happened[Message]) -> None:
        message = event.body
        if message.type != "MESSAGE" or message.contents in (None, "heard", "me too"):
            return
        await self.ctx.chat.join(event.channel_id)
        await getattr(self, str(message.contents).replace(" ", "_"), self.usual)(event)

    async def usual(self, event: Happened[Message]) -> None:
        await self.ctx.chat.react(event.body.id, "👂")
        await self.ctx.store.collection("seen").put(event.body.id, {"contents": event.body.contents})
        await self.ctx.chat.post(event.channel_id, self.ctx.config.answer)

    async def twice(self, event: Happened[Message]) -> None:
        self.ctx.tasks.start(self.ctx.chat.post(event.channel_id, "said twice"), name="twice")

    async def counts(self, event: Happened[Message]) -> None:
        self.ctx.tasks.start(self.ctx.store.collection("counts").put("n", {"n": next(numbers)}), name="counts")

    async def bug(self, event: Happened[Message]) -> None:
        raise ZeroDivisionError("the author's bug")

    async def refuses(self, event: Happened[Message]) -> None:
        raise EventRefused("cannot be")

    async def away(self, event: Happened[Message]) -> None:
        raise TargetError("nobody is there")

    async def hangs(self, event: Happened[Message]) -> None:
        await asyncio.Event().wait()

    @hookimpl
    def register_commands(self, commands: Commands) -> None:
        commands.add("note", self.note, help="Keeps a note.")
        commands.add("bad", self.bad, help="Keeps a note each time.")
        commands.add("broken", self.broken, help="Has a bug.")

    async def note(self, call: Invocation, text: str) -> str:
        await self.ctx.store.collection("notes").put(call.key, {"text": text})
        return f"Noted: {text}"

    async def bad(self, call: Invocation) -> None:
        await self.ctx.store.collection("notes").put(str(next(numbers)), {})

    async def broken(self, call: Invocation) -> None:
        raise ZeroDivisionError("in a command")


class Ticks(Plugin[PluginConfig]):
    """Keeps every run of its job; `bad` keeps it wrongly."""

    api = 1
    bad = False

    @hookimpl
    def register_jobs(self, jobs: Jobs) -> None:
        jobs.add("tick", self.tick, every=timedelta(minutes=5))

    async def tick(self, run: JobRun) -> None:
        await self.ctx.store.collection("runs").put(str(next(numbers)) if self.bad else run.key, {})


async def test_people_talk_and_a_plugin_answers() -> None:
    """What was said can be read, by channel; the configuration is in force; of several instances each is one."""
    async with hosted(Echo, Instance(Echo, {"answer": "me too"}, name="other")) as host:
        ana = host.user("ana")
        message = await ana.says("#general", "hi")
        await host.settle()
        said = await host.said("#general")
        assert (said[0], sorted(said[1:])) == ("ana: hi", ["echo: heard", "other: me too"])
        assert (await host.messages("#general"))[0].reactions[0].count == 2
        assert await host.documents("seen", "other") == {message.id: {"contents": "hi"}}
        with pytest.raises(Rejected, match="not that"):
            await ana.says("#general", "rejected")
        with pytest.raises(LookupError, match="Nobody has said"):
            await host.said("#nowhere")
        assert await ana.runs("/note tea") == "Noted: tea"


async def test_what_is_idempotent() -> None:
    """Passes: a handler, a command and a job whose effects have stable names."""
    async with hosted(Echo, Ticks) as host:
        ana = host.user("ana")
        await host.assert_idempotent(ana.says("#general", "hi"))
        assert await host.said("#general") == ["ana: hi", "echo: heard"]
        assert await host.assert_idempotent(ana.runs("/note tea")) == "Noted: tea"
        await host.assert_idempotent(host.advance(minutes=5))
        assert (len(await host.documents("notes", "echo")), len(await host.documents("runs", "ticks"))) == (1, 1)


async def test_what_is_not_idempotent() -> None:
    """Is found, and what came on top is named: a message, a document; also of commands and jobs. So is that nothing was called."""
    async with hosted(Echo, Ticks) as host:
        ana = host.user("ana")
        for text, found in (("twice", "message created"), ("counts", "document counts/n")):
            with pytest.raises(AssertionError, match=found):
                await host.assert_idempotent(ana.says("#general", text))
        with pytest.raises(AssertionError, match="document notes/"):
            await host.assert_idempotent(ana.runs("/bad"))
        host.plugin("ticks").bad = True
        with pytest.raises(AssertionError, match="the job tick"):
            await host.assert_idempotent(host.advance(minutes=5))
        with pytest.raises(AssertionError, match="No handler, command or job was called"):
            await host.assert_idempotent(asyncio.sleep(0))


async def test_time() -> None:
    """It stands still, and moves at once: a job runs when it is due, and what waits to be tried again is."""
    async with hosted(Echo, Ticks) as host:
        await host.advance(minutes=4)
        before = len(await host.documents("runs", "ticks"))
        await host.advance(minutes=5)
        assert len(await host.documents("runs", "ticks")) == before + 1
        await host.restart()
        assert len(await host.documents("runs", "ticks")) == before + 1


@pytest.mark.parametrize(
    ("act", "function"),
    [("bug", "bug"), ("bug in a filter", "filter_message_post"), ("/broken", "broken")],
    ids=["handler", "filter", "command"],
)
async def test_a_bug(act: str, function: str) -> None:
    """Is raised where the test comes upon it, and the traceback begins in the author's code."""
    with pytest.raises(PluginFailed) as caught:
        async with hosted(Echo) as host:
            ana = host.user("ana")
            await (ana.runs(act) if act.startswith("/") else ana.says("#general", act))
            await host.settle()
    cause = caught.value.__cause__
    assert cause is not None
    assert traceback.extract_tb(cause.__traceback__)[0].filename == __file__
    assert traceback.extract_tb(cause.__traceback__)[-1].name == function


async def test_what_is_refused_is_parked() -> None:
    """With its reason, which no test has to fail for."""
    async with hosted(Echo) as host:
        await host.user("ana").says("#general", "refuses")
        await host.settle()
        [row] = await host.parked()
        assert "cannot be" in row["error"]


async def test_what_does_not_end() -> None:
    """Is said, with how each instance is and what was said last."""
    with pytest.raises(NotSettled, match=r"(?s)within 1 s.*echo is running.*ana: hangs"):
        async with hosted(Echo, seconds=1) as host:
            await host.user("ana").says("#general", "hangs")
            await host.settle()


async def test_what_cannot_be_at_work() -> None:
    """Is refused in the words of `crust plugins check`."""
    assert problems(Echo) == []
    assert problems(Echo, {"answr": ""}) == ["plugins.echo.config.answr: no such setting; is answer meant?"]
    with pytest.raises(PluginRefused, match=r"plugins\.echo\.config\.answer"):
        async with hosted(Echo, config={"answer": ""}):
            pass
    with pytest.raises(ValueError, match="one name"):
        async with hosted(Echo, Echo):
            pass
