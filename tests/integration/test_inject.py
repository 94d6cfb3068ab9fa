"""Programs without the database inject by RabbitMQ: once, in order, answered after the commit; what cannot be is answered and parked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiormq
import pytest
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from crust.broker import injecting, topology
from crust.broker.connection import declare
from crust.broker.injecting import Asked, Injecting
from crust.errors import NotFound, Unavailable
from crust.events.inject import InjectReply
from crust.host import programs, refused
from crust.host.desk import Desk
from crust.host.programs import Programs
from crust.log import Leases
from crust.log.tasks import end_all
from crust.settings import Settings
from crust.telemetry import Metrics
from tests.contracts.test_bridges import Toy, toy_at
from tests.support.people import channel
from tests.support.rabbit import Management

pytestmark = [pytest.mark.asyncio, pytest.mark.rabbit]
SAID = {"room": "#toy", "author": {"id": "ann@there", "name": "Ann"}, "contents": "hi", "source_id": "s1"}


class Program:
    """Another program, with a queue of its own for answers."""

    def __init__(self, channel: Any, queue: str) -> None:
        self.channel, self.queue = channel, queue
        self.taken: list[DeliveredMessage] = []
        self.answers: dict[str, dict[str, Any]] = {}
        self.order: list[str] = []

    async def take(self, message: DeliveredMessage) -> None:
        self.taken.append(message)
        number = message.header.properties.correlation_id or ""
        self.answers[number] = json.loads(message.body)
        self.order.append(number)

    async def send(self, number: str, body: bytes | None = None, user_id: str | None = "guest", **fields: Any) -> None:
        properties = Basic.Properties(reply_to=self.queue, correlation_id=number, user_id=user_id, delivery_mode=2)
        text = json.dumps({**SAID, **fields}).encode() if body is None else body
        await self.channel.basic_publish(text, exchange=topology.INJECT, routing_key=topology.INJECT, properties=properties)

    async def publish(self, exchange: str, key: str, user_id: str) -> None:
        """Write to anything, and wait for RabbitMQ's word."""
        await self.channel.basic_publish(b"{}", exchange=exchange, routing_key=key, properties=Basic.Properties(user_id=user_id))
        await self.channel.queue_declare(self.queue, passive=True)

    async def answer(self, number: str, within: float = 30.0) -> dict[str, Any]:
        async with asyncio.timeout(within):
            while number not in self.answers:
                await asyncio.sleep(0.01)
        return self.answers[number]

    async def ask(self, number: str, body: bytes | None = None, user_id: str | None = "guest", **fields: Any) -> dict[str, Any]:
        await self.send(number, body, user_id, **fields)
        return await self.answer(number)


@asynccontextmanager
async def program(url: str, answers: str = "") -> AsyncIterator[Program]:
    """One that may do everything; or one with an account of its own, and a queue for answers that begins with its name."""
    connection = await aiormq.connect(url)
    try:
        there = await connection.channel()
        if not answers:
            await declare(there, topology.inject("classic"), 5)  # whoever comes first
        queue = (await there.queue_declare(answers, exclusive=True)).queue or ""
        found = Program(there, queue)
        await there.basic_consume(queue, found.take, no_ack=True)
        yield found
    finally:
        await connection.close()


class Here(Programs):
    """A toy bridge with a link, as which the account guest may speak, and what reads the queue."""

    def __init__(self, toy: Toy, settings: Settings) -> None:
        self.counted = Metrics()
        self.instances, self.speaking = {"toy": toy.bridge}, {"guest": ["toy"]}
        super().__init__(toy.node.core, self.instances, self.speaking, self.counted)
        self.toy, self.settings = toy, settings
        self.lose = 0
        self.answered = 0

    async def answer(self, asked: Asked) -> InjectReply:
        """As in life; the next `lose` times the process is as if killed after the commit."""
        reply = await super().answer(asked)
        self.answered += 1
        if self.lose:
            self.lose -= 1
            raise ConnectionError("killed between commit and acknowledgement")
        return reply

    def also(self, name: str) -> None:
        """Let guest speak as another bridge, too, which is not at work yet, and has the same links."""
        self.instances[name] = self.toy.bridge
        self.speaking["guest"].append(name)

    @property
    def desk(self) -> Desk:
        node = self.toy.node
        return Desk(node.database, node.log, node.leases, node.consumers, node.clock)

    async def parked(self) -> list[dict[str, Any]]:
        return await self.desk.parked(consumer="inject")


