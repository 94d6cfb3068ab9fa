"""Work that belongs together and ends together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from crust.errors import CrustError


async def first_to_end(*work: Coroutine[Any, Any, Any]) -> None:
    """Run all at once until the first one ends; the others are cancelled, and waited for. What the first one raised is raised."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if task in done:
            task.result()


async def repeated(work: Callable[[], Awaitable[object]], every_s: float, failed: Callable[[str], object]) -> None:
    """Do it now and every so many seconds, until cancelled; `failed` is told why it could not be done, and then it is tried again."""
    while True:
        try:
            await work()
        except (OSError, CrustError) as error:
            failed(str(error))
        await asyncio.sleep(every_s)
