"""The chain of filters: who may have a say, what they may say, and what their failures cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from crust.clock import ManualClock
from crust.errors import IdempotencyMismatch, Rejected
from crust.runtime import opened
from crust.services.actor import Actor
from crust.services.keys import Key
from crust.settings import PluginInstance, Settings
from tests.support.hosting import Hosted, hosted
from tests.support.people import channel, organisation, person, put, say
from tests.support.plugins import instance, written

pytestmark = pytest.mark.asyncio

JUDGES = """
from dataclasses import replace

class Judges(Plugin[PluginConfig]):
    api = 1
    capabilities = frozenset({"read:public", "sign-in:filter"})
    asked = ()

    def judge(self, what, text):
        self.asked = (*self.asked, (what, text))
        return Reject(f"no {what}") if "bad" in text else None

    @hookimpl
    async def filter_message_post(self, draft):
        return self.judge("post", draft.contents) or replace(draft, contents=draft.contents.replace("rude", "****"), user_id="1")

    @hookimpl
    async def filter_message_edit(self, draft):
        return self.judge("edit", draft.contents) or replace(draft, contents=draft.contents.upper())

    @hookimpl
    async def filter_message_delete(self, draft):
        return self.judge("delete", "bad")

    @hookimpl
    async def filter_upload(self, draft):
        return self.judge("upload", draft.name)

    @hookimpl
    async def filter_channel_join(self, draft):
        return self.judge("join", "bad")

    @hookimpl
    async def filter_sign_in(self, draft):
        return self.judge("sign-in", draft.username)
"""
FAILS = """
import asyncio

class Fails(Plugin[PluginConfig]):
    api = 1
    asked = 0

    @hookimpl
    async def filter_message_post(self, draft):
        self.asked += 1
        if draft.contents == "slow":
            await asyncio.sleep(30)
        if draft.contents == "wrong":
            return True
        if draft.contents == "cancelled":
            raise asyncio.CancelledError
        if draft.contents != "fine":
            raise RuntimeError(draft.contents)
"""


class Filtered:
    """What a test of filters begins with: two people and a channel that were there before."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings, self.folder, self.clock = settings, folder, ManualClock()
        self.ana = self.ben = Actor(0, "", 0, "")
        self.room = 0

    async def begin(self) -> None:
        async with opened(self._settings, self.clock) as node:
            self.ana, self.ben = await person(node, "ana", is_admin=True), await person(node, "ben")
            self.room = await channel(node, self.ana)

    def hosted(self, instances: Mapping[str, PluginInstance]) -> AbstractAsyncContextManager[Hosted]:
        return hosted(self._settings, self.folder, instances, self.clock, running=False)


@pytest.fixture
def filtered(settings: Settings, tmp_path: Path) -> Filtered:
    return Filtered(settings, tmp_path)


async def test_they_are_asked_before_anything_happens(filtered: Filtered) -> None:
    """Each kind: a refusal is the reason that the caller is shown, and nothing is stored; of a draft only the contents count."""
    await filtered.begin()
    async with filtered.hosted({"judges": instance(written(filtered.folder, JUDGES))}) as at:
        core, ana, ben, room = at.node.core, filtered.ana, filtered.ben, filtered.room
        said = await say(at.node, ana, room, "a rude word")
        assert (said.contents, said.user_id) == ("a **** word", str(ana.user_id))
        edited = await core.messages.edit(ana, int(said.id), "better", None)
        assert edited.contents == "BETTER"
        before = (await at.node.log.head()).position
        for what, attempt in {
            "post": say(at.node, ana, room, "bad"),
            "edit": core.messages.edit(ana, int(said.id), "bad", None),
            "delete": core.messages.remove(ana, int(said.id)),
            "upload": put(at.node, ana, "bad.txt", b"hello", channel_id=room),
            "join": core.channels.join(ben, room),
        }.items():
            with pytest.raises(Rejected, match=f"^no {what}$"):
                await attempt
        assert (await at.node.log.head()).position == before
        assert (await put(at.node, ana, "good.txt", b"hello", channel_id=room)).attachments[0].name == "good.txt"
        await core.sessions.sign_in("ana", "correct horse", None, "", "")
        await core.accounts.add("badger", password="correct horse")
        with pytest.raises(Rejected, match=r"^no sign-in$"):
            await core.sessions.sign_in("badger", "correct horse", None, "", "")


async def test_a_repeat_is_not_judged_again(filtered: Filtered) -> None:
    """The key is looked up first, by what was asked for and not by what the filters made of it."""
    await filtered.begin()
    async with filtered.hosted({"judges": instance(written(filtered.folder, JUDGES))}) as at:
        key = Key("here", "1", "rude")

        async def post(key: Key) -> str:
            post = at.node.core.messages.post
            return (await post(filtered.ana, filtered.room, "rude", reply_to=None, client_msg_id=None, key=key)).id

        assert await post(key) == await post(key)
        assert len(at.plugin("judges").asked) == 1
        with pytest.raises(IdempotencyMismatch):
            await post(Key("here", "1", "other"))


