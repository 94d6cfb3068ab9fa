"""Kill the server again and again under load, and count what was lost.

    python -m tests.e2e.crash --kills 20 --rate 200 --database sqlite
    python -m tests.e2e.crash --kills 20 --rate 200 --database postgres://postgres@127.0.0.1:5432/empty_database

Senders post with keys and repeat each post until it is acknowledged; receivers hold websockets and resume after every kill. In the end
every acknowledged message must be stored once, in its sender's order, and every receiver must have had every event exactly once.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.support.server import Server, call

SENDERS, RECEIVERS = 10, 5
AWAY = (httpx.TransportError, OSError, WebSocketException)


@dataclass
class Ledger:
    """What was acknowledged: for each sender (text, message id) in the order of the acknowledgements."""

    acknowledged: dict[int, list[tuple[str, int]]] = field(default_factory=dict)
    repeats: int = 0


@dataclass
class Receiver:
    """A websocket client that keeps one number, and what it was sent."""

    place: str = ""
    positions: list[int] = field(default_factory=list)
    messages: list[int] = field(default_factory=list)
    resumes: int = 0
    fresh: int = 0

    async def run(self, url: str, headers: dict[str, str], channel_id: str) -> None:
        while True:
            try:
                query = f"?resume={self.place}" if self.place else ""
                async with connect(url + query, additional_headers=headers, max_size=None, open_timeout=5) as socket:
                    async for text in socket:
                        self.take(json.loads(text), channel_id)
            except (*AWAY, TimeoutError):
                pass
            await asyncio.sleep(0.05)

    def take(self, frame: dict[str, object], channel_id: str) -> None:
        data = frame["data"]
        assert isinstance(data, dict)
        if frame["type"] == "hello":
            epoch = data["epoch"]
            if data["resumed"]:
                self.resumes += 1
            else:
                self.fresh += 1
                self.place = f"{epoch}.{data['position']}"
        if "position" in frame:
            position = frame["position"]
            assert isinstance(position, int)
            self.positions.append(position)
            self.place = f"{self.place.split('.')[0]}.{position}"
            if frame["type"] == "message" and frame["event"] == "CREATED" and frame["channel_id"] == channel_id:
                self.messages.append(int(data["id"]))


async def send(
    number: int, server: Server, headers: dict[str, str], channel_id: str, rate: float, stop: asyncio.Event, ledger: Ledger
) -> None:
    """Post at a rate, each until it is acknowledged; who was held up catches up."""
    done = ledger.acknowledged.setdefault(number, [])
    due = time.monotonic()
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=5) as client:
        for count in itertools.count():
            if stop.is_set():
                return
            due += random.expovariate(rate)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            text = f"{number}-{count}"
            done.append((text, await post(client, channel_id, text, ledger)))


async def post(client: httpx.AsyncClient, channel_id: str, text: str, ledger: Ledger) -> int:
    fields = {"channel_id": channel_id, "contents": text, "client_msg_id": f"key-{text}"}
    while True:
        try:
            answer = await client.post("/message/edit", data=fields)
        except AWAY:
            await asyncio.sleep(0.1)
            continue
        if answer.status_code == 200:
            message = answer.json()["response"]
            ledger.repeats += bool(message.get("duplicate"))
            return int(message["id"])
        assert answer.status_code == 503, answer.text
        await asyncio.sleep(0.1)


def stored(client: httpx.Client, channel_id: str) -> list[tuple[str, int]]:
    """Every message of the channel, oldest first."""
    found: list[tuple[str, int]] = []
    after = "1"
    while after:
        page = client.get("/message/read", params={"channel_id": channel_id, "after": after, "limit": 200}).json()
        found += [(message["contents"], int(message["id"])) for message in page["response"]]
        after = page["next"] or ""
    return found


def faults(ledger: Ledger, receivers: Sequence[Receiver], found: list[tuple[str, int]]) -> dict[str, int]:
    """What must be all zeros."""
    ids = dict(found)
    sent = [pair for pairs in ledger.acknowledged.values() for pair in pairs]
    talk = [message_id for text, message_id in found if "-" in text]
    return {
        "lost": sum(ids.get(text) != message_id for text, message_id in sent),
        "stored twice": len(found) - len(ids),
        "out of order": sum(a[1] >= b[1] for pairs in ledger.acknowledged.values() for a, b in itertools.pairwise(pairs)),
        "not received": sum(len(set(talk) - set(receiver.messages)) for receiver in receivers),
        "received twice": sum(len(r.positions) - len(set(r.positions)) for r in receivers),
        "received out of order": sum(r.positions != sorted(r.positions) or r.messages != sorted(r.messages) for r in receivers),
        "fresh starts after a kill": sum(receiver.fresh - 1 for receiver in receivers),
    }


async def run(folder: Path, kills: int, rate: float, database: str, seed: int) -> dict[str, int]:
    """The whole trial; gives the figures, faults first."""
    chance = random.Random(seed)
    url = {} if database == "sqlite" else {"CRUST_DATABASE_URL": database}
    server = Server(folder, {"CRUST_LIMITS__ENABLED": "false", **url})
    server.add_user("ana", "--admin")
    server.start()
    try:
        return await _under_load(server, chance, kills, rate)
    finally:
        server.close()


async def _under_load(server: Server, chance: random.Random, kills: int, rate: float) -> dict[str, int]:
    ana = server.sign_in("ana")
    channel_id = str(call(ana, "POST", "/channel/edit", name="trial", topic="")["id"])
    headers = {"X-Session-ID": ana.headers["X-Session-ID"], "X-Client-ID": "test"}
    ledger, stop = Ledger(), asyncio.Event()
    receivers = [Receiver() for _ in range(RECEIVERS)]
    listening = [asyncio.create_task(receiver.run(server.websocket_url, headers, channel_id)) for receiver in receivers]
    while any(not receiver.place for receiver in receivers):
        await asyncio.sleep(0.05)
    sending = [asyncio.create_task(send(number, server, headers, channel_id, rate / SENDERS, stop, ledger)) for number in range(SENDERS)]
    for _ in range(kills):
        await asyncio.sleep(chance.uniform(0.5, 3))
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
    await asyncio.sleep(1)
    stop.set()
    await asyncio.gather(*sending)
    found = await asyncio.to_thread(stored, ana, channel_id)
    await caught_up(receivers, found[-1][1])
    for task in listening:
        task.cancel()
    await asyncio.gather(*listening, return_exceptions=True)
    figures = faults(ledger, receivers, found)
    acknowledged = sum(map(len, ledger.acknowledged.values()))
    return {
        **figures,
        "kills": kills,
        "acknowledged": acknowledged,
        "repeated": ledger.repeats,
        "resumes": sum(r.resumes for r in receivers),
    }


async def caught_up(receivers: Sequence[Receiver], last: int, seconds: float = 20) -> None:
    """Wait until all have the last message; who does not get it is counted later."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(not r.messages or r.messages[-1] < last for r in receivers):
        await asyncio.sleep(0.05)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rate", type=float, default=200, help="messages a second, over all senders")
    parser.add_argument("--database", default="sqlite", help="sqlite, or the URL of an empty PostgreSQL database")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(run(Path(folder), arguments.kills, arguments.rate, arguments.database, arguments.seed))
    for name, value in figures.items():
        print(f"{name:28} {value}")
    return 1 if any(list(figures.values())[:7]) else 0


if __name__ == "__main__":
    sys.exit(main())
