"""A database that fails under deliveries: nothing is lost or doubled, and everything goes on when it is back."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress

import asyncpg
import pytest

from crust.errors import Unavailable
from crust.host.consumer import Delivery
from crust.models.database import Database
from crust.runtime import Node, opened
from crust.settings import Settings
from tests.support.consumers import Listener, delivering, engine_of, states, text_of
from tests.support.people import channel, person, say

pytestmark = pytest.mark.asyncio
EVENTS = 60


@asynccontextmanager
async def locked(database: Database) -> AsyncIterator[None]:
    """Nobody else can write for the length of a block."""
    if database.dialect == "sqlite":
        with closing(sqlite3.connect(database.sqlite_path, isolation_level=None, check_same_thread=False)) as connection:
            await asyncio.to_thread(connection.execute, "BEGIN IMMEDIATE")  # whom it waits for needs this loop
            yield
            connection.execute("ROLLBACK")
        return
    connection = await asyncpg.connect(**database.postgres_address())
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE delivery IN SHARE MODE")
            yield
    finally:
        await connection.close()


async def cut_off(settings: Settings) -> None:
    """End every connection of ours, whatever it is at."""
    connection = await asyncpg.connect(settings.database_url)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'crust'"
        )
    finally:
        await connection.close()


class Counting(Listener):
    """Counts its events in documents: one of each, and one of all in the lane."""

    async def handle(self, delivery: Delivery) -> None:
        self.heard.append((delivery.lane, text_of(delivery.event)))
        await asyncio.sleep(0.01)
        counts = delivery.store.collection("counts")
        for key in (text_of(delivery.event), f"lane {delivery.lane}"):
            before = await counts.get(key)
            await counts.put(key, {"n": int(str(before.body["n"])) + 1 if before else 1})


async def tried(settings: Settings, fault: str) -> Counting:
    """Events are delivered while the database fails again and again; then all are done, and each has counted once."""
    quick = settings.model_copy(update={"database": settings.database.model_copy(update={"lock_timeout_s": 0.3})})
    chance = random.Random(1)
    async with opened(quick) as node:
        ana = await person(node, "ana", is_admin=True)
        room = await channel(node, ana)
        listener, engine = Counting(lane=lambda event: text_of(event)[-1]), engine_of(node, lanes=4)
        for number in range(EVENTS):
            await say(node, ana, room, str(number))
        working = asyncio.create_task(engine.run(listener, after=await before_talk(node.database)))
        try:
            await fail(settings, node.database, fault, chance)
            async with asyncio.timeout(40):
                while not await all_done(node):
                    assert not working.done(), working
                    await asyncio.sleep(0.1)
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        counts = await engine.store(listener).collection("counts").find(limit=1000)
        found = {document.key: document.body["n"] for document in counts}
        assert found == {**{str(number): 1 for number in range(EVENTS)}, **{f"lane {digit}": EVENTS // 10 for digit in range(10)}}
    return listener


async def all_done(node: Node) -> bool:
    """Whether all are; also when a connection that was cut off is only found out now."""
    with suppress(Unavailable):
        return await states(node) == ["done"] * EVENTS
    return False


async def fail(settings: Settings, database: Database, fault: str, chance: random.Random) -> None:
    """Let the database fail, again and again."""
    for _ in range(5 if fault == "locked" else 20):
        await asyncio.sleep(chance.uniform(0.02, 0.1))
        if fault == "locked":
            async with locked(database):
                await asyncio.sleep(0.6)
        else:
            await cut_off(settings)


async def before_talk(database: Database) -> int:
    [row] = await database.fetch('SELECT min(position) AS position FROM event WHERE body LIKE \'%"contents":"0"%\'')
    return int(row["position"]) - 1


async def test_a_database_that_cannot_be_written_delays_and_no_more(settings: Settings) -> None:
    """Handlers run once: what has ended waits until it can be written."""
    listener = await tried(settings, "locked")
    assert sorted(listener.texts, key=int) == [str(number) for number in range(EVENTS)]


@pytest.mark.parametrize("settings", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
async def test_connections_that_are_cut_off_lose_and_double_nothing(settings: Settings) -> None:
    """In the middle of whatever they are at, commits included."""
    listener = await tried(settings, "cut off")
    assert len(listener.texts) <= EVENTS + 40


async def test_a_process_that_ends_in_the_middle_gives_everything_back(settings: Settings) -> None:
    """Again and again, wherever it is; no death is counted, and nothing is done twice."""
    chance = random.Random(2)
    async with opened(settings) as node:
        ana = await person(node, "ana", is_admin=True)
        room = await channel(node, ana)
        listener = Counting(lane=lambda event: text_of(event)[-1])
        async with delivering(engine_of(node), listener):
            pass
        for number in range(EVENTS):
            await say(node, ana, room, str(number))
        for _ in range(10):
            working = asyncio.create_task(engine_of(node, lanes=2).run(listener))
            await asyncio.sleep(chance.uniform(0.01, 0.2))
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        async with delivering(engine_of(node), listener):
            assert await states(node) == ["done"] * EVENTS
        [row] = await node.database.fetch("SELECT max(deaths) AS deaths FROM delivery")
        assert row["deaths"] == 0
        assert sorted(listener.texts, key=int) == [str(number) for number in range(EVENTS)]
