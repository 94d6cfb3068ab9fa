"""reminders: what people asked to be reminded of, when they asked for it, once."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from crust_reminders import Reminders
from crust_reminders.when import LONGEST, Unreadable, read
from hypothesis import given
from hypothesis import strategies as st

from crust.errors import Conflict, CrustError, NotFound
from crust.settings import Settings
from crust.testing import hosted, problems

NOW = datetime(2026, 11, 26, 12, 30, tzinfo=UTC)  # a Thursday
BERLIN = ZoneInfo("Europe/Berlin")
MORNING = time(9)


@pytest.mark.asyncio
async def test_it_reminds_once(settings: Settings) -> None:
    """People in a direct channel, channels there; when it is time and not before; over restarts and crashes."""
    async with hosted(Reminders, settings=settings) as host:
        ana, ben = host.user("ana"), host.user("ben")
        await host.assert_idempotent(ana.runs("/remind me in 2h to call Ben"))
        await host.assert_idempotent(ben.runs("/remind #general in 90 minutes tea for @ana"))
        await ana.runs("/remind me in 3h later")
        await host.advance(minutes=89)
        assert await host.said("#general") == []
        await host.assert_idempotent(host.advance(minutes=1))
        tea = ["reminders: Reminder of @ben's: tea for @ana"]
        assert await host.said("#general") == tea
        await host.restart()
        await host.advance(minutes=30)
        assert await host.said(host.bot(), between=ana) == ["reminders: Reminder: call Ben"]
        await host.assert_idempotent(host.advance(hours=1))
        assert await host.said(host.bot(), between=ana) == ["reminders: Reminder: call Ben", "reminders: Reminder: later"]
        assert (await host.said("#general"), await host.documents("reminders")) == (tea, {})


@pytest.mark.asyncio
async def test_who_is_suspended_reminds_nobody(settings: Settings) -> None:
    """What they asked for is not said in their name; it is forgotten."""
    async with hosted(Reminders, settings=settings) as host:
        ben = host.user("ben")
        await ben.runs("/remind #general in 90 minutes tea")
        await host.node.core.profiles.suspend("ben")
        await host.advance(hours=2)
        assert (await host.said("#general"), await host.documents("reminders")) == ([], {})


@pytest.mark.asyncio
async def test_list_and_cancel(settings: Settings) -> None:
    """Each sees and forgets their own, in the order of their times; with as many as they may have, they are asked to."""
    async with hosted(Reminders, config={"most": 2}, settings=settings) as host:
        ana, ben = host.user("ana"), host.user("ben")
        assert await ana.runs("/remind list") == "Nothing waits."
        await ana.runs("/remind me in 2h second")
        await ana.runs("/remind here in 1h first")
        with pytest.raises(Conflict, match="2 reminders"):
            await ana.runs("/remind me in 2h more")
        first, second = (await ana.runs("/remind list") or "").splitlines()
        assert (first.endswith(": first"), second.endswith(": second")) == (True, True)
        id_ = first.split("`")[1]
        with pytest.raises(NotFound, match="no reminder"):
            await ben.runs(f"/remind cancel {id_}")
        assert await ana.runs(f"/remind cancel {id_}") == "Forgotten: first"
        assert await ana.runs("/remind list") == second


@pytest.mark.asyncio
async def test_what_cannot_be_kept(settings: Settings) -> None:
    """It is said why, and nothing is."""
    async with hosted(Reminders, settings=settings) as host:
        ana, ben = host.user("ana"), host.user("ben")
        private = await host.channel("#private", type="private", members=[ana])
        for where, line, why in (
            ("#general", "/remind me", "Usage: /remind"),
            ("#general", "/remind me soon tea", "When is 'soon tea'"),
            ("#general", "/remind me in 2h", "Of what"),
            ("#general", f"/remind me in 2h {'a' * 2001}", "2000 characters"),
            ("#general", "/remind #nowhere in 2h tea", "no channel of that name"),
            (private, "/remind here in 2h tea", "invite @reminders first"),
            (ben, "/remind here in 2h tea", "ask for yourself"),
        ):
            with pytest.raises(CrustError, match=why):
                await ana.runs(line, where)
        assert await ana.runs("/remind list") == "Nothing waits."


@pytest.mark.asyncio
async def test_a_channel_that_is_gone(settings: Settings) -> None:
    """Whoever asked is told, and others' reminders come."""
    async with hosted(Reminders, settings=settings) as host:
        ana, ben = host.user("ana"), host.user("ben")
        await ana.runs("/remind here in 1h tea", "#room")
        await ben.runs("/remind me in 1h1m cake")
        await host.node.core.archiving.archive(await host.user("owner").actor(), await host.number_of("#room"))
        await host.assert_idempotent(host.advance(hours=1, minutes=2))
        why = "The channel is archived: it can be read, but not changed."
        assert await host.said(host.bot(), between=ana) == [f"reminders: Your reminder could not be given in its channel ({why}): tea"]
        assert await host.said(host.bot(), between=ben) == ["reminders: Reminder: cake"]


@pytest.mark.parametrize("config", [{"timezone": "Mars"}, {"timezone": "../etc"}, {"morning": "9"}, {"morning": "25:00"}, {"most": 0}])
def test_a_configuration_that_cannot_be(config: dict[str, object]) -> None:
    """It is refused at start, by its place in the file."""
    assert problems(Reminders, config)[0].startswith("plugins.reminders.config.")


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
