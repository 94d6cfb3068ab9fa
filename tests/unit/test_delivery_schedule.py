"""What failures mean, whatever their order and whenever they come."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crust.host.schedule import RAISED_S, RETRY_AFTER_MAX_S, SPREAD, STEPS_S, How, Schedule, Trouble

FIVE_DAYS_S = 432_000.0
NOW = 1_790_000_000_000
HOWS: list[How] = ["done", "skipped", "withdrawn", "uncertain", "refused", "raised", "target", "conflict"]

schedules = st.integers(0, 2**32).map(lambda seed: Schedule(FIVE_DAYS_S, random.Random(seed)))
troubles = st.none() | st.builds(Trouble, st.integers(1, 100), st.integers(NOW - 10**9, NOW))


def test_the_steps() -> None:
    """5 s, 30 s, 2 m, 10 m, 30 m, 1 h, 2 h, 5 h, 10 h."""
    assert STEPS_S == (5, 30, 120, 600, 1800, 3600, 7200, 18000, 36000)


@given(schedule=schedules)
def test_a_target_that_never_answers_is_given_up_after_five_days(schedule: Schedule) -> None:
    """Every wait is its step, a fifth more or less, the last one again and again; parked with the first failure after five days."""
    now, trouble = NOW, None
    for attempt in range(1000):
        lane = schedule.judge("target", now, 0, trouble).lane
        assert lane is not None
        assert (lane.attempts, lane.since) == (attempt + 1, NOW)
        if lane.parked:
            break
        step = STEPS_S[min(attempt, 8)] * 1000
        assert round(step * (1 - SPREAD)) <= lane.next_at - now <= round(step * (1 + SPREAD))
        now, trouble = lane.next_at, Trouble(lane.attempts, lane.since)
    assert FIVE_DAYS_S * 1000 <= now - NOW <= (FIVE_DAYS_S + STEPS_S[-1] * (1 + SPREAD)) * 1000


@given(schedule=schedules, trouble=troubles, asked=st.floats(-1e9, 1e9))
def test_who_asks_for_time_gets_it(schedule: Schedule, trouble: Trouble | None, asked: float) -> None:
    """At least as long as the target said, up to ten hours; never sooner than without."""
    lane = schedule.failed(NOW, trouble, asked)
    step = STEPS_S[min(trouble.attempts if trouble else 0, 8)]
    assert lane.next_at - NOW >= round(min(asked, RETRY_AFTER_MAX_S) * 1000)
    assert lane.next_at - NOW >= round(step * (1 - SPREAD) * 1000)
    assert lane.next_at - NOW <= max(step * (1 + SPREAD), min(max(asked, 0), RETRY_AFTER_MAX_S)) * 1000 + 1


@given(schedule=schedules, trouble=troubles)
def test_a_handler_that_raises_has_three_tries_within_a_minute(schedule: Schedule, trouble: Trouble | None) -> None:
    """Then the row is parked; the lane is as it was, so that the next row is tried at once."""
    now, raised = NOW, 0
    for _ in RAISED_S:
        verdict = schedule.judge("raised", now, raised, trouble)
        assert verdict.state == "waiting"
        now, raised = verdict.next_at, verdict.raised
    assert now - NOW < 60_000
    verdict = schedule.judge("raised", now, raised, trouble)
    assert (verdict.state, verdict.raised) == ("parked", 3)
    assert verdict.lane is None or (verdict.lane.next_at <= now and not verdict.lane.parked)


@given(schedule=schedules, hows=st.lists(st.sampled_from(HOWS), max_size=60), pauses=st.randoms())
def test_any_row_of_ends(schedule: Schedule, hows: list[How], pauses: random.Random) -> None:
    """Time never goes back; only three bugs in a row park, and only targets park a lane; whoever answers makes the lane well."""
    now, raised, trouble = NOW, 0, None
    for how in hows:
        verdict = schedule.judge(how, now, raised, trouble, pauses.choice([None, pauses.uniform(0, 1e6)]))
        assert verdict.next_at >= now
        assert (verdict.state == "parked") == (how == "refused" or (how == "raised" and raised == 2))
        if how in ("done", "skipped", "withdrawn", "uncertain"):
            assert (verdict.state, verdict.lane) == (how, None)
        if how != "target":
            assert verdict.lane is None or not verdict.lane.parked
        final = verdict.state != "waiting"
        raised = 0 if final else verdict.raised
        trouble = Trouble(verdict.lane.attempts, verdict.lane.since) if verdict.lane else None
        due = max(verdict.next_at, verdict.lane.next_at if verdict.lane else 0)
        now = max(now, due) + pauses.randrange(10_000)
        if verdict.lane and verdict.lane.parked:
            return


@pytest.mark.parametrize("how", ["refused", "done"])
@given(schedule=schedules, trouble=troubles)
def test_who_answers_is_well(how: How, schedule: Schedule, trouble: Trouble | None) -> None:
    """Also who refuses: it was there to do so."""
    assert schedule.judge(how, NOW, 1, trouble).lane is None
