"""Plugins: how many events a second go through a handler in `crust worker`, and how soon one is at work on a server with much behind it."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crust.runtime import Node, opened
from crust.settings import Settings
from crust.torture.accounts import accounts_of
from tests.benchmarks.brokered import POSTGRES_URL, broker, database
from tests.benchmarks.client import Http
from tests.benchmarks.people import call
from tests.benchmarks.processes import SERVER_CORE, crust_server
from tests.benchmarks.searching import fill
from tests.benchmarks.sitting import Row, Sitting, median
from tests.support.people import channel, person, position, say

NAME = "counter"
EVENTS, CHANNELS = 20_000, 100
DONE_S = 300.0
LOOK_S = 0.02
PLUGIN = '''
from crust.plugin import Happened, Message, Plugin, PluginConfig, hookimpl

class Counter(Plugin[PluginConfig]):
    """Does nothing{0}."""

    api = 1
    capabilities = frozenset({{"read:public", "read:private"}})

    @hookimpl
    async def on_message_posted(self, event: Happened[Message]) -> None:
        {1}
'''
NOTHING = ("", "pass")
KEEPS = (" but keep a document", "await self.ctx.store.collection('seen').put(event.id, {'n': 1})")
ENDED = "SELECT count(*) AS n, max(ended_at) - min(ended_at) AS took FROM delivery WHERE consumer = $1 AND position > $2 AND state = 'done'"


def configured(folder: Path, body: tuple[str, str]) -> dict[str, str]:
    """A folder with the plugin, and the settings for it; gives the variable that names them."""
    plugins = folder / "plugins"
    plugins.mkdir(exist_ok=True)
    (plugins / f"{NAME}.py").write_text(PLUGIN.format(*body))
    (folder / "plugins.toml").write_text(f"plugins_dir = {json.dumps(str(plugins))}\n[plugins.{NAME}]\n")
    return {"CRUST_CONFIG": str(folder / "plugins.toml")}


# ---- through a worker


async def plugin(sitting: Sitting) -> list[Row]:
    """Events that wait for a plugin in `crust worker`, over PostgreSQL and RabbitMQ: one that does nothing, and one that writes."""
    if not POSTGRES_URL:
        return [Row("a plugin in a worker", "not measured", wanted="CRUST_TEST_POSTGRES_URL names no server")]
    rows = []
    for what, body, wanted in (("does nothing", NOTHING, "≥ 1,000"), ("keeps a document of each", KEEPS, "")):
        rates = [await worked(sitting.of(EVENTS), body) for _ in range(sitting.rounds)]
        rows.append(Row(f"a handler in a worker that {what}: events/s", f"{median(rates):,.0f}", wanted=wanted))
    return rows


async def worked(events: int, body: tuple[str, str]) -> float:
    """Events a second, from the first that is done to the last."""
    async with database() as url:
        with broker() as server, tempfile.TemporaryDirectory(prefix="crust-benchmark-") as name:
            variables = {"CRUST_DATA_DIR": name, "CRUST_DATABASE_URL": url, "CRUST_BROKER_URL": server.url, **configured(Path(name), body)}
            async with opened(Settings(data_dir=Path(name), database_url=url)) as node:
                begin = await filled(node, events)
                with worker(variables):
                    return await drained(node, begin, events)


async def filled(node: Node, events: int) -> int:
    """Say so much, over many channels; gives the position before it, which is where the plugin begins."""
    ana = await person(node, "ana", is_admin=True)
    rooms = [await channel(node, ana, name=f"room-{number}") for number in range(CHANNELS)]
    begin = await position(node)
    await node.consumers.begin(NAME, begin)
    for start in range(0, events, 500):
        await asyncio.gather(*(say(node, ana, rooms[number % CHANNELS]) for number in range(start, min(start + 500, events))))
    return begin


async def drained(node: Node, begin: int, events: int) -> float:
    async with asyncio.timeout(DONE_S):
        while True:
            [row] = await node.database.fetch(ENDED, NAME, begin)
            if row["n"] >= events:
                return float(1000 * (events - 1) / max(1, row["took"]))
            await asyncio.sleep(0.5)


@contextmanager
def worker(variables: dict[str, str]) -> Iterator[None]:
    """`crust worker` for the length of a block."""
    with tempfile.TemporaryFile() as said:
        command = [sys.executable, "-m", "crust.cli.main", "worker"]
        process = subprocess.Popen(command, env={**os.environ, **variables}, stdout=said, stderr=said)
        os.sched_setaffinity(process.pid, {SERVER_CORE})
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


# ---- with much behind it


async def enabled(sitting: Sitting) -> list[Row]:
    """A plugin that a server with a million messages did not have before: it begins at the log's head."""
    count = sitting.of(1_000_000)
    with tempfile.TemporaryDirectory(prefix="crust-benchmark-") as name:
        folder = Path(name)
        await fill(folder, count)
        speaker = accounts_of(folder / "sessions")[0]
        began = time.monotonic()
        with crust_server(folder, sitting.server, configured(folder, NOTHING)) as process:
            served = time.monotonic() - began
            http = await Http.open(process.port)
            made = await call(http, speaker, "POST", "/channel/edit", name="news", topic="", type="public")
            while not (heard := delivered(folder)):
                await call(http, speaker, "POST", "/message/edit", channel_id=made["id"], contents="hello")
                await asyncio.sleep(LOOK_S)
            took = time.monotonic() - began
            http.close()
        old = sum(each < count for each in heard)
    if old:
        raise SystemExit(f"{old} old messages were delivered")
    what = f"a plugin enabled with {count:,} messages stored: at work after"
    return [Row(what, f"{took:.1f} s", f"{served:.1f} s (serving)", wanted="at once")]


def delivered(folder: Path) -> list[int]:
    """The positions of what was delivered to the plugin."""
    connection = sqlite3.connect(folder / "crust.db")
    try:
        rows = connection.execute("SELECT position FROM delivery WHERE consumer = ? AND state = 'done'", (NAME,))
        return [position for (position,) in rows]
    finally:
        connection.close()
