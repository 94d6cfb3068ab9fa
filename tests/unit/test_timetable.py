"""When jobs are due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crust.host.jobs import NewJobs
from crust.host.timetable import BadTime, cron, every

NOW = datetime(2026, 11, 24, 12, 30, 15, tzinfo=UTC)  # a Tuesday


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("* * * * *", "2026-11-24 12:31"), ("30 12 * * *", "2026-11-25 12:30"), ("*/20 * * * *", "2026-11-24 12:40"),
        ("5,50 8-18 * * *", "2026-11-24 12:50"), ("0 8 * * mon-fri", "2026-11-25 08:00"), ("0 8 * * 7", "2026-11-29 08:00"),
        ("0 8 * * SUN", "2026-11-29 08:00"), ("0 0 1 * *", "2026-12-01 00:00"), ("0 0 1 jan *", "2027-01-01 00:00"),
        ("0 0 29 2 *", "2028-02-29 00:00"), ("0 0 13 * fri", "2026-11-27 00:00"), ("0 0 */10 * *", "2026-12-01 00:00"),
        ("10/25 * * * *", "2026-11-24 12:35"), ("0 0 31 */2 *", "2027-01-31 00:00"), ("59 23 31 12 *", "2026-12-31 23:59"),
    ],
)  # fmt: skip
def test_cron(text: str, due: str) -> None:
    """Steps, ranges, lists and names; either kind of day is enough where both are said."""
    assert cron(text).next(NOW).isoformat(" ", "minutes").removesuffix("+00:00") == due


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has five fields"), ("* * * *", "has five fields"), ("60 * * * *", "is not within 0 to 59"), ("* 5-3 * * *", "not within"),
        ("*/0 * * * *", "not within"), ("* * 0 * *", "not within 1 to 31"), ("* * * foo *", "the month cannot be 'foo'"),
        ("a * * * *", "the minute cannot be 'a'"), ("1- * * * *", "is none of"), ("0 0 30 2 *", "never comes"), ("* * * * 8", "not within"),
    ],
)  # fmt: skip
def test_what_is_no_cron(text: str, why: str) -> None:
    """It is said what is wrong, also of days that there are not."""
    with pytest.raises(BadTime, match=r".") as caught:
        cron(text)
    assert why in str(caught.value)


@given(st.integers(1, 366 * 86_400), st.integers(0, 4_000_000_000))
def test_intervals(seconds: int, at: int) -> None:
    """The next one is later, within the period, and the same whoever asks in between."""
    now, timetable = datetime.fromtimestamp(at, UTC), every(timedelta(seconds=seconds))
    due = timetable.next(now)
    assert now < due <= now + timetable.period
    assert timetable.next(due - timedelta(microseconds=1)) == due
    assert timetable.next(due) == due + timetable.period


def test_what_is_no_interval() -> None:
    """Too short, too long."""
    for wrong in (timedelta(0), timedelta(milliseconds=5), timedelta(days=400)):
        with pytest.raises(BadTime):
            every(wrong)


def test_what_cannot_be_offered() -> None:
    """Each mistake is named, and none hides another."""

    async def job(run: object) -> None: ...

    def plain(run: object) -> None: ...

    made = NewJobs()
    made.add("Bad", job, every=timedelta(minutes=1))
    made.add("good", job, every=timedelta(minutes=1))
    made.add("good", job, cron="* * * * *")
    made.add("plain", plain, cron="* * * * *")
    made.add("both", job, cron="* * * * *", every=timedelta(1))
    made.add("none", job)
    made.add("wrong", job, cron="* * *")
    assert [planned.name for planned in made.jobs] == ["good"]
    assert [problem.split("'")[1] for problem in made.problems] == ["Bad", "good", "plain", "both", "none", "wrong"]
