"""`crust broker check` and `repair`, and what other programs may do on RabbitMQ afterwards."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiormq
import pytest
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelAccessRefused, DeliveryError

from crust.broker import topology
from crust.broker.management import BESIDE, Management, ManagementError
from crust.broker.upkeep import Upkeep, repaired
from crust.settings import Broker, Settings
from tests.support import rabbit
from tests.support.outsider import outsider
from tests.support.server import Server

pytestmark = [pytest.mark.asyncio, pytest.mark.rabbit, pytest.mark.timeout(180)]  # a dozen commands, each a process of its own
UNREAD = "nobody reads the queue crust.v1.inject, in which {} messages wait"


@pytest.fixture
def vhost(rabbit_url: str) -> str:
    return urlsplit(rabbit_url).path.lstrip("/")


@pytest.fixture
def management(rabbit_url: str) -> rabbit.Management:
    return rabbit.Management(rabbit_url)


@pytest.fixture
def account(management: rabbit.Management) -> Iterator[str]:
    """An account without any permission."""
    name = f"reports_{secrets.token_hex(4)}"
    management.call("PUT", "users", name, body={"password": "made-up", "tags": ""})
    yield name
    management.call("DELETE", "users", name)


@pytest.fixture
def crust(tmp_path: Path, rabbit_url: str) -> Callable[..., tuple[int, str]]:
    """A command of Crust's, by its exit status and what it says; no server runs."""

    def run(*arguments: str, **environment: str) -> tuple[int, str]:
        done = Server(tmp_path, {"CRUST_BROKER_URL": rabbit_url, **environment}).run(*arguments)
        return done.returncode, done.stdout + done.stderr

    return run


Crust = Callable[..., tuple[int, str]]


async def test_repair_makes_everything_and_check_is_content(crust: Crust, management: rabbit.Management, vhost: str) -> None:
    """On an empty vhost, and again on one where something was removed; the second time there is nothing to do."""
    status, said = crust("broker", "check")
    assert status == 1
    assert f"the exchange {topology.EVENTS} is missing" in said
    status, said = crust("broker", "repair")
    assert status == 0, said
    assert crust("broker", "check") == (0, "everything is as it should be\n")
    assert crust("broker", "repair") == (0, "there was nothing to mend\n")
    management.call("DELETE", "queues", vhost, topology.INJECT)
    management.call("DELETE", "exchanges", vhost, topology.CONTROL)
    for policy in topology.POLICIES:
        management.call("DELETE", "policies", vhost, policy.name)
    status, said = crust("broker", "check", "--json")
    assert (status, len(json.loads(said))) == (1, 5), said
    status, said = crust("broker", "repair")
    assert (status, said.count("mended:")) == (0, 5), said
    assert crust("broker", "check")[0] == 0
    names = {each["name"]: each["type"] for each in management.call("GET", "exchanges", vhost)}
    assert [names[name] for name in (topology.EVENTS, topology.CONTROL, topology.INJECT)] == ["topic", "fanout", "direct"]


async def test_a_vhost_that_is_missing_is_made(crust: Crust, management: rabbit.Management, rabbit_url: str, vhost: str) -> None:
    """With everything in it."""
    other = f"{vhost}_other"
    url = rabbit_url.replace(vhost, other)
    assert f"there is no vhost {other}" in crust("broker", "check", CRUST_BROKER_URL=url)[1]
    try:
        assert crust("broker", "repair", CRUST_BROKER_URL=url)[0] == 0
        assert crust("broker", "check", CRUST_BROKER_URL=url)[0] == 0
    finally:
        management.call("DELETE", "vhosts", other)


