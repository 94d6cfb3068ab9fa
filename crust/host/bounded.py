"""A plugin's code in a task of its own: it has a name, its time, and an end that whoever waits can deal with."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Coroutine
from typing import Any

from crust.errors import CrustError, TargetError, Unavailable
from crust.host.attempt import end
from crust.host.chat import Calls, calls
from crust.host.consumer import Code, Running, outside

Caught = asyncio.Task[tuple[Any, BaseException | None]]
"""What it gives, or what it has raised."""

ending: set[asyncio.Task[None]] = set()
"""What ends a task that nobody waits for any more."""


class Broken(Exception):
    """It has a bug, or took too long; the text says what, for operators."""


class Late(Exception):
    """It took longer than it may, and was told to end."""


class Interrupted(Exception):
    """It was cancelled by something that it waited for."""

    def __init__(self) -> None:
        super().__init__("it was cancelled by something that it waited for")


def started(work: Coroutine[Any, Any, Any], code: Code, cause: str | None = None, *, name: str | None = None) -> Caught:
    """A task for it, which is no part of a handler that starts it.

    Args:
        code: whose it is, and what.
        cause: the stable name of what it is done for, by which what it does through `ctx.chat` is keyed; without one each call counts.
        name: the task's; left out, that of `code`.
    """
    context = outside()
    context.run(calls.set, None if cause is None else Calls(cause))
    return asyncio.get_running_loop().create_task(_caught(work, code), name=name or f"{code.plugin} {code.what}", context=context)


async def ended(task: Caught, seconds: float | None = None, *, patient: bool = True) -> Any:
    """What it gives, or raises. Whoever is cancelled while waiting ends it, too.

    Args:
        seconds: that it may take.
        patient: wait a little for it to end, where it is told to.

    Raises:
        Late: it took longer.
        Interrupted: see there.
    """
    try:
        await asyncio.sleep(0)  # most filters have ended by then, and need no timer
        if not task.done():
            await asyncio.wait([task], timeout=seconds)
    except asyncio.CancelledError:
        await _end(task, patient=patient)
        raise
    if not task.done():
        await _end(task, patient=patient)
        raise Late
    if task.cancelled():
        raise Interrupted
    value, error = task.result()
    if error is not None:
        raise error
    return value


async def _end(task: Caught, *, patient: bool) -> None:
    if patient:
        await end(task)
    else:
        alone = asyncio.create_task(end(task))
        ending.add(alone)
        alone.add_done_callback(ending.discard)


async def bounded(work: Coroutine[Any, Any, Any], seconds: float, code: Code, cause: str) -> Any:
    """What it gives. Whoever is cancelled while waiting ends it, too. The arguments are those of `started` and `ended`.

    Raises:
        CrustError: it refused; `Unavailable` also where what it speaks to is away.
        Broken: anything else.
    """
    try:
        return await ended(started(work, code, cause), seconds)
    except CrustError:
        raise
    except TargetError as error:
        raise Unavailable(str(error), retry_after=error.retry_after) from error
    except Late:
        raise Broken(f"it took longer than {seconds:g} s") from None
    except Interrupted as error:
        raise Broken(str(error)) from None
    except (Exception, SystemExit) as error:
        raise Broken("".join(traceback.format_exception_only(error)).strip()) from error


async def _caught(work: Coroutine[Any, Any, Any], code: Code) -> tuple[Any, BaseException | None]:
    try:
        with Running(code):
            return await work, None
    except (Exception, SystemExit) as error:  # noqa: BLE001  # the boundary: SystemExit would end the event loop
        return None, error
