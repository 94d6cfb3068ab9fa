"""One fault after another, under load, and the reckoning after each."""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crust.torture import killing, links, poison, services  # noqa: F401  # they fill the registry
from crust.torture.building import staged
from crust.torture.faults import HEAD_S, Fault, chosen
from crust.torture.ledger import (
    Changed,
    Logged,
    Said,
    Stored,
    Wrongs,
    compare_came,
    compare_changed,
    compare_heard,
    compare_stored,
    compare_taken,
)
from crust.torture.nodes import Reader
from crust.torture.plan import Plan
from crust.torture.stage import POLL_S, Stage
from crust.torture.stores import Away

LOGGED = "SELECT position, object FROM event WHERE position > $1 AND type IN ('message', 'reaction') ORDER BY position"
CHANGED = "SELECT object, type, event FROM event WHERE position > $1 AND (type = 'reaction' OR type = 'message' AND event <> 'created')"
LOGGED_OF_AUTHORS = (  # without what plugins have said
    "SELECT e.position, e.object FROM event e LEFT JOIN message m ON m.id = e.object WHERE e.position > $1 AND e.type = 'message'"
    " AND e.event = 'created' AND (m.contents IS NULL OR m.contents LIKE 'trial %') ORDER BY e.position"
)
GIVEN_UP_S = 90.0  # until then it is waited for, to say how long it took
BEFORE_S, AFTER_S = 1.5, 0.5  # of talk around a fault
COMING_S = 10.0  # without anything new, and RabbitMQ has brought what it will bring
DONE_S = 120.0  # the longest that a fault may take beyond what it is to last


@dataclass(slots=True)
class Outcome:
    """What came of one fault.

    Args:
        fault: its name; `repeat`: for which time.
        what: was done, in words.
        acknowledged, stored: messages.
        retries: how often a message had to be sent again; `repeats`: how often the answer told that it was there already.
        resumes: how often listeners came back.
        healed: events that the reader had from the log, because RabbitMQ had not brought them.
        head_s: seconds from the fault's end until something new was stored and everything was there; None: never; `within_s` are allowed.
        wrongs: what must be nothing.
        late: who was not at the head in the end.
        broken: why the trial could not go on.
    """

    fault: str
    repeat: int
    what: str = ""
    acknowledged: int = 0
    stored: int = 0
    repeats: int = 0
    retries: int = 0
    resumes: int = 0
    healed: int = 0
    head_s: float | None = None
    within_s: float = HEAD_S
    wrongs: Wrongs = field(default_factory=Wrongs)
    late: list[str] = field(default_factory=list)
    broken: str = ""

    @property
    def passed(self) -> bool:
        """Whether all that must be is."""
        return self.wrongs.none and not self.broken and self.head_s is not None and self.head_s <= self.within_s and self.acknowledged > 0


@dataclass(frozen=True, slots=True)
class Mark:
    """Where everything stood when a fault began."""

    position: int
    message: int
    came: int


Tell = Callable[[str], None]


async def run(
    plan: Plan, faults: Sequence[str], *, repeats: int | None, minutes: float | None, tell: Tell
) -> AsyncGenerator[Outcome, None]:
    """Set everything up, and give the outcome of each fault, as it is known; whatever happens, everything is taken down.

    Args:
        plan: what is asked.
        faults: names; empty: all for which everything needed is there. The seed decides on their order, again in each round.
        repeats: how many rounds; None: until the minutes are over.
        minutes: after these no further fault begins.
        tell: is told how far it is.

    Raises:
        LookupError: there is no such fault, or what it needs is not there.
    """
    loop = asyncio.get_running_loop()
    todo, order, number = chosen(plan, faults), random.Random(f"{plan.seed} order"), 0
    async with staged(plan, tell) as stage:
        until = None if minutes is None else loop.time() + 60 * minutes
        while repeats is None or number < repeats:
            for each in order.sample(todo, len(todo)):
                if until is not None and loop.time() >= until:
                    return
                stage.repeat = number
                tell(f"{each.name} ({number + 1}): {each.about}")
                outcome = await one(stage, each)
                yield outcome
                if outcome.broken:
                    return
            number += 1


async def one(stage: Stage, fault: Fault) -> Outcome:
    """Do one fault, and reckon."""
    outcome = Outcome(fault.name, stage.repeat + 1, within_s=fault.within_s)
    stage.wrongs, stage.afterwards = outcome.wrongs, []
    mark = await _mark(stage)
    loop = asyncio.get_running_loop()
    stage.talk(on=True)
    try:
        await asyncio.sleep(BEFORE_S)
        async with asyncio.timeout(GIVEN_UP_S + DONE_S + 300 * stage.plan.scale):
            outcome.what = await fault.do(stage)
        ended = loop.time()
        outcome.late = await _until_at(stage, await _grown(stage), by_rabbit=True)
        outcome.head_s = None if outcome.late else loop.time() - ended
        await asyncio.sleep(AFTER_S)
        stage.talk(on=False)
        await _until_silent(stage, outcome.wrongs)
        if late := await _until_at(stage, await stage.head()):
            outcome.late, outcome.head_s = late, None
        stage.check()
        await _reckon(stage, fault, mark, outcome)
    except Exception as error:  # noqa: BLE001  # whatever a fault has broken is its outcome
        outcome.broken = _told(error)
    finally:
        stage.talk(on=False)
        await stage.dismiss_the_crowd()
    return outcome


