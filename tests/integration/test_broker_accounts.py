"""What accounts of other programs may do on RabbitMQ once it is repaired, and what comes of it where they may."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiormq
import pytest
from aiormq.exceptions import ChannelAccessRefused
from pamqp.commands import Basic

from crust.broker import topology
from crust.broker.management import Management
from crust.broker.upkeep import Upkeep, repaired
from crust.settings import Broker, Settings
from tests.integration.test_inject import SAID, here, program
from tests.support import rabbit
from tests.support.outsider import outsider

pytestmark = [pytest.mark.asyncio, pytest.mark.rabbit]
KEY = "o.17.public.c.1.message.created"
NODE = f"{topology.NODE}x"


@pytest.fixture
def account(rabbit_url: str) -> Iterator[str]:
    """An account without any permission."""
    name, management = f"reports_{secrets.token_hex(4)}", rabbit.Management(rabbit_url)
    management.call("PUT", "users", name, body={"password": "made-up", "tags": ""})
    yield name
    management.call("DELETE", "users", name)


@pytest.fixture
def settings(tmp_path: Path, rabbit_url: str, account: str) -> Settings:
    """The account may read events and inject."""
    broker = Broker(grants=[f"{account} 17.public"], injects=[f"{account} toy"])
    return Settings(data_dir=tmp_path / "data", broker_url=rabbit_url, broker=broker)


def allowing(settings: Settings, **less: list[str]) -> Settings:
    """The same, with other grants or injects."""
    return settings.model_copy(update={"broker": settings.broker.model_copy(update=less)})


async def repair(settings: Settings) -> tuple[list[str], list[str]]:
    """What was mended, and what is left."""
    async with Management(settings) as api:
        mended, left = await repaired(Upkeep(settings, api))
    return mended, [problem.text for problem in left]


def ways(account: str, exchange: str, queue: str) -> list[Callable[[Any], Awaitable[Any]]]:
    """By which an account may try to have events moved to an exchange, or into a queue."""
    own, some = f"{account}.moving", "o.17.public.#"
    dead = {"x-dead-letter-exchange": exchange, "x-dead-letter-routing-key": queue, "x-message-ttl": 0}
    return [
        lambda channel: channel.queue_declare(own, arguments=dead),
        lambda channel: channel.exchange_declare(own, exchange_type="topic", arguments={"alternate-exchange": exchange}),
        lambda channel: channel.exchange_bind(exchange, topology.EVENTS, some),
        lambda channel: channel.queue_bind(queue, topology.EVENTS, some),
    ]


async def refused(url: str, way: Callable[[Any], Awaitable[Any]]) -> bool:
    connection = await aiormq.connect(url)
    try:
        await way(await connection.channel())
    except ChannelAccessRefused:
        return True
    finally:
        await connection.close()
    return False


async def test_what_leads_where_an_account_may_not_write_is_refused(settings: Settings, account: str, rabbit_url: str) -> None:
    """To events, to control and to a node, whatever it may do; to inject, unless `broker.injects` names it."""
    await repair(settings)
    url = rabbit_url.replace("guest:guest", f"{account}:made-up")
    connection = await aiormq.connect(rabbit_url)
    await (await connection.channel()).queue_declare(NODE)
    for exchange in (topology.EVENTS, topology.CONTROL, ""):
        for way in ways(account, exchange, NODE):
            assert await refused(url, way), exchange
    await repair(allowing(settings, injects=[]))
    for way in ways(account, topology.INJECT, topology.INJECT):
        assert await refused(url, way)
    await connection.close()


async def test_what_is_moved_to_inject_is_named_and_unbound(settings: Settings, account: str, rabbit_url: str) -> None:
    """Who may read and inject can have events moved there: what does it is named, and repair removes the bindings."""
    await repair(settings)
    url = rabbit_url.replace("guest:guest", f"{account}:made-up")
    for way in ways(account, topology.INJECT, topology.INJECT):
        assert not await refused(url, way)
    mended, left = await repair(settings)
    assert mended == [
        f"the {kind} crust.v1.inject is bound to crust.v1.events by 'o.17.public.#', and should not be" for kind in ("exchange", "queue")
    ]
    assert left == [f"the queue {account}.moving moves messages to crust.v1.inject, where nobody believes them"]


async def test_what_is_moved_to_inject_speaks_for_nobody(settings: Settings, account: str, rabbit_url: str) -> None:
    """Even if its account may speak, and what it says could be posted; what the other account itself sends goes on."""
    await repair(settings)
    url = rabbit_url.replace("guest:guest", f"{account}:made-up")
    async with here(settings) as at, program(url, f"{account}.answers") as bot, program(rabbit_url) as core:
        at.speaking[account] = ["toy"]
        for way in ways(account, topology.INJECT, topology.INJECT):
            await way(bot.channel)
        for bind in (bot.channel.queue_bind, bot.channel.exchange_bind):
            await bind(f"{account}.moving", topology.EVENTS, "o.17.public.#")
        said = json.dumps({**SAID, "source_id": "moved"}).encode()
        await core.channel.basic_publish(said, exchange=topology.EVENTS, routing_key=KEY, properties=Basic.Properties(user_id="guest"))
        async with asyncio.timeout(10):
            while at.counted.broker_dropped["moved"] < 2:  # bound, and dead-lettered
                await asyncio.sleep(0.01)
        assert (await bot.ask("1", user_id=account))["state"] == "posted"
        assert await at.toy.texts() == ["hi"]
        assert await at.parked() == []


async def write(url: str, account: str) -> None:
    """To inject, and wait for RabbitMQ's word."""
    async with program(url, f"{account}.answers") as there:
        await there.publish(topology.INJECT, topology.INJECT, account)


