"""No secret is written anywhere: a scenario with marked ones, at the log's most talkative, and then everything is searched for them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import asyncpg
import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.support.server import Server

MARK = "Geheim-"
PASSWORDS = [f"{MARK}password-{number}" for number in range(4)]
WRONG = f"{MARK}wrong-password"
FORGED = f"{MARK}forged-session-id-of-some-length-000000"
METRICS = f"{MARK}metrics-token-0000"
LISTS = (("config", "show"), ("config", "check"), ("token", "list"), ("user", "list"), ("user", "sessions", "ana"), ("audit", "list"))
SEEN = "Sichtbar-contents"  # what may be seen, and so must be found


class Watched:
    """Everything that came out of the server's processes, and the secrets that went in or came back."""

    def __init__(self) -> None:
        self.secrets = [*PASSWORDS, WRONG, FORGED, METRICS]
        self.told: dict[str, str] = {}

    def command(self, server: Server, *arguments: str, stdin: str = "") -> str:
        done = server.run(*arguments, stdin=stdin)
        self.told[f"stderr of {' '.join(arguments)}"] = done.stderr
        return done.stdout


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    environment = {"CRUST_LOG__LEVEL": "debug", "CRUST_METRICS__TOKEN": METRICS, "CRUST_TRUSTED_PROXIES": "127.0.0.1"}
    if request.param == "postgres":
        environment["CRUST_DATABASE_URL"] = with_password(request.getfixturevalue("postgres_url"))
    server = Server(tmp_path, environment)
    yield server
    server.close()


def with_password(url: str) -> str:
    """The same database, asked for with a password: one that is given where none is needed is not looked at."""
    parts = urlsplit(url)
    user = parts.username or "postgres"
    password = parts.password or f"{MARK}database-password"
    return f"{parts.scheme}://{user}:{password}@{parts.hostname}:{parts.port or 5432}{parts.path}"


def scenario(server: Server, watched: Watched) -> None:
    """People, programs and mistakes, with every kind of secret in every place that it may stand in."""
    watched.command(server, "user", "add", "ana", "--admin", "--password-stdin", stdin=PASSWORDS[0] + "\n")
    watched.command(server, "user", "add", "helper", "--bot")
    server.start()
    with httpx.Client(base_url=server.url, timeout=20) as client:
        client.post("/user/login", data={"username": "ana", "password": WRONG})
        session = client.post("/user/login", data={"username": "ana", "password": PASSWORDS[0]}).json()["response"]["session_id"]
        watched.secrets.append(session)
        client.cookies.clear()
        bearer = {"Authorization": f"Bearer {session}"}
        mistakes(client, session)
        client.post("/user/password", json={"old": WRONG, "new": PASSWORDS[1]}, headers=bearer)
        client.post("/user/password", json={"old": PASSWORDS[0], "new": PASSWORDS[1]}, headers=bearer).raise_for_status()
        home = client.get("/user/me", headers=bearer).json()["response"]["organisation_id"]
        link = client.post("/organisation/invite", data={"id": home, "uses": 5}, headers=bearer).json()["response"]["url"]
        invitation = link.partition("token=")[2]
        watched.secrets.append(invitation)
        client.get(f"/invitation?token={invitation}")
        client.post("/invitation", data={"token": invitation, "username": "ana", "password": PASSWORDS[2]})
        made = client.post("/user/register", data={"invitation": invitation, "username": "bob", "password": PASSWORDS[2]})
        watched.secrets.append(made.json()["response"]["session_id"])
        client.cookies.clear()
        channel = client.post("/channel/edit", data={"name": "room", "topic": ""}, headers=bearer).json()["response"]["id"]
        client.post("/message/edit", data={"channel_id": channel, "contents": SEEN}, headers=bearer).raise_for_status()
        for name in ("/openapi.json", "/docs", "/health/ready"):
            watched.told[name] = client.get(name).text
        watched.told["/metrics"] = client.get("/metrics", headers={"Authorization": f"Bearer {METRICS}"}).text
        watched.told["/user/sessions"] = client.get("/user/sessions", headers=bearer).text
        watched.told["/organisation/audit"] = client.get("/organisation/audit", params={"id": home}, headers=bearer).text
    asyncio.run(over_the_websocket(server, session))
    token = json.loads(watched.command(server, "token", "create", "helper", "--json"))["token"]
    watched.secrets.append(token)
    httpx.get(server.url + "/user/me", headers={"Authorization": f"Bearer {token}"}).raise_for_status()
    watched.command(server, "user", "password", "bob", "--password-stdin", stdin=PASSWORDS[3] + "\n")
    watched.command(server, "user", "add", "bob", "--password-stdin", stdin=PASSWORDS[3] + "\n")
    for arguments in LISTS:
        watched.told[" ".join(arguments)] = watched.command(server, *arguments)
    watched.told["events tail"] = watched.command(server, "events", "tail", "--lines", "100", "--json")
    watched.told["export"] = watched.command(server, "export", "--passwords")


