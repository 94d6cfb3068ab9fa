"""The fault of poison: a plugin's handlers do the worst that they can, under load, and innocents must not notice."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from crust.torture import poisoned
from crust.torture.faults import fault
from crust.torture.ledger import Handled, compare_handled
from crust.torture.process import Process, ProcessFailed, crust
from crust.torture.stage import POLL_S, READY_S, Stage

NAME = "trial"  # of the instance
KINDS = ("raises", "exits", "hangs", "loops", "quits")
ONE_IN, AT_LEAST = 100, 10  # messages; a short trial has more poison, so that there is each kind soon
POISON_S, DEALT_S = 60.0, 400.0  # of talk; and until all of it must be dealt with
KILLS = 2  # fewer than the deaths that park an innocent
WORKERS = 2
SHORT = "--hasty"  # leases and waits of seconds: each handler that ends its process does so three times, 30 s apart in life

CONFIG = """
plugins_dir = {folder}
[delivery]
handler_s = 1.0
blocked_s = 2.0
lanes = 8
[plugins.trial]
use = "poisoned"
[plugins.trial.config]
effects = {effects}
"""
ROWS = (
    "SELECT d.position, d.lane, m.id, m.contents, d.state, d.deaths FROM delivery d JOIN event e ON e.position = d.position"
    " JOIN message m ON m.id = e.object WHERE d.consumer = $1 AND d.position > $2 AND m.contents LIKE 'trial %' ORDER BY d.position"
)
SAID = (
    "SELECT e.position FROM event e JOIN message m ON m.id = e.object WHERE e.position > $1 AND e.position <= $2"
    " AND e.type = 'message' AND e.event = 'created' AND m.contents LIKE 'trial %'"
)
FORGET = (
    "DELETE FROM delivery WHERE consumer = $1",
    "DELETE FROM lane WHERE consumer = $1",
    "DELETE FROM document WHERE instance = $1",
    "DELETE FROM consumer WHERE name = $1",
)


@fault("poison")
async def poison(stage: Stage) -> str:
    """a plugin's handlers raise, hang, exit, or loop for ever at one message in 100, and its processes are killed twice"""
    effects = stage.folder / f"effects-{stage.repeat}"
    effects.touch()
    config = _config(stage, effects)
    ends: Counter[str] = Counter()
    await _silence(stage)
    async with _workers(stage, config, ends) if _beside(stage) else _in_nodes(stage, config, ends) as processes:
        begin = await _begun(stage)
        with _tainted(stage) as said:
            for _ in range(KILLS):
                await stage.hold(POISON_S / (KILLS + 1))
                stage.chance.choice(processes).kill()
                ends["kills"] += 1
            await stage.hold(POISON_S / (KILLS + 1))
            while len(said) < len(KINDS):  # noqa: ASYNC110  # no event tells
                await asyncio.sleep(POLL_S)
        await _silence(stage)
        head = await _dealt_with(stage)
    rows = await _reckon(stage, begin, head, effects)
    await _forget(stage)
    stage.talk(on=True)
    bad = sum(row.poison for row in rows)
    died = sum(ends.values())
    return f"{len(rows)} messages, {bad} of them poison; processes ended {died} times"


def _beside(stage: Stage) -> bool:
    """Whether there are workers, or the nodes do it themselves."""
    return stage.store.kind == "postgres" and stage.broker is not None


def _config(stage: Stage, effects: Path) -> Path:
    folder, config = stage.folder / "plugins", stage.folder / "poison.toml"
    folder.mkdir(exist_ok=True)
    shutil.copy(poisoned.__file__, folder)
    config.write_text(CONFIG.format(folder=json.dumps(str(folder)), effects=json.dumps(str(effects))))
    return config


# ---- the processes


@asynccontextmanager
async def _workers(stage: Stage, config: Path, ends: Counter[str]) -> AsyncIterator[list[Process]]:
    """Processes beside the nodes that are started anew whenever they end, for the length of a block."""
    variables = {**stage.nodes[0].environment, "CRUST_CONFIG": str(config), "CRUST_DATA_DIR": str(stage.folder / "data-worker")}
    command = crust("--worker", SHORT, module="crust.torture.node")
    workers = [Process(f"worker-{number + 1}", command, variables, stage.folder) for number in range(WORKERS)]
    try:
        async with _kept(workers, [_starting(worker) for worker in workers], ends):
            yield workers
        await asyncio.gather(*(worker.stop() for worker in workers))
    finally:
        for worker in workers:
            worker.kill()


