"""Small pictures of pictures, made in a process of its own.

What people send is decoded by a great deal of code that was written for speed. So it is done by a process that has no secrets, little
memory and little time, one picture at a time; when it dies, another takes its place, and that picture has no preview.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from crust.telemetry import get_logger

log = get_logger(__name__)

SIZES = (160, 480, 1280)  # pixels of the longer side: in a list, in a conversation, on a screen
USUAL = 480
JOB_S = 20.0  # for one picture; the largest that is taken needs 2 s on a slow core
WAIT_S = 30.0  # for one's turn


class NoPicture(Exception):
    """It cannot be shown small; the message says why."""


class Busy(NoPicture):
    """Too many others are being made; later there may be one."""


@dataclass(frozen=True, slots=True)
class Dimensions:
    """A picture as it is looked at, in pixels."""

    width: int
    height: int


def size_for(wanted: int) -> int:
    """The size that is made for one that is wanted: the next larger one."""
    return next((size for size in SIZES if size >= wanted), SIZES[-1])


def preview_key(key: str, size: int) -> str:
    """Where a storage has the preview of what it has under a key."""
    return f"{key}.{size}"


def owner(key: str) -> str:
    """The key of the file that something under this key is of: itself, or a preview's."""
    return key.partition(".")[0]


class Pictures:
    """The worker. It is started when there is something to do, and ends by itself when there has been nothing for a while."""

    def __init__(self) -> None:
        self._worker: Process | None = None
        self._turn = asyncio.Lock()
        self._closed = False

    async def shrink(self, source: Path, target: Path, size: int, *, square: bool = False) -> Dimensions:
        """Write a picture, at most `size` pixels wide and high, as WebP. Its orientation is applied, all that was said beside it dropped.

        Args:
            source: what people sent.
            target: where to write.
            size: pixels.
            square: cut what is longer on both sides, and make it `size` by `size`.

        Raises:
            NoPicture: it is none, too large, broken, or takes too long.
            Busy: it had to wait for too long.
        """
        async with self.turn():
            return await self.shrink_now(source, target, size, square=square)

    async def shrink_now(self, source: Path, target: Path, size: int, *, square: bool = False) -> Dimensions:
        """The same, for whoever has the turn."""
        job = json.dumps({"source": str(source), "target": str(target), "size": size, "square": square})
        try:
            async with asyncio.timeout(JOB_S):
                answer = json.loads(await self._ask(job.encode() + b"\n"))
        except (TimeoutError, ValueError):
            await self._end()
            raise NoPicture("it takes too much time or memory") from None
        except asyncio.CancelledError:
            await self._end()
            raise
        if "error" in answer:
            raise NoPicture(str(answer["error"]))
        return Dimensions(int(answer["width"]), int(answer["height"]))

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """One at a time.

        Raises:
            Busy: it had to be waited for too long.
        """
        try:
            async with asyncio.timeout(WAIT_S):
                await self._turn.acquire()
        except TimeoutError:
            raise Busy("too many others are being made") from None
        try:
            yield
        finally:
            self._turn.release()

    async def _ask(self, job: bytes) -> bytes:
        """The worker's line of answer, empty if this job ended it. One that is gone since the last job is replaced."""
        while not self._closed:
            fresh = self._worker is None
            worker = self._worker = self._worker or await started()
            assert worker.stdin is not None
            assert worker.stdout is not None
            with suppress(ConnectionError):
                worker.stdin.write(job)
                await worker.stdin.drain()
            answer = await worker.stdout.readline()
            if answer:
                return answer
            self._worker, status = None, await worker.wait()
            if fresh:
                log.warning("a picture ended its worker", status=status)
                break
        return b""

    async def close(self) -> None:
        """End the worker, whatever it does; there is no other after it."""
        self._closed = True
        await self._end()

    async def _end(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            with suppress(ProcessLookupError):
                worker.kill()
            await worker.wait()


async def started() -> Process:
    """A worker. It is given nothing of this process: no environment, no file."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-m", "crust.files.picture_worker", stdin=PIPE, stdout=PIPE, stderr=asyncio.subprocess.DEVNULL, env={}
    )
