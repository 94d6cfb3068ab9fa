"""What a bridge is made of: a plugin with a connection, which carries messages between channels and rooms elsewhere.

    class Irc(Bridge[Config]):
        api = 1
        capabilities = frozenset({"read:public", "bridge:inject", "bridge:ghosts"})
        crossings = Crossings(edit="fallback", react="fallback", reply="native", characters=400)

        @hookimpl
        async def run(self) -> None:
            async for line in self.connection:                                   # what comes in
                link = await self.ctx.bridge.link(line.room)
                if link:
                    await self.ctx.bridge.inject(link, Remote(id=line.account, name=line.nick), line.text, line.msgid)

        @hookimpl
        async def send_message(self, out: OutgoingMessage) -> Sent:              # what goes out
            return Sent([await self.connection.say(out.link.remote_room, out.author.name, out.contents)])

The host does the rest: who the people elsewhere are here, which message is which one there, order, retries, repeats, loops, what the
author of a message is told of it. What goes out is hooks (`send_*`, see hooks.py); what comes in is `ctx.bridge`.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar, Literal, Protocol

from crust.errors import Invalid
from crust.events.objects import Attachment, Message, User
from crust.plugin.base import C, Plugin
from crust.plugin.context import C_co, Context

Crossing = Literal["native", "fallback", "dropped"]
State = Literal["connecting", "backfilling", "connected", "degraded", "needs-attention", "failed"]


# ---- links


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossings:
    """What crosses a link, and how: by itself (`native`), as well as it goes (`fallback`), or not (`dropped`).

    `characters`, `lines` and `file_bytes` are what the other side takes at most in one message; None: as much as there is. People are
    shown all of it before they write.
    """

    edit: Crossing = "dropped"
    remove: Crossing = "dropped"
    react: Crossing = "dropped"
    reply: Crossing = "dropped"
    thread: Crossing = "dropped"
    file: Crossing = "fallback"
    typing: Crossing = "dropped"
    formatting: Crossing = "dropped"
    characters: int | None = None
    lines: int | None = None
    file_bytes: int | None = None

    def as_dict(self) -> dict[str, str | int | None]:
        """By name."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A room elsewhere that is linked with a channel.

    `direction` is both, in or out, as seen from here. `crosses` names what crosses beside messages: joins, topics, files. `relay_format`
    is how people are named in the room where they have no name of their own there, as somebody has set it; empty: as the bridge does it.
    `trust` says what becomes of what a sender is not known to have sent (`accept`, `mark`, `refuse`); the host sees to that. What is
    known not to be theirs (`failed`) is marked at least, or `Forbidden` where it is no message.
    """

    id: str
    remote_room: str
    channel_id: str
    organisation_id: str
    direction: Literal["both", "in", "out"]
    crosses: frozenset[str]
    relay_format: str
    trust: Literal["accept", "mark", "refuse"]
    crossings: Crossings


# ---- what comes in


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """Somebody elsewhere.

    Args:
        id: what the network knows them by, and what stays the same: an account, an address, nick and server. 1 to 255 characters.
        name: what people call them there; it follows them here.
        handle: what theirs here is made of (`ana:irc.example.org`); left out, the name.
        account: what they are signed in as there, if that is known.
        avatar: an https address of their picture.
    """

    id: str
    name: str
    handle: str | None = None
    account: str | None = None
    avatar: str | None = None


@dataclass(frozen=True, slots=True)
class Trust:
    """What is known of who sent something.

    `verified`: that it was they, as the network vouches for it; `failed`: that it was not; `unverified`: nothing. `how` says by what, such
    as account, dmarc or hmac. Only who is verified speaks as a person here who is linked with them; a name never decides anything.
    """

    verdict: Literal["verified", "unverified", "failed"] = "unverified"
    how: str = ""


UNVERIFIED = Trust()


@dataclass(frozen=True, slots=True)
class Injected:
    """What came of what was injected.

    `posted` or `edited`: now; `duplicate`: it was before, and nothing was done; `own`: it was in this channel before, went out, and has
    come back: it is answered as if it were posted, and was not. `message_id` is None then.
    """

    message_id: str | None
    state: Literal["posted", "edited", "duplicate", "own"]


class BridgeHost(Protocol):
    """`ctx.bridge`: what the host does for a bridge. Everything that came in is written, and committed, when a call returns: acknowledge
    it to the network then, and not before. A call that failed with `Unavailable` is repeated under the same ids.

    `via` is what something came through before, as `came_through` reads it. Ids of messages are the network's own, of any of their parts.
    All of these raise `NotFound` if the link has ended, `Forbidden` if it lets nothing in (its direction, its trust, the plugin's
    capabilities) or the author was suspended here or kicked from the channel, `Gone` if its channel is archived, `Rejected` if a filter
    refused it or it came through too many links.
    """

    async def links(self) -> Sequence[Link]:
        """All links of this bridge that there are now."""
        ...

    async def link(self, remote_room: str) -> Link | None:
        """The link of a room, if there is one."""
        ...

    async def inject(
        self, link: Link, author: Remote, contents: str, source_id: str, *, reply_to: str | None = None, revision: int = 0,
        trust: Trust = UNVERIFIED, via: Sequence[str] = (),
    ) -> Injected:  # fmt: skip
        """Post what somebody said in a room, in its channel. Takes bridge:inject and bridge:ghosts.

        Args:
            contents: in markdown.
            source_id: what it is called there; the same again posts nothing. 1 to 500 characters.
            reply_to: what it answers; what nobody knows here is left out.
            revision: of an edit, a higher number each time: the message says this from then on.

        Raises:
            Invalid, TooLarge: it is empty, too long, or an id can be none.
            RateLimited: they said the same five times in ten seconds, and are paused; what was said is not posted.
        """
        ...

    async def inject_file(
        self, link: Link, author: Remote, name: str, chunks: AsyncIterable[bytes], source_id: str, *, contents: str = "",
        reply_to: str | None = None, trust: Trust = UNVERIFIED, via: Sequence[str] = (),
    ) -> Injected:  # fmt: skip
        """Post a file that somebody sent, with what they said of it. Only over links that files cross (`Forbidden`)."""
        ...

    async def edit(
        self, link: Link, author: Remote, source_id: str, contents: str, *, trust: Trust = UNVERIFIED, via: Sequence[str] = ()
    ) -> None:
        """Change what was said there, where the network has no revisions.

        `author` is who did that: whoever the network lets do so, unless the verdict is `failed`. What somebody said who is linked with a
        person here only they change, verified. Else, and where it was said here, it is `Forbidden`; a revision follows the same rules.
        """
        ...

    async def remove(self, link: Link, author: Remote, source_id: str, *, trust: Trust = UNVERIFIED, via: Sequence[str] = ()) -> None:
        """Take back what was said there; who may is as with `edit`."""
        ...

    async def react(
        self, link: Link, author: Remote, source_id: str, emoji: str, *, trust: Trust = UNVERIFIED, via: Sequence[str] = ()
    ) -> None:
        """Put an emoji on a message; again is no error."""
        ...

    async def unreact(
        self, link: Link, author: Remote, source_id: str, emoji: str, *, trust: Trust = UNVERIFIED, via: Sequence[str] = ()
    ) -> None:
        """Take it away; again is no error."""
        ...

    async def joined(self, link: Link, author: Remote, *, trust: Trust = UNVERIFIED) -> None:
        """Somebody came into the room. (Who says something is let in by that.) Nothing happens where joins don't cross."""
        ...

    async def parted(self, link: Link, author: Remote) -> None:
        """Somebody left the room."""
        ...

    async def topic(self, link: Link, author: Remote, topic: str, *, trust: Trust = UNVERIFIED, via: Sequence[str] = ()) -> None:
        """The room has another topic. Nothing happens where topics don't cross."""
        ...

    async def typing(self, link: Link, author: Remote, *, active: bool = True, trust: Trust = UNVERIFIED) -> None:
        """Somebody is writing, or has stopped. Nothing happens if they are not in the channel yet, or as whom is not known.

        A person here who is linked with them has to be verified, as for what they say.
        """
        ...

    async def gap(self, link: Link, text: str) -> None:
        """Let those in the channel know, as the bridge's bot, of what nobody can bring any more."""
        ...

    async def present(self, link: Link) -> Sequence[str]:
        """The ids there of those whose ghosts are in the channel now: whoever left while nobody listened is still among them."""
        ...

    async def identify(self, author: Remote, code: str, *, trust: Trust = UNVERIFIED) -> User:
        """Link somebody who said a code to the bridge with the person here who was given it: they speak as that person from now on.

        Args:
            trust: has to be verified, or whoever has that name there next would be that person, too.

        Raises:
            Forbidden: it is not, or they are suspended here.
            NotFound: the code is wrong, too old, or was used.
            Conflict: they are linked with another person.
        """
        ...

    async def delivered(self, link: Link, remote_id: str) -> None:
        """The network has confirmed what was sent as one of these ids."""
        ...

    async def failed(self, link: Link, remote_id: str, reason: str) -> None:
        """The network has refused, afterwards, what was sent as one of these ids; its author is told why."""
        ...

    async def cross(self, link: Link, crossings: Crossings) -> Link:
        """Say what crosses a link as it is now, such as when it is known what a server can."""
        ...

    async def state(self, state: State, reason: str | None = None, *, link: Link | None = None) -> None:
        """Say how the bridge is, or one link of it. `reason`: what is wrong or, for needs-attention, what somebody has to do."""
        ...

    def via_header(self, out: Outgoing) -> str:
        """The value of the header `Crust-Via` that goes out with something over HTTP or by mail, by which a loop is known."""
        ...

    def came_through(self, header: str) -> tuple[str, ...]:
        """What a header `Crust-Via` says, to be given as `via`; what cannot be read counts as one hop."""
        ...


