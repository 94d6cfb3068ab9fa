"""reminders: what people asked to be reminded of, when they asked for it, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from crust_reminders import reminders
from crust_reminders.when import LONGEST, Unreadable, read
from hypothesis import given
from hypothesis import strategies as st

from crust.clock import ManualClock
from crust.errors import Conflict, CrustError, NotFound
from crust.host.registration import registered
from crust.runtime import opened
from crust.services.actor import Actor
from crust.services.keys import Key, fingerprint
from crust.settings import Settings
from tests.support.hosting import Hosted, hosted
from tests.support.people import channel, person
from tests.support.plugins import instance, with_plugins

FOLDER = Path(__file__).parents[2] / "plugins"
NOW = datetime(2026, 11, 26, 12, 30, tzinfo=UTC)  # a Thursday
BERLIN = ZoneInfo("Europe/Berlin")
MORNING = time(9)


@asynccontextmanager
async def reminding(settings: Settings, clock: ManualClock, **config: object) -> AsyncIterator[Hosted]:
    async with hosted(settings, FOLDER, {"reminders": instance("reminders", config=config)}, clock) as at:
        yield at


@asynccontextmanager
async def at_home(settings: Settings) -> AsyncIterator[tuple[Actor, Actor, int]]:
    async with opened(settings) as node:
        ana, ben = await person(node, "ana", is_admin=True), await person(node, "ben")
        room = await channel(node, ana)
    yield ana, ben, room


async def run(at: Hosted, who: Actor, room: int, line: str, key: str | None = None) -> str:
    once = None if key is None else Key(f"{who.user_id}", key, fingerprint(line))
    return (await at.node.core.commands.run(who, room, line, once)).text or ""


async def said(at: Hosted) -> list[str]:
    """What the bot has said, wherever."""
    bot = int(at.plugin("reminders").ctx.chat.user_id)
    rows = await at.node.database.fetch("SELECT contents FROM message WHERE user_id = $1 AND type = 'MESSAGE' ORDER BY id", bot)
    return [row["contents"] for row in rows]


async def said_soon(at: Hosted, texts: list[str]) -> None:
    async with asyncio.timeout(20):
        while len(await said(at)) < len(texts):
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    assert await said(at) == texts


@pytest.mark.asyncio
async def test_it_reminds_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """People in a direct channel, channels there; when it is time and not before; over restarts, and a repeat of the request keeps one."""
    monkeypatch.setattr(reminders, "LOOK_S", 0.02)
    clock = ManualClock()
    async with at_home(settings) as (ana, ben, room):
        async with reminding(settings, clock) as at:
            for _ in range(2):
                await run(at, ana, room, "/remind me in 2h to call Ben", "one")
            await run(at, ben, room, "/remind #room in 90 minutes tea for @ana")
            await run(at, ana, room, "/remind me in 3h later")
            clock.advance(89 * 60)
            await asyncio.sleep(0.1)
            assert await said(at) == []
            clock.advance(60)
            await said_soon(at, ["Reminder of @ben's: tea for @ana"])
            [direct] = await at.node.database.fetch("SELECT count(*) AS n FROM channel WHERE type = 'direct'")
            assert direct["n"] == 0
        clock.advance(3600)
        async with reminding(settings, clock) as at:
            await said_soon(at, ["Reminder of @ben's: tea for @ana", "Reminder: call Ben"])
            plugin = at.plugin("reminders")
            [waiting] = await plugin.ctx.store.collection("reminders").find()
            await plugin._remind(waiting)
            await plugin._remind(waiting)  # as after a crash between saying and forgetting
            assert (await said(at))[2:] == ["Reminder: later"]
            [shown] = await at.node.database.fetch("SELECT id FROM channel WHERE type = 'direct'")
            page = await at.node.core.messages.read(ana, shown["id"], before=None, after=None, around=None, limit=9)
            assert [each.contents for each in page.messages if each.type == "MESSAGE"] == ["Reminder: call Ben", "Reminder: later"]


@pytest.mark.asyncio
async def test_list_and_cancel(settings: Settings) -> None:
    """Each sees and forgets their own, in the order of their times; with as many as they may have, they are asked to."""
    async with at_home(settings) as (ana, ben, room), reminding(settings, ManualClock(), most=2) as at:
        await asyncio.sleep(0.1)
        assert await run(at, ana, room, "/remind list") == "Nothing waits."
        await run(at, ana, room, "/remind me in 2h second")
        await run(at, ana, room, "/remind here in 1h first")
        with pytest.raises(Conflict, match="2 reminders"):
            await run(at, ana, room, "/remind me in 2h more")
        first, second = (await run(at, ana, room, "/remind list")).splitlines()
        assert (first.endswith(": first"), second.endswith(": second")) == (True, True)
        id_ = first.split("`")[1]
        with pytest.raises(NotFound, match="no reminder"):
            await run(at, ben, room, f"/remind cancel {id_}")
        assert await run(at, ana, room, f"/remind cancel {id_}") == "Forgotten: first"
        assert (await run(at, ana, room, "/remind list")) == second


@pytest.mark.asyncio
async def test_what_cannot_be_kept(settings: Settings) -> None:
    """It is said why, and nothing is."""
    async with at_home(settings) as (ana, ben, room), reminding(settings, ManualClock()) as at:
        await asyncio.sleep(0.1)
        private = await channel(at.node, ana, type_="private", name="private")
        direct = await channel(at.node, ana, ben, type_="direct")
        for where, line, why in (
            (room, "/remind me", "Usage: /remind"),
            (room, "/remind me soon tea", "When is 'soon tea'"),
            (room, "/remind me in 2h", "Of what"),
            (room, f"/remind me in 2h {'a' * 2001}", "2000 characters"),
            (room, "/remind #nowhere in 2h tea", "no channel of that name"),
            (private, "/remind here in 2h tea", "no such channel"),
            (direct, "/remind here in 2h tea", "ask for yourself"),
        ):
            with pytest.raises(CrustError, match=why):
                await run(at, ana, where, line)
        assert await run(at, ana, room, "/remind list") == "Nothing waits."


@pytest.mark.asyncio
async def test_a_channel_that_is_gone(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked is told, and others' reminders come."""
    monkeypatch.setattr(reminders, "LOOK_S", 0.02)
    clock = ManualClock()
    async with at_home(settings) as (ana, ben, room), reminding(settings, clock) as at:
        await asyncio.sleep(0.1)
        await run(at, ana, room, "/remind here in 1h tea")
        await run(at, ben, room, "/remind me in 1h1m cake")
        await at.node.core.archiving.archive(ana, room)
        clock.advance(3700)
        why = "The channel is archived: it can be read, but not changed."
        await said_soon(at, [f"Your reminder could not be given in its channel ({why}): tea", "Reminder: cake"])


