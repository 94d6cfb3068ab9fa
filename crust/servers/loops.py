"""Which event loop the server runs on."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import Callable, Coroutine
from importlib.util import find_spec
from typing import Any, cast

from crust.servers import not_installed
from crust.settings import Settings
from crust.telemetry import get_logger

log = get_logger(__name__)

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
END_S = 1.0  # for tasks that are left at the end; who had to end before had time for it


def loop_factory(settings: Settings) -> LoopFactory | None:
    """What makes the loop that the settings name, for `asyncio.Runner`; None is asyncio's own.

    `auto` takes uvloop, if it is there, for uvicorn, which was made for it. Hypercorn gains little by it (measured: nothing to a
    fifth), so it keeps the loop that comes with Python.

    Raises:
        SettingsError: it is not installed.
    """
    if settings.loop == "asyncio" or (settings.loop == "auto" and (settings.server != "uvicorn" or find_spec("uvloop") is None)):
        return None
    try:
        return cast("LoopFactory", importlib.import_module("uvloop").new_event_loop)
    except ModuleNotFoundError as error:
        raise not_installed("loop", "uvloop", error) from None


def running() -> str:
    """The name of the loop that runs."""
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def run(work: Callable[[], Coroutine[Any, Any, None]], settings: Settings) -> None:
    """Run a process' work in a loop of its own. What does not end with it, such as a plugin's code, is named in the log and left.

    Raises:
        SettingsError: as in `loop_factory`.
    """
    with asyncio.Runner(loop_factory=loop_factory(settings)) as runner:
        runner.run(work())
        if left := runner.run(_unending()):
            log.error("the process ends without waiting for what does not end", tasks=left)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)  # a runner would wait for ever


async def _unending() -> list[str]:
    """The names of the tasks that do not end when they are cancelled."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        _, left = await asyncio.wait(left, timeout=END_S)
    return sorted(task.get_name() for task in left)
