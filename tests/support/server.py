"""A Crust server as an operator runs it: its own process, started and ended as often as a test likes."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import httpx

from crust.torture.process import free_port

__all__ = ["PASSWORD", "Server", "call", "free_port", "is_ready", "running"]

START_S = 30.0
PASSWORD = "correct horse battery"


def is_ready(url: str) -> bool:
    """Whether a server at this URL can do its work."""
    try:
        return httpx.get(f"{url}/health/ready", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


class Server:
    """`crust serve` on a data directory (or a PostgreSQL database) of its own.

    `CRUST_TEST_SERVER` and `CRUST_TEST_LOOP` say what it runs on where a test does not care.

    Args:
        folder: where everything is kept, the log of the process included.
        environment: further `CRUST_*` variables.
        port: where it listens; else a free one.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None, *, port: int | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CRUST_")}
        below = {f"CRUST_{name}": os.environ[f"CRUST_TEST_{name}"] for name in ("SERVER", "LOOP") if f"CRUST_TEST_{name}" in os.environ}
        self.environment = {
            **inherited,
            **below,
            "CRUST_DATA_DIR": str(folder / "data"),
            "CRUST_LOG__FORMAT": "json",
            **(environment or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None
        self._clients: list[httpx.Client] = []

    # ---- the process

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "crust.cli.main", *arguments]

    def run(self, *arguments: str, stdin: str = "", timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Another command beside it, or before it."""
        return subprocess.run(
            self.command(*arguments), env=self.environment, cwd=self.folder, input=stdin, text=True, capture_output=True, timeout=timeout,
            check=False,
        )  # fmt: skip

    def add_user(self, name: str, *flags: str) -> None:
        """By the command; what came of it for the first person on an empty server is copied for the next one, which saves seconds."""
        data, key = self.folder / "data", "-".join(["user", name, *flags])
        first = not data.exists() and "CRUST_DATABASE_URL" not in self.environment and not (self.folder / "config.toml").exists()
        if first and (made_before() / key).exists():
            shutil.copytree(made_before() / key, data)
            return
        self._add_user(name, *flags)
        if first:
            shutil.copytree(data, made_before() / key)

    def _add_user(self, name: str, *flags: str) -> None:
        done = self.run("user", "add", name, "--email", f"{name}@example.org", "--password-stdin", *flags, stdin=PASSWORD + "\n")
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        with (self.folder / "serve.log").open("ab") as out:
            self.process = subprocess.Popen(
                self.command("serve", "--host", "127.0.0.1", "--port", str(self.port)),
                env=self.environment, cwd=self.folder, stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip
        deadline = time.monotonic() + START_S
        while not self.ready():
            assert self.process.poll() is None, f"it ended: {self.log()}"
            assert time.monotonic() < deadline, f"not ready after {START_S} s: {self.log()}"
            time.sleep(0.05)

    def ready(self) -> bool:
        return is_ready(self.url)

    def log(self) -> str:
        """What the process has said since its folder was made."""
        return (self.folder / "serve.log").read_text()

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL: no farewell of any kind."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)

    def close(self) -> None:
        """End it, whatever it does, and all clients that were handed out."""
        self.kill()
        for client in self._clients:
            client.close()

    def stop(self) -> int:
        """SIGTERM; gives the exit status. It has 20 s, by the operations contract."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(20)

    # ---- its users

    def sign_in(self, name: str, client_id: str = "test") -> httpx.Client:
        """An HTTP client that is signed in."""
        client = httpx.Client(base_url=self.url, timeout=20, headers={"X-Client-ID": client_id})
        self._clients.append(client)
        answer = client.post("/user/login", data={"username": name, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        client.cookies.clear()
        client.headers["X-Session-ID"] = answer.json()["response"]["session_id"]
        return client

    @property
    def websocket_url(self) -> str:
        return self.url.replace("http", "ws", 1) + "/websocket/client"


@cache
def made_before() -> Path:
    """Data directories with one person in them, for the length of this process."""
    folder = tempfile.mkdtemp(prefix="crust-test-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@contextmanager
def running(folder: Path, environment: Mapping[str, str], *people: str) -> Iterator[Server]:
    """A server with these people on it for the length of a block; at its end the log must bear no traceback."""
    server = Server(folder, environment)
    for name in people:
        server.add_user(name)
    server.start()
    try:
        yield server
        log = server.log()
    finally:
        server.close()
    assert "Traceback" not in log, log[-6000:]


def call(client: httpx.Client, method: str, path: str, **fields: object) -> dict[str, object]:
    """One API call that must succeed; gives the response."""
    where = "params" if method in ("GET", "DELETE") else "data"
    answer = client.request(method, path, **{where: fields})  # type: ignore[arg-type]  # which keyword it is depends on the method
    assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}"
    body: dict[str, object] = answer.json()
    return body.get("response", body)  # type: ignore[return-value]  # lists come back as well
