"""What waits to be sent to one socket: bounded, so that a slow client costs little and is told to come back."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from crust.ws.frame import Run
from crust.ws.protocol import Close, Closing, Request


@dataclass(frozen=True, slots=True)
class Snapshot:
    """In place of a frame: the socket's writer makes the `channel` frame when it gets here, if the viewer may still see the channel."""

    channel_id: int


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request, which is in flight until this is sent."""

    request: Request
    frame: str


@dataclass(slots=True, eq=False)
class Ephemeral:
    """What may be lost, at the place where it was first queued; `frame` is the latest of its kind."""

    frame: str


Item = str | Run | Snapshot | Reply | Ephemeral

REPLIES = 4  # times the size of the queue that waiting replies may have


class Outbox:
    """A queue with limits; its owner pulls, everybody else puts and never waits.

    Args:
        frames: the most frames.
        size: the most characters in them. (Frames are nearly all ASCII, and counting bytes would mean encoding each once a socket.)
        on_close: called once, when the connection is to be closed.
    """

    __slots__ = (
        "_count", "_dropped", "_ephemeral", "_frames", "_items", "_on_close", "_replies", "_size", "_waiting", "_waker", "closed",
        "closing",
    )  # fmt: skip

    def __init__(self, frames: int, size: int, on_close: Callable[[], None] = lambda: None) -> None:
        self._frames, self._size, self._on_close = frames, size, on_close
        self._items: deque[Item] = deque()
        self._ephemeral: dict[Hashable, Ephemeral] = {}
        self._count = self._waiting = self._replies = 0
        self._dropped = False
        self._waker: asyncio.Future[None] | None = None
        self.closing: Closing | None = None
        self.closed = asyncio.Event()

    def put(self, item: Item) -> None:
        """Queue what must arrive; when there is no room, the connection is closed as slow instead."""
        if self.closing is not None:
            return
        size, count = (item.size, len(item.frames)) if isinstance(item, Run) else (len(item) if isinstance(item, str) else 0, 1)
        if self._count + count > self._frames or self._waiting + size > self._size:
            self.close(Closing(Close.SLOW, "you read too slowly: come back and resume"), at_once=True)
            return
        self._items.append(item)
        self._count += count
        self._waiting += size
        self._wake()

    def put_reply(self, reply: Reply) -> None:
        """Queue the answer to a request, also while the connection is about to end.

        Requests in flight are limited, so only the size counts: replies can be large, and one always has room.
        """
        if self._dropped:
            return
        if self._replies and self._replies + len(reply.frame) > REPLIES * self._size:
            self.close(Closing(Close.SLOW, "you read too slowly: come back and resume"), at_once=True)
            return
        self._items.append(reply)
        self._count += 1
        self._replies += len(reply.frame)
        self._wake()

    def put_ephemeral(self, key: Hashable, frame: str) -> None:
        """Queue what may be lost: of one key only the latest, and nothing new once half of the room is taken.

        It keeps its place among the others, so that nobody hears of typing in a channel after their `member parted`.
        """
        if self.closing is not None:
            return
        if key in self._ephemeral:
            self._ephemeral[key].frame = frame
        elif self._count < self._frames // 2 and self._waiting < self._size // 2:
            self._ephemeral[key] = Ephemeral(frame)
            self._items.append(self._ephemeral[key])
            self._count += 1
            self._waiting += len(frame)
            self._wake()

    def close(self, closing: Closing, *, at_once: bool = False) -> None:
        """End the connection after what is queued, or `at_once`, forgetting that. The first reason counts."""
        if self.closing is None:
            self.closing = closing
            self.closed.set()
            self._on_close()
        if at_once:
            self._dropped = True
            self.rest()
        self._wake()

    def rest(self) -> list[Item]:
        """What is queued now."""
        items = list(self._items)
        self._items.clear()
        self._ephemeral.clear()
        self._count = self._waiting = self._replies = 0
        return items

    async def take(self) -> list[Item]:
        """All that is queued, once there is something; empty when the connection is to be closed now."""
        while not self._items and self.closing is None:
            self._waker = asyncio.get_running_loop().create_future()
            await self._waker
        return self.rest()

    def _wake(self) -> None:
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)
