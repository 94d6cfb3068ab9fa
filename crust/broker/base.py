"""What carries events from the log to whoever reads them.

A broker may lose, repeat and reorder: the reader (`crust.broker.follower`) keeps a position and heals from the log. So an implementation
needs only to be fast, not right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from crust.events.control import Control
from crust.events.event import Event


class Subscription(Protocol):
    """One reader's end."""

    async def receive(self, timeout: float) -> Sequence[Event]:
        """What has arrived, at once if anything has, else after at most `timeout` seconds (then perhaps nothing)."""
        ...

    def close(self) -> None:
        """Stop listening; idempotent."""
        ...


class Broker(Protocol):
    """Carries events and control messages."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def publish(self, events: Sequence[Event]) -> None:
        """Pass on what was just committed. Never blocks, never raises: the log holds it anyway."""
        ...

    def subscribe(self) -> Subscription:
        """Listen from now on."""
        ...

    def tell(self, message: Control) -> None:
        """Send a control message to every node, this one included. May be lost."""
        ...

    def on_control(self, listener: Callable[[Control], None]) -> Callable[[], None]:
        """Call `listener` for every control message; gives what ends that."""
        ...
