"""The trial from beginning to end: a server, people and references on it, a watch beside it, and the reckoning."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from crust.torture.accounts import Account, accounts_of
from tests.e2e.soak import habits, rights
from tests.e2e.soak.ledger import Ledger
from tests.e2e.soak.people import Person, Place
from tests.e2e.soak.references import Reference
from tests.e2e.soak.watch import Watch, size_of
from tests.e2e.soak.wire import Wire
from tests.e2e.soak.world import World
from tests.support.server import Server

PEOPLE = 12
REFERENCES = ("steady", "batch", "returning", "torn", "slow", "dead")
GRACE_S = 30.0  # for the server to notice that the last dead connections are dead, with the settings below
SPARE_DESCRIPTORS = {True: 3, False: 7}  # what SQLite opens late; the connections that the pools to PostgreSQL may have
ALL = 10_000_000  # lines of a log
SAMPLE_S = 2.0
LONG_MESSAGES = 100  # of 4,000 characters: a page of them, asked for again and again, fills every buffer to who does not read

# Limits that are reached within seconds rather than minutes, so that an hour sees them hundreds of times.
SETTINGS = {
    "CRUST_LIMITS__ENABLED": "false",
    "CRUST_WEBSOCKET__PING_INTERVAL_S": "3",
    "CRUST_WEBSOCKET__SILENCE_S": "10",
    "CRUST_WEBSOCKET__SEND_TIMEOUT_S": "8",
    "CRUST_WEBSOCKET__LOGIN_TIMEOUT_S": "3",
    "CRUST_WEBSOCKET__QUEUE_FRAMES": "128",
    "CRUST_WEBSOCKET__QUEUE_BYTES": "262144",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done: for how long, how many actions a second over all people, where, and by which decisions."""

    seconds: float
    rate: float = 50
    seed: int = 1
    database: str = "sqlite"
    judge_memory: bool = True


@dataclass(slots=True)
class Trial:
    """A trial under way, or what came of it. `descriptors`: before and after the traffic."""

    plan: Plan
    ledger: Ledger
    watch: Watch
    references: Sequence[Reference]
    descriptors: tuple[int, int] = (0, 0)


async def run(folder: Path, plan: Plan, tell: Callable[[Trial], None] = lambda trial: None, every: float = 60) -> Trial:
    """The whole; `tell` is called every so many seconds with how it stands."""
    url = {} if plan.database == "sqlite" else {"CRUST_DATABASE_URL": plan.database}
    server = Server(folder, {**SETTINGS, **url})
    place = await asyncio.to_thread(populated, server, Ledger())
    try:
        return await _on(server, place, plan, tell, every)
    finally:
        server.close()


def populated(server: Server, ledger: Ledger) -> Place:
    """A server with people, who are all in two channels, and one more that is private."""
    file = server.folder / "sessions"
    count = str(PEOPLE + len(REFERENCES))
    done = server.run("demo", "--users", count, "--channels", "2", "--messages", "300", "--sessions", str(file))
    assert done.returncode == 0, done.stderr
    accounts = accounts_of(file)
    server.start()
    password = done.stdout.rstrip().rpartition(" ")[2]
    return Place(server.url, server.websocket_url, password, accounts, World(), ledger)


async def _on(server: Server, place: Place, plan: Plan, tell: Callable[[Trial], None], every: float) -> Trial:
    assert server.process is not None
    size = size_of(plan.database, server.folder / "data")
    watch = Watch(server.process.pid, size, cached=plan.database == "sqlite")
    since = await steady_channels(place)
    before = watch.descriptors()
    references = [reference(place, number, plan.seed) for number in range(len(REFERENCES))]
    trial = Trial(plan, place.ledger, watch, references)
    watching = [asyncio.create_task(watch.run(SAMPLE_S)), asyncio.create_task(_telling(trial, tell, every))]
    people = await traffic(place, plan, references, since)
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    await reckon(server, place, references, people, since)
    trial.descriptors = before, await settled(watch, before + spare(plan))
    judge(trial, server)
    return trial


async def _telling(trial: Trial, tell: Callable[[Trial], None], every: float) -> None:
    while True:
        await asyncio.sleep(every)
        tell(trial)


async def steady_channels(place: Place) -> dict[str, int]:
    """The channels that nobody leaves, with the last message that each has so far."""
    ana, everybody = place.accounts[0], [account.user_id for account in place.accounts]
    async with httpx.AsyncClient(base_url=place.url, headers=ana.headers, timeout=30) as client:
        fields = {"name": "behind closed doors", "topic": "", "type": "private", "members": everybody}
        made = (await client.post("/channel/edit", json=fields)).json()["response"]
        for number in range(LONG_MESSAGES):
            await client.post("/message/edit", json={"channel_id": made["id"], "contents": f"{number} " + "long " * 800})
        found = (await client.get("/channel/search")).json()["response"]
    for channel in found:
        place.world.known(channel["id"], channel["type"], ana.user_id, everybody, steady=True)
    return {channel["id"]: int(channel["last_message_id"]) for channel in found}


