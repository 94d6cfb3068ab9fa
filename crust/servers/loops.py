"""Which event loop the server runs on."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from importlib.util import find_spec
from typing import cast

from crust.servers import not_installed
from crust.settings import Settings

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


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
