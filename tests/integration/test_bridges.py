"""Linked channels as clients see them, over a real server with a bridge: who is told of what."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.support.server import Server, call

LOOPBACK = Path(__file__).parents[1] / "support" / "loopback.py"
CONFIG = """
plugins_dir = "plugins"
[plugins.toy]
use = "loopback"
config = {{address = "127.0.0.1:{port}"}}
[[plugins.toy.links]]
channel = "nowhere"
room = "#lost"
"""


@pytest.fixture(scope="module")
def network() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The toy network in a process of its own, with its port."""
    process = subprocess.Popen([sys.executable, str(LOOPBACK)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, network: tuple[subprocess.Popen[str], int]) -> Iterator[Server]:
    """A server with the toy bridge; ana administers it, bob is a member."""
    folder = tmp_path_factory.mktemp("bridged")
    (folder / "plugins").mkdir()
    shutil.copy(LOOPBACK, folder / "plugins")
    (folder / "config.toml").write_text(CONFIG.format(port=network[1]))
    server = Server(folder)
    server.add_user("ana", "--admin")
    server.add_user("bob")
    server.start()
    yield server
    server.close()


class Ears:
    """All that a person is told while a block lasts."""

    def __init__(self, server: Server, client: httpx.Client) -> None:
        self._server, self._client = server, client
        self.frames: list[dict[str, Any]] = []

    async def __aenter__(self) -> Ears:
        headers = {name: self._client.headers[name] for name in ("X-Session-ID", "X-Client-ID")}
        self._socket = await connect(self._server.websocket_url, additional_headers=headers, max_size=None)
        await self.until(lambda frame: frame["type"] == "ready")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._socket.close()

    async def until(self, wanted: Any) -> dict[str, Any]:
        """The first frame that is wanted."""
        async with asyncio.timeout(20):
            while True:
                frame: dict[str, Any] = json.loads(await self._socket.recv())
                self.frames.append(frame)
                if wanted(frame):
                    return frame

    def heard(self, type_: str, event: str) -> list[dict[str, Any]]:
        return [frame["data"] for frame in self.frames if is_(type_, event)(frame)]


def is_(type_: str, event: str, **fields: object) -> Any:
    def wanted(frame: dict[str, Any]) -> bool:
        same = frame["type"] == type_ and frame.get("event") == event
        return same and all(frame["data"].get(name) == value for name, value in fields.items())

    return wanted


@pytest.mark.asyncio
async def test_who_is_told_of_what(server: Server, network: tuple[subprocess.Popen[str], int]) -> None:
    """A link is told to its channel, what became of a message to its author alone, how a bridge is to administrators alone."""
    ana, bob = server.sign_in("ana"), server.sign_in("bob")
    room = str(call(ana, "POST", "/channel/edit", name="room", topic="")["id"])
    call(bob, "POST", "/channel/join", id=room)
    async with Ears(server, ana) as hers, Ears(server, bob) as his:
        link = await asyncio.to_thread(call, ana, "POST", "/bridge/link", bridge="toy", channel_id=room, room="#toy")
        for ears in (hers, his):
            [told] = (await ears.until(is_("channel", "LINKED")))["data"]["bridged"]
            assert (told["link_id"], told["room"], told["characters"]) == (link["id"], "#toy", 200)
        said = await asyncio.to_thread(call, bob, "POST", "/message/edit", channel_id=room, contents="hello there")
        state = (await his.until(is_("delivery", "CHANGED")))["data"]
        assert state == {"message_id": said["id"], "link_id": link["id"], "state": "sent", "note": None}
        [row] = bob.get("/message/delivery", params={"id": str(said["id"])}).json()["response"]
        assert (row["link_id"], row["state"], row["room"]) == (link["id"], "sent", "#toy")
        network[0].kill()
        await hers.until(is_("bridge", "STATE", state="connecting"))
        await asyncio.to_thread(call, ana, "DELETE", "/bridge/unlink", id=link["id"])
        for ears in (hers, his):
            assert (await ears.until(is_("channel", "UNLINKED")))["data"]["bridged"] == []
    assert hers.heard("delivery", "CHANGED") == []
    assert his.heard("bridge", "STATE") == []


def test_a_link_that_cannot_be_is_found_by_operators(server: Server) -> None:
    """`crust plugins check` and `list` say which, beside a running server; the bridge is at work all the same."""
    checked = server.run("plugins", "check")
    said = "the link of #lost with nowhere: There is no channel 'nowhere' where the bridge may be at work."
    assert (checked.returncode, checked.stdout.strip()) == (1, f"plugins.toy.links: {said}")
    assert said in server.log()
