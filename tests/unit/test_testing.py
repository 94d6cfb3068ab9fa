"""What authors test with: people act, everything is delivered, time is moved, and every bug comes to light where the test is."""

from __future__ import annotations

import traceback
from datetime import timedelta

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
TALKS = frozenset({"read:public", "read:direct", "message:post", "channel:join"})


class Config(PluginConfig):
    greeting: str = Field("hello", description="What it says")


class Parrot(Plugin[Config]):
    """Answers, and counts in its documents."""

    api = 1
    capabilities = TALKS

    @hookimpl
    async def on_message_posted(self, event: Happened[Message]) -> None:
        if event.body.type != "MESSAGE":
            return
        if event.visibility == "public":
            await self.ctx.chat.join(event.channel_id)
        counts = self.ctx.store.collection("counts")
        found = await counts.get("all")
        count = int(found.body["count"]) + 1 if found else 1
        await self.ctx.chat.post(event.channel_id, f"{self.ctx.config.greeting} {count}")
        await counts.put("all", {"count": count})


class Forgetful(Plugin[PluginConfig]):
    """Keeps in memory what decides where it speaks: nothing that a crash leaves it."""

    api = 1
    capabilities = TALKS
    seen = 0

    @hookimpl
    async def on_message_posted(self, event: Happened[Message]) -> None:
        self.seen += 1
        if self.seen > 1 and event.body.type == "MESSAGE":
            self.ctx.tasks.start(self.speak(event.channel_id), name="speaking")

    async def speak(self, channel_id: str) -> None:
        await self.ctx.chat.join(channel_id)
        await self.ctx.chat.post(channel_id, "again?")


class Broken(Plugin[PluginConfig]):
    """Has a bug in whatever is asked for."""

    api = 1
    capabilities = TALKS

    @hookimpl
    async def on_message_posted(self, event: Happened[Message]) -> None:
        match event.body.contents:
            case "bug":
                raise KeyError("nothing")
            case "refuse":
                raise EventRefused("not this one")
            case "away":
                raise TargetError("nobody there")
            case "task":
                self.ctx.tasks.start(self.fails(), name="failing")

    @hookimpl
    async def filter_message_post(self, draft: MessageDraft) -> MessageDraft | Reject | None:
        if draft.contents == "filter":
            raise ZeroDivisionError("a filter's")
        return Reject("No.") if draft.contents == "reject" else None

    async def fails(self) -> None:
        raise OSError("in a task")


async def test_people_talk_and_a_plugin_answers() -> None:
    """In public channels, which are made and joined as they are named, and directly; what it says as it was configured can be read."""
    async with hosted(Parrot, config={"greeting": "hi"}) as host:
        ana = host.user("ana")
        await ana.says("#general", "one")
        await host.settle()
        await ana.says(host.bot(), "psst")
        await host.settle()
        assert await host.said("#general") == ["ana: one", "parrot: hi 1"]
        assert await host.said(host.bot(), between=ana) == ["ana: psst", "parrot: hi 2"]
        assert await host.documents("counts") == {"all": {"count": 2}}
        assert host.plugin().ctx.name == "parrot"
        with pytest.raises(LookupError, match="Nobody has said anything in #generl yet; there are: general"):
            await host.said("#generl")


async def test_people_do_what_people_do() -> None:
    """They reply, edit, react, send files, come and go, and take things away."""
    async with hosted(Parrot) as host:
        ana, ben = host.user("ana"), host.user("ben")
        first = await ana.says("#general", "one")
        reply = await ben.says("#general", "two", reply_to=first)
        await ana.edits(first, "once")
        await ben.reacts(first, ":heart:")
        await ben.reacts(first, ":wave:")
        await ben.unreacts(first, ":wave:")
        await ben.uploads("#general", "plan.txt", b"Buy oats.", "see")
        await ben.removes(reply)
        await ben.leaves("#general")
        await host.settle()
        [message, *_] = await host.messages("#general")
        assert [each.emoji for each in message.reactions] == [":heart:"]
        assert reply.reply_to == first.id
        said = await host.said("#general")
        assert [each for each in said if not each.startswith("parrot")] == ["ana: once", "ben: [plan.txt] see"]


async def test_what_a_plugin_remembers_is_there_after_a_restart() -> None:
    """Its documents are, its memory is not; and what happened meanwhile is delivered."""
    async with hosted(Parrot) as host:
        await host.user("ana").says("#general", "one")
        await host.settle()
        before = host.plugin()
        await host.end()
        await host.user("ana").says("#general", "two")
        await host.restart()
        assert host.plugin() is not before
        assert (await host.said("#general"))[-1] == "parrot: hello 2"


async def test_a_bug_is_raised_with_the_authors_traceback() -> None:
    """It is the cause of what `settle` raises, begins in the author's code, and the text says in which event it was."""
    async with hosted(Broken) as host:
        await host.user("ana").says("#general", "bug")
        with pytest.raises(PluginFailed, match=r"a handler raised \(consumer broken, lane \d+, position \d+\): KeyError") as failed:
            await host.settle()
        [frame, *_] = traceback.extract_tb(failed.value.__cause__.__traceback__)  # type: ignore[union-attr]  # there is one
        assert frame.line == 'raise KeyError("nothing")'


@pytest.mark.parametrize(("text", "error"), [("filter", "ZeroDivisionError: a filter's"), ("task", "OSError: in a task")])
async def test_bugs_elsewhere_come_to_light(text: str, error: str) -> None:
    """Those of filters at once, those of tasks at the latest when the block ends."""
    with pytest.raises(PluginFailed, match=error):
        async with hosted(Broken) as host:
            await host.user("ana").says("#general", text)
            await host.settle()


