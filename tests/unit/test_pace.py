"""Who writes waits for who reads, but never for long."""

from __future__ import annotations

import asyncio
import time

import pytest

from crust.ws import pace
from crust.ws.pace import FanOutPace

pytestmark = pytest.mark.asyncio


async def test_it_waits_until_what_was_committed_is_handed_out() -> None:
    """Not before the position is reached, and then at once."""
    keeper = FanOutPace(5)
    await keeper.keep(5)
    waiting = asyncio.ensure_future(keeper.keep(7))
    for position in (6, 7):
        await asyncio.sleep(0)
        assert not waiting.done()
        keeper.reached(position)
    async with asyncio.timeout(pace.WAIT_MAX_S / 2):
        await waiting


async def test_a_fan_out_that_has_died_keeps_nobody_from_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait has an end."""
    monkeypatch.setattr(pace, "WAIT_MAX_S", 0.01)
    async with asyncio.timeout(5):
        await FanOutPace(1).keep(2)


async def test_after_a_long_fan_out_those_whom_it_held_up_are_waited_for() -> None:
    """A fraction of its time; after a short one, or some time later, not at all."""
    keeper = FanOutPace(1)
    for took, gathers in ((0.02, True), (0.0, False)):
        with keeper.handing_out():
            time.sleep(took)  # noqa: ASYNC251  # a loop that is held up is the point
        began = time.perf_counter()
        await keeper.keep(1)
        assert (time.perf_counter() - began > 0.002) is gathers