def reference(place: Place, number: int, seed: int) -> Reference:
    habit, account = REFERENCES[number], place.accounts[PEOPLE + number]
    wire = Wire(habit, place.websocket_url, account.headers, place.ledger)
    made = Reference(habit, wire, random.Random(f"{seed} {habit}"), place.ledger)
    wire.heard = made.heard
    return made


async def traffic(place: Place, plan: Plan, references: Sequence[Reference], since: Mapping[str, int]) -> list[Person]:
    """Let them all live for the time of the plan; the references stay a moment longer, until they have everything."""
    for each in references:
        await each.come()
    own = Place(place.url, place.websocket_url, place.password, place.accounts[:PEOPLE], place.world, place.ledger)
    people = [Person(own, number, plan.seed) for number in range(PEOPLE)]
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(plan.seconds, stop.set)
    [closed] = [channel.id for channel in place.world.steady if channel.type == "private"]
    pages = {"channel_id": closed, "before": str(since[closed] + 1), "limit": 200}
    lives = [person.live(plan.rate / PEOPLE, stop, habits.ACTIONS) for person in people]
    results = await asyncio.gather(*lives, *(each.live(stop, pages) for each in references), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            place.ledger.fault("trial failed", repr(result))
    return people


# ---- the reckoning


async def reckon(server: Server, place: Place, references: Sequence[Reference], people: Sequence[Person], since: Mapping[str, int]) -> None:
    """Compare what was acknowledged and what was received with what is stored, through the API and in the log."""
    log = await asyncio.to_thread(the_log, server)
    last = log[-1].position if log else 0
    await asyncio.gather(*(each.caught_up(last_of(log, place)) for each in references))
    for each in references:
        await each.wire.close()
    await compare_histories(place, references, since)
    compare_deliveries(log, place, references, people, last)


def the_log(server: Server) -> list[rights.Entry]:
    file = server.folder / "events"
    done = server.run("events", "tail", "--json", "--lines", str(ALL), timeout=600)
    assert done.returncode == 0, done.stderr
    file.write_text(done.stdout)
    return list(rights.entries(file))


def last_of(log: Sequence[rights.Entry], place: Place) -> int:
    """The last event that a reference has to have: the steady channels have them all."""
    steady = {int(channel.id) for channel in place.world.steady}
    return max((entry.position for entry in log if entry.channel in steady), default=0)


async def compare_histories(place: Place, references: Sequence[Reference], since: Mapping[str, int]) -> None:
    by_id = {account.user_id: account for account in place.accounts}
    async with httpx.AsyncClient(base_url=place.url, timeout=30) as client:
        for channel in list(place.world.channels.values()):
            found = await history(client, by_id[channel.maker], channel.id, since.get(channel.id, 1))
            place.ledger.compare(channel.id, found)
            for each in references if channel.steady else ():
                each.compare_channel(channel.id, found, since[channel.id])


async def history(client: httpx.AsyncClient, reader: Account, channel_id: str, after: int) -> list[dict[str, Any]]:
    """Every message of a channel from an id on, oldest first."""
    found: list[dict[str, Any]] = []
    start: int | str = after
    while start:
        fields = {"channel_id": channel_id, "after": start, "limit": 200}
        answer = await client.get("/message/read", params=fields, headers=reader.headers)
        assert answer.status_code == 200, answer.text
        found += answer.json()["response"]
        start = answer.json()["next"] or ""
    return found


def compare_deliveries(
    log: Sequence[rights.Entry], place: Place, references: Sequence[Reference], people: Sequence[Person], last: int
) -> None:
    """References had all that was theirs; nobody had what was not."""
    due = rights.deliveries(log, [int(account.user_id) for account in place.accounts])
    for number, each in enumerate(references):
        theirs = due[int(place.accounts[PEOPLE + number].user_id)]
        each.compare_positions([position for position in theirs if each.wire.starts[0] < position <= last], last)
    for person in people:
        had = {position for positions in person.received for position in positions}
        own = set(due[int(person.id)])
        if strange := sorted(position for position in had - own if position <= last):
            place.ledger.fault("event without the right to it", f"{person.account.username}: {strange[:5]}", len(strange))


def spare(plan: Plan) -> int:
    return SPARE_DESCRIPTORS[plan.database == "sqlite"]


async def settled(watch: Watch, most: int) -> int:
    """The descriptors that are open once everybody has gone, and the server has noticed."""
    deadline = asyncio.get_running_loop().time() + GRACE_S
    while watch.descriptors() > most and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.5)
    return watch.descriptors()


def judge(trial: Trial, server: Server) -> None:
    """What the process itself shows."""
    before, after = trial.descriptors
    if after > before + spare(trial.plan):
        trial.ledger.fault("descriptors left open", f"{before} before, {after} after", after - before)
    first, last, allowed = trial.watch.growth()
    if trial.plan.judge_memory and last > first + allowed:
        trial.ledger.fault("memory grows", f"{first:.1f} MiB in the second quarter, {last:.1f} in the last; {allowed:.1f} more is allowed")
    for line in server.log().splitlines():
        with suppress(json.JSONDecodeError):
            entry = json.loads(line)
            if entry.get("level") not in ("info", "warning", "debug") or "exception" in entry:
                trial.ledger.fault("error in the server's log", line[:1000])
            continue
        trial.ledger.fault("error in the server's log", line[:1000])
