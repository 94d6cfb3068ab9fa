"""A server with much to search: words that are rare, common and everywhere; people who see all of it, a hundredth, or old things."""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from crust.cli.common import core
from crust.cli.demo import write_sessions
from crust.services.core import Core
from crust.services.demo import TOGETHER, Demo, Resident, in_chunks
from crust.torture.accounts import Account as Person
from crust.torture.accounts import accounts_of
from tests.benchmarks.client import Http
from tests.benchmarks.people import call
from tests.benchmarks.processes import crust_server
from tests.benchmarks.sitting import Row, Sitting, median

SEED = 11
CHANNELS = 100  # all private; the first holds a hundredth of the messages, like each of them
OLD = 60  # channels that have been silent since the first tenth of all messages
WORDS = {"rare": 0.0001, "common": 0.01, "everywhere": 0.2}  # of all messages
VOCABULARY = [f"{first}{middle}{last}" for first in "bdfgklmnprst" for middle in ("a", "e", "i", "o", "u", "ai") for last in "bdgklmnrst"]
LENGTH = (4, 20)  # words of a message
QUERIES = (
    "rare", "common", "everywhere", "common everywhere", "rare everywhere", "everywhere -common", '"common everywhere"',
    "from:{other} everywhere", "everywhere has:file", "rare common", "no-such-word everywhere",
)  # fmt: skip


async def search(sitting: Sitting) -> list[Row]:
    """Searches among a million messages for words in 0.01 %, 1 % and 20 % of them, and mixtures."""
    count, rows = sitting.of(1_000_000), []
    with tempfile.TemporaryDirectory(prefix="crust-benchmark-") as name:
        await fill(Path(name), count)
        everybody = accounts_of(Path(name) / "sessions")
        with crust_server(Path(name), sitting.server) as process:
            for sees, person in zip(("all", "1 %", "old ones"), everybody[:3], strict=True):
                took = sorted(await asked(process.port, person, everybody[0], sitting.of(30) * sitting.rounds))
                p99, others = took[round(len(took) * 0.99) - 1], f"{median(took):.1f} ms (p50), {took[-1]:.0f} ms (slowest)"
                rows.append(Row(f"search in {count:,}, who sees {sees}: p99", f"{p99:.1f} ms", others, wanted="≤ 50 ms"))
    return rows


async def fill(folder: Path, count: int) -> None:
    """Make the people, the channels and `count` messages through the rules; `sessions` in the folder has who sees all, little, the old."""
    config = folder / "config.toml"
    config.write_text(f"data_dir = {json.dumps(str(folder))}\n")
    async with core(config) as node:
        demo = Demo(node.core, "nobody signs in with it")
        people = [person async for some in demo.people(10) for person in some]
        channels = [await _channel(node.core, people, number) for number in range(CHANNELS)]
        await _say(node.core, people[0], channels, count)
    write_sessions(folder / "sessions", people)


async def _channel(core: Core, people: Sequence[Resident], number: int) -> int:
    """The first person is in all of them, the second in the first, the third in the old ones."""
    members = [people[at].actor.user_id for at, there in ((1, number == 0), (2, number >= CHANNELS - OLD)) if there]
    made = await core.channels.create(
        people[0].actor, name=f"place-{number}", topic="", type_="private", organisation_id=None, members=members, key=None
    )
    return int(made.id)


async def _say(core: Core, author: Resident, channels: Sequence[int], count: int) -> None:
    chance = random.Random(SEED)
    for start in range(0, count, TOGETHER):
        alive = channels if start < count // 10 else channels[: CHANNELS - OLD]
        await in_chunks(
            core.messages.post(author.actor, chance.choice(alive), sentence(chance), reply_to=None, client_msg_id=None, key=None)
            for _ in range(min(TOGETHER, count - start))
        )


def sentence(chance: random.Random) -> str:
    """Words of a small language, with the marked ones among them."""
    words = chance.choices(VOCABULARY, k=chance.randint(*LENGTH))
    for word, part in WORDS.items():
        if chance.random() < part:
            words.insert(chance.randrange(len(words) + 1), word)
    return " ".join(words)


async def asked(port: int, person: Person, other: Person, rounds: int) -> list[float]:
    """The milliseconds of each search, one at a time, in random order."""
    http, took = await Http.open(port), []
    for query in mixed(other, rounds):
        began = time.perf_counter()
        await call(http, person, "GET", f"/message/search?query={quote(query)}")
        took.append((time.perf_counter() - began) * 1000)
    http.close()
    return took


def mixed(other: Person, rounds: int) -> Iterator[str]:
    queries = [query.format(other=other.username) for query in QUERIES] * rounds
    random.Random(SEED).shuffle(queries)
    yield from queries