class BridgeContext(Context[C_co], Protocol[C_co]):
    """What a bridge has."""

    @property
    def bridge(self) -> BridgeHost:
        """What the host does for it."""
        ...


# ---- what goes out


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who did it. `remote_user` is who they are on this network, if they are linked with somebody there."""

    id: str
    username: str
    name: str
    avatar: str | None
    kind: Literal["person", "bot", "ghost"]
    origin: str | None
    remote_user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A message that something is about: what it is there (`parts`, in order; none, if it never went there), whose it is, what it says.

    `key` is that of an `OutgoingMessage` of which nobody knows whether it was sent: it is to be taken back by that, where the network can.
    """

    message_id: str
    parts: tuple[str, ...]
    author: Author | None
    contents: str
    key: str | None = None

    @property
    def last(self) -> str | None:
        """The id of its last part."""
        return self.parts[-1] if self.parts else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """Something that goes out over a link. `key` is the same in every attempt, and in no other thing: what goes out should bear it.

    `attempt` begins with 1; `at` is in milliseconds since 1970; `via` lists the links that it came through.
    """

    link: Link
    key: str
    attempt: int
    author: Author
    at: int
    via: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMessage(Outgoing):
    """Something that was said, in markdown. `message` is all that is known of it; of what the host has put into words it is None."""

    contents: str
    message: Message | None = None
    reply_to: Target | None = None
    thread: Target | None = None

    @property
    def files(self) -> tuple[Attachment, ...]:
        """What it bears, as far as files cross the link; read them by `ctx.files`."""
        cross = "files" in self.link.crosses and self.link.crossings.file != "dropped"
        return self.message.attachments if self.message is not None and cross else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingEdit(Outgoing):
    """A message after an edit; `changed` names what of it."""

    contents: str
    message: Message
    target: Target
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingRemoval(Outgoing):
    """A message that is gone; its target says nothing any more, and may have a `key` in the place of parts."""

    target: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingReaction(Outgoing):
    """An emoji that was put on a message, or (`added` False) taken away."""

    target: Target
    emoji: str
    added: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMembership(Outgoing):
    """Somebody who came, or (`joined` False) left; `by` is who did it, where that was somebody else."""

    joined: bool
    by: Author | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingTopic(Outgoing):
    """A channel's new topic."""

    topic: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingTyping:
    """Somebody in a linked channel who is typing, or (`active` False) has stopped."""

    link: Link
    author: Author
    active: bool


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of sending.

    Args:
        parts: the ids there of what it became, in order: by them it is changed, taken back, answered and reacted to later. None may be
            known; then it cannot be.
        fallback: what people should know of how it went, such as "sent as 3 lines".
        delivered: whether the network has confirmed it; if not, `ctx.bridge.delivered` may say so later.
    """

    parts: Sequence[str] = ()
    fallback: str | None = None
    delivered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that a bridge has tried.

    Args:
        what: in a few words, such as "signing in".
        good: whether it is as it should be.
        found: what was found.
        change: what to change, where it is not good.
    """

    what: str
    good: bool
    found: str
    change: str | None = None


# ---- the class


class Bridge(Plugin[C]):
    """A bridge. `crossings` is what crosses a new link, and how."""

    crossings: ClassVar[Crossings] = Crossings()
    ctx: BridgeContext[C]

    @property
    def network(self) -> str:
        """What its network is called, in handles and badges: 1 to 31 small letters, digits, dots and hyphens. The instance's name."""
        return self.ctx.name.replace("_", "-")

    def room(self, name: str) -> str:
        """A room's name as the network compares it: two that are the same room give the same.

        Raises:
            Invalid: it can be none; say why.
        """
        if not name:
            raise Invalid("room must not be empty.", field="room")
        return name

    async def check(self) -> Sequence[Finding]:
        """Try the real thing, for `crust bridges check`: addresses, certificates, signing in, what the network can. Leaves no trace.

        It runs in a process of the command's own, beside the one where the bridge lives, so nothing that only one may hold is taken. What
        it raises is a finding, too.
        """
        return ()
