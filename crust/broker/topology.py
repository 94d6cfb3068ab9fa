"""Every name on RabbitMQ, in one place.

`v1` is part of each: what has other arguments one day gets another name, and never meets what is there with PRECONDITION_FAILED.

    crust.v1.events             topic exchange: all events; public
    crust.v1.control            fanout exchange: what nodes tell each other beside the log
    crust.v1.inject             direct exchange and durable queue: programs inject messages
    crust.v1.node.<id>          exclusive, auto-delete, bounded: a process' fan-out; bound to all events and to control

Plugins have no queues of their own: what an instance has yet to deal with stands in the database, and the process' queue tells that there
is something. So nothing of theirs can be full, deleted or forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from crust.events.event import Event

EVENTS = "crust.v1.events"
CONTROL = "crust.v1.control"
INJECT = "crust.v1.inject"
NODE = "crust.v1.node."
EVERYTHING = "#"  # the binding of who reads all events

PREFIX = "crust.v1."  # of every name above
OURS = r"crust\.v1\."  # the same, as RabbitMQ's regular expressions have it
NOTHING = "^$"  # no name of ours
MAY_INJECT = rf"|{OURS}inject"  # at the end of what an account may write to
NODE_BYTES = 67_108_864  # most that waits in a node's queue; older messages are dropped, and read from the log
OUTSIDE_LENGTH = 100_000  # the same for queues of other programs, which nobody may ever read
OUTSIDE_BYTES = 268_435_456
INJECT_LENGTH = 100_000  # most that waits for a node to read it; what comes then is refused, and its program keeps it
INJECT_BYTES = 67_108_864

QueueType = Literal["classic", "quorum"]


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange; all of ours are durable."""

    name: str
    type: Literal["topic", "fanout", "direct"]


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue. `exclusive` ones belong to a connection and end with it."""

    name: str
    exclusive: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def durable(self) -> bool:
        return not self.exclusive


@dataclass(frozen=True, slots=True)
class Binding:
    """What of an exchange goes into a queue."""

    exchange: str
    queue: str
    key: str


@dataclass(frozen=True, slots=True)
class Topology:
    """What has to be there before anything is published or read."""

    exchanges: tuple[Exchange, ...] = ()
    queues: tuple[Queue, ...] = ()
    bindings: tuple[Binding, ...] = ()


READ = (Exchange(EVENTS, "topic"), Exchange(CONTROL, "fanout"))  # by nodes, and written to


def inject(queue_type: QueueType) -> Topology:
    """What programs send to."""
    return Topology(
        (Exchange(INJECT, "direct"),),
        (Queue(INJECT, arguments={"x-queue-type": queue_type}),),
        (Binding(INJECT, INJECT, INJECT),),
    )


def node(queue: str, length: int) -> Topology:
    """A node's own queue, and what it is bound to: lossy on purpose, because what is missing is read from the log."""
    arguments = {"x-queue-type": "classic", "x-max-length": length, "x-max-length-bytes": NODE_BYTES, "x-overflow": "drop-head"}
    return Topology(
        READ,
        (Queue(queue, exclusive=True, arguments=arguments),),
        (Binding(EVENTS, queue, EVERYTHING), Binding(CONTROL, queue, "")),
    )


def routing_key(event: Event) -> str:
    """`o.<organisation>.<visibility>.c.<channel>.<type>.<event>`; 0 where there is no organisation or channel."""
    return f"o.{event.organisation}.{event.visibility}.c.{event.channel}.{event.type}.{event.event}"


# ---- what other programs may do


@dataclass(frozen=True, slots=True)
class Permissions:
    """What an account may do in our vhost, as RabbitMQ's regular expressions; `topics` is what it may read of `crust.v1.events`."""

    configure: str
    write: str
    read: str
    topics: str


def core_permissions() -> Permissions:
    """Those of the account in `broker_url`."""
    return Permissions(configure=".*", write=".*", read=".*", topics=".*")


def account_permissions(account: str, grants: list[str], *, injects: bool) -> Permissions:
    """Those of another program's account: queues of its own, what it is granted of `crust.v1.events`, and perhaps `crust.v1.inject`.

    A queue is its own when its name begins with the account's, or was made up by RabbitMQ; none of ours is.

    Args:
        account: its name.
        grants: `<organisation or *>.<visibility or *>`, each.
        injects: whether `broker.injects` names it.
    """
    own = rf"(?!{OURS}){account}\..*|amq\.gen-.*"
    prefixes = "|".join(sorted(_prefix(grant) for grant in grants))
    return Permissions(
        configure=f"^({own})$",
        write=f"^({own}{MAY_INJECT})$" if injects else f"^({own})$",
        read=rf"^({own}|{OURS}events)$" if grants else f"^({own})$",
        topics=rf"^o\.({prefixes})\." if grants else NOTHING,
    )


def may_be_answered(account: str | None, queue: str) -> bool:
    """Whether an answer goes to a queue that its asker names: one of its own, or whose name RabbitMQ has made up and told it alone."""
    own = () if account is None else (f"{account}.",)
    return queue.startswith(("amq.gen-", "amq.rabbitmq.reply-to.", *own)) and not queue.startswith(PREFIX)


def _prefix(grant: str) -> str:
    organisation, _, visibility = grant.partition(".")
    return rf"{_part(organisation)}\.{_part(visibility)}"


def _part(value: str) -> str:
    """`*` stands for itself too: who may read all organisations may bind to `o.*.public.#`."""
    return r"([0-9a-z]+|\*)" if value == "*" else value


def granted(grants: list[str]) -> dict[str, list[str]]:
    """`broker.grants` by account."""
    found: dict[str, list[str]] = {}
    for grant in grants:
        account, _, what = grant.partition(" ")
        found.setdefault(account, []).append(what)
    return found


# ---- policies


@dataclass(frozen=True, slots=True)
class Policy:
    """Bounds what waits in queues whose names fit; of several, one holds for a queue: that of the highest priority."""

    name: str
    bounds: str  # in words
    pattern: str
    priority: int
    definition: Mapping[str, Any]

    @property
    def body(self) -> dict[str, Any]:
        return {"pattern": self.pattern, "apply-to": "queues", "priority": self.priority, "definition": dict(self.definition)}


# A queue that is never read would fill RabbitMQ's memory and stop all who publish. In the queues of other programs the oldest goes; of what
# programs say nothing does: RabbitMQ refuses it, and they keep it. A policy, because the arguments of a queue can never be changed.
OUTSIDE_POLICY = Policy(
    "crust.v1.outside", "the queues of other programs", rf"^(?!{OURS})", 0,
    {"max-length": OUTSIDE_LENGTH, "max-length-bytes": OUTSIDE_BYTES, "overflow": "drop-head"},
)  # fmt: skip
INJECT_POLICY = Policy(
    "crust.v1.inject", f"the queue {INJECT}", rf"^{OURS}inject$", 1,
    {"max-length": INJECT_LENGTH, "max-length-bytes": INJECT_BYTES, "overflow": "reject-publish"},
)  # fmt: skip
POLICIES = (OUTSIDE_POLICY, INJECT_POLICY)


def fits(pattern: str, name: str) -> bool:
    """Whether one of RabbitMQ's regular expressions may fit a name; they know more than Python's."""
    try:
        return re.search(pattern, name) is not None
    except re.error:
        return True
