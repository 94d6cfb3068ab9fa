"""`crust torture` does what it says, shown with some of its faults (.ci/run has a tenth of all); and it would find what it looks for."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import aiormq
import pytest
from aiormq.abc import AbstractChannel
from pamqp.commands import Basic

from crust.broker.topology import EVENTS
from crust.cli.main import app
from crust.cli.torture import torture
from crust.torture import brokers, fresh, reader
from crust.torture.faults import REGISTRY, Deed, fault
from crust.torture.plan import Plan
from crust.torture.process import ProcessFailed
from crust.torture.proxy import Weather
from crust.torture.rabbit import free_ports
from crust.torture.stage import Stage
from crust.torture.stores import Away, Postgres, SQLite
from crust.torture.trial import Outcome, run
from tests.conftest import POSTGRES_URL

pytestmark = pytest.mark.asyncio
SHORT = Plan(seed=1, broker="none", rate=20.0, listeners=4, crowd=40, scale=0.1)


@pytest.fixture
def folder() -> Iterator[Path]:
    """One into which other accounts can look, as they cannot into pytest's: RabbitMQ runs as one of those where root starts it."""
    with tempfile.TemporaryDirectory(prefix="crust-torture-") as name:
        Path(name).chmod(0o755)
        yield Path(name) / "trial"


async def outcomes(plan: Plan, *faults: str) -> list[Outcome]:
    return [outcome async for outcome in run(plan, faults, repeats=1, minutes=None, tell=lambda text: None)]


def must_pass(found: Sequence[Outcome], *faults: str) -> None:
    assert sorted(outcome.fault for outcome in found) == sorted(faults)
    for outcome in found:
        assert outcome.passed, outcome
        assert outcome.acknowledged == outcome.stored
        assert outcome.acknowledged > 30, "there was load"


@pytest.mark.postgres
@pytest.mark.rabbit
@pytest.mark.timeout(240)
async def test_two_nodes_survive(folder: Path) -> None:
    """Two nodes over PostgreSQL and a RabbitMQ of the trial's own: nothing is lost, doubled or out of order, all is at the head soon."""
    plan = replace(SHORT, database=POSTGRES_URL, broker="rabbit", folder=str(folder))
    faults = ("kill-broker", "deliveries", "clients-reset")
    found = await outcomes(plan, *faults)
    must_pass(found, *faults)
    by_name = {outcome.fault: outcome for outcome in found}
    assert by_name["clients-reset"].resumes >= 4, "every listener came back"
    assert " 0 dropped" not in by_name["deliveries"].what, "deliveries were dropped"
    assert by_name["deliveries"].healed > 0, "and read from the log"
    assert not (folder / "rabbit").exists(), "what was started is gone"


@pytest.mark.timeout(120)
async def test_one_node_survives() -> None:
    """One node over SQLite, without RabbitMQ, as it comes: its disk is full."""
    [full] = found = await outcomes(replace(SHORT, scale=0.2), "sqlite-full")
    must_pass(found, "sqlite-full")
    assert full.retries > 10, "nothing could be stored meanwhile"


@pytest.mark.parametrize(
    ("database", "broker"), [("sqlite", "none"), pytest.param(POSTGRES_URL, "rabbit", marks=[pytest.mark.postgres, pytest.mark.rabbit])]
)
@pytest.mark.timeout(240)
async def test_innocents_survive_a_plugin_of_the_worst(database: str, broker: str, request: pytest.FixtureRequest) -> None:
    """Handlers raise, hang, exit and loop, in a server and in workers, which are killed, too: the poison is parked, all else done once."""
    url = request.getfixturevalue("rabbit_url") if broker == "rabbit" else broker
    [poisoned] = found = await outcomes(replace(SHORT, database=database, broker=url, nodes=1, scale=0.05), "poison")
    must_pass(found, "poison")
    messages, bad, ended = map(int, re.findall(r"[0-9]+", poisoned.what))
    assert messages > 40
    assert bad >= 5, "of each kind"
    assert ended >= 6 + 2, "two of them end their process three times each"


# ---- what it finds


async def steal_a_message(stage: Stage) -> str:
    """A message that was acknowledged is deleted."""
    await asyncio.sleep(1)
    await stage.store.rows("DELETE FROM message WHERE id = (SELECT max(id) FROM message)")
    return "one"


async def repeat_a_message(stage: Stage) -> str:
    """A message that was acknowledged is stored once more."""
    sql = "INSERT INTO message SELECT id + 1, {rest} FROM message WHERE id = (SELECT max(id) FROM message)"
    columns = [row[1] for row in await stage.store.rows("PRAGMA table_info(message)")]
    await stage.store.rows(sql.format(rest=", ".join(f'"{name}"' for name in columns if name != "id")))
    return "one"


async def hide_an_event(stage: Stage) -> str:
    """A message's event is taken out of the log, after it was fanned out."""
    await asyncio.sleep(1)
    said = "SELECT max(position) FROM event WHERE event = 'created' AND position < (SELECT max(position) FROM event) - 3"
    await stage.store.rows(f"DELETE FROM event WHERE position = ({said})")
    return "one"


