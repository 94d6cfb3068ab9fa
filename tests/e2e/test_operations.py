"""The server as its operator meets it: starting, stopping, and commands beside it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.server import PASSWORD, Server, call


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that is not started yet."""
    server = Server(tmp_path)
    yield server
    server.close()


def test_an_empty_server_prints_a_link_that_works_once(server: Server) -> None:
    """The printed link makes the first administrator; afterwards neither it nor another start offers one."""
    server.start()
    link = re.search(r"http://\S+/setup\?token=\S+", server.log())
    assert link
    page = httpx.get(link[0])
    assert page.status_code == 200
    assert "form" in page.text
    token = link[0].partition("token=")[2]
    fields = {"token": token, "username": "ana", "name": "Ana", "email": "ana@example.org", "password": "short"}
    refused = httpx.post(server.url + "/setup", data=fields)
    assert refused.status_code == 422
    assert 'value="ana@example.org"' in refused.text, "what was typed is kept"
    assert httpx.post(server.url + "/setup", data={**fields, "password": PASSWORD}).status_code == 200
    assert httpx.post(server.url + "/setup", data={**fields, "username": "eve", "password": PASSWORD}).status_code == 410
    me = call(server.sign_in("ana"), "GET", "/user/me")
    assert me["is_admin"] is True
    before = server.log()
    assert server.stop() == 0
    server.start()
    assert "/setup?token=" not in server.log()[len(before) :]


