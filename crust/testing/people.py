"""People, and what they do. Each act is that of the API, filters included: what it refuses is raised, `Rejected` with a filter's reason."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from crust.plugin import Channel, Message
from crust.services.actor import Actor
from crust.services.files import Aim
from crust.services.keys import Key, fingerprint

if TYPE_CHECKING:
    from crust.testing.hosting import Host

BYTES = 65_536  # of a file that are sent at once


class Person:
    """Somebody with an account, which is made when they first do something.

    `where` is always a channel: `"#general"`, a `Channel`, an id, or another person, who is then written to directly. A channel that is
    named and not there is made, a public one; whoever acts in a public channel joins it first.
    """

    def __init__(self, host: Host, username: str, *, admin: bool = False, actor: Actor | None = None) -> None:
        self.username = username
        self._host, self._admin, self._actor = host, admin, actor

    def __repr__(self) -> str:
        return f"<{self.username}>"

    async def actor(self) -> Actor:
        """They, as the services of the core have them."""
        if self._actor is None:
            user = await self._host.node.core.accounts.add(self.username, password=None, is_admin=self._admin)
            self._actor = Actor(int(user.id), self.username, 1, "test", self._admin)
        return self._actor

    async def id(self) -> str:
        """Their user id."""
        return str((await self.actor()).user_id)

    async def says(self, where: Where, contents: str, *, reply_to: Message | str | None = None) -> Message:
        """Post a message."""
        with self._host.acting():
            actor, channel = await self._in(where)
            reply = None if reply_to is None else number(reply_to)
            return await self._host.node.core.messages.post(actor, channel, contents, reply_to=reply, client_msg_id=None, key=None)

    async def runs(self, line: str, where: Where = "#general", *, key: str | None = None) -> str | None:
        """Run a slash command, `"/remind me in 2h tea"`, in a channel; gives what they alone are shown.

        `key`: the request's Idempotency-Key; the same again does nothing and gives the first answer.
        """
        with self._host.acting():
            actor, channel = await self._in(where)
            once = None if key is None else Key(f"test/{actor.user_id}", key, fingerprint(line))
            return (await self._host.node.core.commands.run(actor, channel, line, once)).text

    async def uploads(self, where: Where, name: str, body: bytes, contents: str = "") -> Message:
        """Post a file."""

        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(body), BYTES):
                yield body[start : start + BYTES]

        with self._host.acting():
            actor, channel = await self._in(where)
            files = self._host.node.core.files
            async with files.receiving(chunks()) as received:
                return await files.send(actor, Aim(channel_id=channel, contents=contents), received, name, None)

    async def edits(self, message: Message | str, contents: str) -> Message:
        """Let a message say something else."""
        with self._host.acting():
            return await self._host.node.core.messages.edit(await self.actor(), number(message), contents, None)

    async def removes(self, message: Message | str) -> None:
        """Take a message away."""
        with self._host.acting():
            await self._host.node.core.messages.remove(await self.actor(), number(message))

    async def reacts(self, message: Message | str, emoji: str) -> None:
        """Put an emoji on a message."""
        with self._host.acting():
            await self._host.node.core.messages.react(await self.actor(), number(message), emoji)

    async def unreacts(self, message: Message | str, emoji: str) -> None:
        """Take it away again."""
        with self._host.acting():
            await self._host.node.core.messages.unreact(await self.actor(), number(message), emoji)

    async def joins(self, where: Where) -> None:
        """Come into a public channel."""
        with self._host.acting():
            channel = await self._host.number_of(where, self)
            await self._host.node.core.channels.join(await self.actor(), channel)

    async def leaves(self, where: Where) -> None:
        """Leave a channel."""
        with self._host.acting():
            channel = await self._host.number_of(where, self)
            await self._host.node.core.channels.part(await self.actor(), channel)

    async def _in(self, where: Where) -> tuple[Actor, int]:
        """They, and the channel, in which they are from here on if it is one to join."""
        actor, channel = await self.actor(), await self._host.number_of(where, self)
        core = self._host.node.core
        if channel not in (await core.memberships(actor.user_id)).channels:
            await core.channels.join(actor, channel)
        return actor, channel


Where = str | Channel | Person


def number(message: Message | str) -> int:
    """A message's id as the core has it."""
    return int(message if isinstance(message, str) else message.id)
