"""Programs without the database inject by RabbitMQ: once, in order, answered after the commit; what cannot be is answered and parked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiormq
import pytest
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from crust.broker import topology
from crust.broker.connection import declare
from crust.broker.injecting import Asked, Injecting
from crust.events.inject import InjectReply
from crust.host import programs, refused
from crust.host.desk import Desk
from crust.host.programs import Programs
from crust.settings import Settings
from crust.telemetry import Metrics
from tests.contracts.test_bridges import Toy, toy_at
from tests.support.people import channel

pytestmark = [pytest.mark.asyncio, pytest.mark.rabbit]
SAID = {"room": "#toy", "author": {"id": "ann@there", "name": "Ann"}, "contents": "hi", "source_id": "s1"}


class Program:
    """Another program, with a queue of its own for answers."""

    def __init__(self, channel: Any, queue: str) -> None:
        self.channel, self.queue = channel, queue
        self.answers: dict[str, dict[str, Any]] = {}
        self.order: list[str] = []

    async def take(self, message: DeliveredMessage) -> None:
        number = message.header.properties.correlation_id or ""
        self.answers[number] = json.loads(message.body)
        self.order.append(number)

    async def send(self, number: str, body: bytes | None = None, user_id: str | None = "guest", **fields: Any) -> None:
        properties = Basic.Properties(reply_to=self.queue, correlation_id=number, user_id=user_id, delivery_mode=2)
        text = json.dumps({**SAID, **fields}).encode() if body is None else body
        await self.channel.basic_publish(text, exchange=topology.INJECT, routing_key=topology.INJECT, properties=properties)

    async def answer(self, number: str, within: float = 30.0) -> dict[str, Any]:
        async with asyncio.timeout(within):
            while number not in self.answers:
                await asyncio.sleep(0.01)
        return self.answers[number]

    async def ask(self, number: str, body: bytes | None = None, user_id: str | None = "guest", **fields: Any) -> dict[str, Any]:
        await self.send(number, body, user_id, **fields)
        return await self.answer(number)


@asynccontextmanager
async def program(url: str) -> AsyncIterator[Program]:
    connection = await aiormq.connect(url)
    try:
        there = await connection.channel()
        await declare(there, topology.base("classic"), 5)  # whoever comes first
        queue = (await there.queue_declare("", exclusive=True)).queue or ""
        found = Program(there, queue)
        await there.basic_consume(queue, found.take, no_ack=True)
        yield found
    finally:
        await connection.close()


class Here:
    """A toy bridge with a link, as which the account guest may speak, and what reads the queue."""

    def __init__(self, toy: Toy, settings: Settings) -> None:
        self.toy, self.settings = toy, settings
        self.programs = Programs(toy.node.core, {"toy": toy.bridge}, {"guest": ["toy"]})
        self.lose = 0
        self.answered = 0

    async def answer(self, asked: Asked) -> InjectReply:
        """As in life; the next `lose` times the process is as if killed after the commit."""
        reply = await self.programs.answer(asked)
        self.answered += 1
        if self.lose:
            self.lose -= 1
            raise ConnectionError("killed between commit and acknowledgement")
        return reply

    async def parked(self) -> list[dict[str, Any]]:
        node = self.toy.node
        return await Desk(node.database, node.log, node.leases, node.consumers, node.clock).parked(consumer="inject")


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
        reader = Injecting(settings, toy.node.leases, found.programs.lane, found.answer, Metrics())
        reading = asyncio.create_task(reader.always())
        try:
            yield found
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


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
        node = at.toy.node
        desk = Desk(node.database, node.log, node.leases, node.consumers, node.clock)
        [shown] = await desk.delivery("inject", parked[0]["position"])
        assert "theirs" in shown["event"]["body"]
        monkeypatch.setattr(refused, "KEPT", 3)
        await bot.ask("more", body=b"?")
        assert next(row["error"].partition(":")[0] for row in await at.parked()) == "bad_request"
        assert len(await at.parked()) == 3


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


@pytest.mark.parametrize("queue", ["crust.v1.node.x", "crust.v1.inject", "somebody.else", ""])
async def test_answers_go_to_the_askers_queues_alone(queue: str) -> None:
    """Nobody has the server write into a queue of the server's, or of another program."""
    assert not topology.may_be_answered("guest", queue)
    assert topology.may_be_answered("guest", "guest.answers")
    assert topology.may_be_answered(None, "amq.gen-abc")
