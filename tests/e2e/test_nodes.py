"""Several nodes over one PostgreSQL and one RabbitMQ serve people as one."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from crust.torture.proxy import CLEAR, FaultProxy, Weather
from tests.support.server import Server, call, free_port, is_ready
from tests.support.wire import seconds_until

pytestmark = [pytest.mark.asyncio, pytest.mark.postgres, pytest.mark.rabbit]
ENDED_S = 5.0  # within which a revoked session's sockets are closed on every node
LAG = 'crust_consumer_lag_positions{consumer="relay"}'
CONNECTED = 'crust_broker_connected{{connection="{}"}}'
GONE_S = 45.0  # within which the people of a node that died are gone: three heartbeats, and a look every ten seconds


@pytest.fixture
def nodes(tmp_path: Path, postgres_url: str, rabbit_url: str) -> Iterator[list[Server]]:
    """Two servers that were started at the same moment over an empty database; ana, an administrator, and bob are on them."""
    environment = {
        "CRUST_DATABASE_URL": postgres_url,
        "CRUST_BROKER_URL": rabbit_url,
        "CRUST_FILES_DIR": str(tmp_path / "files"),
        "CRUST_LIMITS__ENABLED": "false",
    }
    servers = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        servers.append(Server(tmp_path / name, environment))
    starting = [Thread(target=server.start) for server in servers]
    try:
        for thread in starting:
            thread.start()
        for thread in starting:
            thread.join()
        servers[0].add_user("ana", "--admin")
        servers[0].add_user("bob")
        for server in servers:
            seconds_until(lambda server=server: server.log().count("connected to RabbitMQ") == 2, 20)  # type: ignore[misc]  # bound early
        yield servers
    finally:
        for server in servers:
            server.close()


@asynccontextmanager
async def socket(server: Server, client: httpx.Client, query: str = "") -> AsyncIterator[ClientConnection]:
    headers = {name: client.headers[name] for name in ("X-Session-ID", "X-Client-ID")}
    async with connect(server.websocket_url + query, additional_headers=headers, max_size=None) as connection:
        yield connection


async def until(connection: ClientConnection, type_: str, within: float = 10, **fields: Any) -> dict[str, Any]:
    """The next frame of a type, with these in its data."""
    async with asyncio.timeout(within):
        while True:
            frame: dict[str, Any] = json.loads(await connection.recv())
            if frame.get("type") == type_ and all(frame["data"].get(name) == value for name, value in fields.items()):
                return frame


def elsewhere(client: httpx.Client, server: Server) -> httpx.Client:
    """The same session, on another node."""
    return httpx.Client(base_url=server.url, headers=client.headers, timeout=20)


def room(ana: httpx.Client, bob: httpx.Client) -> str:
    made = str(call(ana, "POST", "/channel/edit", name="room", topic="")["id"])
    call(bob, "POST", "/channel/join", id=made)
    return made


@pytest.fixture
def behind_nginx(nodes: list[Server], tmp_path: Path) -> Iterator[str]:
    """The URL of an nginx before both nodes, set up as deploy/nginx.conf is, but for the addresses."""
    port, folder = free_port(), tmp_path / "nginx"
    folder.mkdir()
    ours = (Path(__file__).parents[2] / "deploy/nginx.conf").read_text().replace("listen 80;", f"listen 127.0.0.1:{port};")
    for number, node in enumerate(nodes, 1):
        ours = ours.replace(f"node{number}:8400", f"127.0.0.1:{node.port}")
    temp = "".join(f"{kind}_temp_path {folder}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}} http {{ access_log off; {temp}\n{ours}}}\n"
    )
    process = subprocess.Popen(
        ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")], env={"PATH": f"{os.environ['PATH']}:/usr/sbin"}
    )
    try:
        url = f"http://127.0.0.1:{port}"
        seconds_until(lambda: is_ready(url), 20)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def status(client: httpx.Client, path: str) -> int:
    return client.get(path).status_code


def sample(node: Server, name: str) -> float:
    """One of the metrics, by its name and labels."""
    (line,) = [line for line in metrics_of(node).splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


def metrics_of(server: Server) -> str:
    return httpx.get(server.url + "/metrics", timeout=10).text


def there_and_back(client: httpx.Client, channel_id: str, body: bytes) -> bytes:
    """A file, sent and read."""
    sent = client.put("/message/attach", params={"channel_id": channel_id, "name": "zeros"}, content=body).json()["response"]
    return client.get("/file/read", params={"id": sent["attachments"][0]["id"]}).content


@pytest.mark.nginx
async def test_a_load_balancer_before_them_is_one_server(nodes: list[Server], behind_nginx: str) -> None:
    """As the configuration that is shipped has it: sockets and calls go to either node, a killed one is not noticed by who comes next, a
    large file passes, metrics stay inside."""
    ana = nodes[0].sign_in("ana")
    with httpx.Client(base_url=behind_nginx, headers=ana.headers, timeout=20) as client:
        made = str(call(client, "POST", "/channel/edit", name="room", topic="")["id"])
        headers = {name: ana.headers[name] for name in ("X-Session-ID", "X-Client-ID")}
        url = behind_nginx.replace("http", "ws", 1) + "/websocket/client"
        async with connect(url, additional_headers=headers) as one, connect(url, additional_headers=headers) as two:
            for connection in (one, two):
                await until(connection, "ready")
            assert [sample(node, "crust_websocket_open") for node in nodes] == [1, 1]
            call(client, "POST", "/message/edit", channel_id=made, contents="hello")
            for connection in (one, two):
                await until(connection, "message", contents="hello")
        body = bytes(5_000_000)
        assert there_and_back(client, made, body) == body
        assert status(client, "/metrics") == 404
        nodes[1].kill()
        for _ in range(6):
            assert call(client, "GET", "/user/me")["username"] == "ana"
        async with connect(url, additional_headers=headers) as connection:
            await until(connection, "ready")


async def test_people_on_two_nodes_talk_as_on_one(nodes: list[Server]) -> None:
    """Started at once, one of them migrates. Messages, typing and read marks cross; a place of one node is resumed on the other."""
    one, two = nodes
    ana = one.sign_in("ana")
    with elsewhere(two.sign_in("bob"), two) as bob:
        made = room(ana, bob)
        async with socket(one, ana) as at_one, socket(two, bob) as at_two:
            await until(at_one, "ready")
            epoch = (await until(at_two, "hello"))["data"]["epoch"]
            await until(at_two, "ready")
            ages, frame = [], dict[str, Any]()
            for number in range(20):
                sender, receiver = ((ana, at_two), (bob, at_one))[number % 2]
                began = time.monotonic()
                await asyncio.to_thread(call, sender, "POST", "/message/edit", channel_id=made, contents=f"line {number}")
                frame = await until(receiver, "message", contents=f"line {number}")
                ages.append(time.monotonic() - began)
            assert sorted(ages)[10] < 0.5, ages  # far below the second of silence, after which the log is looked at anyhow
            await at_one.send(json.dumps({"id": "1", "type": "typing", "data": {"channel_id": made, "state": "start"}}))
            await until(at_two, "typing", state="start")
            call(bob, "POST", "/channel/view", id=made, message_id=frame["data"]["id"])
            with elsewhere(bob, one) as bob_at_one:
                assert call(bob_at_one, "GET", "/user/me")["username"] == "bob"
                async with socket(one, bob_at_one) as second:
                    await until(second, "ready")
                    call(bob, "POST", "/channel/view", id=made)
                    await until(second, "unread", unread=0)
        for number in range(5):
            call(ana, "POST", "/message/edit", channel_id=made, contents=f"while away {number}")
        place = f"?resume={epoch}.{frame['position']}"
        for server in nodes:
            with elsewhere(bob, server) as client:
                async with socket(server, client, place) as resumed:
                    assert (await until(resumed, "hello"))["data"]["resumed"] is True
                    said = [(await until(resumed, "message"))["data"]["contents"] for _ in range(5)]
                    assert said == [f"while away {number}" for number in range(5)]


async def test_metrics_tell_of_the_broker(nodes: list[Server]) -> None:
    """Both nodes have their connections; one of them is the relay, and nothing is left for it to publish."""
    call(nodes[1].sign_in("bob"), "POST", "/channel/edit", name="room", topic="")
    for server in nodes:
        await told(server, connected=1, lag=0)
    published = [line for server in nodes for line in metrics_of(server).splitlines() if line.startswith("crust_relay_events_total")]
    assert sorted(float(line.split()[1]) > 0 for line in published) == [False, True]


@pytest.mark.timeout(120)
async def test_rabbitmq_away_is_told(tmp_path: Path, postgres_url: str, rabbit_url: str) -> None:
    """The metrics and the command say how much the relay has left, and that nobody is it; once RabbitMQ is back, that nothing is left."""
    port = urlsplit(rabbit_url).port or 5672
    proxy = FaultProxy("127.0.0.1", port)
    await proxy.start()
    broker_url = rabbit_url.replace(f":{port}", f":{proxy.port}")
    server = Server(tmp_path, {"CRUST_DATABASE_URL": postgres_url, "CRUST_BROKER_URL": broker_url, "CRUST_BROKER__RETRY_MAX_S": "1"})
    try:
        await asyncio.to_thread(server.add_user, "ana", "--admin")
        await asyncio.to_thread(server.start)
        ana = server.sign_in("ana")
        made = call(ana, "POST", "/channel/edit", name="room", topic="")["id"]
        await told(server, connected=1, lag=0)
        proxy.weather = Weather(refusing=True)
        proxy.reset()
        for number in range(5):
            call(ana, "POST", "/message/edit", channel_id=made, contents=f"line {number}")
        await told(server, connected=0, lag=5)
        state = await asyncio.to_thread(consumer, server, "relay")
        assert (state["lag"], state["owner"]) == (5, None)
        proxy.weather = CLEAR
        await told(server, connected=1, lag=0)
        state = await asyncio.to_thread(consumer, server, "relay")
        assert (state["lag"], f"-{server.process.pid}-" in state["owner"]) == (0, True)  # type: ignore[union-attr]  # it runs
    finally:
        server.close()
        await proxy.close()


async def told(server: Server, *, connected: float, lag: float) -> None:
    """Wait until the metrics say so of RabbitMQ and of the relay."""
    wanted = {CONNECTED.format("publishing"): connected, CONNECTED.format("reading"): connected, LAG: lag}
    await asyncio.to_thread(seconds_until, lambda: {name: sample(server, name) for name in wanted} == wanted, 30)


async def closed_with(connection: ClientConnection, within: float) -> int | None:
    with pytest.raises(ConnectionClosed):
        async with asyncio.timeout(within):
            while True:
                await connection.recv()
    return connection.close_code


@pytest.mark.timeout(120)
async def test_who_is_thrown_out_on_one_node_is_out_on_the_other(nodes: list[Server]) -> None:
    """A revoked session, a password changed by the command line, and a suspension end sockets and requests on the other node within 5 s."""
    one, two = nodes
    first, second = one.sign_in("bob", "first"), one.sign_in("bob", "second")
    with elsewhere(first, two) as at_two:
        async with socket(two, at_two) as connection:
            await until(connection, "ready")
            sessions: Any = call(second, "GET", "/user/sessions")
            own = next(each["id"] for each in sessions if not each["current"])
            call(second, "DELETE", "/user/session", id=own)
            assert await closed_with(connection, ENDED_S) == 4001
            assert at_two.get("/user/me").status_code == 401
    for client, command, stdin in (
        (one.sign_in("ana"), ("password", "ana", "--password-stdin"), "another horse battery\n"),
        (second, ("suspend", "bob"), ""),
    ):
        with elsewhere(client, two) as at_two:
            assert at_two.get("/user/me").status_code == 200
            async with socket(two, at_two) as connection:
                await until(connection, "ready")
                done = await asyncio.to_thread(one.run, "user", *command, stdin=stdin)
                assert done.returncode == 0, done.stderr
                assert await closed_with(connection, ENDED_S) == 4001
                assert at_two.get("/user/me").status_code == 401


async def presence_of(client: httpx.Client, channel_id: str) -> dict[str, str]:
    """As the API says, now: username → status."""
    page = await asyncio.to_thread(call, client, "GET", "/channel/read", id=channel_id)
    members: Any = page["members"]
    return {each["user"]["username"]: each["user"]["presence"]["status"] for each in members}


def consumer(server: Server, name: str) -> dict[str, Any]:
    """A reader of the log as the command shows it."""
    [found] = [each for each in json.loads(server.run("consumers", "--json").stdout) if each["name"] == name]
    return dict(found)


@pytest.mark.timeout(180)
async def test_presence_is_known_on_all_nodes_and_ends_with_one(nodes: list[Server]) -> None:
    """Who comes on one node is there for the other; who is on both, and who comes back on the one that is left, stays: nobody is told
    that they went when the other is killed.

    The node that is killed is the relay. The other one takes that over, says until then how much is left to it, and nothing is lost.
    """
    one, two = nodes
    relay = consumer(one, "relay")["owner"]
    victim, other = (one, two) if f"-{one.process.pid}-" in relay else (two, one)  # type: ignore[union-attr]  # both run
    other.add_user("cem")
    ana, bob, cem = other.sign_in("ana"), victim.sign_in("bob"), victim.sign_in("cem")
    made = room(ana, bob)
    call(cem, "POST", "/channel/join", id=made)
    there = dict.fromkeys(("ana", "bob", "cem"), "available")
    with elsewhere(bob, other) as bob_at_other, elsewhere(cem, other) as cem_at_other:
        async with socket(other, ana) as watching, socket(other, ana) as listening:
            await until(watching, "ready")
            async with AsyncExitStack() as at_victim, socket(other, bob_at_other) as second:
                await until(second, "ready")
                for client in (bob, cem):
                    await until(await at_victim.enter_async_context(socket(victim, client)), "ready")
                await until(watching, "presence", user_id=call(cem, "GET", "/user/me")["id"], status="available")
                assert [await presence_of(client, made) for client in (ana, bob, bob_at_other)] == [there] * 3
                victim.signal(signal.SIGKILL)
                for number in range(5):
                    await asyncio.to_thread(call, ana, "POST", "/message/edit", channel_id=made, contents=f"line {number}")
                    await until(listening, "message", contents=f"line {number}")
                assert sample(other, LAG) >= 5
                state = consumer(other, "relay")
                assert (state["lag"] >= 5, state["owner"]) == (True, relay), state
                async with socket(other, cem_at_other) as back:
                    await until(back, "ready")
                    with pytest.raises(TimeoutError):  # everything that `watching` has got since both were there
                        await until(watching, "presence", GONE_S, status="offline")
                    assert await presence_of(ana, made) == there
        state = consumer(other, "relay")
        assert state["lag"] == sample(other, LAG) == 0, state
        assert f"-{other.process.pid}-" in state["owner"], state  # type: ignore[union-attr]  # it runs


@pytest.mark.timeout(180)
async def test_the_people_of_a_dead_node_are_gone(nodes: list[Server]) -> None:
    """A node is killed and its people do not come back: after its heartbeats have been missed they are offline, and those who are with
    them are told."""
    one, two = nodes
    ana, bob = one.sign_in("ana"), two.sign_in("bob")
    made = room(ana, bob)
    async with socket(one, ana) as watching:
        await until(watching, "ready")
        async with socket(two, bob) as connection:
            await until(connection, "ready")
            await until(watching, "presence", status="available")
            two.signal(signal.SIGKILL)
        began = time.monotonic()
        await until(watching, "presence", GONE_S, status="offline")
        assert time.monotonic() - began > 15
        assert await presence_of(ana, made) == {"ana": "available", "bob": "offline"}