async def deafen_a_listener(stage: Stage) -> str:
    """A client loses what it has heard."""
    await asyncio.sleep(1)
    stage.listeners[0].heard.events.pop()
    return "one"


BROKEN: dict[Deed, str] = {
    steal_a_message: "lost",
    repeat_a_message: "stored twice",
    hide_an_event: "not in the log",
    deafen_a_listener: "not received",
}


async def skip_some(stage: Stage) -> str:
    """The relay's offset is moved on behind its back, past events that it could not publish."""
    with stage.weather("broker", Weather(refusing=True)):
        stage.reset("broker")
        await asyncio.sleep(2)
        await stage.store.rows("UPDATE consumer SET position = (SELECT position FROM log) WHERE name = 'relay'")
    return "what was said in two seconds"


async def lose_what_is_confirmed(stage: Stage) -> str:
    """RabbitMQ loses what is in a durable queue; whoever reads has it from the log."""
    assert stage.broker is not None
    await fresh.declare(stage)
    await asyncio.sleep(1)
    await stage.broker.call("DELETE", "queues", stage.broker.vhost, fresh.NAME, "contents")
    return "what was said in a second"


@pytest.fixture
def broken() -> Iterator[None]:
    """Faults that break what must hold, each by its function's name."""
    for deed in (*BROKEN, skip_some):
        fault(deed.__name__)(deed)
    fault(lose_what_is_confirmed.__name__, keeps=False)(lose_what_is_confirmed)
    yield
    for deed in (*BROKEN, skip_some, lose_what_is_confirmed):
        del REGISTRY[deed.__name__]


@pytest.mark.usefixtures("broken")
@pytest.mark.timeout(120)
async def test_what_is_broken_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """A lost message, a doubled one, a hole in the log and a deaf listener: each is counted as what it is, and the command fails."""
    with pytest.raises(SystemExit) as exit_:
        await torture(faults=",".join(deed.__name__ for deed in BROKEN), repeats=1, json=True, broker_url="none", rate=20, listeners=2)
    assert exit_.value.code == 1
    told = json.loads(capsys.readouterr().out)
    assert told["passed"] is False
    by_name = {outcome["fault"]: outcome for outcome in told["outcomes"]}
    for deed, kind in BROKEN.items():
        outcome = by_name[deed.__name__]
        assert outcome["passed"] is False
        assert outcome[kind.replace(" ", "_")] >= 1, outcome
        assert any(reason.startswith(kind) for reason in outcome["reasons"])


@pytest.mark.rabbit
@pytest.mark.usefixtures("broken")
@pytest.mark.timeout(120)
async def test_what_the_relay_leaves_out_is_reported(rabbit_url: str) -> None:
    """Events that never come by RabbitMQ, or are lost by it, are missed, although whoever reads heals from the log."""
    faults = ("skip_some", "lose_what_is_confirmed")
    found = {outcome.fault: outcome for outcome in await outcomes(replace(SHORT, broker=rabbit_url), *faults)}
    assert set(found) == set(faults)
    for outcome in found.values():
        assert outcome.wrongs.counts["never came by RabbitMQ"] > 0, outcome
        assert outcome.wrongs.counts["missed by the reader"] == 0
    assert found["skip_some"].healed > 0


# ---- what was given


@pytest.mark.postgres
async def test_a_query_has_the_time_that_it_is_given() -> None:
    """A fault that is one long query is not given up like a look."""
    store = Postgres(POSTGRES_URL)
    await store.open()
    try:
        assert await store.rows("SELECT 7 FROM pg_sleep($1)", 0.3, within_s=30) == [(7,)]
        with pytest.raises(Away):
            await store.rows("SELECT 7 FROM pg_sleep($1)", 30, within_s=0.3)
    finally:
        await store.close()


@asynccontextmanager
async def channel_on(url: str) -> AsyncIterator[AbstractChannel]:
    connection = await aiormq.connect(url)
    try:
        yield await connection.channel()
    finally:
        await connection.close()


@pytest.mark.rabbit
async def test_what_another_trial_has_left_is_removed(rabbit_url: str) -> None:
    """Before the first fault, so that nobody reads it as this trial's; what is somebody else's is let alone."""
    broker = brokers.Broker(rabbit_url)
    async with channel_on(rabbit_url) as channel:
        for name in (reader.QUEUE, "crust.v1.plugin.old", "mine"):
            await channel.queue_declare(name, durable=True)
        await broker.open()
        assert {each["name"] for each in await broker.call("GET", "queues", broker.vhost)} == {"mine"}


async def test_a_broker_that_cannot_be_cleared_is_not_used() -> None:
    """Its management API is not there: that is said, with the address."""
    broker = brokers.Broker(f"amqp://guest:guest@127.0.0.1:{free_ports()}/")
    with pytest.raises(ProcessFailed, match="management API, http://127"):
        await broker.open()