async def test_only_where_it_may(filtered: Filtered) -> None:
    """Neither another organisation nor a private channel is its business, without the capability."""
    await filtered.begin()
    async with filtered.hosted({"judges": instance(written(filtered.folder, JUDGES))}) as at:
        elsewhere = await organisation(at.node, filtered.ana)
        far = await channel(at.node, filtered.ana, organisation_id=elsewhere)
        private = await channel(at.node, filtered.ana, type_="private")
        for where in (far, private):
            assert (await say(at.node, filtered.ana, where, "bad, and rude")).contents == "bad, and rude"
        assert not at.plugin("judges").asked


async def test_order(filtered: Filtered) -> None:
    """tryfirst, then the settings' order, then trylast; each sees what those before it have made of the draft."""
    await filtered.begin()
    source = """
from dataclasses import replace
class Adds(Plugin[PluginConfig]):
    api = 1
    @hookimpl({how})
    async def filter_message_post(self, draft):
        return replace(draft, contents=draft.contents + " " + self.ctx.name)
"""
    plain, first, last = (written(filtered.folder, source.format(how=how)) for how in ("", "tryfirst=True", "trylast=True"))
    instances = {"last": instance(last), "one": instance(plain), "two": instance(plain), "first": instance(first)}
    async with filtered.hosted(instances) as at:
        assert (await say(at.node, filtered.ana, filtered.room, "0")).contents == "0 first one two last"


@pytest.mark.parametrize("on_error", ["allow", "reject"])
async def test_failures(filtered: Filtered, on_error: str) -> None:
    """Whatever goes wrong, `on_error` decides, in time; after five in a row it is left alone for 30 s, then tried once."""
    await filtered.begin()
    async with filtered.hosted({"fails": instance(written(filtered.folder, FAILS), on_error=on_error)}) as at:
        plugin = at.plugin("fails")

        async def passes(text: str) -> bool:
            try:
                await say(at.node, filtered.ana, filtered.room, text)
            except Rejected as refusal:
                return not refusal.message.startswith("This has to be checked by fails")
            return True

        assert await passes("fine")
        began = time.monotonic()
        for text in ("slow", "wrong", "cancelled", "raises"):
            assert await passes(text) == (on_error == "allow")
        assert time.monotonic() - began < 5
        assert await passes("fine"), "four were not five, and one that is good begins the count anew"
        for _ in range(5):
            await passes("raises")
        assert plugin.asked == 11
        assert await passes("fine") == (on_error == "allow")
        assert plugin.asked == 11
        assert at.host.metrics.filters_closed.read() == {"fails": 1.0}
        filtered.clock.advance(31)
        await passes("raises")
        await passes("raises")
        assert plugin.asked == 12, "one more failure, and it is left alone again"
        filtered.clock.advance(31)
        assert at.host.metrics.filters_closed.read() == {"fails": 0.0}
        assert await passes("fine")
        assert await passes("fine")
        assert plugin.asked == 14
        counted = {how: at.host.metrics.filter_calls["fails", "filter_message_post", how] for how in ("passed", "failed", "closed")}
        assert counted == {"passed": 4, "failed": 10, "closed": 2}
        assert sum(at.host.metrics.filter_seconds.cells["fails", "filter_message_post"].counts) == 14


async def test_all_together_have_their_time(filtered: Filtered) -> None:
    """Three that hang do not take three times as long as one may: what has had no time decides by `on_error`, and is not at fault."""
    await filtered.begin()
    name = written(filtered.folder, FAILS)
    async with filtered.hosted({each: instance(name) for each in ("one", "two", "three")}) as at:
        began = time.monotonic()
        assert (await say(at.node, filtered.ana, filtered.room, "slow")).contents == "slow"
        assert time.monotonic() - began < 5
        assert [at.plugin(each).asked for each in ("one", "two", "three")] == [1, 1, 0]
        assert at.host._links["three"].failures == 0


async def test_whoever_goes_away_is_not_a_failure(filtered: Filtered) -> None:
    """A caller that hangs up ends the wait, and is not held against the filter."""
    await filtered.begin()
    async with filtered.hosted({"fails": instance(written(filtered.folder, FAILS))}) as at:
        task = asyncio.create_task(say(at.node, filtered.ana, filtered.room, "slow"))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not at.host._links["fails"].failures


STUBBORN = """
import asyncio, time

class Stubborn(Plugin[PluginConfig]):
    api = 1
    @hookimpl
    async def filter_message_post(self, draft):
        if draft.contents == "blocks":
            time.sleep(0.4)
        end = time.monotonic() + 3
        while draft.contents == "stubborn" and time.monotonic() < end:
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                pass
"""


