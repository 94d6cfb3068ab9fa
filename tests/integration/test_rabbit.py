"""RabbitMQ as a public interface, and in trouble: nothing is lost, and whoever reads is at the head again soon."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import aiormq
import msgspec
import pytest
from aiormq.exceptions import AMQPError

from crust.broker import rabbit, topology
from crust.broker.connection import declare
from crust.broker.rabbit import RabbitBroker
from crust.broker.relay import NAME
from crust.events.control import Connected, Control, Typing
from crust.log import Consumers, Leases, Way, coming
from crust.runtime import opened
from crust.settings import Settings
from crust.telemetry import Metrics
from tests.support.outsider import outsider, position_of
from tests.support.people import channel, person, position, say
from tests.support.rabbit import Management, RabbitServer
from tests.support.talk import CHEAP, Talk, talking, until

pytestmark = [pytest.mark.asyncio, pytest.mark.rabbit]

# ---- the public interface


async def test_outsiders_get_every_event_as_it_is_described(tmp_path: Path, rabbit_url: str) -> None:
    """Body, properties, headers and routing key; persistent; in the order of the log."""
    async with talking(tmp_path, rabbit_url) as talk, outsider(rabbit_url) as program:
        head = await talk.at_the_head()
        program.messages.clear()
        await talk.say(50)
        messages = await program.until(50)
        assert program.positions == list(range(head + 1, head + 51))
        epoch = (await talk.node.log.head()).epoch
        for message, event in zip(messages, await talk.node.log.read(head, head + 50), strict=True):
            assert message.body == msgspec.json.encode(event)
            assert message.delivery.routing_key == f"o.{event.organisation}.public.c.{talk.room}.message.created"  # type: ignore[union-attr]
            properties = message.header.properties
            assert (properties.message_id, properties.message_type) == (str(event.id), "message.created")
            assert (properties.content_type, properties.user_id, properties.delivery_mode) == ("application/json", "guest", 2)
            assert properties.timestamp == datetime.fromtimestamp(event.at // 1000, UTC)
            assert properties.headers == {
                "epoch": epoch, "position": event.position, "organisation": event.organisation, "channel": event.channel, "via": [],
            }  # fmt: skip


async def test_a_large_message_travels_in_parts(tmp_path: Path, rabbit_url: str) -> None:
    """What is larger than a frame of AMQP arrives whole."""
    async with talking(tmp_path, rabbit_url) as talk, outsider(rabbit_url) as program:
        before = len(program.messages)
        await say(talk.node, talk.ana, talk.room, "🦀" * 15_000)
        await talk.say(3)
        for _ in range(100):
            if program.messages and json.loads(program.messages[-1].body)["body"].get("contents") == "line 2":
                break
            await asyncio.sleep(0.05)
        large = [message for message in program.messages[before:] if len(message.body) > 60_000]
        assert [json.loads(message.body)["body"]["contents"] for message in large] == ["🦀" * 15_000]
        await talk.at_the_head()


async def test_an_event_that_came_through_what_has_a_long_name_stops_nothing(tmp_path: Path, rabbit_url: str) -> None:
    """Its body has all of it, its header as much as RabbitMQ takes; what comes after it is sent, too."""
    async with talking(tmp_path, rabbit_url) as talk, outsider(rabbit_url) as program:
        await talk.at_the_head()
        program.messages.clear()
        with coming(Way("far.example", tuple("x" * 200_000 for _ in range(9)))):
            await say(talk.node, talk.ana, talk.room, "far")
        await talk.say(1)
        messages = await program.until(2)
        assert json.loads(messages[0].body)["via"] == ["x" * 200_000] * 9
        assert (messages[0].header.properties.headers or {})["via"] == ["x" * 280] * 3


async def test_a_queue_that_refuses_holds_up_nobody(tmp_path: Path, rabbit_url: str) -> None:
    """Another program's, full and made so: the others have every event, in order, and the offset goes on."""
    connection = await aiormq.connect(rabbit_url)
    refusing = await connection.channel()
    await refusing.queue_declare("refusing", exclusive=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    try:
        async with talking(tmp_path, rabbit_url) as talk, outsider(rabbit_url) as program:
            head = await talk.at_the_head()
            await refusing.queue_bind("refusing", topology.EVENTS, "#")
            program.messages.clear()
            await talk.say(30)
            async with asyncio.timeout(20):
                while head + 30 not in program.positions:
                    await asyncio.sleep(0.05)
            assert list(dict.fromkeys(program.positions)) == list(range(head + 1, head + 31))
            await until(lambda: talk.events[-1].position == head + 30)
            await until(lambda: talk.node.metrics.broker_refused[()] >= 29)
            assert talk.node.metrics.broker_troubles["publishing"] == 1
    finally:
        await connection.close()


async def test_what_is_read_is_acknowledged_soon(tmp_path: Path, rabbit_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few messages, too: RabbitMQ ends a channel that leaves one unacknowledged for long."""
    monkeypatch.setattr(rabbit, "ACKNOWLEDGED_S", 0.1)
    management, vhost = Management(rabbit_url), urlsplit(rabbit_url).path.lstrip("/")

    def unacknowledged() -> list[int]:
        queues = management.call("GET", "queues", vhost)
        return [each.get("messages_unacknowledged", -1) for each in queues if each["name"].startswith(topology.NODE)]

    async with talking(tmp_path, rabbit_url) as talk:
        await talk.say(3)
        await talk.at_the_head()
        async with asyncio.timeout(20):
            while await asyncio.to_thread(unacknowledged) != [0]:
                await asyncio.sleep(0.2)


# ---- what is not ours


async def test_what_another_account_says_is_dropped(tmp_path: Path, rabbit_url: str) -> None:
    """Events and control messages of an account that is not the core's, and of another epoch, go to nobody."""
    management, vhost = Management(rabbit_url), urlsplit(rabbit_url).path.lstrip("/")
    management.call("PUT", "users", vhost, body={"password": "made-up", "tags": ""})
    management.call("PUT", "permissions", vhost, vhost, body={"configure": ".*", "write": ".*", "read": ".*"})
    stranger_url = rabbit_url.replace("guest:guest", f"{vhost}:made-up")
    heard: list[object] = []
    try:
        async with talking(tmp_path, rabbit_url) as talk, outsider(stranger_url, "stranger") as stranger, outsider(rabbit_url) as own:
            talk.node.broker.on_control(heard.append)
            head = await talk.at_the_head()
            [last] = await talk.node.log.read(head - 1, head)
            forged = msgspec.json.encode(msgspec.structs.replace(last, position=head + 1))
            headers = {"epoch": (await talk.node.log.head()).epoch}
            control = b'{"type": "session", "session_id": 1}'
            for user in (None, vhost):
                await stranger.publish(topology.EVENTS, topology.routing_key(last), forged, headers, user)
                await stranger.publish(topology.CONTROL, "", control, headers, user)
            with pytest.raises(AMQPError):  # RabbitMQ itself refuses who claims to be the core
                await stranger.publish(topology.EVENTS, topology.routing_key(last), forged, headers, "guest")
            await own.publish(topology.EVENTS, topology.routing_key(last), forged, {"epoch": "another"}, "guest")
            await own.publish(topology.EVENTS, topology.routing_key(last), b"{no json", headers, "guest")
            dropped = talk.node.metrics.broker_dropped
            await until(lambda: (dropped["foreign"], dropped["epoch"], dropped["unreadable"]) == (4, 1, 1))
            assert heard == []
            assert talk.events[-1].position == head
            await own.publish(topology.CONTROL, "", control, headers, "guest")  # as another node of ours would
            await until(lambda: len(heard) == 1)
            await talk.say(3)
            await talk.at_the_head()
    finally:
        management.call("DELETE", "users", vhost)


# ---- trouble


async def test_connections_that_are_closed_come_back(tmp_path: Path, rabbit_url: str) -> None:
    """An operator closes all connections under load; outsiders miss nothing either."""
    async with talking(tmp_path, rabbit_url) as talk:
        connection = await aiormq.connect(rabbit_url)
        channel = await connection.channel()
        await channel.queue_declare("kept", durable=True)
        await channel.queue_bind("kept", topology.EVENTS, "#")
        await connection.close()
        head = await talk.at_the_head()
        for _ in range(3):
            speaking = asyncio.create_task(talk.say(40))
            await close_connections(rabbit_url)
            await speaking
            await talk.connected()
        last = await talk.at_the_head()
        assert talk.node.metrics.broker_troubles["publishing"] >= 1
        assert set(await drained(rabbit_url, "kept")) >= set(range(head + 1, last + 1))


async def close_connections(url: str, named: str = "") -> None:
    """As an operator: all, or all of one purpose."""
    management, closed = Management(url), 0
    async with asyncio.timeout(15):
        while not closed:  # the list of connections is a second late
            for each in management.call("GET", "vhosts", urlsplit(url).path.lstrip("/"), "connections"):
                if each.get("user_provided_name", "").endswith(named):
                    management.call("DELETE", "connections", each["name"])
                    closed += 1
            await asyncio.sleep(0.1)


async def drained(url: str, queue: str) -> list[int]:
    """The positions of what waits in a queue."""
    connection = await aiormq.connect(url)
    try:
        reading = await connection.channel()
        positions = []
        while (message := await reading.basic_get(queue, no_ack=True)).body:
            positions.append(position_of(message))
        return positions
    finally:
        await connection.close()


async def test_a_channel_error_ends_the_connection_and_nothing_else(tmp_path: Path, rabbit_url: str) -> None:
    """The exchange is deleted under the relay, which closes its channel: it is made again, and everything is published."""
    async with talking(tmp_path, rabbit_url) as talk:
        management, vhost = Management(rabbit_url), urlsplit(rabbit_url).path.lstrip("/")
        management.call("DELETE", "exchanges", vhost, topology.EVENTS)
        await talk.say(20)
        await talk.at_the_head()
        await talk.connected()
        async with outsider(rabbit_url) as program:
            await talk.say(5)
            await program.until(5)


async def test_deleted_exchanges_are_bound_to_again(tmp_path: Path, rabbit_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the exchanges go the bindings of a node that publishes nothing: soon it gets by its queue again what others write and tell."""
    monkeypatch.setattr(rabbit, "DECLARED_S", 0.2)
    async with talking(tmp_path, rabbit_url) as talk, second_node(talk) as second:
        heard: list[Control] = []
        second.on_control(heard.append)
        management, vhost = Management(rabbit_url), urlsplit(rabbit_url).path.lstrip("/")
        for name in (topology.EVENTS, topology.CONTROL, topology.INJECT):
            management.call("DELETE", "exchanges", vhost, name)
        await asyncio.sleep(1)
        assert management.call("GET", "exchanges", vhost, topology.INJECT)["type"] == "direct", "programs may send"
        await talk.connected()
        subscription, typing = second.subscribe(), Typing(talk.room, talk.ana.user_id, "start")
        await talk.say()
        async with asyncio.timeout(10):
            while not await subscription.receive(1):  # of the queue alone: nobody looks into the log here
                await talk.say()
            while typing not in heard:
                talk.broker.tell(typing)
                await asyncio.sleep(0.1)


async def test_a_queue_for_programs_of_another_type_stops_nobody(tmp_path: Path, rabbit_url: str) -> None:
    """The setting was changed while something waits in it: events go out, and nodes hear each other."""
    connection = await aiormq.connect(rabbit_url)
    try:
        there = await connection.channel()
        await declare(there, topology.inject("classic"), 5)
        async with talking(tmp_path, rabbit_url, queue_type="quorum") as talk:
            await talk.say(5)
            await talk.at_the_head()
            assert talk.node.metrics.broker_troubles["publishing"] == 0
    finally:
        await connection.close()


async def test_a_relay_that_was_forgotten_begins_again(tmp_path: Path, rabbit_url: str) -> None:
    """`crust consumers forget relay`, while RabbitMQ was away: from the log's head on it publishes what is said."""
    async with talking(tmp_path, rabbit_url) as talk, outsider(rabbit_url) as program:
        async with talk.node.database.transaction():
            await talk.node.database.execute("DELETE FROM consumer WHERE name = 'relay'")
        await close_connections(rabbit_url, "publishing")
        await until(lambda: talk.node.metrics.broker_troubles["publishing"] == 1)
        await talk.connected()
        program.messages.clear()
        await talk.say(5)
        await program.until(5)


async def test_whoever_can_be_told_again_says_so(tmp_path: Path, rabbit_url: str) -> None:
    """Once both connections are there, and whenever one of them has come back."""
    async with talking(tmp_path, rabbit_url) as talk, second_node(talk) as second:
        heard: list[Control] = []
        second.on_control(heard.append)
        for purpose in ("publishing", "reading"):
            await until(lambda: second._publishing.connected and second._reading.connected)
            heard.clear()
            await close_connections(rabbit_url, purpose)
            await until(lambda: Connected() in heard)


async def test_the_relay_is_one_node_and_then_another(tmp_path: Path, rabbit_url: str) -> None:
    """While one holds the lease the other waits; when the first stops, the second goes on where it was."""
    async with talking(tmp_path, rabbit_url) as talk, outsider(rabbit_url) as program, second_node(talk) as second:
        node = talk.node
        await talk.say(5)
        head = await talk.at_the_head()
        assert [each.owner for each in await node.consumers.all()] == [node.name]
        program.messages.clear()
        await node.broker.stop()
        await until(lambda: second._relay.at_work)
        await talk.say(20)
        await program.until(20)
        assert program.positions == list(range(head + 1, head + 21))
        assert [(each.owner, each.generation) for each in await node.consumers.all()] == [("second", 2)]


async def test_another_nodes_events_reach_the_relay_at_once(tmp_path: Path, rabbit_url: str) -> None:
    """A node that is not the relay says that it has written; nobody waits for the second of silence."""
    async with talking(tmp_path, rabbit_url) as talk, second_node(talk) as second:
        node = talk.node
        await talk.at_the_head()
        node.broker.publish = second.publish  # type: ignore[method-assign]  # as if the second node had committed it
        ages = []
        for _ in range(20):
            began, head = time.monotonic(), await position(node)
            await talk.say()
            await until(lambda head=head: talk.events[-1].position > head)
            ages.append(time.monotonic() - began)
            await asyncio.sleep(0.05)
        assert sorted(ages)[10] < 0.5


async def test_without_a_relay_nobody_waits_for_the_second_of_silence(tmp_path: Path, rabbit_url: str) -> None:
    """The relay's node has died, and its lease has not ended: what is said is there soon, on the node that wrote it and on another."""
    async with talking(tmp_path, rabbit_url) as talk, second_node(talk) as second:
        await talk.at_the_head()
        async with talk.node.database.transaction():
            await talk.node.database.execute("UPDATE lease SET owner = 'the dead', generation = 9 WHERE name = $1", NAME)
        await talk.say()
        await until(lambda: not talk.broker._relay.at_work)
        elsewhere, ages = Talk(talk.node, talk.ana, talk.room), []
        following = asyncio.create_task(elsewhere.follow(second))
        for _ in range(10):
            began, head = time.monotonic(), await position(talk.node) + 1
            await talk.say()
            await until(lambda head=head: min(each.events[-1].position if each.events else 0 for each in (talk, elsewhere)) == head)
            ages.append(time.monotonic() - began)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        assert [each._relay.at_work for each in (talk.broker, second)] == [False, False]
        assert sorted(ages)[5] < 0.5


@asynccontextmanager
async def second_node(talk: Talk) -> AsyncIterator[RabbitBroker]:
    """Another node's broker over the same database."""
    node, leases = talk.node, Leases(talk.node.database, "second")
    second = RabbitBroker(node.settings, "second", node.clock, node.log, Consumers(node.database, leases), leases, Metrics())
    await second.start()
    try:
        await until(lambda: second._publishing.connected and second._reading.connected)
        yield second
    finally:
        await second.stop()


# ---- a broker that goes away


@pytest.mark.timeout(120)
async def test_a_deleted_queue_is_made_again(tmp_path: Path, own_rabbit: RabbitServer) -> None:
    """The node's queue is deleted under it: another one is there at once, and what was said meanwhile is read from the log."""
    async with talking(tmp_path, own_rabbit.url) as talk:
        seen = set()
        for _ in range(2):
            await talk.connected()
            [queue] = [each["name"] for each in own_rabbit.management.call("GET", "queues") if each["name"].startswith(topology.NODE)]
            seen.add(queue)
            troubles = talk.node.metrics.broker_troubles["reading"]
            await asyncio.to_thread(own_rabbit.control, "delete_queue", queue)
            await until(lambda before=troubles: talk.node.metrics.broker_troubles["reading"] > before)
            await talk.say(10)
            await talk.at_the_head()
        assert len(seen) == 2


@pytest.mark.timeout(150)
@pytest.mark.parametrize("how", ["stopped", "killed", "wiped"])
async def test_the_broker_goes_and_comes_back(tmp_path: Path, own_rabbit: RabbitServer, how: str) -> None:
    """With the broker away changes are acknowledged and reach this node's sockets as before; after its return all are at the head soon."""
    async with talking(tmp_path, own_rabbit.url) as talk:
        await talk.say(20)
        await (asyncio.to_thread(own_rabbit.stop) if how == "stopped" else asyncio.to_thread(own_rabbit.kill))
        began = time.monotonic()
        for _ in range(50):
            await talk.say()
        head = await position(talk.node)
        await until(lambda: talk.events[-1].position == head, 5)
        assert time.monotonic() - began < 10
        await until(lambda: talk.node.metrics.broker_connected.read() == {"publishing": 0.0, "reading": 0.0})
        if how == "wiped":
            own_rabbit.wipe()
        await asyncio.to_thread(own_rabbit.start)
        await talk.at_the_head()
        await talk.connected()
        async with outsider(own_rabbit.url) as program:
            await talk.say(10)
            await program.until(10)


@pytest.mark.timeout(150)
async def test_a_kill_right_after_the_declares(tmp_path: Path, own_rabbit: RabbitServer) -> None:
    """The broker dies within moments of everything being made on it, several times, under load."""
    async with talking(tmp_path, own_rabbit.url) as talk:
        for _ in range(3):
            await talk.connected()
            speaking = asyncio.create_task(talk.say(100))
            await asyncio.sleep(0.2)
            await asyncio.to_thread(own_rabbit.kill)
            await speaking
            await asyncio.to_thread(own_rabbit.start)
        await talk.at_the_head()


@pytest.mark.timeout(120)
async def test_a_blocked_connection_waits(tmp_path: Path, own_rabbit: RabbitServer) -> None:
    """RabbitMQ is out of memory and blocks who publishes: changes go on, and after the alarm the relay does, over the same connection."""
    async with talking(tmp_path, own_rabbit.url, publish_timeout_s=1.0) as talk:
        await talk.at_the_head()
        troubles = dict(talk.node.metrics.broker_troubles)
        await asyncio.to_thread(own_rabbit.control, "set_vm_memory_high_watermark", "0.00001")
        try:
            before = await talk.node.consumers.offset("relay")
            await talk.say(30)
            await asyncio.sleep(4)  # several times the publish timeout
            assert await talk.node.consumers.offset("relay") == before
            assert talk.node.metrics.broker_blocked.read() == {"publishing": 1.0, "reading": 0.0}
        finally:
            await asyncio.to_thread(own_rabbit.control, "set_vm_memory_high_watermark", "absolute", "1GB")
        await talk.at_the_head()
        assert dict(talk.node.metrics.broker_troubles) == troubles
        await until(lambda: talk.node.metrics.broker_blocked.read()["publishing"] == 0.0)


async def test_a_broker_that_was_never_there(tmp_path: Path, rabbit_url: str) -> None:
    """The server starts and works without it; nothing but the log says so."""
    nowhere = urlunsplit(urlsplit(rabbit_url)._replace(netloc="guest:guest@127.0.0.1:9"))
    settings = Settings(data_dir=tmp_path / "data", broker_url=nowhere, passwords=CHEAP)
    async with opened(settings, connected=True) as node:
        ana = await person(node, "ana", is_admin=True)
        talk = Talk(node, ana, await channel(node, ana))
        following = asyncio.create_task(talk.follow())
        await talk.say(10)
        head = await position(node)
        await until(lambda: talk.events and talk.events[-1].position == head, 5)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_quorum_queues_are_a_setting(tmp_path: Path, rabbit_url: str) -> None:
    """What is durable is of that type then, and people talk as before."""
    async with talking(tmp_path, rabbit_url, queue_type="quorum") as talk:
        await talk.say(20)
        await talk.at_the_head()
        vhost = urlsplit(rabbit_url).path.lstrip("/")
        (queue,) = [each for each in Management(rabbit_url).call("GET", "queues", vhost) if each["name"] == topology.INJECT]
        assert queue["arguments"]["x-queue-type"] == "quorum"