async def test_only_who_is_named_in_injects_writes_there(settings: Settings, account: str, rabbit_url: str) -> None:
    """And reads nothing by that; named no more it may not, whatever it is granted."""
    url = rabbit_url.replace("guest:guest", f"{account}:made-up")
    injects = allowing(settings, grants=[])
    await repair(injects)
    await write(url, account)
    with pytest.raises(ChannelAccessRefused):
        async with outsider(url, f"{account}.events", "o.17.public.#"):
            pass
    for less in (allowing(settings, injects=[]), allowing(settings, injects=[], grants=[])):
        await repair(settings)
        await write(url, account)
        assert all(account in text for text in (await repair(less))[0])
        assert (await repair(less))[0] == []
        with pytest.raises(ChannelAccessRefused):
            await write(url, account)


async def test_others_who_may_write_there_are_named(settings: Settings, account: str, rabbit_url: str) -> None:
    """Whom somebody else has let write to everything is left as it is; who may do nothing with ours is not named."""
    management, vhost = rabbit.Management(rabbit_url), urlsplit(rabbit_url).path.lstrip("/")
    nobody = allowing(settings, grants=[], injects=[])
    await repair(nobody)
    management.call("PUT", "permissions", vhost, account, body={"configure": "", "write": "^mine", "read": "^mine"})
    assert await repair(nobody) == ([], [])
    management.call("PUT", "permissions", vhost, account, body={"configure": "", "write": ".*", "read": ""})
    assert await repair(nobody) == ([], [f"the account {account} may write to crust.v1.inject and is not named in broker.injects"])
    assert management.call("GET", "permissions", vhost, account)["write"] == ".*"


async def test_no_name_makes_what_is_ours_anothers() -> None:
    """A program's account may be called crust."""
    allowed = topology.account_permissions("crust", ["17.public"], injects=True)
    names = ("crust.v1.control", "crust.v1.events", "crust.v1.inject", "crust.v1.node.x", "crust.answers", "crust.v1", "amq.gen-x", "x")
    may = {what: [name for name in names if re.search(getattr(allowed, what), name)] for what in ("configure", "write", "read")}
    own = ["crust.answers", "crust.v1", "amq.gen-x"]
    assert may == {"configure": own, "write": ["crust.v1.inject", *own], "read": ["crust.v1.events", *own]}