@pytest.fixture
def node_settings(settings: Settings, rabbit_url: str) -> Settings:
    return settings.model_copy(update={"broker_url": rabbit_url})


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    return Settings(data_dir=tmp_path / "data")


@asynccontextmanager
async def here(settings: Settings) -> AsyncIterator[Here]:
    async with toy_at(settings) as toy:
        await toy.linked()
        found = Here(toy, settings)
        reader = Injecting(settings, toy.node.leases, found, found.counted)
        reading = asyncio.create_task(reader.always())
        try:
            yield found
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def test_a_queue_of_another_type_is_read_all_the_same(node_settings: Settings, rabbit_url: str) -> None:
    """What waits in it is from before the setting was changed, and has to go before `crust broker repair` can replace it."""
    quorum = node_settings.model_copy(update={"broker": node_settings.broker.model_copy(update={"queue_type": "quorum"})})
    async with program(rabbit_url) as bot:  # which makes a classic one
        await bot.send("1")
        async with here(quorum):
            assert (await bot.answer("1"))["state"] == "posted"


async def test_what_is_sent_is_posted_once_and_answered(node_settings: Settings, rabbit_url: str) -> None:
    """With its id; the same again gives the same, a revision changes it, and what comes in a row stands in a row."""
    async with here(node_settings) as at, program(rabbit_url) as bot:
        first = await bot.ask("1")
        assert first["state"] == "posted"
        again = await bot.ask("2")
        assert (again["state"], again["message_id"]) == ("duplicate", first["message_id"])
        edited = await bot.ask("3", contents="hello", revision=1)
        assert (edited["state"], edited["message_id"]) == ("edited", first["message_id"])
        for number in range(30):
            await bot.send(f"n{number}", contents=f"line {number}", source_id=f"n{number}")
        await bot.answer("n29")
        assert await at.toy.texts() == ["hello", *(f"line {number}" for number in range(30))]
        assert bot.order[3:] == [f"n{number}" for number in range(30)]
        message = await at.toy.node.core.messages.read_one(at.toy.ana, int(first["message_id"]))
        assert message.origin == "toy.example"
        assert await at.parked() == []


