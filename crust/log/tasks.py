"""Work that belongs together and ends together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn

from crust.errors import CrustError
from crust.telemetry import get_logger

log = get_logger(__name__)

CANCELLED_AGAIN_S = 30.0  # far longer than anybody who tidies up may take
BEGUN_AGAIN_S = 1.0  # after whatever has ended what is not to end


async def first_to_end(*work: Coroutine[Any, Any, Any]) -> None:
    """Run all at once until the first one ends; the others are cancelled, and waited for. What the first one raised is raised."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end_all(*tasks)
    for task in tasks:
        if task in done:
            result_of(task)


async def end_all(*tasks: asyncio.Task[Any]) -> None:
    """Cancel them, and wait for their end. One that has lost its cancellation to an error of its own is cancelled again."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCELLED_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)  # what they have raised is taken, or asyncio would log that nobody did


def result_of(task: asyncio.Task[Any]) -> Any:
    """What a task gave that nobody has cancelled.

    Raises:
        RuntimeError: it was cancelled all the same, from inside. Raised as it is, that would pass for a cancellation of whoever asks.
    """
    if task.cancelled():
        raise RuntimeError(f"{task.get_coro()} was cancelled by something that it waited for")
    return task.result()


async def unending(name: str, work: Callable[[], Coroutine[Any, Any, object]]) -> NoReturn:
    """Do it until cancelled: whatever it ends with is told, with where it came from, and it begins again."""
    while True:
        task = asyncio.create_task(work(), name=name)
        try:
            await asyncio.wait([task])
        finally:
            await end_all(task)
        try:
            result_of(task)
            log.error("what is not to end has ended; it begins again", what=name)
        except Exception:  # the boundary: a bug of ours
            log.exception("what is not to end has failed; it begins again", what=name)
        await asyncio.sleep(BEGUN_AGAIN_S)


async def repeated(work: Callable[[], Awaitable[object]], every_s: float, failed: Callable[[str], object]) -> None:
    """Do it now and every so many seconds, until cancelled; `failed` is told why it could not be done, and then it is tried again."""
    while True:
        try:
            await work()
        except (OSError, CrustError) as error:
            failed(str(error))
        await asyncio.sleep(every_s)
