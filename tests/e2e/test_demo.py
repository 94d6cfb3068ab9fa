"""`crust demo`: an empty server, filled."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.server import Server, call


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that is not started yet."""
    server = Server(tmp_path)
    yield server
    server.close()


def test_a_demo_fills_an_empty_server_and_its_sessions_work(server: Server) -> None:
    """People, channels and talk are there, and each line of the sessions' file signs somebody in."""
    file = server.folder / "sessions"
    done = server.run("demo", "--users", "30", "--messages", "120", "--sessions", str(file))
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) == 30
    assert set(lines[0]) == {"user_id", "username", "session_id", "client_id"}
    server.start()
    for line in (lines[0], lines[-1]):
        with httpx.Client(base_url=server.url, headers={"X-Client-ID": line["client_id"], "X-Session-ID": line["session_id"]}) as client:
            assert call(client, "GET", "/user/me")["id"] == line["user_id"]
            [general] = client.get("/channel/search", params={"query": "general"}).json()["response"]
            assert general["members_count"] == 30
            assert len(client.get("/message/read", params={"channel_id": general["id"]}).json()["response"]) > 1


def test_a_demo_signs_in_with_the_password_that_it_prints(server: Server) -> None:
    """What is printed is enough to look around."""
    done = server.run("demo", "--users", "2", "--messages", "1")
    name, password = done.stdout.rstrip().partition("Sign in as ")[2].split(" with the password ")
    server.start()
    assert httpx.post(server.url + "/user/login", data={"username": name, "password": password}).status_code == 200


def test_a_demo_leaves_a_server_with_people_alone(server: Server) -> None:
    """It says why, and nothing is added."""
    server.add_user("ana")
    refused = server.run("demo")
    assert refused.returncode == 1
    assert "has people already" in refused.stderr
    assert len(json.loads(server.run("user", "list", "--json").stdout)) == 1
