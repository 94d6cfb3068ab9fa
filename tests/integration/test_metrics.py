"""A real server counts what is done to it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from websockets.asyncio.client import connect

from tests.support.server import Server, call

SOON_S = 5.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(Path(tmp_path_factory.mktemp("metrics")), {"CRUST_WEBSOCKET__REPLAY_EVENTS": "20"})
    for name in ("ana", "bob"):
        server.add_user(name)
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def ana(server: Server) -> httpx.Client:
    return server.sign_in("ana")


@pytest.fixture(scope="module")
def channel(ana: httpx.Client) -> str:
    return str(call(ana, "POST", "/channel/edit", name="counted", topic="")["id"])


def value(server: Server, name: str, **labels: str) -> float:
    """One sample as the server tells it; 0 where it has none yet."""
    found = [sample.value for sample in samples(server, name) if sample.labels == labels]
    return found[0] if found else 0


def samples(server: Server, name: str) -> list[Sample]:
    """Those of a name, whatever their labels."""
    answer = httpx.get(server.url + "/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = text_string_to_metric_families(answer.text)
    return [sample for family in families for sample in family.samples if sample.name == name]


def becomes(server: Server, expected: float, name: str, *, seconds: float = SOON_S, **labels: str) -> None:
    """Wait until a sample has a value: a socket's end is noticed after the client's."""
    deadline = time.monotonic() + seconds
    while (now := value(server, name, **labels)) != expected:
        assert time.monotonic() < deadline, f"{name}{labels} is {now}, not {expected}"


async def begun(server: Server, client: httpx.Client, query: str = "") -> str:
    """Open a socket, wait until it is ready, close it; gives the place to resume from."""
    headers = {"X-Session-ID": client.headers["X-Session-ID"], "X-Client-ID": "test"}
    async with connect(server.websocket_url + query, additional_headers=headers, max_size=None) as socket:
        hello = json.loads(await socket.recv())["data"]
        while json.loads(await socket.recv())["type"] != "ready":
            pass
    return f"{hello['epoch']}.{hello['position']}"


def test_requests(server: Server, ana: httpx.Client) -> None:
    """A request is counted under its route, with its time; a path that is none under no name of its own."""
    labels = {"via": "http", "route": "/user/me", "method": "GET", "status": "2xx"}
    before = value(server, "crust_request_seconds_count", **labels)
    call(ana, "GET", "/user/me")
    assert value(server, "crust_request_seconds_count", **labels) == before + 1
    assert value(server, "crust_request_seconds_sum", **labels) > 0
    ana.get("/no/such/path")
    other = {"via": "http", "route": "other", "method": "GET", "status": "4xx"}
    assert value(server, "crust_request_seconds_count", **other) == 1


@pytest.mark.asyncio
async def test_sockets_and_frames(server: Server, ana: httpx.Client, channel: str) -> None:
    """A socket is counted while it is open, its frames by type, a call in a frame as a request, and its end by its code."""
    headers = {"X-Session-ID": ana.headers["X-Session-ID"], "X-Client-ID": "test"}
    normal, messages = value(server, "crust_websocket_closes_total", code="1000"), value(
        server, "crust_websocket_frames_out_total", type="message"
    )  # fmt: skip
    async with connect(server.websocket_url, additional_headers=headers) as socket:
        while json.loads(await socket.recv())["type"] != "ready":
            pass
        assert value(server, "crust_websocket_open") == 1
        assert value(server, "crust_websocket_people") == 1
        frame = {"method": "GET", "path": "/user/me"}
        await socket.send(json.dumps({"id": "1", "type": "call", "data": frame}))
        await socket.send(json.dumps({"id": "2", "type": "message", "data": {"channel_id": channel, "contents": "x"}}))
        await socket.send("no json")
        await socket.send(json.dumps({"id": "3", "type": "quit"}))
        async with asyncio.timeout(SOON_S):
            async for _ in socket:
                pass
    becomes(server, 0, "crust_websocket_open")
    assert value(server, "crust_websocket_people") == 0
    assert value(server, "crust_websocket_closes_total", code="1000") == normal + 1
    for type_ in ("call", "message", "refused", "quit"):
        assert value(server, "crust_websocket_frames_in_total", type=type_) == 1, type_
    assert value(server, "crust_websocket_frames_out_total", type="reply") == 4
    assert value(server, "crust_websocket_frames_out_total", type="message") == messages + 1
    called = {"via": "websocket", "route": "/user/me", "method": "GET", "status": "2xx"}
    assert value(server, "crust_request_seconds_count", **called) == 1


@pytest.mark.asyncio
async def test_resumes(server: Server, ana: httpx.Client, channel: str) -> None:
    """How a socket began is counted, and why it began afresh."""
    gone = value(server, "crust_websocket_closes_total", code="gone")
    place = await begun(server, ana)
    call(ana, "POST", "/message/edit", channel_id=channel, contents="missed")
    replayed = value(server, "crust_websocket_frames_out_total", type="message")
    place = await begun(server, ana, f"?resume={place}")
    assert value(server, "crust_websocket_starts_total", start="resumed", why="") == 1
    assert value(server, "crust_websocket_frames_out_total", type="message") == replayed + 1
    for number in range(21):
        call(ana, "POST", "/message/edit", channel_id=channel, contents=str(number))
    await begun(server, ana, f"?resume={place}")
    await begun(server, ana, "?resume=other.1")
    await begun(server, ana, f"?resume={place.partition('.')[0]}.100000000")
    for why in ("too many events", "another epoch", "beyond the log"):
        assert value(server, "crust_websocket_starts_total", start="fresh", why=why) == 1, why
    becomes(server, gone + 5, "crust_websocket_closes_total", code="gone")


@pytest.mark.asyncio
async def test_refused_upgrades(server: Server) -> None:
    """An upgrade with a session that is none is counted by its status."""
    async with httpx.AsyncClient() as client:
        headers = {
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "X-Session-ID": "0" * 43,
        }  # fmt: skip
        assert (await client.get(server.url + "/websocket/client", headers=headers)).status_code == 401
    assert value(server, "crust_websocket_refused_total", status="401") == 1


def test_the_log(server: Server, ana: httpx.Client, channel: str) -> None:
    """A commit is counted with its size and time; the log's end moves, and the fan-out follows."""
    position, commits = value(server, "crust_log_position"), value(server, "crust_commit_changes_count")
    call(ana, "POST", "/message/edit", channel_id=channel, contents="counted")
    assert value(server, "crust_log_position") > position
    assert value(server, "crust_commit_changes_count") > commits
    assert value(server, "crust_commit_changes_sum") >= value(server, "crust_commit_changes_count")
    assert value(server, "crust_commit_seconds_sum") > 0
    assert value(server, "crust_changes_waiting") == 0
    becomes(server, 0, "crust_fan_out_lag_positions")
    assert value(server, "crust_fan_out_seconds_count") > 0


def test_who_is_elsewhere_is_refused(server: Server) -> None:
    """What a proxy passed on does not come from this machine."""
    answer = httpx.get(server.url + "/metrics", headers={"X-Forwarded-For": "192.0.2.7"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


def test_the_database_that_is_away(server: Server, ana: httpx.Client) -> None:
    """Its failures are counted, and the log's end is missing rather than old. Comes last, for the database stays away."""
    assert samples(server, "crust_log_position")
    for path in (server.folder / "data").glob("crust.db*"):  # with the index of the WAL, or SQLite goes on with what it has in memory
        with path.open("r+b") as file:
            file.write(b"no database" * 1000)
    assert ana.get("/channel/search", params={"query": "counted"}).status_code == 503
    assert value(server, "crust_database_unavailable_total") > 0
    assert not samples(server, "crust_log_position")
