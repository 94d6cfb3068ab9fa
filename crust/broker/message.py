"""Events and control messages as RabbitMQ carries them."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from crust.events.control import Control
from crust.events.event import HOP_MAX, Event
from crust.log.way import HOPS_MAX

JSON = "application/json"
TRANSIENT, PERSISTENT = 1, 2  # AMQP's delivery modes
EVENT = msgspec.json.Decoder(Event)
CONTROL: msgspec.json.Decoder[Control] = msgspec.json.Decoder(Control)


def event_properties(event: Event, epoch: str, account: str) -> Basic.Properties:
    """The properties of an event's message. RabbitMQ verifies `user_id`: it is the account of the connection, or it is refused."""
    return Basic.Properties(
        content_type=JSON,
        delivery_mode=PERSISTENT,
        message_id=str(event.id),
        timestamp=datetime.fromtimestamp(event.at // 1000, UTC),
        message_type=f"{event.type}.{event.event}",
        user_id=account,
        headers={
            "epoch": epoch,
            "position": event.position,
            "organisation": event.organisation,
            "channel": event.channel,
            # Bounded whatever the log has, as the body has it whole: RabbitMQ ends a connection whose headers are longer than a frame.
            "via": [hop[:HOP_MAX] for hop in event.via[:HOPS_MAX]],
        },
    )


def control_properties(message: Control, node: str, epoch: str, account: str) -> Basic.Properties:
    """The properties of a control message of a node."""
    return Basic.Properties(
        content_type=JSON,
        delivery_mode=TRANSIENT,
        message_type=str(message.__struct_config__.tag),
        user_id=account,
        headers={"epoch": epoch, "node": node},
    )


def reply_properties(correlation_id: str | None, account: str) -> Basic.Properties:
    """The properties of an answer to a program."""
    return Basic.Properties(content_type=JSON, delivery_mode=PERSISTENT, correlation_id=correlation_id, user_id=account)


def event_of(message: DeliveredMessage) -> Event:
    """The event in a message.

    Raises:
        ValueError: it holds none.
    """
    return EVENT.decode(message.body)


def control_of(message: DeliveredMessage) -> Control:
    """The control message in a message.

    Raises:
        ValueError: it holds none.
    """
    return CONTROL.decode(message.body)


def header(message: DeliveredMessage, name: str) -> object:
    """One of its headers; None where it has no such one."""
    return (message.header.properties.headers or {}).get(name)


def sent_to(message: DeliveredMessage, exchange: str) -> bool:
    """Whether it was published there.

    Otherwise somebody's binding or dead-letter exchange has brought it, and its `user_id` is of who published it elsewhere.
    """
    return getattr(message.delivery, "exchange", None) == exchange and header(message, "x-death") is None