async def test_a_connection_that_breaks_says_nothing_of_a_queue(crust: Crust, rabbit_url: str, tmp_path: Path) -> None:
    """What waits in it is not removed for that, though it cannot be asked; wherever the connection breaks."""
    assert crust("broker", "repair")[0] == 0
    connection = await aiormq.connect(rabbit_url)
    channel = await connection.channel()
    await channel.basic_publish(b"somebody waits for this", routing_key=topology.INJECT)
    port, said = urlsplit(rabbit_url).port, list[str]()
    assert port
    management = Broker(management_url=f"http://127.0.0.1:{port + BESIDE}")
    for most in range(300, 900, 20):  # RabbitMQ 3.10 has greeted with 541 bytes, and the queue is declared with the 605th
        async with breaking(port, most) as broken:
            url = rabbit_url.replace(f":{port}", f":{broken}")
            said.append(await outcome(Settings(data_dir=tmp_path / "data", broker_url=url, broker=management)))
    for beginning in ("RabbitMQ cannot be reached over AMQP", "RabbitMQ cannot be asked over AMQP", "done"):
        assert [each for each in said if each.startswith(beginning)], said
    assert (await channel.queue_declare(topology.INJECT, passive=True)).message_count == 1
    await connection.close()


async def outcome(settings: Settings) -> str:
    """How a repair ends."""
    async with Management(settings) as api:
        try:
            await repaired(Upkeep(settings, api))
        except ManagementError as error:
            return str(error)
    return "done"


@asynccontextmanager
async def breaking(port: int, most: int) -> AsyncIterator[int]:
    """A proxy that resets each connection after so many bytes of its answers; gives its port."""

    passing: set[asyncio.Task[None]] = set()

    async def out(reader: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            back.write(data)
        back.close()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passing.add(asyncio.current_task())  # type: ignore[arg-type]  # it runs in one
        there, back = await asyncio.open_connection("127.0.0.1", port)
        going, left = asyncio.create_task(out(reader, back)), most
        while left > 0 and (data := await there.read(left)):
            left -= len(data)
            writer.write(data)
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
        writer.transport.abort()
        back.close()

    server = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*passing, return_exceptions=True)


async def test_an_account_without_permissions_gets_them(
    crust: Crust, account: str, management: rabbit.Management, vhost: str, rabbit_url: str
) -> None:
    """The core's own, though the queue is there already: these first, then the rest can be looked at."""
    assert crust("broker", "repair")[0] == 0
    management.call("PUT", "users", account, body={"password": "made-up", "tags": "administrator"})
    url = rabbit_url.replace("guest:guest", f"{account}:made-up")
    status, said = crust("broker", "check", CRUST_BROKER_URL=url)
    assert (status, said) == (1, f"the account {account} has other permissions than it should\n")
    status, said = crust("broker", "repair", CRUST_BROKER_URL=url)
    assert (status, crust("broker", "check", CRUST_BROKER_URL=url)[0]) == (0, 0), said


async def test_a_queue_that_refuses_is_named(crust: Crust, management: rabbit.Management, vhost: str, rabbit_url: str) -> None:
    """Each refusal of it is one of the event, as the relay hears it: if it gets events, and whether it or a policy says so."""
    assert crust("broker", "repair")[0] == 0
    management.call("PUT", "exchanges", vhost, "reports", body={"type": "fanout"})
    policy = {"pattern": "^reports.later", "definition": {"overflow": "reject-publish"}, "priority": 1}
    management.call("PUT", "policies", vhost, "refuse", body=policy)
    connection = await aiormq.connect(rabbit_url)
    channel = await connection.channel()
    await channel.exchange_bind("reports", topology.EVENTS, routing_key="#")
    await channel.queue_declare("reports.later")
    for name in ("reports.all", "reports.none"):
        await channel.queue_declare(name, arguments={"x-overflow": "reject-publish"})
    for name in ("reports.all", "reports.later"):
        await channel.queue_bind(name, "reports")
    await connection.close()
    wanted = {f"the queue {name} refuses events when it is full: reject-publish" for name in ("reports.all", "reports.later")}
    async with asyncio.timeout(20):
        while True:  # which policy holds for a queue the management API knows a little later
            status, said = await asyncio.to_thread(crust, "broker", "check")
            if all(each in said for each in wanted):
                break
    assert (status, "reports.none" in said) == (1, False)


