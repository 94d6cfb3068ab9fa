"""A plugin's code that somebody waits for: within its time, and with an end that whoever waits can deal with."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Coroutine
from typing import Any

from crust.errors import CrustError, TargetError, Unavailable
from crust.host.attempt import end
from crust.host.chat import Calls, calls
from crust.host.consumer import outside


class Broken(Exception):
    """It has a bug, or took too long; the text says what, for operators."""


async def bounded(work: Coroutine[Any, Any, Any], seconds: float, cause: str) -> Any:
    """What it gives. Whoever is cancelled while waiting cancels it, too.

    Args:
        cause: the stable name of what it is done for, by which what it does through `ctx.chat` is keyed.

    Raises:
        CrustError: it refused; `Unavailable` also where what it speaks to is away.
        Broken: anything else.
    """
    context = outside()
    context.run(calls.set, Calls(cause))
    task = asyncio.get_running_loop().create_task(_caught(work), context=context)
    try:
        done, _ = await asyncio.wait([task], timeout=seconds)
    except asyncio.CancelledError:
        await end(task)
        raise
    if not done:
        await end(task)
        raise Broken(f"it took longer than {seconds:g} s")
    if task.cancelled():
        raise Broken("it was cancelled by something that it waited for")
    value, error = task.result()
    if error is None:
        return value
    if isinstance(error, CrustError):
        raise error
    if isinstance(error, TargetError):
        raise Unavailable(str(error), retry_after=error.retry_after) from error
    raise Broken("".join(traceback.format_exception_only(error)).strip()) from error


async def _caught(work: Coroutine[Any, Any, Any]) -> tuple[Any, BaseException | None]:
    try:
        return await work, None
    except (Exception, SystemExit) as error:  # noqa: BLE001  # the boundary: SystemExit would end the event loop
        return None, error
