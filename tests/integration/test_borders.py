"""Sockets of people who come, go, and whose channels move and merge: what they are told, and what not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.integration.test_websocket import headers, opened, until
from tests.support.server import Server, call

pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with an administrator, root, and bob."""
    server = Server(Path(tmp_path_factory.mktemp("borders")), {"CRUST_LIMITS__ENABLED": "false"})
    server.add_user("root", "--admin")
    server.add_user("bob")
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def root(server: Server) -> httpx.Client:
    return server.sign_in("root", "root-client")


@pytest.fixture(scope="module")
def bob(server: Server) -> httpx.Client:
    return server.sign_in("bob", "bob-client")


def make(client: httpx.Client, name: str, **more: Any) -> str:
    return str(call(client, "POST", "/channel/edit", name=name, topic="", **more)["id"])


def my_id(client: httpx.Client) -> str:
    return str(call(client, "GET", "/user/me")["id"])


async def told(connection: ClientConnection, last: str) -> list[dict[str, Any]]:
    """The frames up to one that says `last`, that left out."""
    frames: list[dict[str, Any]] = []
    async with asyncio.timeout(10):
        while True:
            text = await connection.recv()
            if last in str(text):
                return frames
            frames.append(json.loads(text))


def short(frames: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Type, event and channel of each; a channel's frame is that of its id."""
    return [(each["type"], each.get("event", ""), each.get("channel_id") or each["data"].get("id", "")) for each in frames]


async def test_who_resumes_after_a_merge_is_shown_the_destination(server: Server, root: httpx.Client, bob: httpx.Client) -> None:
    """Once, with the messages of both; of the source they hear that they parted, and nothing else."""
    one, two, other = make(root, "one"), make(root, "two"), make(root, "other")
    for channel in (one, two, other):
        call(bob, "POST", "/channel/join", id=channel)
    async with connect(server.websocket_url, additional_headers=headers(bob), max_size=None) as connection:
        epoch = (await until(connection, "hello"))["data"]["epoch"]
        await until(connection, "ready")
        call(root, "POST", "/message/edit", channel_id=other, contents="before")
        place = (await until(connection, "message"))["position"]
    for number in range(4):
        call(root, "POST", "/message/edit", channel_id=(one, two)[number % 2], contents=f"part {number}")
    call(root, "POST", "/channel/merge", destination=one, source=two)
    call(root, "POST", "/message/edit", channel_id=two, contents="after")
    url = f"{server.websocket_url}?resume={epoch}.{place}"
    async with connect(url, additional_headers=headers(bob), max_size=None) as connection:
        assert (await until(connection, "hello"))["data"]["resumed"] is True
        frames = await told(connection, '"ready"')
    assert short(frames) == [("channel", "", one), ("member", "PARTED", two)]
    (shown,) = [each["data"] for each in frames if each["type"] == "channel"]
    said = [message["contents"] for message in shown["messages"] if message["type"] == "MESSAGE"]
    assert said == [*(f"part {number}" for number in range(4)), "after"]


async def test_who_is_expelled_hears_of_it_and_then_nothing(server: Server, root: httpx.Client, bob: httpx.Client) -> None:
    """Live: what happens in an organisation is told to its members, up to their own parting."""
    organisation = str(call(root, "POST", "/organisation/edit", name="Elsewhere")["id"])
    async with opened(server, bob) as connection:
        call(root, "POST", "/organisation/edit", id=organisation, name="Not his")
        call(root, "POST", "/organisation/invite", id=organisation, user_id=my_id(bob))
        room = make(root, "room", organisation_id=organisation, members=[my_id(bob)])
        call(root, "POST", "/team/edit", name="Team", organisation_id=organisation)
        call(root, "DELETE", "/organisation/expel", id=organisation, user_id=my_id(bob))
        call(root, "POST", "/message/edit", channel_id=room, contents="among us")
        call(root, "POST", "/team/edit", name="Other team", organisation_id=organisation)
        make(root, "the end", members=[my_id(bob)])
        frames = await told(connection, "the end")
    assert [(type_, event) for type_, event, _ in short(frames)] == [
        ("member", "JOINED"), ("channel", ""), ("member", "JOINED"), ("team", "CREATED"), ("member", "PARTED"), ("member", "PARTED"),
    ]  # fmt: skip
    assert "among us" not in str(frames)
