"""What the host asks of whoever consumes events, and what it hands to them. A plugin's instance is one, seen through its hooks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from crust.events.event import Event
from crust.host.store import Store, holding
from crust.models.database import Write


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a handler has dealt with an event.

    Args:
        state: done; skipped, as there was nothing to do; withdrawn, as it may not be done any more; uncertain: it may have been done.
        receipt: what the target gave for it, such as its own id of what was sent.
        note: a word for operators.
        writes: what is written with the end of the row, if it is this handler's end that counts.
    """

    state: Literal["done", "skipped", "withdrawn", "uncertain"] = "done"
    receipt: str | None = None
    note: str | None = None
    writes: tuple[Write, ...] = ()


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to one lane of one instance.

    `attempt` begins with 1; `claim` is another each time, for ever. What goes out because of it should bear `key`, which stays the same.
    What is written through `store` is stored with the end of the handler, or not at all.
    """

    consumer: str
    lane: str
    event: Event
    attempt: int
    claim: int
    store: Store

    @property
    def key(self) -> str:
        """The stable name of this delivery: no other has it, and each attempt has the same."""
        return key_of(self.consumer, self.event.id, self.lane)


def key_of(consumer: str, event_id: int, lane: str) -> str:
    """See `Delivery.key`."""
    return f"{consumer}/{event_id}/{lane}"


current: ContextVar[Delivery | None] = ContextVar("current delivery", default=None)
"""The delivery whose handler the running task belongs to; also in tasks that it starts, unless they are started in `outside()`."""


class Code(NamedTuple):
    """A plugin's code: the instance's name, and what of it: a hook, `command NAME`, `route GET PATH`, `job NAME`, or `task`.

    `delivery` is what it handles, if it does.
    """

    plugin: str
    what: str
    delivery: Delivery | None = None


running: dict[asyncio.Task[Any] | None, Code] = {}
"""What plugins' code each task is at now: wherever such code runs, it is noted here. The watchdog, in a thread of its own, reads it."""


class Running:
    """Notes, for the length of a block, that the running task is at a plugin's code."""

    __slots__ = ("_before", "_code", "_task")

    def __init__(self, code: Code) -> None:
        self._code = code
        try:
            self._task = asyncio.current_task()
        except RuntimeError:  # a command that has no loop looks at what the plugin offers
            self._task = None

    def __enter__(self) -> None:
        self._before = running.get(self._task)
        running[self._task] = self._code

    def __exit__(self, *_: object) -> None:
        if self._before is None:
            del running[self._task]
        else:
            running[self._task] = self._before


def outside() -> Context:
    """A context for a task that is to outlive the handler that starts it: what it writes is stored at once, and is no part of any end."""
    context = copy_context()
    context.run(current.set, None)
    context.run(holding.set, None)
    return context


@dataclass(frozen=True, slots=True)
class Parked:
    """Something is tried no more until an operator replays it: one event, or (`position` None) a whole lane."""

    consumer: str
    lane: str
    position: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Over:
    """An attempt has ended, and that is stored: as `how` (see `crust.host.schedule.How`); `final`: it is not tried again."""

    lane: str
    position: int
    how: str
    final: bool


class Consumer(Protocol):
    """One instance that events are delivered to.

    `name` is the instance's, and that of its consumer, its lanes and its documents. `collections` says by which fields the documents of
    which collection can be found.
    """

    @property
    def name(self) -> str: ...

    @property
    def collections(self) -> Mapping[str, Sequence[str]]: ...

    async def ready(self) -> None:
        """Called before dispatch begins, and begins anew: what `wants` has to know that is not in the events to come."""
        ...

    async def missed(self, after: int, upto: int) -> None:
        """Is told that it has been away for too long, and is not delivered the events after a position, up to another.

        Called before that is stored, so it may be told again.
        """
        ...

    def wants(self, event: Event) -> Sequence[str]:
        """The lanes in which an event is to be delivered; none, if it is not wanted. Fast: it is asked about every event there is.

        Here belongs whatever follows from the event alone: what is implemented, organisations and visibilities, own events, loops.
        """
        ...

    async def still_allowed(self, delivery: Delivery) -> bool:
        """Asked before each attempt: whether what was true at dispatch still is (the link, the organisation, its maker's right to read)."""
        ...

    async def handle(self, delivery: Delivery) -> Outcome | None:
        """Deal with an event; None is `Outcome()`. May run again for the same event if the process ends before its end is stored.

        Raises:
            TargetError: the target does not answer: the lane waits, and tries it again; so it does where the core itself is `Unavailable`.
            EventRefused: it never will: the row is parked, and the lane goes on.
            Exception: anything else is a bug; the third in a row parks the row, and so does the third attempt that takes too long.
        """
        ...

    def over(self, over: Over) -> None:
        """Is told of every attempt that ended, after that was stored. Must not block; what it raises is logged."""
        ...

    def parked(self, parked: Parked) -> None:
        """Is told of what was parked, after it was stored. Must not block; what it raises is logged."""
        ...
