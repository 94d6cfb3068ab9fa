"""What comes in over a link: said, changed, taken back and reacted to by people elsewhere, each time once, in the change that writes it.

What comes in is known by its id elsewhere. The network has its way with what was said there, and with nothing else. Of one room only one
thing is written at a time, so that the order holds.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal
from weakref import WeakValueDictionary

from crust.clock import Clock
from crust.errors import CrustError, Forbidden, Invalid, NotFound, RateLimited
from crust.events.control import Control, Typing
from crust.files.storage import Received
from crust.log import Way, coming
from crust.log.leases import under
from crust.models.database import Database, Row
from crust.services import keys
from crust.services.actor import Actor
from crust.services.channels import Channels
from crust.services.files import Aim, Files
from crust.services.ghosts import Ghosts
from crust.services.incoming import Incoming, Still, let_in, marked, not_forged
from crust.services.keys import Key
from crust.services.links import Bridge, Links, RoomLink
from crust.services.messages import Messages
from crust.services.names import cleaned
from crust.services.parts import Part, Parts, remote_id
from crust.services.remotes import client_of
from crust.services.repeats import PAUSE_S, Repeats
from crust.telemetry import get_logger

log = get_logger(__name__)

KEY_ID_MAX = 200  # characters of an id that a key holds as it is; longer ones stand there as their hash
REVISION_MAX = 2**63 - 1  # what a database holds
PAUSED = "{name} ({network}) says the same again and again: what comes from there waits for {seconds:.0f} s, in case it is a loop."


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
        if not 0 <= revision <= REVISION_MAX:
            raise Invalid(f"A revision is a number from 0 to {REVISION_MAX}.", field="revision")
        coming_in = let_in(coming_in)
        async with self._turn(link):
            key, part = key_of(link, source), Part(link_id=link.id, remote_id=source, trust=str(coming_in.trust), revision=revision)
            known = await self.parts.awaited(link.instance, link.id, source)
            first = known["message_id"] if known else await keys.result(self._database, key)
            if first is not None:
                return await self._again(coming_in, first, known, part, contents)
            if seconds := self._repeats.paused(link.id, coming_in.author.id):
                raise RateLimited("They say the same again and again, and are paused.", retry_after=seconds)
            answered = await self.parts.found(link.id, reply_to) if reply_to else None
            actor = await self._speaker(coming_in)
            reply = answered["message_id"] if answered else None
            aim = Aim(channel_id=link.channel_id, contents=marked(coming_in, contents), reply_to=reply, part=part)
            with self._coming(coming_in):
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

    async def _again(self, coming_in: Incoming, first: int, known: Row | None, revised: Part, contents: str) -> Injected:
        """What is known already is changed by a higher revision than it is at; what was removed stays so."""
        if known is None or known["direction"] != "in" or revised.revision <= known["revision"]:
            return Injected(first, "duplicate")
        await self._may_change(coming_in, first)
        with self._coming(coming_in):
            edited = await self._messages.edit_elsewhere(first, marked(coming_in, contents), revised)
        return Injected(first, "edited" if edited else "duplicate")

    async def _say_paused(self, coming_in: Incoming) -> None:
        """Let those in the channel know that somebody is paused; that it cannot be said stops nobody."""
        link, author = coming_in.link, coming_in.author
        log.warning("somebody elsewhere says the same again and again and is paused", link=link.via, user=author.id, seconds=PAUSE_S)
        bridge = self._links.bridges.get(link.instance)
        try:
            if bridge is not None:
                with self._coming(coming_in):
                    await self.say(bridge, link, PAUSED.format(name=author.name, network=link.network, seconds=PAUSE_S))
        except CrustError as error:
            log.warning("a channel could not be told", channel=link.channel_id, error=error.message)

    async def say(self, bridge: Bridge, link: RoomLink, text: str) -> None:
        """Say something of a link itself in its channel, as the bridge's bot; it does not go out over it."""
        bot = Actor(bridge.user_id, bridge.name, 0, client_of(bridge.name))
        await self._messages.post(bot, link.channel_id, cleaned(text), reply_to=None, client_msg_id=None, key=None)

    # ---- changed, taken back, reacted to

    async def edit(self, coming_in: Incoming, source_id: str, contents: str) -> None:
        """Change what was said elsewhere, by the id of any of its parts there.

        What a ghost said anybody changes over the same link: the network knows who may. What a person here said from there only they
        change, verified.

        Raises:
            NotFound: nothing is known by this id.
            Forbidden: it was said here, or by a person here who is not the author, or it is known that the author did not do this.
            Others: as `post`.
        """
        coming_in = let_in(coming_in)
        async with self._turn(coming_in.link):
            part = await self._own_part(coming_in, source_id)
            with self._coming(coming_in):
                await self._messages.edit_elsewhere(part["message_id"], marked(coming_in, contents))

    async def remove(self, coming_in: Incoming, source_id: str) -> None:
        """Take back what was said elsewhere; what is gone already is no error. Errors are those of `edit`."""
        coming_in = let_in(coming_in)
        link = coming_in.link
        async with self._turn(link):
            if await self.parts.found(link.id, remote_id(source_id)) is None and await keys.result(self._database, key_of(link, source_id)):
                return  # it came over this link, and was removed: its parts go with it
            part = await self._own_part(coming_in, source_id)
            by = await self._speaker(coming_in)
            with self._coming(coming_in):
                await self._messages.remove_elsewhere(by.user_id, part["message_id"], link.id)

    async def react(self, coming_in: Incoming, source_id: str, emoji: str, *, added: bool) -> None:
        """Put an emoji on a message, or take it away, by the id of any of its parts there. Errors are those of `edit`."""
        coming_in = let_in(coming_in)
        not_forged(coming_in)
        async with self._turn(coming_in.link):
            part = await self._part(coming_in.link, source_id)
            by = await self._speaker(coming_in)
            with self._coming(coming_in):
                await self._messages.react_elsewhere(by.user_id, part["message_id"], emoji, added=added)

    async def _part(self, link: RoomLink, source_id: str) -> Row:
        part = await self.parts.awaited(link.instance, link.id, remote_id(source_id))
        if part is None:
            raise NotFound("No message is known by this id over this link.", field="source_id")
        return part

    async def _own_part(self, coming_in: Incoming, source_id: str) -> Row:
        """One of what was said elsewhere, which is to be changed or taken back."""
        part = await self._part(coming_in.link, source_id)
        if part["direction"] != "in":
            raise Forbidden("This was said here: it is changed and taken back here.")
        await self._may_change(coming_in, part["message_id"])
        return part

    async def _may_change(self, coming_in: Incoming, message_id: int) -> None:
        """What ghosts said is their network's: it knows who may change it there. What a person here said from there is theirs alone."""
        not_forged(coming_in)
        acting = await self._ghosts.acting(coming_in.link, coming_in.author, verified=coming_in.verified)
        if await self._ghosts.person_who_said(message_id) not in (None, acting):
            raise Forbidden("A person here said this from there: only they, as the network vouches for them, change it and take it back.")

    # ---- coming, going, topics, typing

    async def join(self, coming_in: Incoming) -> None:
        """Let somebody be in the channel, before they say anything. Does nothing where joins don't cross the link."""
        coming_in = let_in(coming_in)
        if "joins" in coming_in.link.crosses:
            async with self._turn(coming_in.link):
                await self._speaker(coming_in)

    async def part(self, coming_in: Incoming) -> None:
        """Let somebody be in the channel no more."""
        async with self._turn(coming_in.link):
            with self._coming(coming_in):
                await self._ghosts.parted(coming_in.link, coming_in.author)

    async def topic(self, coming_in: Incoming, topic: str) -> None:
        """Give the channel another topic; too long a one is cut. Does nothing where topics don't cross the link."""
        coming_in = let_in(coming_in)
        if "topics" in coming_in.link.crosses:
            not_forged(coming_in)
            async with self._turn(coming_in.link):
                by = await self._speaker(coming_in)
                with self._coming(coming_in):
                    await self._channels.topic_elsewhere(by, coming_in.link.channel_id, topic)

    async def typing(self, coming_in: Incoming, state: str) -> None:
        """Tell that somebody who is in the channel has started or stopped typing; of others, and of whom too little is known, nothing."""
        if coming_in.refused or coming_in.trust.verdict == "failed":
            return
        coming_in = let_in(coming_in)
        who = await self._ghosts.present_as(coming_in.link, coming_in.author, verified=coming_in.verified)
        if who is not None:
            self._tell(Typing(coming_in.link.channel_id, who, state, coming_in.link.via))

    # ---- what is common to all

    def _turn(self, link: RoomLink) -> asyncio.Lock:
        lock = self._turns.get(link.id)
        if lock is None:
            lock = self._turns[link.id] = asyncio.Lock()
        return lock

    def _coming(self, coming_in: Incoming) -> AbstractContextManager[None]:
        """For the length of a block, changes have come by this link."""
        link = coming_in.link
        return coming(Way(link.network, (*coming_in.via, link.via), self.still(link)))

    def still(self, link: RoomLink) -> Still:
        """What to ask inside each change whether things may come in by a link still."""
        return Still(self._database, self._links, link, under.get())

    def _is_own(self, coming_in: Incoming) -> bool:
        """Whether it was in this very channel before."""
        return f"{self._server_name}/{coming_in.link.channel_id}" in coming_in.via

    async def _speaker(self, coming_in: Incoming) -> Actor:
        with self._coming(coming_in):
            return await self._ghosts.speaker(coming_in.link, coming_in.author, verified=coming_in.verified)


def key_of(link: RoomLink, source_id: str) -> Key:
    """By which a repeat is known. What was said is no part of it: the network may tell it again in other words."""
    name = source_id if len(source_id) <= KEY_ID_MAX else hashlib.sha256(source_id.encode()).hexdigest()
    return Key(link.scope, name, keys.fingerprint("inject"))
