"""People, channels and talk to try an empty server on, and to measure it with. Everything goes through the rules, like people's own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

from crust.errors import Conflict
from crust.services.actor import Actor
from crust.services.core import Core
from crust.services.sessions import SignedIn

T = TypeVar("T")

TOGETHER = 500  # of them one transaction's worth is made at a time
SEED = 7  # the same talk each time
GIVEN = [
    "ana",
    "ben",
    "carla",
    "dario",
    "elif",
    "farid",
    "greta",
    "hugo",
    "ines",
    "jonas",
    "kaya",
    "lena",
    "milo",
    "nora",
    "otto",
    "petra",
    "quinn",
    "rosa",
    "samir",
    "tilda",
    "umut",
    "vera",
    "wanda",
]  # words read best as words
CHANNELS = (
    ("general", "What concerns everybody"),
    ("random", "Everything else"),
    ("help", "Ask here; somebody knows"),
    ("design", "How it looks and why"),
    ("releases", "What went out and what comes next"),
)
OPENERS = ["I think", "Maybe", "Good news:", "Quick question:", "For what it is worth", "Yesterday", "As of this morning", "Honestly"]
SUBJECTS = [
    "the build",
    "the new page",
    "the **release**",
    "our search",
    "the `config.toml`",
    "the meeting",
    "that old bug",
    "the *roadmap*",
]
VERBS = [
    "is done",
    "needs another look",
    "works for me",
    "is slower than I hoped",
    "can wait",
    "surprised me",
    "looks great",
    "broke again",
]
CLOSERS = [".", "!", " — thoughts?", " 🎉", " – see #general", " (finally)", " again :)", "", " as promised", ""]


class Resident(NamedTuple):
    """Somebody of the demo, signed in; `secret` is the Session ID."""

    actor: Actor
    secret: str


class Demo:
    """See the module.

    Args:
        password: everybody's.
    """

    def __init__(self, core: Core, password: str) -> None:
        self._core, self._password = core, password
        self._random = random.Random(SEED)

    async def people(self, count: int) -> AsyncIterator[list[Resident]]:
        """Make them, some at a time; the first administers the server.

        Raises:
            Conflict: the server has people already.
        """
        if not await self._core.accounts.empty():
            raise Conflict("This server has people already; a demo fills an empty one.")
        password_hash = await self._core.accounts.hashed(self._password)
        yield [await self._resident(0, password_hash)]  # alone, because whoever administers comes first
        for numbers in chunks(range(1, count)):
            yield await asyncio.gather(*(self._resident(number, password_hash) for number in numbers))

    async def _resident(self, number: int, password_hash: str) -> Resident:
        name = username(number)
        async with self._core.log.change() as change:
            user = await self._core.accounts.enrol(change, name, name.capitalize(), None, password_hash, is_admin=number == 0)
            signed_in: SignedIn = await self._core.sessions.open(
                change, int(user.id), name, f"demo-{number}", "", "crust demo", is_admin=number == 0
            )
        return Resident(signed_in.actor, signed_in.secret)

    async def channels(self, people: Sequence[Resident], count: int) -> list[int]:
        """Make channels; everybody joins the first two, and a third of all each of the others."""
        made = [await self._channel(people[0].actor, number) for number in range(count)]
        for number, channel_id in enumerate(made):
            others = [person.actor for at, person in enumerate(people) if at and (number < 2 or at % 3 == number % 3)]
            await in_chunks(self._core.channels.join(actor, channel_id) for actor in others)
        return made

    async def _channel(self, maker: Actor, number: int) -> int:
        name, topic = CHANNELS[number] if number < len(CHANNELS) else (f"channel-{number}", "One more")
        channel = await self._core.channels.create(
            maker, name=name, topic=topic, type_="public", organisation_id=None, members=[], key=None
        )
        return int(channel.id)

    async def talk(self, people: Sequence[Resident], channels: Sequence[int], count: int) -> AsyncIterator[int]:
        """Let them say `count` things; gives how many were said just now. In each channel those speak who are in it."""
        members = [
            [person.actor for at, person in enumerate(people) if number < 2 or not at or at % 3 == number % 3]
            for number in range(len(channels))
        ]
        for numbers in chunks(range(count)):
            await in_chunks(self._say(members, channels) for _ in numbers)
            yield len(numbers)

    async def _say(self, members: Sequence[Sequence[Actor]], channels: Sequence[int]) -> None:
        at = (
            min(int(self._random.expovariate(0.5)), len(channels) - 1)
            if self._random.random() < 0.5
            else self._random.randrange(len(channels))
        )
        author = self._random.choice(members[at])
        await self._core.messages.post(author, channels[at], self._sentence(members[at]), reply_to=None, client_msg_id=None, key=None)

    def _sentence(self, members: Sequence[Actor]) -> str:
        pick = self._random.choice
        greeting = f"@{pick(members).username} " if self._random.random() < 0.05 else ""
        return f"{greeting}{pick(OPENERS)} {pick(SUBJECTS)} {pick(VERBS)}{pick(CLOSERS)}"


def username(number: int) -> str:
    """Their handle: the given names first, then the same with a number."""
    turn, at = divmod(number, len(GIVEN))
    return GIVEN[at] + (str(turn) if turn else "")


def chunks(numbers: Iterable[int]) -> Iterable[list[int]]:
    """Some at a time."""
    rest = iter(numbers)
    while some := list(islice(rest, TOGETHER)):
        yield some


async def in_chunks(works: Iterable[Awaitable[T]]) -> None:
    """Do it all, some at once, so that they share a transaction."""
    rest = iter(works)
    while some := list(islice(rest, TOGETHER)):
        await asyncio.gather(*some)
