"""What the server's process takes: memory, descriptors, threads, and the size of its database, over time."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg

MIB = 1024 * 1024
SHARE, EXTRA_MIB = 0.10, 10.0  # growth that is no leak: arenas that are in use by half, tables that double, a login's 64 MiB come and gone
PAGES_MIB = 32.0  # SQLite's page cache, one for the reading connection and one for the writing: they fill as the file grows to this


@dataclass(frozen=True, slots=True)
class Sample:
    """One look, `at` seconds after the start."""

    at: float
    rss_mib: float
    descriptors: int
    threads: int
    database_mib: float


class Watch:
    """Looks at a process again and again.

    Args:
        pid: whose.
        size: gives the database's size in MiB.
        cached: whether the process itself keeps pages of the database.
    """

    def __init__(self, pid: int, size: Callable[[], Awaitable[float]], *, cached: bool) -> None:
        self._folder, self._size, self._cached = Path(f"/proc/{pid}"), size, cached
        self._began = asyncio.get_running_loop().time()
        self.samples: list[Sample] = []

    async def run(self, seconds: float) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(seconds)

    async def look(self) -> Sample:
        status = dict(line.split(":", 1) for line in (self._folder / "status").read_text().splitlines())
        sample = Sample(
            at=asyncio.get_running_loop().time() - self._began,
            rss_mib=int(status["VmRSS"].split()[0]) / 1024,
            descriptors=self.descriptors(),
            threads=int(status["Threads"]),
            database_mib=await self._size(),
        )
        self.samples.append(sample)
        return sample

    def descriptors(self) -> int:
        return sum(1 for _ in (self._folder / "fd").iterdir())

    def growth(self) -> tuple[float, float, float]:
        """Median memory of the second quarter and of the last one of the run, and how much larger the last may be; all in MiB.

        The first quarter is left out: there modules are loaded and caches begin to fill.
        """
        quarter = max(1, len(self.samples) // 4)
        second, last = self.samples[quarter : 2 * quarter] or self.samples, self.samples[-quarter:]
        before, after = (statistics.median(sample.rss_mib for sample in part) for part in (second, last))
        pages = sum(min(PAGES_MIB, sample.database_mib) * sign for sample, sign in ((last[-1], 2), (second[0], -2)))
        return before, after, SHARE * before + EXTRA_MIB + (pages if self._cached else 0)


def size_of(database: str, data: Path) -> Callable[[], Awaitable[float]]:
    """What tells the size of a database: of SQLite's files, or by asking PostgreSQL."""

    files = [data / name for name in ("crust.db", "crust.db-wal")]

    async def of_files() -> float:
        return sum(file.stat().st_size for file in files if file.exists()) / MIB

    async def of_server() -> float:
        connection = await asyncpg.connect(database)
        try:
            return int(await connection.fetchval("SELECT pg_database_size(current_database())")) / MIB
        finally:
            await connection.close()

    return of_files if database == "sqlite" else of_server
