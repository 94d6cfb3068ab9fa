"""What `crust events schema` says is what goes out over RabbitMQ."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiormq
import jsonschema_rs
import pytest
from aiormq.abc import DeliveredMessage

from crust.broker.asyncapi import PROPERTIES, asyncapi
from crust.broker.topology import EVENTS, INJECT
from crust.errors import BadRequest
from crust.events.catalogue import CATALOGUE
from crust.host.programs import decoded
from crust.runtime import Node, opened
from crust.services.actor import Actor
from crust.settings import Settings
from tests.integration.test_inject import here, program
from tests.support.bridges import bridged, linked
from tests.support.outsider import outsider
from tests.support.people import channel, organisation, person, put, say

LEFT_OUT = {"delivery.changed"}  # of live messages: nothing here delivers what is said to a bridge
PARAMETER = re.compile(r"\{(\w+)\}")
VALUES = {"organisation": r"\d+", "channel": r"\d+", "visibility": "(public|private|direct|none)"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """As the command prints it."""
    done = subprocess.run([sys.executable, "-m", "crust.cli.main", "events", "schema"], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (each for key, each in value.items() if key == "$ref")
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def resolved(document: dict[str, Any], reference: str) -> Any:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def test_every_event_is_described(document: dict[str, Any]) -> None:
    """One channel, operation and message for each kind in the catalogue; nothing refers to what is not there; ours is what is printed."""
    names = {f"{type_}_{event}" for type_, event in CATALOGUE}
    for part in ("channels", "operations"):
        document = {**document, part: {name: each for name, each in document[part].items() if "inject" not in name}}
    messages = {name: each for name, each in document["components"]["messages"].items() if "inject" not in name}
    assert document["asyncapi"] == "3.0.0"
    assert set(document["channels"]) == names == set(messages)
    assert {each["channel"]["$ref"] for each in document["operations"].values()} == {f"#/channels/{name}" for name in names}
    assert all(resolved(document, reference) for reference in set(references(document)))
    for each in channels(document):
        assert set(PARAMETER.findall(each["address"])) == set(each["parameters"])
        assert each["bindings"]["amqp"]["exchange"]["name"] == EVENTS


def test_what_programs_send_is_described(document: dict[str, Any]) -> None:
    """With its answer; what is printed is what is made, and what the schema takes and refuses is what the server does."""
    assert document == json.loads(json.dumps(asyncapi()))
    assert all(resolved(document, reference) for reference in set(references(document)))
    assert document["channels"]["inject"]["address"] == INJECT
    schema = {**document["components"]["messages"]["inject"]["payload"], "components": document["components"]}
    good = {"room": "#x", "author": {"id": "a", "name": "A"}, "contents": "hi", "source_id": "1"}
    for said in (good, {**good, "revision": 2}, {**good, "room": ""}, {**good, "channel_id": "1"}, {**good, "verdict": "sure"}, {}):
        try:
            decoded(json.dumps(said).encode())
            fine = True
        except BadRequest:
            fine = False
        assert jsonschema_rs.is_valid(schema, said) is fine, said


def channels(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of events."""
    return [each for name, each in document["channels"].items() if not name.startswith("inject")]


def properties_of(message: DeliveredMessage) -> dict[str, Any]:
    """AMQP's, but for the headers, by the names of the protocol: a program's client gives them so."""
    found: dict[str, Any] = {name: value for name, value in message.header.properties if value not in (None, "") and name != "headers"}
    if "message_type" in found:
        found["type"] = found.pop("message_type")
    if "timestamp" in found:
        found["timestamp"] = int(found["timestamp"].timestamp())
    return found


def differences(document: dict[str, Any], message: dict[str, Any], parts: dict[str, Any]) -> list[str]:
    """How the parts of a message differ from its description."""
    found = []
    for part, value in parts.items():
        schema = {"components": document["components"], **message[part]}
        found += [f"{part}: {error.message}" for error in jsonschema_rs.Draft202012Validator(schema).iter_errors(value)]
    return found


