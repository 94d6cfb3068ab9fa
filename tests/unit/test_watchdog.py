"""The watchdog: a loop that stands still ends the process, and no other does."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import pytest

from crust.host.consumer import Code, Running
from crust.host.watchdog import STATUS, Watchdog

BLOCKED = """
import asyncio
from crust.host.bounded import started
from crust.host.consumer import Code
from crust.host.consumer import Code, Running
from crust.host.watchdog import Watchdog
async def for_ever():
    while True: pass
async def main():
    with Watchdog(0.3, print).watching():
        await asyncio.sleep(0.1)
        await started(for_ever(), Code("echo", "filter_message_post"))
asyncio.run(main())
"""


@pytest.mark.asyncio
async def test_a_loop_that_turns_is_left_alone() -> None:
    """However long, and also where it is held up for less than is allowed; afterwards nobody watches any more."""
    ends: list[int] = []
    noted: list[Code] = []
    with Watchdog(0.4, noted.append, ends.append).watching():
        for _ in range(6):
            await asyncio.sleep(0.1)
            time.sleep(0.15)  # noqa: ASYNC251  # what a handler does that does not await
    time.sleep(0.6)  # noqa: ASYNC251  # the same
    assert ends == []


@pytest.mark.asyncio
async def test_a_loop_that_stands_still_ends_the_process() -> None:
    """Once it has stood for as long as is allowed."""
    ends: list[int] = []
    with Watchdog(0.2, print, ends.append).watching():
        await asyncio.sleep(0.05)
        time.sleep(0.6)  # noqa: ASYNC251  # what a handler does that does not await
    assert ends == [STATUS]


@pytest.mark.asyncio
async def test_what_takes_a_second_is_named() -> None:
    """The plugin's code that has kept the loop is told of when it turns again, and the process goes on."""
    ends: list[int] = []
    noted: list[Code] = []
    with Watchdog(1.0, noted.append, ends.append).watching():
        await asyncio.sleep(0.1)
        with Running(code := Code("echo", "run")):
            time.sleep(0.8)  # noqa: ASYNC251  # what a plugin does that does not await
        await asyncio.sleep(0.1)
    assert (noted, ends) == ([code], [])


def test_it_says_what_was_at_work() -> None:
    """A real process that loops for ever: its status says that it was no ordinary end, its log what was being handled."""
    done = subprocess.run([sys.executable, "-c", BLOCKED], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == STATUS
    assert all(word in done.stdout + done.stderr for word in ("echo", "filter_message_post", "in for_ever"))
