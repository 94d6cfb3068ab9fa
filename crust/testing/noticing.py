"""What the plugin and its host say while a test runs: among it every bug, which the host has kept from doing harm and a test has to see."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import structlog

from crust.host.bounded import Broken

CRUST = str(Path(__file__).parents[1])
LATE_FILTER = "a filter failed"  # the one bug that is logged without an exception: it took too long
WHERE = (
    "consumer",
    "plugin",
    "hook",
    "command",
    "job",
    "task",
    "lane",
    "position",
)  # of what is logged, what says whose bug it is, and in what


class PluginFailed(Exception):
    """The plugin has a bug: what it raised is the cause, with its traceback."""


class Notices:
    """`log` has everything that was logged, in order: `event`, `level`, and the values by their names."""

    def __init__(self) -> None:
        self.log: list[dict[str, Any]] = []
        self._bugs: list[dict[str, Any]] = []
        self._some = asyncio.Event()

    @contextmanager
    def noticing(self) -> Iterator[None]:
        """Notice, for the length of a block. What is logged goes its usual way besides, tracebacks aside: they are raised."""
        processors = structlog.get_config()["processors"]  # loggers that have been used keep this list, so it is changed in its place
        processors.insert(0, self._notice)
        try:
            yield
        finally:
            processors.remove(self._notice)

    def _notice(self, _logger: Any, level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        entry = {**event, "level": "error" if level == "exception" else level}
        if entry.get("exc_info") is True:
            entry["exc_info"] = sys.exc_info()[1]
        if isinstance(error := entry.get("exc_info"), Broken) and error.__cause__ is not None:
            entry["exc_info"] = error.__cause__  # what the plugin itself has raised
        self.log.append(entry)
        if isinstance(entry.get("exc_info"), BaseException) or entry["event"] == LATE_FILTER:
            self._bugs.append(entry)
            self._some.set()
            return {name: value for name, value in event.items() if name != "exc_info"} | {"error": repr(entry.get("exc_info"))}
        return event

    async def bug(self) -> None:
        """Wait until there is one."""
        await self._some.wait()

    def check(self) -> None:
        """Raise the first bug that was noticed since this was asked last.

        Raises:
            PluginFailed: there was one.
        """
        if self._bugs:
            __tracebackhide__ = True
            first, self._bugs = self._bugs[0], []
            self._some.clear()
            error = first.get("exc_info")
            if isinstance(error, BaseException):
                raise PluginFailed(described(first)) from error.with_traceback(own(error.__traceback__))
            raise PluginFailed(described(first))

    def troubles(self) -> list[str]:
        """What was warned of, a line each."""
        return [described(entry) for entry in self.log if entry["level"] in ("warning", "error", "critical")]


def described(entry: dict[str, Any]) -> str:
    """An entry in one line: what happened, where, and the exception."""
    places = ", ".join(f"{name} {entry[name]}" for name in WHERE if entry.get(name) is not None)
    error = entry.get("exc_info")
    what = f": {type(error).__name__}: {error}" if isinstance(error, BaseException) else f": {entry['reason']}" if "reason" in entry else ""
    return f"{entry['event']} ({places}){what}" if places else f"{entry['event']}{what}"


def own(trace: TracebackType | None) -> TracebackType | None:
    """A traceback from where the author's code begins; the whole one, if it never does."""
    at = trace
    while at is not None and at.tb_frame.f_code.co_filename.startswith(CRUST):
        at = at.tb_next
    return at or trace
