"""What a socket is sent from `hello` until it is live: a fresh start, or what was missed since a position.

All of it is pulled by the socket's own writer, so it comes as fast as the client reads and waits in the log meanwhile.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Any

from crust import __version__
from crust.events.event import Event
from crust.log import Head
from crust.services.actor import Actor
from crust.services.core import Memberships
from crust.services.snapshots import Wanted
from crust.ws.hub import Connection
from crust.ws.outbox import Item, Snapshot
from crust.ws.protocol import channel_frame, control_frame, event_frame
from crust.ws.services import Services

PAGE = 100  # events that are read at a time: what one may no longer see, or was removed meanwhile, is not among the next ones


class Opening:
    """See the module.

    Args:
        place: epoch and position to resume from, if the client gave them.
    """

    def __init__(self, services: Services, actor: Actor, place: tuple[str, int] | None) -> None:
        self._services, self._core, self._actor, self._place = services, services.core, actor, place
        self._own = services.settings.websocket
        self._metrics = services.metrics

    async def items(self, connection: Connection) -> AsyncIterator[Item]:
        """Everything from `hello` to the moment at which the connection is live."""
        async with self._services.opening():  # not while the client reads: it may be slow
            head = await self._core.log.head()
            place, why = await self._resumable(head)
            hello = await self._hello(head, resumed=place is not None)
        self._metrics.starts["fresh" if place is None else "resumed", why] += 1
        yield self._counted("hello", control_frame("hello", hello))
        if place is None:
            mine = await self._core.channels.mine(self._actor.user_id)
            talking = self._own.channels_with_messages
            wanted = [Wanted(channel_id, self._own.backlog_messages if number < talking else 0) for number, channel_id in enumerate(mine)]
            async for snapshot in self._core.snapshots.of(self._actor, wanted):
                yield self._counted("channel", channel_frame(snapshot))
        else:
            async for item in self._replayed(place, head.position):
                yield item
        async for item in self._caught_up(connection, head.position):
            yield item
        self._core.presence.connected(self._actor.user_id)

    def _counted(self, type_: str, frame: str) -> str:
        self._metrics.frames_out[type_] += 1
        return frame

    async def _resumable(self, head: Head) -> tuple[int | None, str]:
        """The position to replay from; or None, and why it is a fresh start."""
        if self._place is None:
            return None, "no place given"
        epoch, after = self._place
        if epoch != head.epoch:
            return None, "another epoch"
        if after > head.position:
            return None, "beyond the log"
        if head.position - after > self._own.replay_positions:
            return None, "too far back"
        if after + 1 < await self._core.log.oldest():
            return None, "events gone"
        most, own = self._own.replay_events, await self._memberships()
        count = await self._core.log.count_visible(self._actor.user_id, own.channels, own.organisations, after, head.position, most + 1)
        return (after, "") if count <= most else (None, "too many events")

    async def _memberships(self) -> Memberships:
        return await self._core.memberships(self._actor.user_id)

    async def _replayed(self, after: int, upto: int) -> AsyncIterator[Item]:
        """What happened in (after, upto] and may be seen now, page by page, each with the rights of its moment.

        A channel that came into view since, be it just now, is shown once, in place of its events.
        """
        began, shown = after, set[int]()
        while after < upto:
            own = await self._memberships()
            now = (await self._core.log.head()).position
            new = await self._core.log.came_into_view(self._actor.user_id, own.channels, began, now)
            events = await self._core.log.visible(self._actor.user_id, own.channels, own.organisations, after, upto, PAGE)
            for event in events:
                if event.channel not in new:
                    if seen_now(event, own):
                        yield self._counted(event.type, event_frame(event))
                elif event.channel not in shown:
                    shown.add(event.channel)
                    yield Snapshot(event.channel)
            after = events[-1].position if len(events) == PAGE else upto

    async def _caught_up(self, connection: Connection, after: int) -> AsyncIterator[Item]:
        """From `after` to the hub's own position; while the hub is too far ahead, through the log.

        `ready` is said once the hub knows of the connection: from then on nothing is missed, not even what is in no log.
        """
        while True:
            own = await self._memberships()
            await self._services.hub.caught_up((await self._core.log.head()).position)
            items = self._services.hub.attach(connection, after, own.channels, own.organisations)
            if items is not None:
                break
            upto = (await self._core.log.head()).position
            async for item in self._replayed(after, upto):
                yield item
            after = upto
        yield self._counted("ready", control_frame("ready", {}))
        for item in items:
            yield item

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


def seen_now(event: Event, own: Memberships) -> bool:
    """Whether an event that goes to somebody may be shown to them: of a channel that they have left, only that they have."""
    return not event.channel or event.channel in own.channels or (event.type, event.event) == ("member", "parted")