def _told(error: Exception) -> str:
    """The error, and where it was raised in here: a TimeoutError alone says nothing."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).parent == Path(__file__).parent]
    return f"{error!r} in {' > '.join(frame.name for frame in frames)}"


async def _mark(stage: Stage) -> Mark:
    for listener in stage.listeners:
        listener.begin()
    for author in stage.authors:
        author.said, author.changed, author.refused = [], [], []
        author.repeats = author.retries = 0
    [[message]] = await stage.store.rows("SELECT coalesce(max(id), 0) FROM message")
    came = await stage.reader.rows("SELECT coalesce(max(number), 0) FROM came") if stage.reader else [[0]]
    return Mark(await stage.head(), int(message), int(came[0][0]))


async def _grown(stage: Stage) -> int:
    """The head, once something more was written: who stands still is at the head at once, and has shown nothing."""
    before, deadline = await stage.head(), asyncio.get_running_loop().time() + GIVEN_UP_S
    while True:
        await asyncio.sleep(POLL_S)
        head = await stage.head()
        if head > before or asyncio.get_running_loop().time() > deadline:
            return head


async def _until_at(stage: Stage, head: int, *, by_rabbit: bool = False) -> list[str]:
    """Wait until everybody is there, while people talk also by way of RabbitMQ; gives who is not."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + GIVEN_UP_S
    while True:
        try:
            late = await stage.behind(head, await stage.last_message(head))
            if by_rabbit and not late and not await stage.has_come(head):
                late = ["the reader, by RabbitMQ"]
        except Away as error:
            late = [f"the database: {error}"]
        if not late or loop.time() > deadline:
            return late
        await asyncio.sleep(POLL_S)


async def _until_silent(stage: Stage, wrongs: Wrongs) -> None:
    """Until all that was said is acknowledged."""
    deadline = asyncio.get_running_loop().time() + GIVEN_UP_S
    while (waiting := sum(author.open for author in stage.authors)) and asyncio.get_running_loop().time() < deadline:
        stage.check()
        await asyncio.sleep(POLL_S)
    wrongs.note("never acknowledged", f"{waiting} messages after {GIVEN_UP_S:g} s", waiting)


# ---- the reckoning


async def _reckon(stage: Stage, fault: Fault, mark: Mark, outcome: Outcome) -> None:
    wrongs = outcome.wrongs
    said: list[Said] = [each for author in stage.authors for each in author.said]
    stored = await _stored(stage, mark)
    logged = await _logged(stage, mark)
    compare_stored(wrongs, said, stored, await _logged(stage, mark, LOGGED_OF_AUTHORS))
    compare_changed(
        wrongs, [each for author in stage.authors for each in author.changed],
        [Changed(*row) for row in await stage.store.rows(CHANGED, mark.position)],
    )  # fmt: skip
    for author in stage.authors:
        for why in author.refused:
            wrongs.note("refused", why)
    for listener in [*stage.listeners, *stage.crowd]:
        compare_heard(wrongs, logged, listener.heard)
        wrongs.note("started afresh", listener.heard.name, listener.fresh)
    outcome.acknowledged, outcome.stored = len(said), len(stored)
    outcome.repeats = sum(author.repeats for author in stage.authors)
    outcome.retries = sum(author.retries for author in stage.authors)
    outcome.resumes = stage.resumes
    await _reckon_reader(stage, fault, mark, outcome)
    for look in stage.afterwards:
        await look()


async def _stored(stage: Stage, mark: Mark) -> list[Stored]:
    sql = "SELECT id, channel_id, contents FROM message WHERE id > $1 AND contents LIKE 'trial %' ORDER BY id"
    return [Stored(*row) for row in await stage.store.rows(sql, mark.message)]


async def _logged(stage: Stage, mark: Mark, sql: str = LOGGED) -> list[Logged]:
    return [Logged(*row) for row in await stage.store.rows(sql, mark.position)]


async def _reckon_reader(stage: Stage, fault: Fault, mark: Mark, outcome: Outcome) -> None:
    if stage.reader is None:
        return
    rows = await stage.store.rows("SELECT position, id FROM event WHERE position > $1 ORDER BY position", mark.position)
    events = [(int(position), int(event)) for position, event in rows]
    found = await stage.reader.rows("SELECT position, id, healed FROM taken WHERE position > ? ORDER BY number", mark.position)
    compare_taken(outcome.wrongs, events, [(position, event) for position, event, _ in found])
    outcome.healed = sum(healed for _, _, healed in found)
    if fault.keeps:
        compare_came(outcome.wrongs, events, await _came(stage.reader, mark, events[-1][0] if events else 0))


async def _came(reader: Reader, mark: Mark, last: int) -> list[int]:
    """What has come by RabbitMQ, once the last of it has, or nothing more comes: whoever reads the log is at the head before its queue is
    empty, if the relay had to catch up."""
    loop = asyncio.get_running_loop()
    came, grown_at = await _came_so_far(reader, mark), loop.time()
    while last not in came and loop.time() < grown_at + COMING_S:
        await asyncio.sleep(POLL_S)
        before, came = len(came), await _came_so_far(reader, mark)
        if len(came) > before:
            grown_at = loop.time()
    return came


async def _came_so_far(reader: Reader, mark: Mark) -> list[int]:
    sql = "SELECT position FROM came WHERE number > ? AND position > ? ORDER BY number"
    return [position for [position] in await reader.rows(sql, mark.came, mark.position)]