async def test_what_nobody_reads_is_bounded(crust: Crust, rabbit_url: str) -> None:
    """Whoever publishes to inject with confirms hears that it is refused; what was taken is all there; nobody reads it, says check."""
    assert crust("broker", "repair")[0] == 0
    connection = await aiormq.connect(rabbit_url)
    channel = await connection.channel()
    taken, long = 0, bytes(1_048_576)
    with pytest.raises(DeliveryError):
        while taken * len(long) <= 2 * topology.INJECT_BYTES:
            await channel.basic_publish(long, exchange=topology.INJECT, routing_key=topology.INJECT)
            taken += 1
    declared = await channel.queue_declare(topology.INJECT, passive=True)
    assert declared.message_count == taken >= topology.INJECT_BYTES // len(long)
    status, said = await asyncio.to_thread(crust, "broker", "check")
    assert (status, said) == (1, f"{UNREAD.format(taken)}: broker.injects names no program\n")
    said = (await asyncio.to_thread(crust, "broker", "check", CRUST_BROKER__INJECTS="guest gateway"))[1]
    assert f"{UNREAD.format(taken)}: no server or worker with plugins reads it now" in said
    status, said = await asyncio.to_thread(crust, "broker", "repair")
    assert (status, UNREAD.format(taken) in said) == (0, True), "servers start after it, and read it"
    await channel.basic_consume(topology.INJECT, ignore)
    assert (await asyncio.to_thread(crust, "broker", "check"))[0] == 0
    await connection.close()


async def ignore(_message: DeliveredMessage) -> None:
    """Read it, and do nothing."""


async def test_a_policy_in_the_place_of_ours_is_named(crust: Crust, management: rabbit.Management, vhost: str) -> None:
    """One policy holds for a queue: one that fits inject and is not below ours may leave it without a bound."""
    assert crust("broker", "repair")[0] == 0
    body = {"pattern": ".*", "definition": {"max-length": 5}, "apply-to": "all", "priority": 0}
    management.call("PUT", "policies", vhost, "below", body=body)
    management.call("PUT", "policies", vhost, "other", body={**body, "pattern": "^reports", "priority": 5})
    assert crust("broker", "check")[0] == 0
    management.call("PUT", "policies", vhost, "above", body={**body, "priority": 1})
    status, said = crust("broker", "check")
    assert (status, "the policy above may hold for the queue crust.v1.inject" in said, said.count("\n")) == (1, True, 1)


async def test_what_is_of_another_kind_is_replaced(crust: Crust, management: rabbit.Management, vhost: str, rabbit_url: str) -> None:
    """A queue with other arguments, which no declare gets past; but not while messages wait in it."""
    connection = await aiormq.connect(rabbit_url)
    channel = await connection.channel()
    await channel.queue_declare(topology.INJECT, durable=True, arguments={"x-max-length": 3})
    await channel.basic_publish(b"somebody waits for this", routing_key=topology.INJECT)
    status, said = crust("broker", "repair")
    assert status == 1, said
    assert "left: the queue crust.v1.inject: arguments is {'x-max-length': 3}" in said
    assert "1 messages wait in it" in said
    await channel.queue_purge(topology.INJECT)
    await connection.close()
    assert crust("broker", "repair")[0] == 0
    arguments: Any = management.call("GET", "queues", vhost, topology.INJECT)["arguments"]
    assert arguments == {"x-queue-type": "classic"}


