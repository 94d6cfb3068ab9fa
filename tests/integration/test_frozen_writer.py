"""PostgreSQL: a process that freezes inside a change holds up the others for 5 s at most."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crust.runtime import opened
from crust.settings import Settings

FREEZE = """
import asyncio, os, signal
from pathlib import Path
from crust.runtime import opened
from crust.settings import load

async def main():
    async with opened(load()) as node:
        async with node.log.change() as change:
            change.next_id()
            print("frozen", flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)

asyncio.run(main())
"""
LONGEST_S = 8.0  # PostgreSQL ends the frozen transaction after 4; the rest is for a machine that does other things, too


@pytest.mark.asyncio
@pytest.mark.postgres
async def test_a_frozen_writer_delays_others_by_seconds_at_most(postgres_url: str, tmp_path: Path) -> None:
    """SIGSTOP inside a change: PostgreSQL ends that transaction, and whoever waits goes on, without an error."""
    settings = Settings(data_dir=tmp_path, database_url=postgres_url)
    async with opened(settings) as node:
        environment = {**os.environ, "CRUST_DATABASE_URL": postgres_url, "CRUST_DATA_DIR": str(tmp_path)}
        frozen = subprocess.Popen([sys.executable, "-c", FREEZE], env=environment, cwd=Path.cwd(), stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220  # a real process is the point
        try:
            assert frozen.stdout is not None
            assert await asyncio.to_thread(frozen.stdout.readline) == "frozen\n"
            await asyncio.sleep(0.05)
            began = time.monotonic()
            async with node.log.change() as change:
                change.next_id()
            waited = time.monotonic() - began
        finally:
            frozen.send_signal(signal.SIGKILL)
            frozen.communicate()
    assert 1 < waited < LONGEST_S
