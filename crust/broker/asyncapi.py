"""The AsyncAPI 3 description of `crust.v1.events` and `crust.v1.inject`, made from the structs of what is sent."""

from __future__ import annotations

from typing import Any

import msgspec

from crust import __version__
from crust.broker import topology
from crust.broker.message import JSON, PERSISTENT, TRANSIENT
from crust.events.catalogue import CATALOGUE
from crust.events.inject import Inject, InjectReply

SCHEMAS = "#/components/schemas/"
PROPERTIES = "x-amqp-properties"  # of a message: `headers` is for the application's own, and must not have the protocol's
ID = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
VISIBILITIES = ["public", "private", "direct", "none"]
DESCRIPTION = (
    "Every change of what people share, in the order of its commit. Keep the last position that you have"
    " dealt with, and pass over what is not above it: a message may come twice. Whoever is granted everything sees positions without holes,"
    " and a hole is a sign that something was missed; who is granted a part sees holes. What a queue had no place for, or was said"
    " before it was there, is read by the HTTP API. Another `epoch` means that the"
    " server was restored: positions begin anew. Believe only messages whose `user_id` is the server's account, which RabbitMQ verifies."
    " Bind a queue whose name begins with your account's name and a dot to `o.<organisation>.<visibility>.#`, as far as you were granted."
    " Numbers beyond 2^53 occur: ids in the envelope are integers of 63 bits; those in the body are decimal strings."
    f" AsyncAPI has no place for most of AMQP's properties: `{PROPERTIES}` has a schema of a message's, by the names that RabbitMQ's"
    " clients give them; where an expression names one of them, it has to call it a header."
)
PARAMETERS = {
    "organisation": {"description": "Id of the organisation; 0: none."},
    "visibility": {"description": "That of the channel; none where there is no channel.", "enum": VISIBILITIES},
    "channel": {"description": "Id of the channel; 0: none."},
}
HEADERS = {
    "type": "object",
    "required": ["epoch", "position", "organisation", "channel", "via"],
    "properties": {
        "epoch": {"type": "string", "description": "Renewed when the server is restored."},
        "position": {**ID, "minimum": 1},
        "organisation": ID,
        "channel": ID,
        "via": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The links through which it has come; as in the body, cut where long.",
        },
    },
}
ACCOUNT = {"type": "string", "description": "The server's account, as RabbitMQ has verified."}
PERSISTENCE = {"const": PERSISTENT, "description": "Persistent."}
CORRELATION = {"type": "string", "maxLength": 255}
EVENT_PROPERTIES = {
    "type": "object",
    "required": ["content_type", "delivery_mode", "message_id", "timestamp", "type", "user_id"],
    "properties": {
        "content_type": {"const": JSON},
        "delivery_mode": PERSISTENCE,
        "message_id": {"type": "string", "pattern": "^[1-9][0-9]*$", "description": "The event's id; the same when it comes again."},
        "timestamp": {"type": "integer", "description": "When it was committed, in seconds since 1970, UTC; `at` has the milliseconds."},
        "type": {"type": "string", "description": "`<type>.<event>`, as `messageType` has it."},
        "user_id": ACCOUNT,
    },
    "additionalProperties": False,
}
INJECT_PROPERTIES = {
    "type": "object",
    "required": ["user_id"],
    "properties": {
        "user_id": {"type": "string", "description": "The program's account; RabbitMQ verifies it."},
        "reply_to": {"type": "string", "maxLength": 255, "description": "Where the answer goes; without it there is none."},
        "correlation_id": {**CORRELATION, "description": "What the answer is to bear."},
        "delivery_mode": {"enum": [TRANSIENT, PERSISTENT], "description": "2, so that it outlives a restart of RabbitMQ."},
    },
    "description": "No other is looked at.",
}
REPLY_PROPERTIES = {
    "type": "object",
    "required": ["content_type", "delivery_mode", "message_id", "user_id"],
    "properties": {
        "content_type": {"const": JSON},
        "delivery_mode": PERSISTENCE,
        "message_id": {"type": "string", "description": "Of this answer; another one when it comes again."},
        "correlation_id": {**CORRELATION, "description": "That of the message, if it had one."},
        "user_id": ACCOUNT,
    },
    "additionalProperties": False,
}
CORRELATED = {"description": "The AMQP property `correlation_id`.", "location": "$message.header#/correlation_id"}
INJECT_CHANNELS: dict[str, Any] = {
    "inject": {
        "address": topology.INJECT,
        "description": "What was said elsewhere, from programs whose accounts `broker.injects` names; the property `user_id` has to be the"
        " account. Without an answer, and after the error `unavailable`, send it again with the same `source_id`: it is posted once."
        f" Publish with confirms and `mandatory`: when {topology.INJECT_LENGTH:,} messages or {topology.INJECT_BYTES >> 20} MiB wait"
        " RabbitMQ refuses the next one with a nack, and what finds no queue it returns; neither was taken: send it again later."
        " What a binding or a dead-letter exchange moves there from elsewhere is passed over.",
        "messages": {"inject": {"$ref": "#/components/messages/inject"}},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {"name": topology.INJECT, "type": "direct", "durable": True, "autoDelete": False},
                "bindingVersion": "0.3.0",
            }
        },
    },
    "inject_reply": {
        "address": None,
        "description": "The queue that the message names in `reply_to`: one that RabbitMQ has named, or that begins with the account's name"
        " and a dot. Answers bear the message's `correlation_id`.",
        "messages": {"inject_reply": {"$ref": "#/components/messages/inject_reply"}},
    },
}
RECEIVE_INJECT: dict[str, Any] = {
    "action": "receive",
    "channel": {"$ref": "#/channels/inject"},
    "reply": {
        "address": {"description": "The AMQP property `reply_to`.", "location": "$message.header#/reply_to"},
        "channel": {"$ref": "#/channels/inject_reply"},
    },
    "bindings": {"amqp": {"ack": True, "bindingVersion": "0.3.0"}},
}


