"""A backup is taken while people talk; the server is wiped and restored, and people go on."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from PIL import Image
from websockets.asyncio.client import ClientConnection, connect

from tests.support.server import Server, call


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def environment(request: pytest.FixtureRequest) -> dict[str, str]:
    return {"CRUST_DATABASE_URL": request.getfixturevalue("postgres_url")} if request.param == "postgres" else {}


async def until(socket: ClientConnection, kind: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The frames before one of this type, and that one."""
    before: list[dict[str, Any]] = []
    while True:
        frame = json.loads(await socket.recv())
        if frame.get("type") == kind:
            return before, frame
        before.append(frame)


async def talk(client: httpx.AsyncClient, channel: str, said: list[str], stop: asyncio.Event) -> None:
    """Say something again and again, and keep what was acknowledged."""
    while not stop.is_set():
        text = f"word{len(said)}"
        answer = await client.post("/message/edit", data={"channel_id": channel, "contents": text})
        assert answer.status_code == 200, answer.text
        said.append(text)


def wipe(server: Server, environment: Mapping[str, str]) -> None:
    shutil.rmtree(server.folder / "data", ignore_errors=True)  # with PostgreSQL there may be none
    if url := environment.get("CRUST_DATABASE_URL"):
        asyncio.run(emptied(url))


async def emptied(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await connection.close()


def picture() -> bytes:
    """A small PNG."""
    out = BytesIO()
    Image.new("RGB", (8, 8), "red").save(out, "PNG")
    return out.getvalue()


def every_text(client: httpx.Client, channel: str) -> list[str]:
    found: list[str] = []
    after = "1"
    while after:
        page = client.get("/message/read", params={"channel_id": channel, "after": after, "limit": 200}).json()
        found += [message["contents"] for message in page["response"] if message["type"] == "MESSAGE"]
        after = page["next"] or ""
    return found


@pytest.mark.timeout(120)
def test_a_rehearsal(tmp_path: Path, environment: dict[str, str]) -> None:
    """Backed up under load, wiped, restored: what was acknowledged before the backup began is there, and found; sessions hold.

    Who resumes is told to start afresh; what is said from then on has higher ids than anything before.
    """
    server = Server(tmp_path, {**environment, "CRUST_LIMITS__ENABLED": "false"})
    server.add_user("ana", "--admin")
    server.start()
    ana = server.sign_in("ana")
    headers = {name: ana.headers[name] for name in ("X-Session-ID", "X-Client-ID")}
    channel = str(call(ana, "POST", "/channel/edit", name="talk", topic="")["id"])

    file = ana.put("/message/attach", params={"channel_id": channel, "name": "plan.txt"}, content=b"what we will do").json()["response"]
    avatar = ana.put("/user/avatar", content=picture(), headers={"Content-Type": "image/png"}).json()["response"]["avatar"]

    async def under_load() -> tuple[int, list[str], str]:
        """How much had been acknowledged before the backup began, all of it, and the place that a client would resume from."""
        said: list[str] = []
        stop = asyncio.Event()
        async with (
            connect(server.websocket_url, additional_headers=headers) as socket,
            httpx.AsyncClient(base_url=server.url, headers=headers, timeout=20) as client,
        ):
            _, hello = await until(socket, "hello")
            talking = asyncio.create_task(talk(client, channel, said, stop))
            while len(said) < 20:
                await asyncio.sleep(0.01)
            before = len(said)
            done = await asyncio.to_thread(server.run, "backup", str(tmp_path / "backup"))
            assert done.returncode == 0, done.stderr
            assert len(said) > before, "nobody could talk meanwhile"
            stop.set()
            await talking
        return before, said, f"{hello['data']['epoch']}.{hello['data']['position']}"

    try:
        before, said, place = asyncio.run(under_load())
        last_id = int(str(call(ana, "POST", "/message/edit", channel_id=channel, contents="lost with the server")["id"]))
        server.stop()
        wipe(server, environment)
        done = server.run("restore", str(tmp_path / "backup"))
        assert done.returncode == 0, done.stderr
        server.start()

        assert ana.get("/user/me").status_code == 200  # the session that there was
        found = every_text(ana, channel)
        assert found[:before] == said[:before]
        assert found == said[: len(found)]
        assert [m["contents"] for m in ana.get("/message/search", params={"query": "word7"}).json()["response"]] == ["word7"]

        assert ana.get("/file/read", params={"id": file["attachments"][0]["id"]}).content == b"what we will do"
        assert ana.get(avatar).headers["Content-Type"] == "image/webp"

        async def resumed() -> dict[str, Any]:
            async with connect(f"{server.websocket_url}?resume={place}", additional_headers=headers) as socket:
                _, hello = await until(socket, "hello")
                return dict(hello["data"])

        hello = asyncio.run(resumed())
        assert hello["resumed"] is False
        assert hello["epoch"] != place.partition(".")[0]
        assert int(str(call(ana, "POST", "/message/edit", channel_id=channel, contents="and on")["id"])) > last_id
    finally:
        server.close()
