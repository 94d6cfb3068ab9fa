"""The watchdog: a loop that stands still ends the process, and no other does."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import pytest

from crust.host.watchdog import STATUS, Watchdog

BLOCKED = """
import asyncio
from crust.host.watchdog import Watchdog
async def main():
    with Watchdog(0.3, lambda: ["echo/17/4"]).watching():
        await asyncio.sleep(0.1)
        while True: pass
asyncio.run(main())
"""


@pytest.mark.asyncio
async def test_a_loop_that_turns_is_left_alone() -> None:
    """However long, and also where it is held up for less than is allowed; afterwards nobody watches any more."""
    ends: list[int] = []
    with Watchdog(0.4, list, ends.append).watching():
        for _ in range(6):
            await asyncio.sleep(0.1)
            time.sleep(0.15)  # noqa: ASYNC251  # what a handler does that does not await
    time.sleep(0.6)  # noqa: ASYNC251  # the same
    assert ends == []


@pytest.mark.asyncio
async def test_a_loop_that_stands_still_ends_the_process() -> None:
    """Once it has stood for as long as is allowed."""
    ends: list[int] = []
    with Watchdog(0.2, lambda: ["echo/17/4"], ends.append).watching():
        await asyncio.sleep(0.05)
        time.sleep(0.6)  # noqa: ASYNC251  # what a handler does that does not await
    assert ends == [STATUS]


def test_it_says_what_was_at_work() -> None:
    """A real process that loops for ever: its status says that it was no ordinary end, its log what was being handled."""
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == STATUS
    assert "echo/17/4" in done.stdout + done.stderr
