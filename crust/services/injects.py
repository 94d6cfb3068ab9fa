"""What comes in over a link: said, changed, taken back and reacted to by people elsewhere, each time once, in the change that writes it.

What comes in is known by its id elsewhere. The network has its way with what was said there, and with nothing else. Of one room only one
thing is written at a time, so that the order holds.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from weakref import WeakValueDictionary

from crust.clock import Clock
from crust.errors import CrustError, Forbidden, Gone, NotFound, RateLimited, Rejected
from crust.events.control import Control, Typing
from crust.files.storage import Received
from crust.log import Way, coming
from crust.log.way import HOPS_MAX
from crust.models.database import Database, Row
from crust.services import keys
from crust.services.actor import Actor
from crust.services.channels import Channels
from crust.services.files import Aim, Files
from crust.services.ghosts import Ghosts, Remote, client_of
from crust.services.keys import Key
from crust.services.links import Bridge, Links, RoomLink
from crust.services.messages import Messages
from crust.services.parts import Part, Parts, remote_id
from crust.services.repeats import PAUSE_S, Repeats
from crust.telemetry import get_logger

log = get_logger(__name__)

KEY_ID_MAX = 200  # characters of an id that a key holds as it is; longer ones stand there as their hash
MARK = "\N{WARNING SIGN} unverified: "  # before what somebody said of whom it is not known that it was they
PAUSED = "{name} ({network}) says the same again and again: what comes from there waits for {seconds:.0f} s, in case it is a loop."


@dataclass(frozen=True, slots=True)
class Trust:
    """What is known of who sent something: that it was they, nothing, or that it was not; and how, such as by `dmarc`."""

    verdict: Literal["verified", "unverified", "failed"] = "unverified"
    how: str = ""

    def __str__(self) -> str:
        return f"{self.verdict} {self.how}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """Something that came in, as all kinds of it have it.

    Args:
        link: by which it came.
        author: who has done it.
        trust: what is known of that.
        via: what it came through before, as far as that is known.
    """

    link: RoomLink
    author: Remote
    trust: Trust = Trust()
    via: tuple[str, ...] = ()

    @property
    def way(self) -> Way:
        return Way(self.link.network, (*self.via, self.link.via))


@dataclass(frozen=True, slots=True)
class Injected:
    """What came of it: a message's id, and whether it is a new one; `own`: it was ours, came back, and was not posted (then no id)."""

    message_id: int | None
    state: Literal["posted", "edited", "duplicate", "own"]


