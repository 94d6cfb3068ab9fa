"""Plugins as an operator has them: in one process, and in workers beside servers, which are killed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from tests.support.server import Server, call, free_port
from tests.support.wire import seconds_until

FOLDER = Path(__file__).parents[2] / "plugins"
CONFIG = f"""
plugins_dir = "{FOLDER}"
[plugins.welcome]
run_in = "{{place}}"
[plugins.words]
use = "wordfilter"
[plugins.words.config]
words = ["darn"]
[plugins.broken]
use = "nowhere"
"""


def serving(folder: Path, place: str, environment: dict[str, str] | None = None) -> Server:
    """A server with these plugins, and a member beside its administrator."""
    (folder / "config.toml").write_text(CONFIG.format(place=place))
    server = Server(folder, environment)
    server.add_user("ana", "--admin")
    return server


def room_of(client: httpx.Client) -> str:
    made = call(client, "POST", "/channel/edit", name="room", topic="talk", type="public")
    return str(made["id"])


def said(client: httpx.Client, room: str) -> list[str]:
    found = call(client, "GET", "/message/read", channel_id=room)
    return [message["contents"] for message in found if message["type"] == "MESSAGE"]  # type: ignore[index]  # a list of objects


def states(server: Server) -> dict[str, str]:
    return {row["name"]: row["state"] for row in json.loads(server.run("plugins", "list", "--json").stdout) if row["name"]}


@pytest.mark.timeout(150)
def test_in_one_process(tmp_path: Path) -> None:
    """What is good is at work, what is not is named and left out; asked to be strict, the server does not start."""
    server = serving(tmp_path, "any")
    try:
        server.start()
        ana = server.sign_in("ana")
        room = room_of(ana)
        seconds_until(lambda: states(server)["welcome"] == "running", 20)
        assert states(server) == {"welcome": "running", "words": "running", "broken": "refused"}
        server.add_user("ben")
        ben = server.sign_in("ben")
        call(ben, "POST", "/channel/join", id=room)
        seconds_until(lambda: said(ana, room) == ["Welcome, ben!"], 20)
        refused = ana.post("/message/edit", data={"channel_id": room, "contents": "darn"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "rejected")
        assert server.stop() == 0
        assert states(server)["welcome"] == "stopped"
        strict = server.run("serve", "--port", "0", "--strict")
        assert strict.returncode == 1
        assert "plugins.broken.use: there is no plugin 'nowhere'" in strict.stderr
        assert "there is no plugin" in server.log()
    finally:
        server.close()


OFFERS = """
import asyncio
from datetime import timedelta
from crust.plugin import HttpRequest, Invocation, JobRun, Plugin, hookimpl

class Offers(Plugin):
    "Offers all there is."
    api = 1
    capabilities = frozenset({"read:public", "message:post", "user:act"})
    prefix = "/offers"

    @hookimpl
    def register_commands(self, commands):
        commands.add("add", self.add, help="Adds two numbers.")
        commands.add("me", self.me, help="Says it as you.")

    @hookimpl
    def register_routes(self, routes):
        routes.add("GET", "/count/{what}", self.count, auth="public")

    @hookimpl
    def register_jobs(self, jobs):
        jobs.add("tick", self.tick, every=timedelta(seconds=1))

    @hookimpl
    def register_cli(self, cli):
        cli.add("total", self.total, help="Says how often it ticked.")

    async def add(self, call: Invocation, one: int, other: int) -> str:
        return str(one + other)

    async def me(self, call: Invocation, what: str) -> None:
        await call.caller.post(f"_{what}_")

    async def count(self, request: HttpRequest):
        document = await self.ctx.store.collection("ticks").get(request.params["what"])
        return {"count": document.body["count"] if document else 0}

    async def tick(self, run: JobRun) -> None:
        ticks = self.ctx.store.collection("ticks")
        document = await ticks.get("ticks")
        await ticks.put("ticks", {"count": document.body["count"] + 1 if document else 1})

    async def total(self, what: str = "ticks", *, loud: bool = False) -> str:
        document = await self.ctx.store.collection("ticks").get(what)
        return f"{document.body['count'] if document else 0} {what}{'!' if loud else ''}"
