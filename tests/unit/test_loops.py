"""A process' loop ends, whatever runs in it."""

from __future__ import annotations

import subprocess
import sys

STUBBORN = """
import asyncio
from crust.servers import loops
from crust.settings import Settings

async def stubborn():
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

async def work():
    asyncio.create_task(stubborn(), name="stubborn run")
    await asyncio.sleep(0.1)
    print("done")

loops.run(work, Settings())
"""


def test_what_does_not_end_ends_with_the_process() -> None:
    """A task that swallows its cancellation is named, and not waited for."""
    done = subprocess.run([sys.executable, "-c", STUBBORN], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "done"), done.stderr
    assert "stubborn run" in done.stdout + done.stderr
