"""What a socket is sent from `hello` until it is live: a fresh start, or what was missed since a position.

All of it is pulled by the socket's own writer, so it comes as fast as the client reads and waits in the log meanwhile.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any

from crust import __version__
from crust.events.event import Event
from crust.log import Head
from crust.services.actor import Actor
from crust.services.core import Memberships
from crust.ws.hub import BROUGHT_INTO_VIEW, Connection
from crust.ws.outbox import Item, Snapshot
from crust.ws.protocol import control_frame, event_frame
from crust.ws.services import Services

CATCH_UP_STEP = 1000  # events that are read from the log at a time, once live


class Opening:
    """See the module.

    Args:
        place: epoch and position to resume from, if the client gave them.
    """

    def __init__(self, services: Services, actor: Actor, place: tuple[str, int] | None) -> None:
        self._services, self._core, self._actor, self._place = services, services.core, actor, place
        self._own = services.settings.websocket

    async def items(self, connection: Connection) -> AsyncIterator[Item]:
        """Everything from `hello` to the moment at which the connection is live."""
        head = await self._core.log.head()
        memberships = await self._core.memberships(self._actor.user_id)
        missed = await self._missed(head, memberships)
        yield control_frame("hello", await self._hello(head, resumed=missed is not None))
        if missed is None:
            for number, channel_id in enumerate(await self._core.channels.mine(self._actor.user_id)):
                yield Snapshot(channel_id, self._own.backlog_messages if number < self._own.channels_with_messages else 0)
        else:
            for item in replayed(missed, self._actor.user_id, memberships):
                yield item
        yield control_frame("ready", {})
        async for item in self._caught_up(connection, head.position, memberships):
            yield item
        await self._core.presence.connected(self._actor.user_id)

    async def _missed(self, head: Head, memberships: Memberships) -> list[Event] | None:
        """What a resume replays; None for a fresh start."""
        if self._place is None:
            return None
        epoch, after = self._place
        too_far = head.position - after > self._own.replay_positions
        if epoch != head.epoch or after > head.position or too_far or after + 1 < await self._core.log.oldest():
            return None
        most = self._own.replay_events
        events = await self._visible(memberships, after, head.position, most + 1)
        return events if len(events) <= most else None

    async def _visible(self, memberships: Memberships, after: int, upto: int, limit: int) -> list[Event]:
        return await self._core.log.visible(self._actor.user_id, memberships.channels, memberships.organisations, after, upto, limit)

    async def _hello(self, head: Head, *, resumed: bool) -> dict[str, Any]:
        settings = self._services.settings
        return {
            "connection_id": secrets.token_hex(8),
            "epoch": head.epoch,
            "position": head.position,
            "resumed": resumed,
            "server": {"name": settings.server_name, "version": __version__},
            "user": await self._core.accounts.me(self._actor),
            "heartbeat": self._own.ping_interval_s,
            "limits": {
                "frame_bytes": self._own.frame_bytes,
                "contents_characters": settings.limits.contents_characters,
                "in_flight": self._own.in_flight,
                "queue_frames": self._own.queue_frames,
                "replay_events": self._own.replay_events,
            },
        }

    async def _caught_up(self, connection: Connection, after: int, memberships: Memberships) -> AsyncIterator[Item]:
        """From `after` to the hub's own position; while the hub is too far ahead, in steps through the log."""
        while True:
            items = self._services.hub.attach(connection, after, memberships.channels, memberships.organisations)
            if items is not None:
                break
            upto = min((await self._core.log.head()).position, after + CATCH_UP_STEP)
            memberships = await self._core.memberships(self._actor.user_id)
            for item in replayed(await self._visible(memberships, after, upto, CATCH_UP_STEP), self._actor.user_id, memberships):
                yield item
            after = upto
        for item in items:
            yield item


def replayed(events: Sequence[Event], user_id: int, memberships: Memberships) -> list[Item]:
    """Events of the past for somebody with these memberships now.

    A channel that came into view meanwhile is shown once, in place of its events; of one that went out of view only the `parted` is told.
    """
    shown: set[int] = set()
    new = {event.channel for event in events if event.channel in memberships.channels and came_into_view(event, user_id)}
    items: list[Item] = []
    for event in events:
        if event.channel in new:
            if event.channel not in shown:
                shown.add(event.channel)
                items.append(Snapshot(event.channel))
        elif not event.channel or event.channel in memberships.channels or (event.type, event.event) == ("member", "parted"):
            items.append(event_frame(event))
    return items


def came_into_view(event: Event, user_id: int) -> bool:
    if event.type == "member":
        return event.event == "joined" and event.recipient == user_id
    return event.type == "channel" and event.event in BROUGHT_INTO_VIEW
