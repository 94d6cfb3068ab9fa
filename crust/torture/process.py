"""A process of one's own, ended by its id and by nobody else's."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

STOP_S = 30.0  # for a process to end by itself; a server has 20


class ProcessFailed(Exception):
    """It ended, or did not become ready; the text says which, and what it said last."""


class Process:
    """A command that is started, killed, frozen and started again.

    Args:
        name: what it is called in what is told.
        command: program and arguments; `extra` ones come with a start.
        environment: all of its variables.
        folder: where it runs; what it says goes to `<name>.log` there.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self.name, self.command, self.environment, self.folder = name, list(command), environment, folder
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log_path(self) -> Path:
        return self.folder / f"{self.name}.log"

    def log(self, last: int = 4000) -> str:
        """The end of what it has said."""
        return self.log_path.read_text(errors="replace")[-last:] if self.log_path.exists() else ""

    @property
    def pid(self) -> int:
        assert self.process is not None, f"{self.name} was not started"
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it, in a session of its own, so that an interrupt from the terminal is not for it."""
        with self.log_path.open("ab") as out:
            self.process = subprocess.Popen(  # noqa: S603  # the program's own commands
                self.command, env=dict(self.environment), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True,
            )  # fmt: skip

    async def run(self, seconds: float) -> None:
        """Start it, and wait for its end; after so many seconds it is killed."""
        self.start()
        assert self.process is not None
        try:
            await asyncio.to_thread(self.process.wait, seconds)
        except subprocess.TimeoutExpired as error:
            raise ProcessFailed(f"{self.name}: {error}") from None
        finally:
            self.kill()

    def check(self) -> None:
        """Raises `ProcessFailed` where it has ended."""
        if not self.running:
            raise ProcessFailed(f"{self.name} has ended: {self.log()}")

    def send(self, number: signal.Signals) -> None:
        if self.running:
            self._group(number)

    def kill(self) -> None:
        """SIGKILL, to all that it has started too, and wait for it."""
        if self.process is not None:
            self._group(signal.SIGKILL)
            self.process.wait(STOP_S)

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL to what does not hear."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            await asyncio.to_thread(self.process.wait, STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def _group(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)


class Blocking:
    """Work in threads, which a cancelled wait does not end: who takes everything down lets it finish first."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do it in a thread."""
        task = asyncio.create_task(asyncio.to_thread(work, *arguments))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def finished(self) -> None:
        """Until nothing is under way, however it ends."""
        await asyncio.gather(*self._tasks, return_exceptions=True)


def crust(*arguments: str, module: str = "crust.cli.main") -> list[str]:
    """The command line of a command of this very Crust."""
    return [sys.executable, "-m", module, *arguments]


def environment(**settings: str) -> dict[str, str]:
    """This process' variables without its settings, and with these."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CRUST_")}
    return {**inherited, **{f"CRUST_{name}": value for name, value in settings.items()}}


def free_port() -> int:
    """A port of loopback on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