async def test_an_account_reads_what_it_was_granted_and_nothing_else(crust: Crust, account: str, rabbit_url: str) -> None:
    """Topic permissions by organisation and visibility; queues under its own name; it writes to nothing of ours."""
    url = rabbit_url.replace("guest:guest", f"{account}:made-up")
    granted = {"CRUST_BROKER__GRANTS": f"{account} 17.public, {account} *.none"}
    status, said = crust("broker", "repair", **granted)
    assert status == 0, said
    assert f"the account {account} does not have the topic permission for 17.public, *.none" in said
    assert crust("broker", "check", **granted)[0] == 0
    own = f"{account}.events"
    for key in ("o.17.public.#", "o.17.public.c.5.message.created", "o.*.none.#", "o.4.none.c.0.#"):
        async with outsider(url, own, key):
            pass
    for key in (
        "#",
        "o.#",
        "o.17.#",
        "o.17.private.#",
        "o.18.public.#",
        "o.*.public.#",
        "*.17.public.#",
        "o.170.public.#",
        "x.o.17.public.#",
    ):
        with pytest.raises(ChannelAccessRefused):
            async with outsider(url, own, key):
                pass
    with pytest.raises(ChannelAccessRefused):
        async with outsider(url, "somebody.else", "o.17.public.#"):
            pass
    event = "o.17.public.c.1.message.created"
    for exchange, key in ((topology.EVENTS, event), (topology.CONTROL, ""), (topology.INJECT, topology.INJECT), ("", topology.INJECT)):
        with pytest.raises(ChannelAccessRefused):
            async with outsider(url, own, "o.17.public.#") as program:
                await program.publish(exchange, key, b"{}", {}, account)


async def test_what_is_granted_no_more_is_withdrawn(crust: Crust, account: str, rabbit_url: str) -> None:
    """Once the setting is gone, check says so, and repair takes the right to read away."""
    url = rabbit_url.replace("guest:guest", f"{account}:made-up")
    assert crust("broker", "repair", CRUST_BROKER__GRANTS=f"{account} 17.public")[0] == 0
    status, said = crust("broker", "check")
    assert (status, said) == (1, f"the account {account} may read events and is in no grant of broker.grants\n")
    assert crust("broker", "repair")[0] == 0
    with pytest.raises(ChannelAccessRefused):
        async with outsider(url, f"{account}.events", "o.17.public.#"):
            pass
    assert crust("broker", "check")[0] == 0


async def test_what_cannot_be_done_is_said(crust: Crust, vhost: str) -> None:
    """No RabbitMQ named, an account that is not there, a management API that does not answer: no traceback, and no password."""
    status, said = crust("broker", "check", CRUST_BROKER_URL="")
    assert (status, "broker_url: is empty" in said) == (1, True)
    status, said = crust("broker", "repair", CRUST_BROKER__GRANTS="nobody-here 17.public")
    assert (status, "left: there is no account nobody-here" in said) == (0, True)
    status, said = crust("broker", "check", CRUST_BROKER_URL=f"amqp://guest:marked-secret@127.0.0.1:9/{vhost}")
    assert status == 1
    assert "http://127.0.0.1:10009 does not answer" in said
    assert "Traceback" not in said
    assert "marked-secret" not in said
    status, said = crust("broker", "check", CRUST_BROKER__GRANTS="reports 17")
    assert (status, "CRUST_BROKER__GRANTS" in said) == (1, True)


async def test_another_type_of_queue_is_mended(crust: Crust, management: rabbit.Management, vhost: str) -> None:
    """From classic to quorum and back, by the setting: a check tells of it, a repair makes it so, and then there is nothing to do."""
    assert crust("broker", "repair")[0] == 0
    for kind in ("quorum", "classic"):
        status, said = crust("broker", "check", CRUST_BROKER__QUEUE_TYPE=kind)
        assert (status, "x-queue-type" in said) == (1, True), said
        assert crust("broker", "repair", CRUST_BROKER__QUEUE_TYPE=kind)[0] == 0
        (queue,) = [each for each in management.call("GET", "queues", vhost) if each["name"] == topology.INJECT]
        assert queue["arguments"]["x-queue-type"] == kind
        assert crust("broker", "check", CRUST_BROKER__QUEUE_TYPE=kind)[0] == 0