def mistakes(client: httpx.Client, session: str) -> None:
    """Secrets where they don't belong: in addresses, in bodies that cannot be read, beside wrong types, in paths that there are not."""
    for secret in (session, FORGED, PASSWORDS[0]):
        client.get("/user/me", params={"session_id": secret, "password": secret})
        client.get(f"/nowhere/{quote(secret)}")
        client.get("/user/me", headers={"Authorization": f"Bearer {secret}", "X-Client-ID": "another"})
        client.get("/user/me", headers={"X-Session-ID": secret, "Cookie": f"crust_session={secret}", "X-Request-ID": "r"})
        for body in ('{"password": "%s", ', '{"password": "%s", "password": "x"}', '["%s"]', '{"username": {"a": "%s"}}'):
            client.post("/user/login", content=body % secret, headers={"Content-Type": "application/json"})
        client.post("/user/login", content=f"password={secret}", headers={"Content-Type": "text/plain"})
        client.post("/user/login", data={"username": secret, "password": secret * 40})
        client.post("/setup", data={"token": secret, "username": "x", "password": secret})
        client.get("/metrics", headers={"Authorization": f"Bearer {secret}", "X-Forwarded-For": "192.0.2.1"})


async def over_the_websocket(server: Server, session: str) -> None:
    """Right and wrong sign-ins by header, cookie and frame."""
    for secret in (session, FORGED):
        for headers in ({"X-Session-ID": secret}, {"Cookie": f"crust_session={secret}"}, {}):
            try:
                async with connect(f"{server.websocket_url}?session_id={secret}", additional_headers=headers) as socket:
                    await socket.send(json.dumps({"id": "1", "type": "login", "data": {"session_id": secret, "client_id": 7}}))
                    await socket.send(json.dumps({"id": "2", "type": "login", "data": {"session_id": secret}}))
                    await socket.send(f'{{"id": "3", "type": "login", "data": {{"session_id": "{secret}"')
                    call = {"method": "POST", "path": f"/x/{secret}", "params": {"password": secret}}
                    await socket.send(json.dumps({"id": "4", "type": "call", "data": call}))
                    async with asyncio.timeout(1):
                        while True:
                            await socket.recv()
            except (WebSocketException, TimeoutError):
                pass


async def dumped(url: str) -> str:
    """Every row of every table of a PostgreSQL database."""
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        rows = [await connection.fetch(f'SELECT t::text FROM "{table["table_name"]}" t') for table in tables]
        return "\n".join(str(row[0]) for some in rows for row in some)
    finally:
        await connection.close()


def kept(server: Server) -> dict[str, str]:
    """What is on the disk and in the database."""
    found = {}
    for folder, _, names in os.walk(server.folder):
        for name in names:
            path = Path(folder) / name
            found[str(path.relative_to(server.folder))] = path.read_bytes().decode("latin-1")
    if url := server.environment.get("CRUST_DATABASE_URL"):
        found["the database"] = asyncio.run(dumped(url))
    return found


@pytest.mark.timeout(180)
def test_no_secret_is_written_anywhere(server: Server) -> None:
    """Neither logs of any level nor answers, files, tables, exports, metrics or lists bear one; what may be seen is found there."""
    watched = Watched()
    scenario(server, watched)
    server.stop()
    everything = {**watched.told, **kept(server)}
    if url := server.environment.get("CRUST_DATABASE_URL"):
        watched.secrets.append(urlsplit(url).password or MARK)
    assert "serve.log" in everything
    assert len(everything["serve.log"]) > 1000
    assert {"events tail", "export"} <= {name for name, text in everything.items() if SEEN in text}
    assert any(SEEN in text for name, text in everything.items() if "crust.db" in name or name == "the database")
    leaks = [(name, secret) for name, text in everything.items() for secret in watched.secrets if secret in text]
    assert leaks == []
    assert not any(MARK in text for name, text in everything.items())