@pytest.mark.parametrize("config", [{"timezone": "Mars"}, {"timezone": "../etc"}, {"morning": "9"}, {"morning": "25:00"}, {"most": 0}])
def test_a_configuration_that_cannot_be(config: dict[str, object]) -> None:
    """It is refused at start, by its place in the file."""
    _, [refused] = registered(with_plugins(Settings(), FOLDER, it=instance("reminders", config=config)))
    assert refused.problems[0].startswith("plugins.it.config.")


# ---- times


@pytest.mark.parametrize(
    ("text", "due", "rest"),
    [
        ("in 2h tea", "2026-11-26 15:30", "tea"),
        ("in 1h30m to make tea", "2026-11-26 15:00", "make tea"),
        ("In an hour tea", "2026-11-26 14:30", "tea"),
        ("in 2 days and 3 hours tea", "2026-11-28 16:30", "tea"),
        ("in 2 weeks 5 apples", "2026-12-10 13:30", "5 apples"),
        ("at 14:30 tea", "2026-11-26 14:30", "tea"),
        ("at 9 tea", "2026-11-27 09:00", "tea"),
        ("9pm tea", "2026-11-26 21:00", "tea"),
        ("at 12am tea", "2026-11-27 00:00", "tea"),
        ("tomorrow tea", "2026-11-27 09:00", "tea"),
        ("tomorrow 9 apples", "2026-11-27 09:00", "9 apples"),
        ("tomorrow at 18 tea", "2026-11-27 18:00", "tea"),
        ("on friday 14:30 tea", "2026-11-27 14:30", "tea"),
        ("thursday at 9 tea", "2026-12-03 09:00", "tea"),
        ("thursday at 15 tea", "2026-11-26 15:00", "tea"),
        ("2027-03-28 2:30 tea", "2027-03-28 03:30", "tea"),
        ("2027-10-31 2:30 tea", "2027-10-31 02:30", "tea"),
        ("on 2030-12-24 at 6:15 pm the tree", "2030-12-24 18:15", "the tree"),
    ],
)
def test_a_time(text: str, due: str, rest: str) -> None:
    """As people write it, on the clock of the place; an hour that is skipped is the next one."""
    when, what = read(text, NOW, BERLIN, MORNING)
    assert (f"{when.astimezone(BERLIN):%Y-%m-%d %H:%M}", what) == (due, rest)


@pytest.mark.parametrize(
    "text",
    ["", "in", "in tea", "in 2 bananas", "soon", "at 25 tea", "at 9:99 tea", "at 13pm", "today at 9 tea", "2026-11-01 tea",
     "2026-13-01 tea",
     "2099-01-01 tea", "in 999999 weeks tea", "9 tea", "at tea", "in 0h tea", "in ²h tea"],
)  # fmt: skip
def test_no_time(text: str) -> None:
    """It is said that it is none."""
    with pytest.raises(Unreadable):
        read(text, NOW, BERLIN, MORNING)


WORDS = st.sampled_from(
    ["in", "at", "on", "today", "tomorrow", "friday", "2h", "1", "an", "hour", "and", "30", "m", ":", "9pm", "2028-02-29", "tea", "٣"]
)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # hypothesis adds the zone


@given(
    st.lists(WORDS, max_size=8).map(" ".join) | st.text(max_size=30), MOMENTS, st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns"])
)
def test_any_text(text: str, now: datetime, zone: str) -> None:
    """Gives a time after now within ten years, and an end of the text; or says that it cannot be read."""
    try:
        due, rest = read(text, now, ZoneInfo(zone), MORNING)
    except Unreadable:
        return
    assert now < due <= now + LONGEST
    assert due.tzinfo is UTC
    assert " ".join(text.split()).endswith(rest)


@given(st.integers(0, 99), st.integers(0, 99), MOMENTS)
def test_durations_add_up(hours: int, minutes: int, now: datetime) -> None:
    """However they are written."""
    if hours + minutes:
        for text in (f"in {hours}h{minutes}m tea", f"in {hours} hours and {minutes} minutes tea"):
            assert read(text, now, BERLIN, MORNING) == (now + timedelta(hours=hours, minutes=minutes), "tea")
