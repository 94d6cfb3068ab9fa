"""crust.testing: crashes of commands and jobs, beside those of handlers (see tests/unit/test_testing.py)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import count

import pytest
from pydantic import Field

from crust.plugin import (
    Commands,
    Happened,
    Invocation,
    JobRun,
    Jobs,
    Message,
    Plugin,
    PluginConfig,
    hookimpl,
)
from crust.testing import hosted

pytestmark = pytest.mark.asyncio
numbers = count()


class Config(PluginConfig):
    answer: str = Field("heard", min_length=1, description="What it says")


class Echo(Plugin[Config]):
    """Answers; some words let it do wrong."""

    api = 1
    capabilities = frozenset({"read:public", "message:post", "reaction:add", "channel:join"})

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

    @hookimpl
    def register_commands(self, commands: Commands) -> None:
        commands.add("note", self.note, help="Keeps a note.")
        commands.add("bad", self.bad, help="Keeps a note each time.")

    async def note(self, call: Invocation, text: str) -> str:
        await self.ctx.store.collection("notes").put(call.key, {"text": text})
        return f"Noted: {text}"

    async def bad(self, call: Invocation) -> None:
        await self.ctx.store.collection("notes").put(str(next(numbers)), {})


class Ticks(Plugin[PluginConfig]):
    """Keeps every run of its job; `bad` keeps it wrongly."""

    api = 1
    bad = False

    @hookimpl
    def register_jobs(self, jobs: Jobs) -> None:
        jobs.add("tick", self.tick, every=timedelta(minutes=5))

    async def tick(self, run: JobRun) -> None:
        await self.ctx.store.collection("runs").put(str(next(numbers)) if self.bad else run.key, {})


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
        with pytest.raises(AssertionError, match="No handler heard of it"):
            await host.assert_idempotent(asyncio.sleep(0))