def faults(document: dict[str, Any], key: str, properties: dict[str, Any], headers: dict[str, Any], body: bytes) -> list[str]:
    """How an event's message differs from its description, which is found by its routing key as a program would."""
    patterns = [(PARAMETER.sub(lambda match: VALUES[match[1]], each["address"].replace(".", r"\.")), each) for each in channels(document)]
    found = [each for pattern, each in patterns if re.fullmatch(pattern, key)]
    if len(found) != 1:
        return [f"{len(found)} channels for {key}"]
    message, event = resolved(document, found[0]["messages"]["event"]["$ref"]), json.loads(body)
    said = {
        "type": message["bindings"]["amqp"]["messageType"],
        "message_id": str(event.get("id")),
        "timestamp": event.get("at", 0) // 1000,
        "content_type": message["contentType"],
        "delivery_mode": document["operations"][f"send_{message['name']}"]["bindings"]["amqp"]["deliveryMode"],
    }
    wrong = [f"{name}: {properties.get(name)!r}" for name, value in said.items() if properties.get(name) != value]
    return wrong + differences(document, message, {"payload": event, "headers": headers, PROPERTIES: properties})


def faults_of(document: dict[str, Any], message: DeliveredMessage) -> list[str]:
    key = message.delivery.routing_key  # type: ignore[union-attr]  # a delivery, no answer to get
    return faults(document, str(key), properties_of(message), dict(message.header.properties.headers or {}), message.body)


async def busy(node: Node) -> None:
    """Something of every kind but what is `LEFT_OUT`."""
    ana, bob = await person(node, "ana", is_admin=True), await person(node, "bob")
    place, other = await organisation(node, ana, bob), await organisation(node, ana, bob, name="Beside")
    await talk(node, ana, bob, await channel(node, ana, bob, organisation_id=place))
    await changing_teams(node, ana, bob, place, other)
    await changing_channels(node, ana, bob, place, other)
    await changing_organisation(node, ana, bob, other)
    await node.core.instances.tell("polls", "failed", "as it happens")
    await node.core.instances.tell_of_bridge("toy", "failed", "as it happens", None)


async def talk(node: Node, ana: Actor, bob: Actor, room: int) -> None:
    messages, message = node.core.messages, int((await say(node, bob, room, "hello @ana")).id)
    await messages.edit(bob, message, "hello", None)
    await messages.react(ana, message, "👍")
    await messages.unreact(ana, message, "👍")
    await messages.pin(ana, message)
    await messages.unpin(ana, message)
    await messages.flag(ana, message, flagged=True)
    await messages.flag(ana, message, flagged=False)
    await put(node, bob, "plan.txt", b"oats", channel_id=room, contents="here")
    await messages.remove(bob, message)


async def changing_teams(node: Node, ana: Actor, bob: Actor, place: int, other: int) -> None:
    teams, moving = node.core.teams, node.core.moving
    one, two = [int((await teams.create(ana, name, [bob.user_id], place, None)).id) for name in ("Builders", "Bakers")]
    room = await channel(node, ana, bob, organisation_id=place, name="site")
    await moving.move(ana, room, team_id=one, organisation_id=None)
    await moving.share(ana, room, two)
    await moving.unshare(ana, room, two)
    await teams.change(ana, one, "Masons", None)
    await teams.merge(ana, one, two)  # which archives the other
    await teams.archive(ana, two, archived=False)
    await moving.move_team(ana, one, other)
    await teams.remove(ana, two)


async def changing_channels(node: Node, ana: Actor, bob: Actor, place: int, other: int) -> None:
    core, bot = node.core, await person(node, "toy")
    room, quiet = [await channel(node, ana, bob, organisation_id=place, name=name) for name in ("room", "quiet")]
    await core.channels.set_topic(ana, room, "What is new", None)
    bridged(node, bot.user_id)
    await core.links.unlink(ana, (await linked(node, room)).id)
    await core.merging.merge(ana, room, quiet)  # which archives the other
    await core.archiving.archive(ana, room)
    await core.archiving.unarchive(ana, room)
    await core.moving.move(ana, room, team_id=None, organisation_id=other)
    await core.archiving.remove(ana, room)


