"""People who talk, over HTTP and over websockets, and repeat what was not acknowledged, under the same key.

Who talks over HTTP also edits some of it, and puts reactions on it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp

from crust.log.tasks import first_to_end
from crust.torture.accounts import Account
from crust.torture.ledger import Changed, Said
from crust.torture.wire import AWAY, socket

POST_S = 8.0  # for an answer; then it is asked again, perhaps of another node
AGAIN_S = 0.1
EDITED, REACTED = 0.2, 0.2  # of what is said over HTTP
EMOJI = "👍"
PIPELINED = 8  # messages of one websocket that wait for their answer
OK, LATER, UNAVAILABLE = 200, 503, "unavailable"  # answers; one that is not there yet may be stored or not, and is asked for again

Choose = Callable[[], str]
"""The address of a node, as a load balancer would choose one."""


@dataclass(slots=True)
class Post:
    """A message that is not acknowledged yet."""

    channel: int
    said: str
    tail: str
    began: int
    wires: list[int] = field(default_factory=list)

    @property
    def text(self) -> str:
        return self.said + self.tail

    @property
    def key(self) -> str:
        return f"key {self.said}"


class Refused(Exception):
    """An answer that nobody should get; says which."""


class Author:
    """What both kinds share.

    Args:
        account: who talks.
        channels: where.
        rate: messages a second, at random moments; who was held up catches up, at most by a second's worth.
        choose: gives a node.
        chance: decides.
    """

    def __init__(self, account: Account, channels: list[int], rate: float, choose: Choose, chance: random.Random) -> None:
        self.name = account.username
        self._account, self._channels, self._rate, self._choose, self._chance = account, channels, rate, choose, chance
        self._numbers, self._ticks = itertools.count(), itertools.count(1)
        self._due = 0.0
        self.talking = asyncio.Event()
        self.said: list[Said] = []
        self.changed: list[Changed] = []
        self.refused: list[str] = []
        self.repeats = self.retries = 0
        self.pace = 1.0
        """A share of the rate, while there are many to hear it."""
        self.tail: Callable[[], str] = str
        """What is added to the next message."""
        self.open = 0
        """Messages that were sent and are not acknowledged yet."""

    async def _next(self) -> Post:
        """Something to say, when its time has come."""
        loop = asyncio.get_running_loop()
        while True:
            await self.talking.wait()
            self._due = max(self._due, loop.time() - 1) + self._chance.expovariate(self._rate * self.pace)
            await asyncio.sleep(max(0.0, self._due - loop.time()))
            if self.talking.is_set():
                break
        self.open += 1
        said = f"trial {self.name} {next(self._numbers)}"
        return Post(self._chance.choice(self._channels), said, self.tail(), next(self._ticks))

    def _acknowledged(self, post: Post, message: dict[str, Any]) -> None:
        self.repeats += bool(message.get("duplicate"))
        wire = post.wires[0] if len(post.wires) == 1 else 0
        self.said.append(Said(self.name, post.channel, post.text, int(message["id"]), post.began, next(self._ticks), wire))
        self.open -= 1

    def _refused(self, post: Post, why: object) -> None:
        """An answer that nobody should get; the message, or what was to be done with it, counts as never said."""
        self.refused.append(f"{post.text}: {why}")
        self.open -= 1

    @staticmethod
    def _fields(post: Post) -> dict[str, str]:
        return {"channel_id": str(post.channel), "contents": post.text, "client_msg_id": post.key}


class HttpAuthor(Author):
    """Posts one message after another; once it is acknowledged it may be edited, and get a reaction."""

    async def live(self) -> None:
        """Talk, until cancelled."""
        async with aiohttp.ClientSession(headers=self._account.headers, timeout=aiohttp.ClientTimeout(total=POST_S)) as session:
            while True:
                await self._say(session, await self._next())

    async def _say(self, session: aiohttp.ClientSession, post: Post) -> None:
        try:
            message = await self._answer(session, "/message/edit", self._fields(post))
        except Refused as refused:
            self._refused(post, refused)
            return
        self._acknowledged(post, message)
        self.open += 1  # what is done with it, too, is waited for
        try:
            await self._change(session, post, message["id"])
        except Refused as refused:
            self._refused(post, refused)
        else:
            self.open -= 1

    async def _change(self, session: aiohttp.ClientSession, post: Post, message: str) -> None:
        if self._chance.random() < EDITED:
            text = f"{post.said}!{post.tail}"
            await self._answer(session, "/message/edit", {"id": message, "contents": text, "client_msg_id": f"edit {post.key}"})
            self.said[-1] = replace(self.said[-1], text=text)
            self.changed.append(Changed(int(message), "message", "edited"))
        if self._chance.random() < REACTED:
            await self._answer(session, "/message/react", {"id": message, "emoji": EMOJI})
            self.changed.append(Changed(int(message), "reaction", "added"))

    async def _answer(self, session: aiohttp.ClientSession, path: str, fields: Mapping[str, str]) -> dict[str, Any]:
        """Ask, of one node or another, until there is an answer.

        Raises:
            Refused: it is one that nobody should get.
        """
        while True:
            try:
                async with session.post(self._choose() + path, data=fields) as answer:
                    status, body = answer.status, await answer.read()
            except AWAY:
                status, body = LATER, b""
            if status == OK:
                found: dict[str, Any] = json.loads(body).get("response", {})
                return found
            if status != LATER:
                raise Refused(f"{status} {body.decode(errors='replace')[:300]}")
            self.retries += 1
            await asyncio.sleep(AGAIN_S)


class SocketAuthor(Author):
    """Posts over a websocket, several before the first answer; what has none is sent again over the next one, in order."""

    def __init__(self, account: Account, channels: list[int], rate: float, choose: Choose, chance: random.Random) -> None:
        super().__init__(account, channels, rate, choose, chance)
        self._to_send: deque[Post] = deque()
        self._waiting: dict[str, Post] = {}
        self._wake = asyncio.Event()
        self._room = asyncio.Semaphore(PIPELINED)
        self._frames, self._wire = itertools.count(), 0

    async def live(self) -> None:
        """Talk, until cancelled."""
        await first_to_end(self._think(), self._connect_always())

    async def _think(self) -> None:
        while True:
            await self._room.acquire()
            self._queue(await self._next())

    def _queue(self, post: Post) -> None:
        self._to_send.append(post)
        self._wake.set()

    async def _connect_always(self) -> None:
        async with aiohttp.ClientSession(headers=self._account.headers) as session:
            while True:
                with suppress(*AWAY):
                    async with socket(session, self._choose()) as connection:
                        self._wire += 1
                        self.retries += len(self._waiting)
                        self._to_send = deque(sorted([*self._waiting.values(), *self._to_send], key=lambda post: post.began))
                        self._waiting.clear()
                        await first_to_end(self._send_all(connection), self._hear(connection))
                await asyncio.sleep(AGAIN_S)

    async def _send_all(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            while self._to_send:
                post, number = self._to_send.popleft(), str(next(self._frames))
                self._waiting[number] = post
                post.wires.append(self._wire)
                await connection.send_str(json.dumps({"id": number, "type": "message", "data": self._fields(post)}))
            self._wake.clear()
            await self._wake.wait()

    async def _hear(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        async for message in connection:
            if message.type is not aiohttp.WSMsgType.TEXT:
                return
            frame = json.loads(message.data)
            post = self._waiting.pop(frame.get("reply_to", ""), None)
            if post is not None:
                self._answered(post, frame)

    def _answered(self, post: Post, frame: dict[str, Any]) -> None:
        if "error" in frame and frame["error"]["code"] == UNAVAILABLE:
            self.retries += 1
            asyncio.get_running_loop().call_later(AGAIN_S, self._queue, post)
            return
        if "error" in frame:
            self._refused(post, frame)
        else:
            self._acknowledged(post, frame["response"])
        self._room.release()
