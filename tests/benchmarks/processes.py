"""Server processes, each pinned to one core, the load generator to another."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.server import free_port

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, CLIENT_CORE = CORES[0], CORES[-1]  # one and the same where there is but one
TICK = os.sysconf("SC_CLK_TCK")
PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20
START_S = 60.0
STOP_S = 25.0
HYPERCORN = "keep_alive_max_requests = 1000000000\nbacklog = 2048\ninclude_server_header = false\n"


@dataclass(frozen=True, slots=True)
class Process:
    """A server."""

    pid: int
    port: int

    def rss_mib(self) -> float:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE_MIB

    def descriptors(self) -> int:
        """Sockets and files that it holds."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))  # noqa: PTH208  # one of them may end while they are looked at

    def cpu_s(self) -> float:
        """CPU seconds, all threads, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK


@contextmanager
def served(command: list[str], port: int, health: str, environment: Mapping[str, str] | None = None) -> Iterator[Process]:
    """A server for the length of a block; what it says is shown when it fails."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, env={**os.environ, **(environment or {})}, stdout=said, stderr=subprocess.STDOUT)
        try:
            os.sched_setaffinity(process.pid, {SERVER_CORE})
            if not _answers(f"http://127.0.0.1:{port}{health}", process):
                said.seek(0)
                raise SystemExit(f"{command} did not start: {said.read().decode()}")
            yield Process(process.pid, port)
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """As an operator does, so that what it held is free for the next one."""
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_S)


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(url, timeout=2)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return True
    return False


@contextmanager
def floor(app: str, server: str) -> Iterator[Process]:
    """One of the apps of `floors`, under the same server as Crust."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "hypercorn.toml"
        settings.write_text(HYPERCORN)
        bind = {
            "hypercorn": ["-m", "hypercorn", "-c", str(settings), "-b", f"127.0.0.1:{port}"],
            "uvicorn": ["-m", "uvicorn", "--port", str(port), "--log-level", "warning", "--ws-ping-interval", "3600"],
        }[server]
        with served([sys.executable, *bind, f"tests.benchmarks.floors:{app}"], port, "/") as process:
            yield process


def crust(*arguments: str, folder: Path, environment: Mapping[str, str] | None = None) -> list[str]:
    """Run a command of Crust's; gives the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "crust.cli.main", *arguments],
        env={**os.environ, "CRUST_DATA_DIR": str(folder), **(environment or {})}, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


@contextmanager
def crust_server(folder: Path, server: str, environment: Mapping[str, str] | None = None) -> Iterator[Process]:
    """`crust serve` on a filled folder: rate limits off, everything else as it is."""
    port = free_port()
    known = {"CRUST_DATA_DIR": str(folder), "CRUST_LIMITS__ENABLED": "false", "CRUST_LOG__FORMAT": "json", **(environment or {})}
    chosen = [] if server == "hypercorn" else ["--server", server]
    with served([sys.executable, "-m", "crust.cli.main", "serve", "--port", str(port), *chosen], port, "/health/ready", known) as process:
        yield process