async def test_what_cannot_be_is_answered_and_parked(node_settings: Settings, rabbit_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Malformed, too long, from nobody, as somebody else, in no linked room: each is named, nothing is posted, the newest is kept."""
    monkeypatch.setattr(programs, "BODY_BYTES", 5000)
    async with here(node_settings) as at, program(rabbit_url) as bot:
        other = await channel(at.toy.node, at.toy.ana, name="theirs")
        bad: dict[str, tuple[str, dict[str, Any]]] = {
            "json": ("bad_request", {"body": b"{"}), "utf": ("bad_request", {"body": b'{"room": "\xff"}'}),
            "keys": ("bad_request", {"channel_id": str(other)}), "type": ("bad_request", {"revision": "1"}),
            "missing": ("bad_request", {"author": {"id": "x"}}), "long": ("too_large", {"contents": "x" * 6000}),
            "nobody": ("forbidden", {"user_id": None}), "forged": ("forbidden", {"instance": "other"}),
            "room": ("not_found", {"room": "#theirs"}), "name": ("invalid", {"room": "theirs"}),
        }  # fmt: skip
        for name, (code, fields) in bad.items():
            answer = await bot.ask(name, **fields)
            assert answer["error"]["code"] == code, (name, answer)
            assert "message_id" not in answer
        assert await at.toy.texts() == []
        parked = await at.parked()
        assert len(parked) == len(bad)
        assert {row["lane"] for row in parked} == {"guest", "-"}
        assert all(row["error"] and row["state"] == "parked" for row in parked)
        [shown] = await at.desk.delivery("inject", parked[0]["position"])
        assert "theirs" in shown["event"]["body"]
        monkeypatch.setattr(refused, "KEPT", 3)
        await bot.ask("more", body=b"?")
        assert next(row["error"].partition(":")[0] for row in await at.parked()) == "bad_request"
        assert len(await at.parked()) == 3


async def test_what_was_said_is_changed_reacted_to_and_taken_back(node_settings: Settings, rabbit_url: str) -> None:
    """By its id there, by whoever did it; each again is no error; what nobody knows is refused."""
    async with here(node_settings) as at, program(rabbit_url) as bot:
        first = await bot.ask("1")
        bob = {"author": {"id": "bob@there", "name": "Bob"}}
        acts: list[tuple[dict[str, Any], str]] = [
            ({"action": "edit", "contents": "hello"}, "edited"), ({"action": "react", "emoji": "👍", **bob}, "reacted"),
            ({"action": "react", "emoji": "🎉", **bob}, "reacted"), ({"action": "unreact", "emoji": "🎉", **bob}, "unreacted"),
        ]  # fmt: skip
        for number, (fields, state) in enumerate(acts):
            assert await bot.ask(f"act {number}", **fields) == {"state": state}
            assert await bot.ask(f"act {number} again", **fields) == {"state": state}
        assert await at.toy.texts() == ["hello"]
        message = await at.toy.node.core.messages.read_one(at.toy.ana, int(first["message_id"]))
        assert [(each.emoji, each.count) for each in message.reactions] == [("👍", 1)]
        for number in range(2):
            assert await bot.ask(f"removed {number}", action="remove") == {"state": "removed"}
        assert await at.toy.texts() == []
        assert (await bot.ask("unknown", action="edit", source_id="s9", contents="x"))["error"]["code"] == "not_found"
        assert (await bot.ask("wrong", action="shout"))["error"]["code"] == "bad_request"
        assert (await bot.ask("nothing", source_id="s10", contents=""))["error"]["code"] == "invalid"
        assert at.counted.injects["guest", "posted"] == 1
        assert at.counted.injects["guest", "parked"] == 3


async def test_what_was_refused_is_done_once_its_reason_is_mended(
    node_settings: Settings, rabbit_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When an operator asks for it; refused anew it is parked anew; what was too long to be kept has to be sent again."""
    monkeypatch.setattr(injecting, "REPLAY_S", 0.05)
    monkeypatch.setattr(refused, "BODY", 300)
    async with here(node_settings) as at, program(rabbit_url) as bot:
        for number in range(3):
            await bot.ask(f"{number}", room="#later", source_id=f"s{number}", contents=f"line {number}")
        await bot.ask("long", room="#later", source_id="long", contents="x" * 300)
        await bot.ask("wrong", room="#never", source_id="never")
        await at.toy.linked("#later")
        assert await at.desk.replay(consumer="inject", lane="somebody") == (0, 0)
        assert await at.desk.replay(consumer="inject") == (4, 0)
        async with asyncio.timeout(20):
            while len(left := await at.parked()) != 2 or any(row["state"] == "waiting" for row in left):
                await asyncio.sleep(0.02)
        assert await at.toy.texts() == ["line 0", "line 1", "line 2"]
        assert sorted(row["error"].partition(":")[0] for row in left) == ["not_found", "not_found"]
        assert sorted(row["whole"] for row in left) == [False, True]
        assert await at.desk.drop("inject", left[0]["position"]) == 1
        assert len(await at.parked()) == 1
        with pytest.raises(NotFound):
            await at.desk.drop("inject", left[0]["position"])


async def test_who_may_read_no_longer_lets_nobody_in(node_settings: Settings, rabbit_url: str) -> None:
    """A link holds as long as its maker may read its channel; what is sent until then is refused, and kept."""
    async with here(node_settings) as at, program(rabbit_url) as bot:
        assert (await bot.ask("1"))["state"] == "posted"
        ana = at.toy.ana
        await at.toy.node.core.profiles.suspend(ana.username)
        assert (await bot.ask("2", source_id="s2"))["error"]["code"] == "forbidden"
        assert len(await at.parked()) == 1


async def test_connections_that_are_cut_lose_nothing(node_settings: Settings, rabbit_url: str) -> None:
    """All of RabbitMQ's connections, three times in the middle of it: what is not answered comes again, and is posted once."""
    async with here(node_settings) as at:
        sent = 0
        for _ in range(3):
            async with program(rabbit_url) as bot:
                for number in range(sent, sent + 20):
                    await bot.send(f"n{number}", contents=f"line {number}", source_id=f"n{number}")
                await bot.answer(f"n{sent + 4}")
                sent += 20
                await asyncio.to_thread(cut, rabbit_url)
                await asyncio.sleep(0.1)
        async with program(rabbit_url) as bot:
            assert (await bot.ask("last", contents=f"line {sent}", source_id="last"))["state"] == "posted"
        assert await at.toy.texts() == [f"line {number}" for number in range(sent + 1)]


def cut(url: str) -> None:
    """End all connections to our vhost."""
    management, vhost = Management(url), urlsplit(url).path.lstrip("/")
    for each in management.call("GET", "vhosts", vhost, "connections"):
        management.call("DELETE", "connections", each["name"])


async def test_a_rule_that_refuses_is_told_and_not_parked(node_settings: Settings, rabbit_url: str) -> None:
    """Somebody who says the same again and again is paused."""
    async with here(node_settings) as at, program(rabbit_url) as bot:
        answers = [await bot.ask(f"r{number}", source_id=f"r{number}") for number in range(6)]
        assert answers[-1]["error"]["code"] == "rate_limited"
        assert answers[-1]["error"]["retry_after"] > 0
        assert await at.parked() == []


async def test_whatever_dies_nothing_is_lost_or_doubled(node_settings: Settings, rabbit_url: str) -> None:
    """Between commit and acknowledgement, and with the queue itself, what was not answered is sent again by the program, under its id."""
    async with here(node_settings) as at, program(rabbit_url) as bot:
        at.lose = 3
        first = await bot.ask("1")
        assert (first["state"], at.answered) == ("duplicate", 4), "it comes again until it is acknowledged"
        assert await at.toy.texts() == ["hi"]
        await bot.channel.queue_delete(topology.INJECT)
        for attempt in range(100):
            await bot.send(f"again {attempt}", contents="after", source_id="s2")
            await asyncio.sleep(0.1)
            if bot.answers.get(f"again {attempt}"):
                break
        assert await at.toy.texts() == ["hi", "after"]


async def test_a_bridge_that_is_not_at_work_holds_nobody_up(node_settings: Settings, rabbit_url: str) -> None:
    """Who speaks as it is told so at once, as often as they like; what nobody waits for is kept; what others say goes on."""
    async with here(node_settings) as at, program(rabbit_url) as bot:
        at.also("later")
        for number in range(2 * injecting.PREFETCH):
            await bot.send(f"l{number}", instance="later", source_id=f"l{number}")
        assert (await bot.ask("1", instance="toy"))["state"] == "posted"
        for number in range(2 * injecting.PREFETCH):
            assert (await bot.answer(f"l{number}"))["error"]["code"] == "unavailable"
        assert await at.parked() == []
        bot.queue = ""
        await bot.send("unanswered", instance="later", source_id="s2")
        async with asyncio.timeout(10):
            while not await at.parked():
                await asyncio.sleep(0.01)


async def test_what_waits_is_done_again_when_it_can_be_and_holds_up_no_other(
    node_settings: Settings, rabbit_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bridge that is not at work, and somebody who is paused: what operators want stays wanted until then."""
    monkeypatch.setattr(injecting, "REPLAY_S", 0.05)
    async with here(node_settings) as at, program(rabbit_url) as bot:
        bot.queue = ""
        at.also("later")
        await bot.send("1", instance="later", source_id="s1", contents="late")
        await bot.send("2", instance="toy", room="#other", source_id="s2", contents="other")
        async with asyncio.timeout(10):
            while len(await at.parked()) < 2:
                await asyncio.sleep(0.01)
            await at.toy.linked("#other")
            await at.desk.replay(consumer="inject")
            while await at.toy.texts() != ["other"] or [row["state"] for row in await at.parked()] != ["waiting"]:
                await asyncio.sleep(0.01)
            links = at.toy.node.core.links
            links.bridges["later"] = links.bridges["toy"]
            while await at.toy.texts() != ["other", "late"]:
                await asyncio.sleep(0.01)


async def test_who_has_no_way_to_rabbitmq_lets_another_read(node_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that cannot reach it gives the lease back, though its database is there: else programs' messages would wait for it."""
    monkeypatch.setattr(injecting, "AWAY_S", 0.5)
    monkeypatch.setattr(injecting, "LOOK_S", 0.05)
    nowhere = urlunsplit(urlsplit(node_settings.broker_url)._replace(netloc="guest:guest@127.0.0.1:9"))
    async with toy_at(node_settings) as toy:
        cut_off, metrics = node_settings.model_copy(update={"broker_url": nowhere}), Metrics()
        others = Leases(toy.node.database, "another")
        first = asyncio.create_task(Injecting(cut_off, toy.node.leases, Here(toy, cut_off), Metrics()).always())
        async with asyncio.timeout(10):
            while "inject" not in await others.all():
                await asyncio.sleep(0.01)
        second = asyncio.create_task(Injecting(node_settings, others, Here(toy, node_settings), metrics).always())
        try:
            async with asyncio.timeout(40):
                while metrics.broker_connected.values.get("injecting") != 1.0:
                    await asyncio.sleep(0.05)
            assert (await others.all())["inject"]["owner"] == "another"
        finally:
            await end_all(first, second)


async def test_what_cannot_be_stored_for_long_is_said(node_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """To whom waits for it: they send it again, and others have its place; what nobody waits for is tried on."""
    monkeypatch.setattr(injecting, "AGAIN_S", 0)

    class Away(Here):
        async def answer(self, asked: Asked) -> InjectReply:
            self.answered += 1
            if self.answered > 2 * injecting.TRIES:
                return InjectReply(state="posted")
            raise Unavailable("The database is away.")

    async with toy_at(node_settings) as toy:
        for told, state, answered in ((True, None, injecting.TRIES), (False, "posted", 2 * injecting.TRIES + 1)):
            away = Away(toy, node_settings)
            reply = await Injecting(node_settings, toy.node.leases, away, Metrics()).dealt_with(Asked("guest", b"{}", told))
            assert (reply.state, away.answered) == (state, answered)
            assert (reply.error or {}).get("code") == ("unavailable" if told else None)


@pytest.mark.parametrize("queue", ["crust.v1.node.x", "crust.v1.inject", "somebody.else", ""])
async def test_answers_go_to_the_askers_queues_alone(queue: str) -> None:
    """Nobody has the server write into a queue of the server's, or of another program."""
    assert not topology.may_be_answered("guest", queue)
    assert topology.may_be_answered("guest", "guest.answers")
    assert topology.may_be_answered(None, "amq.gen-abc")
