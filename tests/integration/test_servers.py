"""Crust on each server and each loop: the same from outside, down to its end; and what is said of one that is not installed."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from crust.servers import chosen
from crust.servers.loops import loop_factory
from crust.settings import Settings, SettingsError
from tests.integration.test_metrics import becomes, value
from tests.integration.test_websocket import headers, raw_upgrade
from tests.support.server import PASSWORD, Server, call

COMBINATIONS = [(server, loop) for server in ("hypercorn", "uvicorn") for loop in ("asyncio", "uvloop")]
END_S = 20.0  # what the operations contract allows


@pytest.fixture(params=COMBINATIONS, ids=lambda pair: "-".join(pair))
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server with ana on it."""
    name, loop = request.param
    server = Server(tmp_path, {"CRUST_SERVER": name, "CRUST_LOOP": loop, "CRUST_LIMITS__ENABLED": "false"})
    server.add_user("ana")
    server.start()
    yield server
    server.close()


async def ready(socket: ClientConnection) -> None:
    while json.loads(await socket.recv())["type"] != "ready":
        pass


def test_all_of_a_life(server: Server) -> None:
    """It says what it runs on; HTTP and sockets work; and SIGTERM ends it with a farewell, though somebody reads nothing."""
    serving = next(line for line in map(json.loads, server.log().splitlines()) if line.get("event") == "serving")
    assert (serving["server"], serving["loop"]) == (server.environment["CRUST_SERVER"], server.environment["CRUST_LOOP"])
    ana = server.sign_in("ana")
    channel = call(ana, "POST", "/channel/edit", name="news", topic="")["id"]

    async def live() -> float:
        async with connect(server.websocket_url, additional_headers=headers(ana), max_size=None) as socket:
            await ready(socket)
            for number in range(150):
                data = {"channel_id": channel, "contents": f"{number} " + "x" * 15_000}
                await socket.send(json.dumps({"id": str(number), "type": "message", "data": data}))
                while json.loads(await socket.recv()).get("type") != "message":
                    pass
            server.signal(signal.SIGTERM)
            began = time.monotonic()
            frames = []
            with pytest.raises(ConnectionClosed):
                while True:
                    frames.append(json.loads(await socket.recv()))
            assert frames[-1]["type"] == "shutdown"
            assert socket.close_code == 1001
            return began

    with raw_upgrade(server, ana, 4096):
        began = asyncio.run(live())
        assert server.process is not None
        assert server.process.wait(END_S) == 0
    assert time.monotonic() - began < END_S
    assert "Traceback" not in server.log()


def test_requests(server: Server) -> None:
    """One connection serves many; nothing names the server; no access is logged; proxies' headers are for us alone to read."""
    with httpx.Client(base_url=server.url, headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}) as client:
        answers = [client.get("/health/live") for _ in range(20)]
        login = client.post("/user/login", data={"username": "ana", "password": PASSWORD})
    assert {answer.status_code for answer in [*answers, login]} == {200}
    assert not any("server" in answer.headers or answer.headers.get("connection") == "close" for answer in answers)
    assert len({id(answer.extensions["network_stream"]) for answer in answers}) == 1, "one connection"
    assert "Secure" not in login.headers["set-cookie"], "no proxy is trusted, so this is no https"
    assert not any(told in server.log() for told in ("/health/live", "/user/login", "192.0.2.1"))


def test_a_connection_that_the_client_closes_is_closed(server: Server) -> None:
    """At once, not when an idle one would be: visits that are short take no more descriptors than the one that is open."""
    before = value(server, "process_open_fds")
    for _ in range(50):
        httpx.get(server.url + "/health/live")
    assert value(server, "process_open_fds") <= before + 5


SHORT = {"CRUST_WEBSOCKET__PING_INTERVAL_S": "0.5", "CRUST_WEBSOCKET__SILENCE_S": "2", "CRUST_WEBSOCKET__SEND_TIMEOUT_S": "2"}


@pytest.mark.parametrize("server", [COMBINATIONS[0], COMBINATIONS[3]], indirect=True)
def test_peers_that_neither_read_nor_close_keep_nothing(server: Server) -> None:
    """However much they were to be sent, all of it is free again while they still hold their ends: connections, descriptors, people."""
    server.stop()
    server.environment |= SHORT
    server.start()
    ana = server.sign_in("ana")
    channel = call(ana, "POST", "/channel/edit", name="large", topic="")["id"]
    for number in range(50):
        call(ana, "POST", "/message/edit", channel_id=channel, contents=f"{number} " + "x" * 15_900)
    before = value(server, "process_open_fds")
    with ExitStack() as stuck:
        for _ in range(20):
            stuck.enter_context(raw_upgrade(server, ana, 4096))
        assert value(server, "crust_websocket_open") == 20
        becomes(server, 0, "crust_websocket_open", seconds=20)
        deadline = time.monotonic() + 10
        while value(server, "process_open_fds") > before:
            assert time.monotonic() < deadline, "descriptors stay open"
        assert value(server, "crust_websocket_people") == 0
        assert value(server, "crust_websocket_closes_total", code="4009") + value(server, "crust_websocket_closes_total", code="4008") == 20
    assert "Traceback" not in server.log()


# ---- what is not installed


@pytest.mark.parametrize(
    ("missing", "options", "environment", "setting", "extra"),
    [
        ("uvicorn", ["--server", "uvicorn"], {}, "server", "uvicorn"),
        ("httptools", [], {"CRUST_SERVER": "uvicorn"}, "server", "uvicorn"),
        ("uvloop", [], {"CRUST_LOOP": "uvloop"}, "loop", "uvloop"),
    ],
)
def test_what_is_not_installed(
    tmp_path: Path, missing: str, options: list[str], environment: dict[str, str], setting: str, extra: str
) -> None:
    """Refused before anything is opened, with what to install."""
    program = f"import sys; sys.modules[{missing!r}] = None; from crust.cli.main import main; main()"
    server = Server(tmp_path, environment)
    done = subprocess.run(
        [sys.executable, "-c", program, "serve", "--port", str(server.port), *options],
        env=server.environment, cwd=tmp_path, text=True, capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    advice = f'{setting}: {extra} needs {missing}, which is not installed: pip install "crust-chat[{extra}]"'
    assert done.stderr == f"crust: These settings cannot be used:\n  - {advice}\n"
    assert not (tmp_path / "data").exists()


def test_the_loop_that_is_taken_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvloop for uvicorn if it is there; Hypercorn keeps Python's own, and so does uvicorn where there is no other."""
    made = [loop_factory(Settings(server=server)) for server in ("hypercorn", "uvicorn")]
    assert made[0] is None
    assert made[1].__module__ == "uvloop"
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory(Settings(server="uvicorn")) is None
    with pytest.raises(SettingsError):
        loop_factory(Settings(loop="uvloop"))


def test_hypercorn_needs_no_uvicorn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default server starts where the extras are not installed."""
    for name in ("uvicorn", "uvloop", "httptools"):
        monkeypatch.setitem(sys.modules, name, None)
    assert chosen(Settings()).__module__ == "crust.servers.hypercorn"
    assert loop_factory(Settings()) is None
