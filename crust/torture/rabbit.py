"""A RabbitMQ as its own processes, started, killed and wiped as often as somebody likes.

Only the standard library, so that tests can start one before anything is installed.
"""

from __future__ import annotations

import base64
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BIN = Path("/usr/lib/rabbitmq/bin")
BESIDE = 10_000  # what has to be added to a port for the management API's, and twice for the distribution's, as with RabbitMQ's own ports
START_S = 60.0
STOP_S = 30.0
ACCOUNT = "rabbitmq"  # who runs it where root must not
CONFIG = """\
listeners.tcp.1 = 127.0.0.1:{port}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management}
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 50MB
collect_statistics_interval = 1000
log.console = false
"""


class Management:
    """The management HTTP API of a throw-away broker.

    Args:
        url: amqp://user:password@host:port/…; the API listens 10,000 ports above.
    """

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        assert parts.port is not None, url
        self.base = f"http://{parts.hostname}:{parts.port + BESIDE}/api"
        secret = base64.b64encode(urllib.parse.unquote(f"{parts.username}:{parts.password}").encode()).decode()
        self._headers = {"Authorization": f"Basic {secret}", "Content-Type": "application/json"}

    def call(self, method: str, *path: str, body: Mapping[str, Any] | None = None) -> Any:
        """One call that must succeed; path segments are escaped."""
        where = "/".join([self.base, *(urllib.parse.quote(part, safe="") for part in path)])
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(where, data, self._headers, method=method)  # noqa: S310  # of a broker of one's own
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            text = answer.read()
        return json.loads(text) if text else None


def free_ports() -> int:
    """A port that is free together with those of the management API and of the distribution."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = 20_000 + int(probe.getsockname()[1]) % 20_000
        if all(_is_free(port + BESIDE * number) for number in range(3)):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


class RabbitServer:
    """One broker on loopback, with the management API, below a folder of its own. Root runs it as the account `rabbitmq`.

    Args:
        folder: where everything of it lies.
        port: where it listens; any free one, if left out.
        beside: another one, which runs: this one is to `join` it.
    """

    def __init__(self, folder: Path, port: int | None = None, beside: RabbitServer | None = None) -> None:
        self.folder, self._beside = folder, beside
        self.port = port or free_ports()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/"
        self.node = f"crust{self.port}@localhost"
        self._name_service: int = beside._name_service if beside else free_ports()
        self._epmd: subprocess.Popen[bytes] | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self._make_folder()

    def _make_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "rabbitmq-env.conf").write_text("")
        (self.folder / "plugins").write_text("[rabbitmq_management].\n")
        cookie = self.folder / ".erlang.cookie"
        cookie.write_text((self._beside.folder / cookie.name).read_text() if self._beside else secrets.token_hex(16))
        cookie.chmod(0o400)
        (self.folder / "rabbitmq.conf").write_text(CONFIG.format(port=self.port, management=self.port + BESIDE))
        if os.getuid() == 0:
            account = pwd.getpwnam(ACCOUNT)
            for path in (self.folder, *self.folder.iterdir()):
                os.chown(path, account.pw_uid, account.pw_gid)

    @property
    def _environment(self) -> dict[str, str]:
        f = self.folder
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(f),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.port + 2 * BESIDE),
            "ERL_EPMD_PORT": str(self._name_service),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_CONF_ENV_FILE": str(f / "rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(f / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(f / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(f / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(f / "mnesia"),
            "RABBITMQ_LOG_BASE": str(f / "log"),
            "RABBITMQ_PID_FILE": str(f / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        as_account = ["setpriv", f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--init-groups"] if os.getuid() == 0 else []
        with (self.folder / "out").open("ab") as out:
            return subprocess.Popen(  # noqa: S603  # its own programs
                [*as_account, *command], env=self._environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True,
            )  # fmt: skip

    def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it answers."""
        if self._epmd is None and self._beside is None:
            self._epmd = self._spawn("epmd", "-address", "127.0.0.1", "-port", str(self._name_service))
        self.process = self._spawn(str(BIN / "rabbitmq-server"))
        if wait:
            self.wait()

    def wait(self) -> None:
        """Until the management API, which comes up last, answers."""
        deadline = time.monotonic() + START_S
        while not self._answers():
            assert self.process is not None
            assert self.process.poll() is None, f"it ended: {self.log()}"
            assert time.monotonic() < deadline, f"not up after {START_S} s: {self.log()}"
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            self.management.call("GET", "overview")
        except (OSError, urllib.error.URLError):
            return False
        return True

    @property
    def management(self) -> Management:
        return Management(self.url)

    def log(self) -> str:
        return (self.folder / "out").read_text(errors="replace")[-4000:]

    def kill(self) -> None:
        """SIGKILL to the broker's processes: no farewell of any kind."""
        if self.process is not None:
            _end(self.process, signal.SIGKILL)
            self.process = None

    def stop(self) -> None:
        """SIGTERM: it closes its connections, and writes down what it has."""
        if self.process is not None:
            _end(self.process, signal.SIGTERM)
            self.process = None

    def control(self, *arguments: str) -> None:
        """`rabbitmqctl`, which must succeed."""
        process = self._spawn(str(BIN / "rabbitmqctl"), *arguments)
        assert process.wait(STOP_S) == 0, self.log()

    def join(self) -> None:
        """Become a node of the cluster of the one that it stands beside."""
        assert self._beside is not None
        for command in (["stop_app"], ["join_cluster", self._beside.node], ["start_app"]):
            self.control("-n", self.node, *command)
        self.wait()

    def wipe(self) -> None:
        """Forget everything, accounts included; only while it is down."""
        shutil.rmtree(self.folder / "mnesia", ignore_errors=True)

    def close(self) -> None:
        """End it and its name service, and remove the folder."""
        self.kill()
        if self._epmd is not None:
            _end(self._epmd, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


def _end(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """End a process and all that it started, and wait for it."""
    try:
        os.killpg(process.pid, number)
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_S)
    except ProcessLookupError:
        process.wait(STOP_S)