@pytest.mark.parametrize("on_error", ["allow", "reject"])
async def test_one_that_does_not_end_holds_nobody(filtered: Filtered, on_error: str) -> None:
    """It swallows its cancellation, or never awaits: in its time it is given up, `on_error` decides, and it counts as a failure."""
    await filtered.begin()
    async with filtered.hosted({"stubborn": instance(written(filtered.folder, STUBBORN), on_error=on_error)}) as at:
        for text in ("stubborn", "blocks"):
            began = time.monotonic()
            if on_error == "allow":
                await say(at.node, filtered.ana, filtered.room, text)
            else:
                with pytest.raises(Rejected, match="has to be checked by stubborn"):
                    await say(at.node, filtered.ana, filtered.room, text)
            assert time.monotonic() - began < 2
        assert at.host._links["stubborn"].failures == 2


BOTH = """
import asyncio

class Both(Plugin[PluginConfig]):
    api = 1
    capabilities = frozenset({"read:public", "message:post", "channel:join"})

    def __init__(self, ctx):
        super().__init__(ctx)
        self.noted = asyncio.Event()

    @hookimpl
    async def filter_message_post(self, draft):
        if draft.contents == "echo":
            await self.ctx.chat.post(draft.channel_id, "noted")
            await self.ctx.store.collection("notes").put("one", {})
            self.noted.set()

    @hookimpl
    async def on_message_posted(self, event):
        if event.body.contents == "hi":
            await self.noted.wait()
            for text in ("one", "two", "three"):
                await self.ctx.chat.post(event.channel_id, text)
"""
ECHOES = """
class Echoes(Plugin[PluginConfig]):
    api = 1
    capabilities = frozenset({"read:public", "message:post", "channel:join"})

    @hookimpl
    async def on_message_posted(self, event):
        if event.body.contents == "hi":
            await self.ctx.chat.join(event.channel_id)
            await self.ctx.chat.post(event.channel_id, "echo")
            await self.ctx.chat.post(event.channel_id, "end")
"""


async def test_a_filter_is_no_part_of_whose_message_it_judges(filtered: Filtered) -> None:
    """Asked because of a handler of another plugin, what it does is not taken for what its own handler does of the same event."""
    await filtered.begin()
    both, echoes = written(filtered.folder, BOTH), written(filtered.folder, ECHOES)
    async with hosted(filtered._settings, filtered.folder, {"both": instance(both), "echoes": instance(echoes)}, filtered.clock) as at:
        for name in ("both", "echoes"):
            await at.settled(name)
            await at.plugin(name).ctx.chat.join(str(filtered.room))
        await say(at.node, filtered.ana, filtered.room, "hi")
        for name in ("echoes", "both"):
            await at.settled(name)
        page = await at.node.core.messages.page(filtered.ana.user_id, filtered.room, limit=50)
        said = [each.contents for each in page.messages if each.type == "MESSAGE"]
        assert sorted(map(str, said)) == sorted(["hi", "noted", "echo", "end", "one", "two", "three"])


async def test_one_organisation_that_is_not_there(filtered: Filtered) -> None:
    """It is asked in the others, and says so; when there is one of that name, there too."""
    await filtered.begin()
    judges = instance(written(filtered.folder, JUDGES), on_error="reject", organisations=["Home", "Nowhere"])
    async with hosted(filtered._settings, filtered.folder, {"judges": judges}, filtered.clock) as at:
        with pytest.raises(Rejected, match="no post"):
            await say(at.node, filtered.ana, filtered.room, "bad")
        assert list(at.host.instances[0].unknown) == ["There is no organisation 'Nowhere'."]
        there = await channel(at.node, filtered.ana, organisation_id=await organisation(at.node, filtered.ana, name="Nowhere"))
        async with asyncio.timeout(5):
            while at.host.instances[0].unknown:
                await asyncio.sleep(0.01)
        with pytest.raises(Rejected, match="no post"):
            await say(at.node, filtered.ana, there, "bad")


@pytest.mark.parametrize("on_error", ["allow", "reject"])
async def test_one_that_has_no_bot_yet(filtered: Filtered, on_error: str) -> None:
    """Its name is somebody's: `on_error` decides, in its organisation alone."""
    await filtered.begin()
    async with filtered.hosted({"ben": instance(written(filtered.folder, JUDGES), on_error=on_error)}) as at:
        far = await channel(at.node, filtered.ana, organisation_id=await organisation(at.node, filtered.ana))
        await say(at.node, filtered.ana, far, "fine")
        if on_error == "allow":
            await say(at.node, filtered.ana, filtered.room, "bad")
        else:
            with pytest.raises(Rejected, match="has to be checked by ben"):
                await say(at.node, filtered.ana, filtered.room, "fine")
        assert not at.plugin("ben").asked
