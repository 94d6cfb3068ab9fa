"""An empty server for each test. Migrating takes half a second, so it is done once a process, and what came of it is copied."""

from __future__ import annotations

import asyncio
import atexit
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from crust.runtime import opened
from crust.settings import Passwords, Settings

CHEAP = Passwords(time_cost=1, memory_kib=8, parallelism=1)  # nobody's password here is worth anything


@contextmanager
def empty_server() -> Iterator[Settings]:
    """Settings over a migrated SQLite database with nobody in it, for the length of a block."""
    original = _migrated()
    with tempfile.TemporaryDirectory(prefix="crust-test-") as folder:
        shutil.copy(original, Path(folder) / original.name)
        yield Settings(data_dir=Path(folder), passwords=CHEAP)


@cache
def _migrated() -> Path:
    folder = tempfile.mkdtemp(prefix="crust-test-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    settings = Settings(data_dir=Path(folder))
    with ThreadPoolExecutor(1) as thread:  # with a loop of its own: one runs here already
        thread.submit(asyncio.run, _migrate(settings)).result()
    assert settings.sqlite_path is not None
    return settings.sqlite_path


async def _migrate(settings: Settings) -> None:
    async with opened(settings):
        pass
