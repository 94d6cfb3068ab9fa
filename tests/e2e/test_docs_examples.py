"""The examples that /docs shows: each command is run as it stands, and its answer is the one that is shown."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from crust.web.examples import EXAMPLES
from tests.support.server import Server, call

VARIES = {"session_id": "SECRET", "client_id": "CLIENT", "node": "NODE"}
NUMBER, TIME = re.compile(r"[0-9]{15,}"), re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.add_user("ana", "--admin")
    (tmp_path / "config.toml").write_text('[plugins.commands]\n[plugins.pager]\nuse = "program"\nconfig = { network = "pager.example" }\n')
    server.start()
    yield server
    server.close()


def answers(server: Server) -> dict[str, str]:
    """What the commands print, by noun."""
    ana = server.sign_in("ana")
    until_running(ana)
    channel = str(call(ana, "POST", "/channel/edit", name="plans", topic="")["id"])
    sent = ana.put("/message/attach", params={"channel_id": channel, "name": "plan.txt"}, content=b"Buy oats, and call Ben.\n")
    file = sent.json()["response"]["attachments"][0]["id"]
    known = {"CRUST": server.url, "SESSION": ana.headers["X-Session-ID"], "CHANNEL": channel, "FILE": file}
    return {noun: shell(each.command, {**server.environment, **known}) for noun, each in EXAMPLES.items()}


def until_running(client: httpx.Client) -> None:
    """Wait for the plugins, which begin beside the server."""
    end = time.monotonic() + 20
    while {each["state"] for each in plugins(client)} != {"running"}:
        assert time.monotonic() < end, plugins(client)
        time.sleep(0.1)


def plugins(client: httpx.Client) -> Any:
    return call(client, "GET", "/plugin/search")


def shell(command: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], env=environment, text=True, capture_output=True, timeout=20, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def alike(text: str) -> Any:
    """An answer without what is another each time: ids, times, secrets."""
    try:
        return without(json.loads(text))
    except ValueError:
        return text.strip()


def without(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: VARIES.get(name, without(each)) for name, each in value.items()}
    if isinstance(value, list):
        return [without(each) for each in value]
    return TIME.sub("TIME", NUMBER.sub("ID", value)) if isinstance(value, str) else value


def test_the_examples_are_true(server: Server) -> None:
    """Each noun of the OpenAPI has one that is asked with curl, the websocket aside, and all are answered as is shown."""
    got = answers(server)
    assert {noun: alike(text) for noun, text in got.items()} == {noun: alike(each.answer) for noun, each in EXAMPLES.items()}
    nouns = {path.split("/")[1] for path in httpx.get(server.url + "/openapi.json").json()["paths"]}
    assert nouns - {"websocket"} == set(EXAMPLES)
