"""A program with an account of RabbitMQ's and nothing else speaks as the shipped bridge `program`; the server is killed meanwhile."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiormq.exceptions import ChannelAccessRefused

from crust.broker import topology
from tests.integration.test_inject import program
from tests.support.outsider import outsider
from tests.support.rabbit import Management
from tests.support.server import Server, call

pytestmark = [pytest.mark.asyncio, pytest.mark.rabbit]
CONFIG = """
[plugins.gateway]
use = "program"
[plugins.gateway.config]
network = "pager.example"
[broker]
injects = ["{account} gateway"]
"""
LINES = 60


@pytest.fixture
def account(rabbit_url: str) -> Iterator[str]:
    """An account without any permission."""
    name, management = f"pager_{secrets.token_hex(4)}", Management(rabbit_url)
    management.call("PUT", "users", name, body={"password": "made-up", "tags": ""})
    yield name
    management.call("DELETE", "users", name)


@pytest.fixture
def server(tmp_path: Path, rabbit_url: str, account: str) -> Iterator[Server]:
    (tmp_path / "config.toml").write_text(CONFIG.format(account=account))
    server = Server(tmp_path, {"CRUST_BROKER_URL": rabbit_url, "CRUST_LIMITS__ENABLED": "false"})
    server.add_user("ana", "--admin")
    repaired = server.run("broker", "repair")
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    server.start()
    yield server
    server.close()


@pytest.mark.timeout(180)
async def test_a_program_brings_in_what_is_said_elsewhere(server: Server, account: str, rabbit_url: str) -> None:
    """Each once and in order, though the server is killed twice: the program repeats what was not answered. It reads nothing by that."""
    ana = server.sign_in("ana")
    room: Any = call(ana, "POST", "/channel/edit", name="desk", topic="")["id"]
    link: Any = call(ana, "POST", "/bridge/link", bridge="gateway", channel_id=room, room="desk 4")
    assert (link["direction"], link["network"]) == ("in", "pager.example"), "nothing goes out over it"
    refused = ana.post("/bridge/link", data={"bridge": "gateway", "channel_id": room, "room": "desk 5", "direction": "out"})
    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "direction")
    url = rabbit_url.replace("guest:guest", f"{account}:made-up")
    with pytest.raises(ChannelAccessRefused):
        async with outsider(url, f"{account}.events", "o.#"):
            pass

    async def killing() -> None:
        for _ in range(2):
            await asyncio.sleep(1)
            server.kill()
            await asyncio.to_thread(server.start)

    async with program(url, f"{account}.answers") as pager:
        killed = asyncio.create_task(killing())
        for number in range(LINES):
            await asked(pager, account, f"{number}", contents=f"line {number}", source_id=f"s{number}")
        await killed
        await asked(pager, account, "bob", action="react", source_id="s0", emoji="👍", author={"id": "bob", "name": "Bob"})
        await asked(pager, account, "gone", action="remove", source_id="s1")
    ana = server.sign_in("ana")
    page: Any = call(ana, "GET", "/message/read", channel_id=room, limit="100")
    said = [each for each in page if each["type"] == "MESSAGE"]
    assert [each["contents"] for each in said] == ["line 0", *(f"line {number}" for number in range(2, LINES))]
    assert {each["origin"] for each in said} == {"pager.example"}
    assert said[0]["reactions"][0]["emoji"] == "👍"
    deliveries = server.run("delivery", "list", "--json")
    assert "gateway" not in deliveries.stdout, "what is said here waits for nothing that could carry it out"


async def asked(pager: Any, account: str, number: str, **fields: Any) -> None:
    """Send it until it is answered."""
    while True:
        await pager.send(number, None, account, room="desk 4", **fields)
        try:
            answer = await pager.answer(number, within=3)
        except TimeoutError:
            continue
        assert "error" not in answer, answer
        return


async def test_a_program_may_write_to_nothing_else(server: Server, account: str, rabbit_url: str) -> None:
    """Nobody's queue, no event, no control message; and not in another's name."""
    url = rabbit_url.replace("guest:guest", f"{account}:made-up")
    for exchange, key in ((topology.EVENTS, "o.1.public.c.1.message.created"), (topology.CONTROL, ""), ("", topology.INJECT)):
        with pytest.raises(ChannelAccessRefused):
            async with program(url, f"{account}.answers") as pager:
                await pager.publish(exchange, key, account)
    assert server.ready()
