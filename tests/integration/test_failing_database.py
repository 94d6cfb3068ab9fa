"""A real server whose database fails under it: 503 by HTTP and by frame, nothing lost, and no word of it but in the log."""

from __future__ import annotations

import json
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.support.server import Server, call
from tests.support.wire import Peer, quietly

pytestmark = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process are Linux's")
LIMITS = {
    "CRUST_LIMITS__ENABLED": "false",
    "CRUST_DATABASE__LOCK_TIMEOUT_S": "0.3",
    "CRUST_DATABASE__IDLE_IN_TRANSACTION_TIMEOUT_S": "0.2",
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that doesn't wait long for a lock, with ana on it."""
    server = Server(tmp_path, LIMITS)
    server.add_user("ana")
    server.start()
    try:
        with quietly(server):
            yield server
    finally:
        server.close()


def posted(ana: httpx.Client, channel: object, number: int) -> httpx.Response:
    """A message that fills a few pages, under a key of its own."""
    fields = {"channel_id": channel, "contents": f"{number} " + "x" * 15_000, "client_msg_id": f"key-{number}"}
    answer = ana.post("/message/edit", json=fields)
    assert answer.status_code in (200, 503), answer.text
    if answer.status_code == 503:
        assert answer.json()["error"]["code"] == "unavailable"
        assert answer.headers["Retry-After"]
    return answer


def contents(ana: httpx.Client, channel: object) -> list[int]:
    """The numbers of all messages, in their order."""
    page = ana.get("/message/read", params={"channel_id": str(channel), "limit": 200}).json()["response"]
    return [int(message["contents"].split()[0]) for message in page if message["type"] == "MESSAGE"]


def limit_files(server: Server, most: int) -> None:
    """Let the server's files grow to so many bytes; what a full disk is to SQLite, without filling one."""
    assert server.process is not None
    _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (most, hard))


def test_a_full_disk_is_a_503_and_loses_nothing_that_was_acknowledged(server: Server) -> None:
    """No room: refused, reading goes on. With room again the same keys succeed, each once, and the file is sound."""
    ana = server.sign_in("ana")
    channel = call(ana, "POST", "/channel/edit", name="full", topic="")["id"]
    data = server.folder / "data"
    limit_files(server, max((data / name).stat().st_size for name in ("crust.db", "crust.db-wal")) + 300_000)
    statuses = [posted(ana, channel, number).status_code for number in range(60)]
    stored = [number for number, status in enumerate(statuses) if status == 200]
    assert 0 < len(stored) < 60
    assert contents(ana, channel) == stored, "what was acknowledged is there, and nothing else"
    assert ana.get("/health/live").status_code == 200
    limit_files(server, resource.RLIM_INFINITY)
    repeated = [posted(ana, channel, number) for number in range(60)]
    assert [answer.status_code for answer in repeated] == [200] * 60
    assert [answer.json()["response"].get("duplicate", False) for answer in repeated] == [status == 200 for status in statuses]
    assert sorted(contents(ana, channel)) == list(range(60))
    with closing(sqlite3.connect(data / "crust.db")) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_locked_file_is_a_503_by_http_and_by_frame(server: Server) -> None:
    """Another program holds the file for longer than we wait: refused in time, reading goes on, and afterwards the same key works."""
    ana = server.sign_in("ana")
    channel = call(ana, "POST", "/channel/edit", name="locked", topic="")["id"]
    frame = {"id": "m", "type": "message", "data": {"channel_id": channel, "contents": "9 by frame", "client_msg_id": "key-9"}}
    with (
        closing(sqlite3.connect(server.folder / "data" / "crust.db", isolation_level=None)) as other,
        Peer(server, {name: ana.headers[name] for name in ("X-Session-ID", "X-Client-ID")}) as peer,
    ):
        peer.ready()
        other.execute("BEGIN EXCLUSIVE")
        assert posted(ana, channel, 1).status_code == 503
        peer.say(json.dumps(frame))
        assert peer.heard("reply_to", "m")["error"]["code"] == "unavailable"
        assert contents(ana, channel) == []
        other.execute("ROLLBACK")
        assert posted(ana, channel, 1).status_code == 200
        peer.say(json.dumps(frame))
        assert peer.heard("reply_to", "m")["response"]["contents"] == "9 by frame"
    assert contents(ana, channel) == [1, 9]