@asynccontextmanager
async def _in_nodes(stage: Stage, config: Path, ends: Counter[str]) -> AsyncIterator[list[Process]]:
    """The nodes themselves, so long as the block lasts."""

    def start(number: int) -> Callable[[], Awaitable[None]]:
        return lambda: stage.nodes[number].start(SHORT, CRUST_CONFIG=str(config))

    starts = [start(number) for number in range(len(stage.nodes))]
    processes = [node.process for node in stage.nodes]
    try:
        await asyncio.gather(*(node.process.stop() for node in stage.nodes))
        await asyncio.gather(*(each() for each in starts))
        async with _kept(processes, starts, ends):
            yield processes
    finally:
        for node in stage.nodes:
            await node.replace()


def _starting(process: Process) -> Callable[[], Awaitable[None]]:
    async def start() -> None:
        process.start()

    return start


@asynccontextmanager
async def _kept(processes: list[Process], starts: list[Callable[[], Awaitable[None]]], ends: Counter[str]) -> AsyncIterator[None]:
    """Somebody watches over them, as systemd would: who ends is started again."""

    async def keep(process: Process, start: Callable[[], Awaitable[None]]) -> None:
        while True:
            if not process.running:
                if process.process is not None:
                    ends[str(process.process.returncode)] += 1
                with suppress(ProcessFailed):  # it has ended again while it came up
                    await start()
            await asyncio.sleep(POLL_S)

    keeping = [asyncio.create_task(keep(*each)) for each in zip(processes, starts, strict=True)]
    try:
        yield
    finally:
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)


# ---- the talk


@contextmanager
def _tainted(stage: Stage) -> Iterator[set[str]]:
    """People talk, and one message in a hundred, whoever says it, is poison, for the length of a block; gives the kinds that were said."""
    every = max(AT_LEAST, round(ONE_IN * stage.plan.scale))
    words = itertools.cycle([word for kind in KINDS for word in (kind, *[""] * (every - 1))])
    said: set[str] = set()

    def tail() -> str:
        if word := next(words):
            said.add(word)
            return f" {word}"
        return ""

    for author in stage.authors:
        author.tail = tail
    stage.talk(on=True)
    try:
        yield said
    finally:
        for author in stage.authors:
            author.tail = str


async def _silence(stage: Stage) -> None:
    """Nobody talks, and all that was said is acknowledged."""
    stage.talk(on=False)
    async with asyncio.timeout(DEALT_S):
        while any(author.open for author in stage.authors):  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(POLL_S)


async def _begun(stage: Stage) -> int:
    """The position after which everything is the plugin's."""
    async with asyncio.timeout(READY_S):
        while not (found := await stage.store.rows("SELECT position FROM consumer WHERE name = $1", NAME)):  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(POLL_S)
    return int(found[0][0])


async def _dealt_with(stage: Stage) -> int:
    """Until everything that was said is; gives how far that is."""
    async with asyncio.timeout(DEALT_S):
        head = await stage.head()
        sql = (
            "SELECT (SELECT position FROM consumer WHERE name = $1),"
            " (SELECT count(*) FROM delivery WHERE consumer = $1 AND state IN ('waiting', 'running'))"
        )
        while True:
            [[offset, waiting]] = await stage.store.rows(sql, NAME)
            if offset >= head and not waiting:
                return head
            await asyncio.sleep(POLL_S)


# ---- the reckoning


async def _reckon(stage: Stage, begin: int, head: int, effects: Path) -> list[Handled]:
    rows = [Handled(*row) for row in await stage.store.rows(ROWS, NAME, begin)]
    said = {int(position) for [position] in await stage.store.rows(SAID, begin, head)}
    sql = "SELECT e.position, d.body FROM document d JOIN event e ON CAST(e.id AS text) = d.key WHERE d.instance = $1 AND e.position > $2"
    kept = {int(position): int(json.loads(body)["n"]) for position, body in await stage.store.rows(sql, NAME, begin)}
    sql = "SELECT d.key, d.body FROM document d WHERE d.instance = $1 AND d.key LIKE 'channel %'"
    sums = {key.partition(" ")[2]: int(json.loads(body)["n"]) for key, body in await stage.store.rows(sql, NAME)}
    echoes = await stage.store.rows("SELECT contents FROM message WHERE contents LIKE 'echo %'")
    spoken = Counter(int(contents.partition(" ")[2]) for [contents] in echoes)
    lines = (await asyncio.to_thread(effects.read_text)).splitlines()
    acted = [(lane, int(position)) for lane, position in map(str.split, lines)]
    compare_handled(stage.wrongs, said, rows, kept, sums, spoken, acted)
    return rows


async def _forget(stage: Stage) -> None:
    """Nobody has had this plugin, so that the log is not said to wait for it."""
    for sql in FORGET:
        await stage.store.rows(sql, NAME)
