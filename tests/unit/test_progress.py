"""What is shown of long work: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import pty
import sys
from io import StringIO
from pathlib import Path

import pytest

from crust.cli.failure import UNREAD, nobody_reads, report
from crust.cli.progress import CLEAR, Watched
from crust.operations.progress import Step


class Terminal(StringIO):
    """Where somebody watches."""

    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds, set by hand."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def test_a_terminal_has_a_bar() -> None:
    """With how many of how many, percent and rate, in one line that is taken away at the end."""
    out, clock = Terminal(), Clock()
    progress = Watched(out, clock)
    progress(Step("files", 0, 400))
    clock.time += 2
    progress(Step("files", 100, 400))
    progress.end()
    first, second, last = out.getvalue().split(CLEAR)[1:]
    assert first == f"[{'.' * 24}] files: 0 of 400 (0%)"
    assert second == f"[{'#' * 6}{'.' * 18}] files: 100 of 400 (25%), 50/s"
    assert last == ""


def test_what_has_no_total_has_no_bar() -> None:
    """Its count and rate, or its name alone."""
    out, clock = Terminal(), Clock()
    progress = Watched(out, clock)
    progress(Step("the database"))
    progress(Step("records", 1000))
    clock.time += 4
    progress(Step("records", 2000))
    assert out.getvalue().split(CLEAR)[1:] == ["the database", "records: 1,000", "records: 2,000, 500/s"]


def test_a_bar_is_not_drawn_more_often_than_one_sees() -> None:
    """But when it is full; nothing is full beyond 100%."""
    out, clock = Terminal(), Clock()
    progress = Watched(out, clock)
    for count in range(1, 1001):
        clock.time += 0.001
        progress(Step("files", count, 1000))
    assert out.getvalue().count(CLEAR) < 15
    assert "files: 1,000 of 1,000 (100%)" in out.getvalue()
    progress(Step("nothing", 0, 0))
    assert out.getvalue().endswith(f"[{'#' * 24}] nothing: 0 of 0 (100%)")


def test_elsewhere_there_are_lines_and_few() -> None:
    """None for what is soon done, nothing that moves a cursor."""
    out, clock = StringIO(), Clock()
    progress = Watched(out, clock)
    for count in range(1, 121):
        progress(Step("records", count, 120))
        clock.time += 0.125
    progress.end()
    assert out.getvalue() == "records: 41 of 120 (34%), 8/s\nrecords: 81 of 120 (67%), 8/s\n"


def test_an_answer_that_nobody_reads_is_no_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a pipe whose other end is closed. A terminal, a file and a pipe that is read are read; then the error is another's."""
    reading, writing = os.pipe()
    _, terminal = pty.openpty()
    with os.fdopen(writing, "w") as pipe, os.fdopen(terminal, "w") as shown, Path(os.devnull).open("w") as file:
        assert not any(map(nobody_reads, (pipe, shown, file)))
        monkeypatch.setattr(sys, "stdout", file)
        assert report(BrokenPipeError(32, "Broken pipe")) == 1
        assert "Broken pipe" in capsys.readouterr().err
        os.close(reading)
        monkeypatch.setattr(sys, "stdout", pipe)
        assert nobody_reads(pipe)
        assert report(BrokenPipeError(32, "Broken pipe")) == UNREAD
        assert capsys.readouterr().err == ""
