"""How far long work is, for somebody who watches: a bar on a terminal, a line now and then where a file or another program reads."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from time import monotonic
from typing import TextIO

from crust.operations.progress import Step

BAR = 24  # characters
REDRAWN_S = 0.1  # between two looks of the bar
LINE_S = 5.0  # between two lines; so work that is soon done has none
CLEAR = "\r\x1b[K"


class Watched:
    """Shows each step that it is told. The rate is that since `what` began.

    Args:
        out: where to; None: standard error, as it is then.
        now: the time in seconds.
    """

    def __init__(self, out: TextIO | None = None, now: Callable[[], float] = monotonic) -> None:
        self._out, self._now = out, now
        self._what: str | None = None
        self._began = self._shown = now()
        self._drawn = False

    def __call__(self, step: Step) -> None:
        out, now = self._out or sys.stderr, self._now()
        fresh = step.what != self._what
        if fresh:
            self._what, self._began = step.what, now
        seconds = now - self._began
        if not out.isatty():
            if now - self._shown >= LINE_S:
                self._shown = now
                print(line(step, seconds), file=out, flush=True)
        elif fresh or now - self._shown >= REDRAWN_S or step.done == step.total:
            self._shown, self._drawn = now, True
            out.write(CLEAR + bar(step, seconds)[: shutil.get_terminal_size().columns - 1])
            out.flush()

    def end(self) -> None:
        """Take the bar away."""
        self._what = None
        if self._drawn:
            self._drawn = False
            out = self._out or sys.stderr
            out.write(CLEAR)
            out.flush()


def line(step: Step, seconds: float) -> str:
    """A step in words: `records: 1,200 of 2,400 (50%), 300/s`."""
    if step.done is None:
        return step.what
    if step.total is None:
        return f"{step.what}: {step.done:,}{rate(step.done, seconds)}"
    return f"{step.what}: {step.done:,} of {step.total:,} ({percent(step.done, step.total)}%){rate(step.done, seconds)}"


def bar(step: Step, seconds: float) -> str:
    """The same, behind a bar where there is a total."""
    if step.done is None or step.total is None:
        return line(step, seconds)
    full = BAR * percent(step.done, step.total) // 100
    return f"[{'#' * full}{'.' * (BAR - full)}] {line(step, seconds)}"


def percent(done: int, total: int) -> int:
    return 100 if done >= total else 100 * done // total


def rate(done: int, seconds: float) -> str:
    return f", {done / seconds:,.0f}/s" if seconds >= 1 else ""


progress = Watched()
"""Of this process: on standard error."""
