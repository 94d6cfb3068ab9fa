"""The README's commands, word for word."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import Server, call, is_ready
from tests.support.wire import seconds_until

ROOT = Path(__file__).parents[2]
PASSWORD = "correct horse battery"
RUN_ELSEWHERE = ("make ", "examples/talk.py", "tests.e2e.crash", "tests.e2e.soak", "tests.e2e.transfer")
"""Commands of the README that CI itself runs, or that other tests here do."""


def blocks(section: str) -> list[str]:
    """The shell blocks of a section."""
    text = (ROOT / "README.md").read_text()
    body = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    assert body, f"the README has a section {section!r}"
    return re.findall(r"```sh\n(.*?)```", body, re.DOTALL)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server on the README's port, seen from a folder in which `.venv/bin/crust` is this installation's."""
    server = Server(tmp_path, port=8400)
    bin_ = tmp_path / ".venv" / "bin"
    bin_.mkdir(parents=True)
    for program in ("crust", "python"):
        found = Path(sys.executable).with_name(program)
        (bin_ / program).write_text(f'#!/bin/sh\nexec "{found}" "$@"\n')
        (bin_ / program).chmod(0o755)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    yield server
    server.close()


def shell(server: Server, script: str) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=server.folder, env=server.environment, text=True, capture_output=True, timeout=60
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_tour_works_as_written(server: Server) -> None:
    """Every command of the ten minutes, in order, in one shell; the answers are what the text says."""
    server.add_user("ana", "--admin")
    server.start()
    commands = [block for block in blocks("Ten minutes with Crust") if not any(name in block for name in RUN_ELSEWHERE)]
    assert len(commands) >= 4
    output = shell(server, "\n".join(commands))
    assert '"error"' not in output
    assert output.count('"contents":"Hello **world**"') == 4, "posted, repeated, read, and in the log"
    assert output.count('"duplicate":true') == 1
    assert output.count('"type":"FILE"') >= 2
    assert "Buy oats, and call Ben.\n\nBuy oats\n" in output, "the file, and its beginning"
    assert "message created" in output, "the log"


@pytest.mark.parametrize("section", ["Configuration", "Operations", "Plugins"])
def test_other_commands_work_as_written(server: Server, section: str) -> None:
    """They need nothing but the installation, and some a server that there has been."""
    server.add_user("ana", "--admin")
    for block in blocks(section):
        if not any(name in block for name in RUN_ELSEWHERE):
            shell(server, block)


@pytest.mark.postgres
@pytest.mark.rabbit
@pytest.mark.timeout(180)  # a dozen commands, each a process of its own
def test_several_nodes_work_as_written(server: Server, postgres_url: str, rabbit_url: str) -> None:
    """Both servers start, whoever is on one reads and answers what is said on the other, and a program sees all of it."""
    urls, *commands = blocks("Several nodes")
    assert urls.startswith("export CRUST_DATABASE_URL=")
    files = str(server.folder / "files")
    server.environment |= {"CRUST_DATABASE_URL": postgres_url, "CRUST_BROKER_URL": rabbit_url, "CRUST_FILES_DIR": files}
    one, two = [Server(server.folder, server.environment, port=port) for port in (8401, 8402)]  # as the commands start them
    running = []
    with (server.folder / "out").open("w+b") as out:
        try:
            for command in commands:
                if " serve " in command or "every_event" in command:
                    start = ["bash", "-c", f"exec {command}"]
                    running.append(subprocess.Popen(start, cwd=server.folder, env=server.environment, stdout=out, stderr=out))
                else:
                    shell(server, command)
                if "--port 8402" in command:
                    seconds_until(lambda: all(is_ready(f"http://127.0.0.1:{port}") for port in (8401, 8402)), 30)
            assert len(running) == 3
            said = talk_over(one, two)
            seconds_until(lambda: all(f'"contents":"{line}"' in (server.folder / "out").read_text() for line in said), 20)
        finally:
            for node in (one, two):
                node.close()
            for process in running:
                process.kill()
                process.wait(10)


def talk_over(one: Server, two: Server) -> list[str]:
    """Somebody on each of two nodes, in a channel; gives what they said, which both have read."""
    for name in ("ana", "bob"):
        one.add_user(name)
    ana, bob = one.sign_in("ana"), two.sign_in("bob")
    room = call(ana, "POST", "/channel/edit", name="room", topic="")["id"]
    call(bob, "POST", "/channel/join", id=room)
    said = {call(ana, "GET", "/user/me")["id"]: "said on the first", call(bob, "GET", "/user/me")["id"]: "said on the second"}
    for client, line in zip((ana, bob), said.values(), strict=True):
        call(client, "POST", "/message/edit", channel_id=room, contents=line)
    for client in (ana, bob):
        found: Any = call(client, "GET", "/message/read", channel_id=room)
        assert {each["user_id"]: each["contents"] for each in found if each["type"] == "MESSAGE"} == said
    return list(said.values())


def test_two_people_talk_with_the_example_client_over_a_kill(server: Server) -> None:
    """Two terminals; a line that is typed while the server is killed arrives, once, and the talk goes on where it was."""
    for name in ("ana", "bob"):
        server.add_user(name)
    server.start()
    terminals = []
    try:
        for name in ("ana", "bob"):
            terminals.append(Terminal(server, name))
            terminals[-1].expect("ana: made general")
        ana, bob = terminals
        ana.type("hello bob")
        bob.expect("ana: hello bob")
        server.kill()
        ana.type("are you there?")
        ana.expect("not connected")
        server.start()
        bob.expect("ana: are you there?")
        bob.type("all the time")
        ana.expect("bob: all the time")
    finally:
        for terminal in terminals:
            terminal.close()
    client = server.sign_in("ana")
    channel = call(client, "GET", "/channel/search", query="general")[0]["id"]  # type: ignore[index]  # a list
    said = [message["contents"] for message in call(client, "GET", "/message/read", channel_id=channel)]  # type: ignore[index]  # a list of objects
    assert said[-3:] == ["hello bob", "are you there?", "all the time"]


class Terminal:
    """Somebody at `examples/talk.py`."""

    def __init__(self, server: Server, name: str) -> None:
        self._ours, theirs = pty.openpty()
        self._seen = ""
        environment = {**server.environment, "CRUST_PASSWORD": PASSWORD}
        command = [sys.executable, "examples/talk.py", name, "general"]
        self._process = subprocess.Popen(command, cwd=server.folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        os.set_blocking(self._ours, False)

    def type(self, line: str) -> None:
        os.write(self._ours, line.encode() + b"\n")

    def expect(self, text: str, seconds: float = 20) -> None:
        """Wait until a text is shown."""
        deadline = time.monotonic() + seconds
        while text not in self._seen:
            assert time.monotonic() < deadline, f"no {text!r} in {self._seen!r}"
            try:
                self._seen += os.read(self._ours, 65536).decode()
            except BlockingIOError:
                time.sleep(0.05)

    def close(self) -> None:
        self._process.kill()
        self._process.wait(10)
        os.close(self._ours)