def test_user_add_beside_a_running_server_is_seen_and_nothing_collides(server: Server) -> None:
    """Accounts are added by another process while messages pour in: all succeed on both sides, in one gapless order."""
    server.environment["CRUST_LIMITS__ENABLED"] = "false"
    server.add_user("ana", "--admin")
    server.start()
    ana = server.sign_in("ana")
    channel = call(ana, "POST", "/channel/edit", name="busy", topic="")["id"]
    adding = [
        subprocess.Popen(
            server.command("user", "add", f"user{number}", "--password-stdin"),
            env=server.environment, cwd=server.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number in range(4)
    ]  # fmt: skip
    for process in adding:
        assert process.stdin is not None
        process.stdin.write(PASSWORD + "\n")
        process.stdin.flush()
    posted = 0
    while any(process.poll() is None for process in adding) or posted < 50:
        call(ana, "POST", "/message/edit", channel_id=channel, contents=f"line {posted}", client_msg_id=f"k{posted}")
        posted += 1
        assert posted < 5000
    assert [process.wait() for process in adding] == [0] * 4, [process.communicate()[1] for process in adding]
    for process in adding:
        process.communicate()
    server.sign_in("user3")
    found = call(ana, "GET", "/user/search", query="user")
    assert len(found) == 4
    listed = server.run("events", "tail", "--lines", "100000", "--json").stdout.splitlines()
    positions = [json.loads(line)["position"] for line in listed]
    assert positions == list(range(1, len(positions) + 1))


def test_a_websocket_hears_of_an_account_that_another_process_made(server: Server) -> None:
    """What another process writes reaches the sockets within a second or two: the node looks at the log's head."""
    server.add_user("ana", "--admin")
    server.start()
    ana = server.sign_in("ana")

    async def hear() -> None:
        headers = {"X-Session-ID": ana.headers["X-Session-ID"], "X-Client-ID": "test"}
        async with connect(server.websocket_url, additional_headers=headers) as socket:
            while json.loads(await socket.recv())["type"] != "ready":
                pass
            await asyncio.to_thread(server.add_user, "bob")
            async with asyncio.timeout(5):
                while (frame := json.loads(await socket.recv()))["type"] != "user":
                    pass
            assert (frame["event"], frame["data"]["username"]) == ("CREATED", "bob")

    asyncio.run(hear())


def test_a_password_that_another_process_changes_ends_sessions_here(server: Server) -> None:
    """A running server, which knows sessions by heart, refuses them within 5 s."""
    server.add_user("ana")
    server.start()
    ana = server.sign_in("ana")
    call(ana, "GET", "/user/me")
    done = server.run("user", "password", "ana", "--password-stdin", stdin="another correct horse\n")
    assert done.returncode == 0, done.stderr
    deadline = time.monotonic() + 5
    while ana.get("/user/me").status_code != 401:
        assert time.monotonic() < deadline, "the session still counts"
        time.sleep(0.1)


def test_who_is_suspended_by_another_process_is_out_within_5_s(server: Server) -> None:
    """`crust user suspend` beside the server: the sockets close with 4001, requests are refused; `sessions` and `unsuspend` tell of it."""
    server.add_user("ana")
    server.start()
    ana = server.sign_in("ana")
    (session,) = json.loads(server.run("user", "sessions", "ana", "--json").stdout)
    assert session["client_id"] in server.run("user", "sessions", "ana").stdout

    async def suspended() -> tuple[int | None, float]:
        headers = {name: ana.headers[name] for name in ("X-Session-ID", "X-Client-ID")}
        async with connect(server.websocket_url, additional_headers=headers) as connection:
            done = await asyncio.to_thread(server.run, "user", "suspend", "ana")
            assert done.returncode == 0, done.stderr
            started = time.monotonic()
            with pytest.raises(ConnectionClosed):
                while True:
                    await asyncio.wait_for(connection.recv(), 10)
            return connection.close_code, time.monotonic() - started

    code, seconds = asyncio.run(suspended())
    assert code == 4001
    assert seconds < 5
    assert ana.get("/user/me").status_code == 401
    assert json.loads(server.run("user", "sessions", "ana", "--json").stdout) == []
    assert server.run("user", "unsuspend", "ana").returncode == 0
    assert call(server.sign_in("ana"), "GET", "/user/me")["suspended_at"] is None


def test_sigterm_tells_the_sockets_finishes_and_exits_with_0(server: Server) -> None:
    """Sockets get `shutdown` with a time to come back and close 1001; the process ends within 20 s, and again with SIGINT."""
    server.add_user("ana", "--admin")
    for number in (signal.SIGTERM, signal.SIGINT):
        server.start()
        ana = server.sign_in("ana")

        async def farewell(headers: dict[str, str], number: signal.Signals) -> int | None:
            async with connect(server.websocket_url, additional_headers=headers) as socket:
                while json.loads(await socket.recv())["type"] != "ready":
                    pass
                server.signal(number)
                assert json.loads(await socket.recv())["data"]["reconnect_after"] >= 1
                with pytest.raises(ConnectionClosed):
                    await socket.recv()
                return socket.close_code

        headers = {"X-Session-ID": ana.headers["X-Session-ID"], "X-Client-ID": "test"}
        assert asyncio.run(farewell(headers, number)) == 1001
        assert server.process is not None
        assert server.process.wait(20) == 0
        ana.close()


def test_mistakes_are_one_clear_line(server: Server) -> None:
    """A wrong setting, a name that is taken, an address in use: exit status 1, what to do, no traceback."""
    server.add_user("ana")
    taken = server.run("user", "add", "ANA", "--password-stdin", stdin=PASSWORD + "\n")
    assert (taken.returncode, taken.stderr) == (1, "crust: The username ANA is taken.\n")
    server.environment["CRUST_LIMITS__MESSAGES_BURST"] = "many"
    wrong = server.run("config", "check")
    assert wrong.returncode == 1
    assert "MESSAGES_BURST" in wrong.stderr
    assert "Traceback" not in wrong.stderr
    del server.environment["CRUST_LIMITS__MESSAGES_BURST"]
    server.start()
    again = server.run("serve", "--port", str(server.port))
    assert again.returncode == 1
    assert "in use" in again.stderr
    assert "Traceback" not in again.stderr


def test_the_doctor_looks_at_a_running_server(server: Server) -> None:
    """All is good; what is not makes exit status 1, as text and as JSON, and `crust recount` puts right what it can."""
    server.environment["CRUST_PORT"] = str(server.port)
    server.add_user("ana", "--admin")
    server.start()
    call(server.sign_in("ana"), "POST", "/channel/edit", name="news", topic="")
    done = server.run("doctor")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "is ready" in done.stdout
    with closing(sqlite3.connect(server.folder / "data" / "crust.db")) as database, database:
        database.execute("UPDATE channel SET members_count = 7")
    done = server.run("doctor", "--json")
    assert done.returncode == 1
    assert [(row["check"], row["fix"]) for row in json.loads(done.stdout) if row["state"] == "wrong"] == [
        ("channel.members_count", "crust recount")
    ]
    counted = json.loads(server.run("recount", "--json").stdout)
    assert counted["wrong"] == {"channel.members_count": 1}
    assert server.run("doctor").returncode == 0


def test_init_writes_a_config_that_works(tmp_path: Path) -> None:
    """`crust init` in an empty folder, then `config check` and `migrate`, from there."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CRUST_")}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "crust.cli.main", *arguments], env=environment, cwd=tmp_path, text=True, capture_output=True, check=True
        )
        return done.stdout

    assert "wrote config.toml" in run("init")
    assert (tmp_path / "data" / "crust.db").exists()
    assert "good" in run("config", "check")
    assert "up to date" in run("migrate")
    assert "stays as it is" in run("init")
    shown = json.loads(run("config", "show", "--json"))
    assert {row["source"] for row in shown} == {"default"}


def test_help_is_quick() -> None:
    """`crust --help` imports no command: neither the database's library nor the web framework."""
    program = "import sys; import crust.cli.main; print(sorted({'tortoise', 'quart', 'pydantic_settings'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, check=True)
    assert done.stdout == "[]\n"


def test_what_commands_do_to_the_whole_server_is_one_act_each(server: Server, tmp_path: Path) -> None:
    """By the command line, a look being none; what was refused is not there, and a restored server knows that it is one."""
    server.add_user("ana", "--admin")
    lines, backup = str(tmp_path / "lines"), str(tmp_path / "backup")
    for arguments in (
        ("export", lines), ("import", lines), ("import", lines, "--check"), ("recount",), ("recount", "--dry-run"), ("backup", backup),
        ("user", "suspend", "ana"),
    ):  # fmt: skip
        server.run(*arguments)
    refused = subprocess.run(server.command("backup", backup), capture_output=True, env=server.environment, check=False)
    assert refused.returncode == 1
    assert acts(server) == ["server exported", "server imported", "server recounted", "server backed up", "user suspended"]
    server.run("restore", backup, "--replace")
    assert acts(server) == ["server exported", "server imported", "server recounted", "server restored"]


def acts(server: Server) -> list[str]:
    """What the record says of the command line since ana was added, oldest first."""
    found = json.loads(server.run("audit", "list", "--user", "the command line", "--json").stdout)
    return [act["act"] for act in reversed(found) if act["act"] not in ("user created", "member joined")]
