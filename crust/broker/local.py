"""The broker inside one process: what was committed here is handed on at once.

What another process wrote into the same database is not seen here; the follower finds it by looking at the log's head every second.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from crust.events.control import Control
from crust.events.event import Event

HELD_MAX = 10_000  # events that one reader may be behind before its oldest are dropped; it then reads them from the log


class LocalSubscription:
    """One reader's end; see `crust.broker.base.Subscription`."""

    def __init__(self, closed: Callable[[LocalSubscription], None]) -> None:
        self._held: deque[Event] = deque(maxlen=HELD_MAX)
        self._arrived = asyncio.Event()
        self._closed = closed

    def put(self, events: Sequence[Event]) -> None:
        self._held.extend(events)
        self._arrived.set()

    def nudge(self) -> None:
        """Let the reader look at the log's head."""
        self._arrived.set()

    async def receive(self, timeout: float) -> Sequence[Event]:
        if not self._held:
            try:
                async with asyncio.timeout(timeout):
                    await self._arrived.wait()
            except TimeoutError:
                return ()
        self._arrived.clear()
        events = list(self._held)
        self._held.clear()
        return events

    def close(self) -> None:
        self._closed(self)


class LocalBroker:
    """See `crust.broker.base.Broker`."""

    def __init__(self) -> None:
        self._subscriptions: set[LocalSubscription] = set()
        self._listeners: list[Callable[[Control], None]] = []

    async def start(self) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Nothing to stop."""

    def publish(self, events: Sequence[Event]) -> None:
        for subscription in self._subscriptions:
            subscription.put(events)

    def nudge(self) -> None:
        """Let all readers look at the log's head: something may have been written that is not passed on here."""
        for subscription in self._subscriptions:
            subscription.nudge()

    def subscribe(self) -> LocalSubscription:
        subscription = LocalSubscription(self._subscriptions.discard)
        self._subscriptions.add(subscription)
        return subscription

    def tell(self, message: Control) -> None:
        for listener in list(self._listeners):
            listener(message)

    def on_control(self, listener: Callable[[Control], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)
