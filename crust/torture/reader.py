"""Another program that reads `crust.v1.events`, by the rule for whoever reads a queue; a process that may be killed. Private.

    python -m crust.torture.reader --broker amqp://… --database postgres://… --keep reader.db

Its position and what it does (it writes down what it took) are committed together, in a file of its own, and only then acknowledged to
RabbitMQ: so each effect happens once, however it ends. A position at or below its own: forget it. The next one: take it. Beyond: read what
lies between from the log. One of another epoch is another log's: forget it. On each connection, and after every second of silence, it
compares with the log's head.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aiormq
from aiormq.abc import AbstractChannel, DeliveredMessage
from aiormq.exceptions import AMQPError
from yarl import URL

from crust.broker.connection import BrokerTrouble, until_closed
from crust.broker.topology import EVENTS, EVERYTHING
from crust.log.tasks import first_to_end
from crust.torture.mischief import Mischief
from crust.torture.stores import Away, Postgres, SQLite

QUEUE = "torture.reader"
SILENCE_S, CONNECT_S, AGAIN_S = 1.0, 5.0, 0.3
TOGETHER = 200
HEARTBEAT_S = 5
TABLES = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS place (position INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS taken (number INTEGER PRIMARY KEY, position INTEGER NOT NULL, id INTEGER NOT NULL, healed INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS came (number INTEGER PRIMARY KEY, position INTEGER NOT NULL);
"""
TROUBLE = (AMQPError, BrokerTrouble, OSError, TimeoutError, RuntimeError, ValueError, Away)


@dataclass(frozen=True, slots=True)
class Taken:
    """An event that it has dealt with; `healed`: read from the log, because the queue had not brought it."""

    position: int
    id: int
    healed: bool = False


class Log:
    """The server's log, looked into past all faults."""

    def __init__(self, database: str) -> None:
        self._store = SQLite(Path(database).parent) if database.endswith(".db") else _ExistingPostgres(database)

    async def head(self) -> int:
        [[position]] = await self._store.rows("SELECT position FROM log WHERE id = 1")
        return int(position)

    async def epoch(self) -> str:
        [[epoch]] = await self._store.rows("SELECT epoch FROM log WHERE id = 1")
        return str(epoch)

    async def read(self, after: int, upto: int) -> list[Taken]:
        rows = await self._store.rows(
            "SELECT position, id FROM event WHERE position > $1 AND position <= $2 ORDER BY position", after, upto
        )
        return [Taken(position, event, healed=True) for position, event in rows]


class _ExistingPostgres(Postgres):
    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


class Keep:
    """What it has taken, on disk."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path)
        self._connection.executescript(TABLES)

    def place(self) -> int | None:
        row = self._connection.execute("SELECT position FROM place").fetchone()
        return None if row is None else int(row[0])

    def begin(self, position: int) -> None:
        with self._connection:
            self._connection.execute("INSERT INTO place VALUES (?)", [position])

    def take(self, came: Sequence[int], taken: Sequence[Taken]) -> None:
        """The effect and the position, together."""
        with self._connection:
            self._connection.executemany("INSERT INTO came (position) VALUES (?)", [[position] for position in came])
            rows = [[each.position, each.id, each.healed] for each in taken]
            self._connection.executemany("INSERT INTO taken (position, id, healed) VALUES (?, ?, ?)", rows)
            if taken:
                self._connection.execute("UPDATE place SET position = ?", [taken[-1].position])


class Reader:
    """See the module.

    Args:
        mischief: what is done to its deliveries, if anything.
    """

    def __init__(self, broker: str, log: Log, keep: Keep, mischief: Mischief[Taken] | None) -> None:
        self._url = URL(broker).update_query(heartbeat=HEARTBEAT_S, name="crust torture reader")
        self._account = unquote(urlsplit(broker).username or "")
        self._log, self._keep, self._mischief = log, keep, mischief
        self._epoch = ""

    async def run(self) -> None:
        """Read, over one connection after another."""
        while True:
            connection = aiormq.Connection(self._url)
            try:
                async with asyncio.timeout(CONNECT_S):
                    await connection.connect()
                await self._session(connection)
            except TROUBLE as error:
                print(f"again, after: {error!r}", flush=True)  # noqa: T201  # its log
            finally:
                with suppress(Exception):
                    await connection.close(timeout=CONNECT_S)
            await asyncio.sleep(AGAIN_S)

    async def _session(self, connection: aiormq.Connection) -> None:
        self._epoch = await self._log.epoch()
        cancelled = asyncio.Event()
        messages: asyncio.Queue[DeliveredMessage] = asyncio.Queue()
        async with asyncio.timeout(CONNECT_S):
            channel = await connection.channel(publisher_confirms=False)
            channel.on_consumer_cancel_callbacks.add(lambda *_: cancelled.set())
            await channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "classic"})
            await channel.queue_bind(QUEUE, EVENTS, routing_key=EVERYTHING)
            await channel.basic_qos(prefetch_count=TOGETHER)
            if self._keep.place() is None:
                self._keep.begin(await self._log.head())
            await channel.basic_consume(QUEUE, messages.put)
        await first_to_end(self._read(channel, messages), until_closed(channel), cancelled.wait())

    async def _read(self, channel: AbstractChannel, messages: asyncio.Queue[DeliveredMessage]) -> None:
        await self._deal_with([])
        while True:
            waiting = await _waiting(messages)
            await self._deal_with([_taken(message) for message in waiting if self._is_ours(message)])
            if waiting:
                await channel.basic_ack(waiting[-1].delivery_tag or 0, multiple=True, wait=False)

    def _is_ours(self, message: DeliveredMessage) -> bool:
        """Whether a message is of this very log, and nobody else's."""
        properties = message.header.properties
        return properties.user_id == self._account and (properties.headers or {}).get("epoch") == self._epoch

    async def _deal_with(self, came: list[Taken]) -> None:
        given = came if self._mischief is None else self._mischief.done_to(came)
        place = start = self._keep.place() or 0
        taken: list[Taken] = []
        for each in given:
            if each.position > place + 1:
                taken += await self._log.read(place, each.position - 1)
                place = taken[-1].position if taken else place
            if each.position == place + 1:
                taken.append(each)
                place = each.position
        if place == start:
            taken += await self._log.read(place, await self._log.head())
        self._keep.take([each.position for each in came], taken)


async def _waiting(messages: asyncio.Queue[DeliveredMessage]) -> list[DeliveredMessage]:
    """What has come, or nothing after a second of silence."""
    found: list[DeliveredMessage] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(SILENCE_S):
            found.append(await messages.get())
    while not messages.empty() and len(found) < TOGETHER:
        found.append(messages.get_nowait())
    return found


def _taken(message: DeliveredMessage) -> Taken:
    headers = message.header.properties.headers or {}
    position, body = headers.get("position"), json.loads(message.body)
    if not isinstance(position, int) or body["position"] != position or str(body["id"]) != message.header.properties.message_id:
        raise ValueError(f"a message that contradicts itself: {headers} {body}")
    return Taken(position, int(body["id"]))


def main() -> None:
    """Read until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", required=True)
    parser.add_argument("--database", required=True, help="PostgreSQL's URL, or the path of SQLite's file")
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--mischief", default="", metavar="SEED")
    asked = parser.parse_args()
    mischief: Mischief[Taken] | None = Mischief(asked.mischief) if asked.mischief else None
    asyncio.run(Reader(asked.broker, Log(asked.database), Keep(asked.keep), mischief).run())


if __name__ == "__main__":
    main()