def asyncapi() -> dict[str, Any]:
    """The whole document."""
    bodies = list(dict.fromkeys(CATALOGUE.values()))
    schemas, components = msgspec.json.schema_components([*bodies, Inject, InjectReply], ref_template=f"{SCHEMAS}{{name}}")
    *events, inject, reply = schemas
    by_body = dict(zip(bodies, events, strict=True))
    names = {(type_, event): f"{type_}_{event}" for type_, event in CATALOGUE}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Crust events", "version": __version__, "description": DESCRIPTION},
        "defaultContentType": JSON,
        "channels": {**{name: channel(type_, event) for (type_, event), name in names.items()}, **INJECT_CHANNELS},
        "operations": {**{f"send_{name}": operation(name) for name in names.values()}, "receive_inject": RECEIVE_INJECT},
        "components": {
            "messages": {
                **{name: message(name, type_, event, by_body[CATALOGUE[type_, event]]) for (type_, event), name in names.items()},
                "inject": correlated("inject", "A message from elsewhere", INJECT_PROPERTIES, inject),
                "inject_reply": correlated("inject_reply", "What came of it", REPLY_PROPERTIES, reply),
            },
            "schemas": {**components, "Headers": HEADERS, "EventProperties": EVENT_PROPERTIES},
        },
    }


def channel(type_: str, event: str) -> dict[str, Any]:
    """Where one kind of event goes: the exchange, and the routing key."""
    return {
        "address": f"o.{{organisation}}.{{visibility}}.c.{{channel}}.{type_}.{event}",
        "parameters": PARAMETERS,
        "messages": {"event": {"$ref": f"#/components/messages/{type_}_{event}"}},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {"name": topology.EVENTS, "type": "topic", "durable": True, "autoDelete": False},
                "bindingVersion": "0.3.0",
            }
        },
    }


def operation(name: str) -> dict[str, Any]:
    """That the server sends it."""
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{name}"},
        "bindings": {"amqp": {"deliveryMode": 2, "timestamp": True, "bindingVersion": "0.3.0"}},
    }


def message(name: str, type_: str, event: str, body: dict[str, Any]) -> dict[str, Any]:
    """One kind of event."""
    return {
        "name": name,
        "title": f"{type_} {event}",
        "contentType": JSON,
        "headers": {"$ref": f"{SCHEMAS}Headers"},
        PROPERTIES: {"$ref": f"{SCHEMAS}EventProperties"},
        "payload": envelope(type_, event, body),
        "bindings": {"amqp": {"messageType": f"{type_}.{event}", "bindingVersion": "0.3.0"}},
    }


def correlated(name: str, title: str, properties: dict[str, Any], payload: dict[str, Any]) -> dict[str, Any]:
    """What a program sends, or is answered."""
    return {
        "name": name,
        "title": title,
        "contentType": JSON,
        "correlationId": CORRELATED,
        PROPERTIES: properties,
        "payload": payload,
    }


def envelope(type_: str, event: str, body: dict[str, Any]) -> dict[str, Any]:
    """An entry of the log around its body; see `crust.events.event.Event`."""
    properties = {
        "position": {**ID, "minimum": 1, "description": "Its place in the one order of all changes."},
        "id": {**ID, "minimum": 1},
        "organisation": ID,
        "channel": ID,
        "recipient": {**ID, "description": "Whom it concerns: with neither this nor a channel, all members of the organisation."},
        "object": {**ID, "description": "What has changed."},
        "visibility": {"enum": VISIBILITIES},
        "type": {"const": type_},
        "event": {"const": event},
        "body": body,
        "origin": {"type": ["string", "null"], "description": "The network on which it was first said; null: here."},
        "via": {"type": "array", "items": {"type": "string"}},
        "at": {**ID, "description": "Milliseconds since 1970, UTC."},
    }
    return {"type": "object", "required": list(properties), "properties": properties}