@pytest.mark.rabbit
async def test_another_logs_events_are_dropped(rabbit_url: str, tmp_path: Path) -> None:
    """The reader takes no message of another epoch, whatever its position."""
    store = SQLite(tmp_path)
    await store.rows("CREATE TABLE log AS SELECT 1 AS id, 0 AS position, 'ours' AS epoch")
    await store.rows("CREATE TABLE event (position, id)")
    keep = reader.Keep(tmp_path / "reader.db")
    async with channel_on(rabbit_url) as channel:
        await channel.exchange_declare(EVENTS, exchange_type="topic", durable=True)
        reading = asyncio.create_task(reader.Reader(rabbit_url, reader.Log(str(store.path)), keep, None).run())
        try:
            while keep.place() is None:
                await asyncio.sleep(0.05)
            for position, epoch in ((1, "another"), (9, "another"), (1, "ours")):
                await tell(channel, rabbit_url, position, epoch)
            while not keep.place():
                await asyncio.sleep(0.05)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
    kept = sqlite3.connect(tmp_path / "reader.db")
    assert kept.execute("SELECT position FROM came").fetchall() == [(1,)]
    kept.close()


async def tell(channel: AbstractChannel, url: str, position: int, epoch: str) -> None:
    """An event as the relay publishes it."""
    properties = Basic.Properties(user_id=urlsplit(url).username, message_id="7", headers={"position": position, "epoch": epoch})
    await channel.basic_publish(json.dumps({"position": position, "id": "7"}).encode(), exchange=EVENTS, properties=properties)


# ---- the command


def command(*arguments: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "crust.cli.main", "torture", *arguments]
    # Where the tests run in the background of a shell, they ignore interrupts, and so would what they start.
    return subprocess.Popen(
        ["/usr/bin/env", "--default-signal=INT", *line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


async def test_what_cannot_be_done_is_said() -> None:
    """A fault that there is not, or for which something is missing; the list says what there is."""
    for options, said in (
        (("--faults", "nonsense"), "there is no fault nonsense"),
        (("--database-url", "postgres://nobody@127.0.0.1:9/none"), "Connect"),
    ):
        process = command("--broker-url", "none", *options)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        assert said in errors
        assert "Traceback" not in errors
    process = command("--list", "--json")
    out, _ = process.communicate(timeout=60)
    assert {each["fault"] for each in json.loads(out)} == set(REGISTRY)


async def test_what_was_not_reached_is_said() -> None:
    """The minutes are over before a fault's turn: it is named, so that nobody takes it for passed; the verdict is about what was done."""
    process = command("--broker-url", "none", "--faults", "clients-reset,clients-slices", "--minutes", "0.01", "--scale", "0.1", "--json")
    out, errors = process.communicate(timeout=60)
    told = json.loads(out)
    assert (process.returncode, told["passed"], len(told["outcomes"])) == (0, True, 1)
    assert {told["outcomes"][0]["fault"], *told["not_reached"]} == {"clients-reset", "clients-slices"}
    assert f"not reached: {told['not_reached'][0]}" in errors


async def test_the_commands_of_the_readme_are_understood() -> None:
    """Each has options that there are, and faults."""
    text = (Path(__file__).parents[2] / "README.md").read_text().partition("\n## Torture\n")[2]
    lines = [line.partition("#")[0].split() for line in text.partition("```sh\n")[2].partition("```")[0].splitlines()]
    assert len(lines) == 4
    for line in lines:
        asked, bound, _ = app.parse_args(line[1:])
        assert asked is torture
        assert set(filter(None, str(bound.arguments.get("faults", "")).split(","))) <= set(REGISTRY)


@pytest.mark.timeout(120)
async def test_an_interrupt_ends_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it has started is ended, and what it has made is removed."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    process = command("--faults", "clients-delay", "--repeats", "9", "--broker-url", "none")
    told(process, "clients-delay")
    assert processes_in(tmp_path), "a node runs"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=40)
    assert process.returncode == 128 + signal.SIGINT
    assert processes_in(tmp_path) == []
    assert names_in(tmp_path) == []


@pytest.mark.rabbit
@pytest.mark.timeout(120)
async def test_what_is_just_being_started_is_ended(folder: Path) -> None:
    """SIGTERM while RabbitMQ comes up: it is waited for, and ended."""
    process = command("--faults", "kill-broker", "--repeats", "1", "--folder", str(folder))
    told(process, "starting the database and the broker")
    while not processes_in(folder):
        await asyncio.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert processes_in(folder) == []


def told(process: subprocess.Popen[str], what: str) -> None:
    """Wait until it says so."""
    assert process.stderr is not None
    while what not in (line := process.stderr.readline()):
        assert line, "it ended before"


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def processes_in(folder: Path) -> list[int]:
    """Those that run below a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if place.readlink().is_relative_to(folder):
                found.append(int(place.parts[2]))
        except OSError:
            continue
    return found