async def test_what_is_refused_and_what_waits() -> None:
    """A filter's no is `Rejected`, an event refused for good is parked, one whose target is away waits for the clock: none is a bug."""
    async with hosted(Broken) as host:
        ana = host.user("ana")
        with pytest.raises(Rejected, match=r"^No\.$"):
            await ana.says("#general", "reject")
        await ana.says("#general", "refuse")
        await host.settle()
        assert [row["error"] for row in await host.parked()] == ["not this one"]
        await ana.says("#general", "away")
        await ana.says("#general", "bug")
        await host.settle()
        host.plugin().ctx.log.info("looked at", times=1)
        assert host.log[-1] == {"event": "looked at", "times": 1, "level": "info"}


async def test_time_is_moved() -> None:
    """What waits is tried again when its time has come."""

    class Patient(Broken):
        tries = 0

        @hookimpl
        async def on_message_posted(self, event: Happened[Message]) -> None:
            self.tries += 1
            if self.tries == 1:
                raise TargetError("nobody there")
            await self.ctx.chat.join(event.channel_id)
            await self.ctx.chat.post(event.channel_id, str(self.ctx.now().minute))

    async with hosted(Patient) as host:
        began = host.plugin().ctx.now().minute
        await host.user("ana").says("#general", "hi")
        await host.settle()
        assert await host.said("#general") == ["ana: hi"]
        await host.advance(minutes=2)
        assert f"patient: {(began + 2) % 60}" in await host.said("#general")


async def test_a_handler_that_is_handed_an_event_twice() -> None:
    """What is keyed or held back passes; what comes on top is said, as is that nobody heard of it."""
    async with hosted(Parrot) as host:
        message = await host.assert_idempotent(host.user("ana").says("#general", "one"))
        assert message.contents == "one"
        assert await host.said("#general") == ["ana: one", "parrot: hello 1"]
        assert await host.documents("counts") == {"all": {"count": 1}}
        with pytest.raises(AssertionError, match="No handler heard of it"):
            await host.assert_idempotent(host.user("ana").reacts(message, ":heart:"))
    async with hosted(Forgetful) as host:
        with pytest.raises(AssertionError, match=r"forgetful was handed the same event twice \(message created.*\n.*again\?"):
            await host.assert_idempotent(host.user("ana").says("#general", "one"))


async def test_what_cannot_be_at_work() -> None:
    """It is refused in the words of `crust plugins check`."""

    class Misspelt(Broken):
        @hookimpl
        async def on_message_postd(self, event: Happened[Message]) -> None: ...

    assert problems(Parrot) == []
    assert problems(Parrot, {"greting": "x"}) == ["plugins.parrot.config.greting: no such setting; is greeting meant?"]
    with pytest.raises(PluginRefused, match=r"there is no hook on_message_postd; is on_message_posted meant\?"):
        async with hosted(Misspelt):
            pass
    with pytest.raises(ValueError, match="Two instances have one name"):
        async with hosted(Parrot, Parrot):
            pass


async def test_several_instances_and_no_rest() -> None:
    """Each has its name and configuration; two that answer each other for ever do not settle, and it is said what they say."""
    loud, quiet = Instance(Parrot, {"greeting": "HI"}, name="loud"), Instance(Parrot, name="quiet")
    with pytest.raises(NotSettled, match=r"within 1 s\.\nloud is running: no reason\n(.*\n)+said last: (quiet: hello|loud: HI) \d+"):
        async with hosted(loud, quiet, seconds=1) as host:
            await host.user("ana").says("#general", "one")
            await host.settle()


async def test_a_plugin_that_does_not_start() -> None:
    """What it raises in `startup` is raised where the block begins."""

    class Stillborn(Broken):
        @hookimpl
        async def startup(self) -> None:
            raise RuntimeError("no such thing")

    with pytest.raises(PluginFailed, match=r"a plugin crashed \(plugin stillborn\): RuntimeError: no such thing"):
        async with hosted(Stillborn):
            pass


async def test_commands_are_run_and_jobs_are_due() -> None:
    """A command answers its caller, its bug comes to light; a job runs when the clock is moved to where it is due."""

    class Ticking(Plugin[PluginConfig]):
        api = 1
        capabilities = frozenset({"read:public"})
        ticks = 0

        @hookimpl
        def register_commands(self, commands: Commands) -> None:
            commands.add("twice", self.twice, help="Says it twice.")

        @hookimpl
        def register_jobs(self, jobs: Jobs) -> None:
            jobs.add("tick", self.tick, every=timedelta(hours=1))

        async def twice(self, call: Invocation, number: int) -> str:
            return str(2 * (number or 1 // 0))

        async def tick(self, run: JobRun) -> None:
            self.ticks += 1

    async with hosted(Ticking) as host:
        assert await host.user("ana").runs("/twice 21") == "42"
        with pytest.raises(PluginFailed, match="ZeroDivisionError"):
            await host.user("ana").runs("/twice 0")
        await host.advance(hours=1)
        assert host.plugin().ticks == 1
        await host.advance(hours=1)
        assert host.plugin().ticks == 2


class Guard(Plugin[PluginConfig]):
    """Lets pass."""

    api = 1

    @hookimpl
    async def filter_message_post(self, draft: MessageDraft) -> None: ...


async def test_a_test_sees_what_the_host_counts_and_logs() -> None:
    """In `host.node.metrics`, as a server does; and what the plugin may do is logged as it begins."""
    async with hosted(Guard) as host:
        await host.user("ana").says("#general", "hello")
        assert host.node.metrics.filter_calls["guard", "filter_message_post", "passed"] == 1
        [there] = [each for each in host.log if each["event"] == "a plugin is there"]
        assert (there["plugin"], there["capabilities"]) == ("guard", ["read:public"])