"""


@pytest.mark.timeout(120)
def test_what_plugins_offer(tmp_path: Path) -> None:
    """Commands over HTTP and in a frame, a route, a job, a subcommand; all of it is shown, and an instance begins again when asked to."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "offers.py").write_text(OFFERS)
    (tmp_path / "config.toml").write_text('plugins_dir = "mine"\n[plugins.offers]\n')
    server = Server(tmp_path)
    server.add_user("ana", "--admin")
    try:
        assert server.run("plugins", "check").stdout == "the plugins are good\n"
        shown = server.run("plugins", "show", "offers").stdout
        for words in ("/add <one> <other>", "GET /offers/count/{what}", "every 1 s", "crust plugins run offers total", "user:act"):
            assert words in shown
        server.start()
        ana = server.sign_in("ana")
        room = room_of(ana)
        assert call(ana, "POST", "/command/run", channel_id=room, command="/add 1 2") == {"command": "/add", "text": "3"}
        params = {"channel_id": room, "command": "/me waves"}
        own = {name: ana.headers[name] for name in ("X-Session-ID", "X-Client-ID")}
        with connect(server.websocket_url, additional_headers=own) as socket:
            socket.send(json.dumps({"id": "7", "type": "call", "data": {"method": "POST", "path": "/command/run", "params": params}}))
            answer = next(frame for text in socket if (frame := json.loads(text)).get("reply_to") == "7")
        assert answer["response"] == {"command": "/me", "text": None}
        assert said(ana, room) == ["_waves_"]
        seconds_until(lambda: httpx.get(server.url + "/offers/count/ticks").json()["count"] > 1, 20)
        assert server.run("plugins", "run", "offers", "total", "--loud").stdout.endswith(" ticks!\n")
        assert "total" in server.run("plugins", "run", "offers").stdout
        assert server.run("plugins", "restart", "offers").stdout.startswith("offers has begun again on ")
        assert server.run("plugins", "restart", "nothing").returncode == 1
        [listed] = ana.get("/plugin/search").json()["response"]
        assert (listed["name"], listed["state"], listed["commands"]) == ("offers", "running", ["/add", "/me"])
    finally:
        server.close()


@contextmanager
def worker(server: Server, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    with (server.folder / "worker.log").open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "crust.cli.main", "worker", *options], env=server.environment, cwd=server.folder, stdout=out, stderr=out
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait(20)


def test_a_worker_says_what_it_needs(tmp_path: Path) -> None:
    """On SQLite, and without RabbitMQ, there is nothing for it to do."""
    done = Server(tmp_path).run("worker")
    assert done.returncode == 1
    assert "database_url: a worker shares PostgreSQL" in done.stderr
    assert "broker_url: a worker hears of events through" in done.stderr


@pytest.mark.postgres
@pytest.mark.rabbit
@pytest.mark.timeout(120)
def test_in_a_worker(tmp_path: Path, postgres_url: str, rabbit_url: str) -> None:
    """The filter is asked in the server, events are handled in the worker, which tells of it on a port of its own; killed, its successor
    goes on, and greets nobody twice."""
    server = serving(tmp_path, "worker", {"CRUST_DATABASE_URL": postgres_url, "CRUST_BROKER_URL": rabbit_url})
    try:
        server.start()
        ana = server.sign_in("ana")
        room = room_of(ana)
        assert ana.post("/message/edit", data={"channel_id": room, "contents": "darn"}).status_code == 422
        port = free_port()
        with worker(server, "--port", str(port)) as first:
            seconds_until(lambda: states(server)["welcome"] == "running", 30)
            join(server, room, "ben")
            seconds_until(lambda: said(ana, room) == ["Welcome, ben!"], 20)
            assert httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200
            handled = 'crust_deliveries_total{consumer="welcome",how="done"} '  # by itself, and by nobody else here
            seconds_until(lambda: f"\n{handled}" in httpx.get(f"http://127.0.0.1:{port}/metrics").text, 10)
            assert httpx.get(f"http://127.0.0.1:{port}/user/me").status_code == 404, "it serves nothing else"
            first.kill()
            first.wait(10)
        join(server, room, "cid")
        with worker(server) as second:
            seconds_until(lambda: said(ana, room) == ["Welcome, ben!", "Welcome, cid!"], 60)
            second.terminate()
            assert second.wait(20) == 0
    finally:
        server.close()


def join(server: Server, room: str, name: str) -> None:
    server.add_user(name)
    call(server.sign_in(name), "POST", "/channel/join", id=room)