class Injects:
    """See the module.

    Args:
        server_name: this server's, by which it knows what comes back to it.
        tell: sends a control message to all nodes.
    """

    def __init__(
        self, database: Database, clock: Clock, server_name: str, messages: Messages, channels: Channels, files: Files, links: Links,
        ghosts: Ghosts, tell: Callable[[Control], None],
    ) -> None:  # fmt: skip
        self._database, self._server_name = database, server_name
        self._messages, self._channels, self._files, self._links, self._ghosts = messages, channels, files, links, ghosts
        self._tell = tell
        self.parts = Parts(database)
        self._repeats = Repeats(clock)
        self._turns: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    # ---- said

    async def post(
        self, coming_in: Incoming, contents: str, source_id: str, *, reply_to: str | None = None, revision: int = 0,
        received: Received | None = None, file_name: str = "",
    ) -> Injected:  # fmt: skip
        """Post what was said elsewhere; the same id again gives the first message, a higher revision changes it.

        Args:
            source_id: what it is called there.
            reply_to: what it answers, by its id there; what nobody knows here is left out.
            received: a file that it bears, with its name.

        Raises:
            Invalid, TooLarge, NotFound, Gone: as `Messages.post`.
            Forbidden: the link lets nothing in, or nobody of whom is known so little.
            Rejected: a filter refused it, or it has come through too many links.
            RateLimited: who said it says the same again and again.
            Unavailable: it is not known whether it was stored; the same again is safe.
        """
        link, source = coming_in.link, remote_id(source_id)
        if self._is_own(coming_in):
            return Injected(None, "own")
        self._check(coming_in)
        async with self._turn(link):
            key = key_of(link, source)
            known = await self.parts.awaited(link.instance, link.id, source)
            first = known["message_id"] if known else await keys.result(self._database, key)
            if first is not None:
                return await self._again(coming_in, first, known, source, contents, revision)
            if seconds := self._repeats.paused(link.id, coming_in.author.id):
                raise RateLimited("They say the same again and again, and are paused.", retry_after=seconds)
            part = Part(link_id=link.id, remote_id=source, trust=str(coming_in.trust))
            answered = await self.parts.found(link.id, reply_to) if reply_to else None
            actor = await self._speaker(coming_in)
            reply = answered["message_id"] if answered else None
            aim = Aim(channel_id=link.channel_id, contents=marked(coming_in, contents), reply_to=reply, part=part)
            with coming(coming_in.way):
                posted = await self._posted(actor, aim, key, received, file_name)
            if self._repeats.said(link.id, coming_in.author.id, contents):
                await self._say_paused(coming_in)
            return Injected(posted, "posted")

    async def _posted(self, actor: Actor, aim: Aim, key: Key, received: Received | None, file_name: str) -> int:
        """Post it; without its reply, where what it answers was removed."""
        try:
            if received is not None:
                return int((await self._files.send(actor, aim, received, file_name, key)).id)
            message = await self._messages.post(
                actor, aim.channel_id or 0, aim.contents, reply_to=aim.reply_to, client_msg_id=None, key=key, part=aim.part
            )
            return int(message.id)
        except NotFound as error:
            if error.field != "reply_to" or aim.reply_to is None:
                raise
            alone = Aim(channel_id=aim.channel_id, contents=aim.contents, part=aim.part)
            return await self._posted(actor, alone, key, received, file_name)

    async def _again(self, coming_in: Incoming, first: int, known: Row | None, source: str, contents: str, revision: int) -> Injected:
        if revision <= 0 or (known is not None and known["direction"] != "in"):
            return Injected(first, "duplicate")
        key = key_of(coming_in.link, source, f"@{revision}")
        if await keys.result(self._database, key) is not None:
            return Injected(first, "duplicate")
        with coming(coming_in.way):
            await self._messages.edit_elsewhere(first, marked(coming_in, contents), key)
        return Injected(first, "edited")

    async def _say_paused(self, coming_in: Incoming) -> None:
        """Let those in the channel know that somebody is paused; that it cannot be said stops nobody."""
        link, author = coming_in.link, coming_in.author
        log.warning("somebody elsewhere says the same again and again and is paused", link=link.via, user=author.id, seconds=PAUSE_S)
        bridge = self._links.bridges.get(link.instance)
        try:
            if bridge is not None:
                with coming(coming_in.way):
                    await self.say(bridge, link, PAUSED.format(name=author.name, network=link.network, seconds=PAUSE_S))
        except CrustError as error:
            log.warning("a channel could not be told", channel=link.channel_id, error=error.message)

    async def say(self, bridge: Bridge, link: RoomLink, text: str) -> None:
        """Say something of a link itself in its channel, as the bridge's bot; it does not go out over it."""
        bot = Actor(bridge.user_id, bridge.name, 0, client_of(bridge.name))
        await self._messages.post(bot, link.channel_id, text, reply_to=None, client_msg_id=None, key=None)

    # ---- changed, taken back, reacted to

    async def edit(self, coming_in: Incoming, source_id: str, contents: str) -> None:
        """Change what was said elsewhere, by the id of any of its parts there. What was not said there is nobody's to change from there.

        Raises:
            NotFound: nothing is known by this id.
            Others: as `post`.
        """
        self._check(coming_in)
        async with self._turn(coming_in.link):
            part = await self._own_part(coming_in.link, source_id)
            with coming(coming_in.way):
                await self._messages.edit_elsewhere(part["message_id"], marked(coming_in, contents), None)

    async def remove(self, coming_in: Incoming, source_id: str) -> None:
        """Take back what was said elsewhere; what is gone already is no error. Errors are those of `edit`."""
        self._check(coming_in)
        link = coming_in.link
        async with self._turn(link):
            if await self.parts.found(link.id, remote_id(source_id)) is None and await keys.result(self._database, key_of(link, source_id)):
                return  # it came over this link, and was removed: its parts go with it
            part = await self._own_part(link, source_id)
            by = await self._speaker(coming_in)
            with coming(coming_in.way):
                await self._messages.remove_elsewhere(by.user_id, part["message_id"], link.id)

    async def react(self, coming_in: Incoming, source_id: str, emoji: str, *, added: bool) -> None:
        """Put an emoji on a message, or take it away, by the id of any of its parts there. Errors are those of `edit`."""
        self._check(coming_in)
        async with self._turn(coming_in.link):
            part = await self._part(coming_in.link, source_id)
            by = await self._speaker(coming_in)
            with coming(coming_in.way):
                await self._messages.react_elsewhere(by.user_id, part["message_id"], emoji, added=added)

    async def _part(self, link: RoomLink, source_id: str) -> Row:
        part = await self.parts.awaited(link.instance, link.id, remote_id(source_id))
        if part is None:
            raise NotFound("No message is known by this id over this link.", field="source_id")
        return part

    async def _own_part(self, link: RoomLink, source_id: str) -> Row:
        part = await self._part(link, source_id)
        if part["direction"] != "in":
            raise Forbidden("This was said here: it is changed and taken back here.")
        return part

    # ---- coming, going, topics, typing

    async def join(self, coming_in: Incoming) -> None:
        """Let somebody be in the channel, before they say anything. Does nothing where joins don't cross the link."""
        self._check(coming_in)
        if "joins" in coming_in.link.crosses:
            async with self._turn(coming_in.link):
                await self._speaker(coming_in)

    async def part(self, coming_in: Incoming) -> None:
        """Let somebody be in the channel no more."""
        async with self._turn(coming_in.link):
            with coming(coming_in.way):
                await self._ghosts.parted(coming_in.link, coming_in.author.id)

    async def topic(self, coming_in: Incoming, topic: str) -> None:
        """Give the channel another topic; too long a one is cut. Does nothing where topics don't cross the link."""
        self._check(coming_in)
        if "topics" in coming_in.link.crosses:
            async with self._turn(coming_in.link):
                by = await self._speaker(coming_in)
                with coming(coming_in.way):
                    await self._channels.topic_elsewhere(by, coming_in.link.channel_id, topic)

    async def typing(self, coming_in: Incoming, state: str) -> None:
        """Tell that somebody has started or stopped typing."""
        self._check(coming_in)
        by = await self._speaker(coming_in)
        self._tell(Typing(coming_in.link.channel_id, by.user_id, state, coming_in.link.via))

    # ---- what is common to all

    def _turn(self, link: RoomLink) -> asyncio.Lock:
        lock = self._turns.get(link.id)
        if lock is None:
            lock = self._turns[link.id] = asyncio.Lock()
        return lock

    def _is_own(self, coming_in: Incoming) -> bool:
        """Whether it was in this very channel before."""
        return f"{self._server_name}/{coming_in.link.channel_id}" in coming_in.via

    def _check(self, coming_in: Incoming) -> None:
        link = coming_in.link
        if link.direction == "out":
            raise Forbidden("This link lets nothing in: its direction is out.")
        if link.ended_position is not None:
            raise Gone("This link has ended.")
        if len(coming_in.via) >= HOPS_MAX:
            raise Rejected(f"It has come through {len(coming_in.via)} links already: this looks like a loop.")
        if link.trust == "refuse" and coming_in.trust.verdict != "verified":
            raise Forbidden(f"This link takes nothing of which it is not known who sent it: {coming_in.trust}.")

    async def _speaker(self, coming_in: Incoming) -> Actor:
        with coming(coming_in.way):
            return await self._ghosts.speaker(coming_in.link, coming_in.author, verified=coming_in.trust.verdict == "verified")


def marked(coming_in: Incoming, contents: str) -> str:
    """What was said, as it is posted: marked, where the link says so and it is not known who said it."""
    return f"{MARK}{contents}" if coming_in.link.trust == "mark" and coming_in.trust.verdict != "verified" else contents


def key_of(link: RoomLink, source_id: str, ending: str = "") -> Key:
    """By which a repeat is known. What was said is no part of it: the network may tell it again in other words."""
    name = source_id if len(source_id) <= KEY_ID_MAX else hashlib.sha256(source_id.encode()).hexdigest()
    return Key(link.scope, name + ending, keys.fingerprint("inject"))