async def changing_organisation(node: Node, ana: Actor, bob: Actor, place: int) -> None:
    core = node.core
    await core.organisations.give_role(ana, place, bob.user_id, "admin")
    await core.organisations.rename(ana, place, "Further off")
    await core.organisations.archive(ana, place, archived=True)
    await core.organisations.archive(ana, place, archived=False)
    await core.organisations.remove(ana, place)
    await core.profiles.edit(bob, "Bob B.", None)
    await core.sessions.sign_in("bob", "correct horse", "laptop", "", "")
    await core.profiles.suspend("bob")  # which ends the session


@pytest.mark.asyncio
@pytest.mark.rabbit
async def test_live_messages_are_as_described(document: dict[str, Any], settings: Settings, rabbit_url: str) -> None:
    """Every message of the exchange fits its description, and none that was tampered with does."""
    connection = await aiormq.connect(rabbit_url)  # a program that is there before anything is published
    await (await connection.channel()).exchange_declare(EVENTS, exchange_type="topic", durable=True)
    await connection.close()
    connected = settings.model_copy(update={"broker_url": rabbit_url})
    async with outsider(rabbit_url) as program, opened(connected, connected=True) as node:
        await busy(node)
        head = (await node.log.head()).position
        messages = await program.until(head)
    assert len(messages) == head
    assert [fault for message in messages for fault in faults_of(document, message)] == []
    kinds = {message.header.properties.message_type for message in messages}
    assert {f"{type_}.{event}" for type_, event in CATALOGUE} - kinds == LEFT_OUT
    last = messages[-1]
    properties, headers, event = properties_of(last), dict(last.header.properties.headers or {}), json.loads(last.body)
    key = str(last.delivery.routing_key)  # type: ignore[union-attr]
    described = document["components"]["schemas"]["EventProperties"]["properties"]
    assert (set(properties), properties["user_id"]) == (set(described), "guest")
    for broken in ({**event, "position": "7"}, {**event, "body": {}}, {**event, "type": "other"}, {"position": 1}):
        assert faults(document, key, properties, headers, json.dumps(broken).encode())
    for name in described:
        assert faults(document, key, {**properties, name: 0}, headers, last.body), name
        assert faults(document, key, {each: properties[each] for each in properties if each != name}, headers, last.body), name
    assert faults(document, key, {**properties, "priority": 1}, headers, last.body)
    assert faults(document, key, properties, {**headers, "epoch": 5}, last.body)
    assert faults(document, "o.1.secret.c.5.message.created", properties, headers, last.body)


@pytest.mark.asyncio
@pytest.mark.rabbit
async def test_live_injects_and_their_answers_are_as_described(document: dict[str, Any], tmp_path: Path, rabbit_url: str) -> None:
    """What a program sends, as another one sees it on the exchange, and what it is answered: each part, and each property by its name."""
    settings = Settings(data_dir=tmp_path / "data", broker_url=rabbit_url)
    sent, answers = document["components"]["messages"]["inject"], document["components"]["messages"]["inject_reply"]
    async with here(settings), program(rabbit_url) as bot, program(rabbit_url) as other:
        await other.channel.queue_bind(other.queue, INJECT, INJECT)
        assert "state" in await bot.ask("posted")
        assert "error" in await bot.ask("refused", room="#nowhere")
        await other.answer("refused")
    for message, taken in ((sent, other.taken), (answers, bot.taken)):
        for each in taken:
            parts = {"payload": json.loads(each.body), PROPERTIES: properties_of(each)}
            assert differences(document, message, parts) == []
            assert properties_of(each).keys() >= message[PROPERTIES]["properties"].keys()
            assert properties_of(each)["user_id"] == "guest"
            assert message["correlationId"]["location"] == "$message.header#/correlation_id"
    assert [properties_of(each)["correlation_id"] for each in bot.taken] == ["posted", "refused"]
    location = document["operations"]["receive_inject"]["reply"]["address"]["location"].rpartition("/")[2]
    assert {properties_of(each)[location] for each in other.taken} == {bot.queue}
