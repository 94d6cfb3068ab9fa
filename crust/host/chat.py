"""The core as a plugin has it: as the instance's bot, within its capabilities and organisations, and nothing twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet
from contextvars import ContextVar

from crust.errors import Forbidden, Invalid, NotFound, TooLarge
from crust.events.objects import Channel, Message, Preview, User
from crust.services.bots import Bot, scope_of
from crust.services.core import Core
from crust.services.files import Aim
from crust.services.keys import Key, fingerprint

CHUNK = 65_536  # bytes of a file at a time
KEY_MAX = 160  # characters of an author's key: with what is put before it, it has to fit into a column


class Calls(Counter[str]):
    """How often something that may run again has called what, with which target. `cause` is its stable name: what it runs because of."""

    def __init__(self, cause: str) -> None:
        super().__init__()
        self.cause = cause


calls: ContextVar[Calls | None] = ContextVar("calls of this handler", default=None)
"""Those of the handler, command or job that is running; None: what is done now has no name, and each call counts."""


class Access:
    """What an instance may do, and as whom."""

    def __init__(self, name: str, capabilities: AbstractSet[str]) -> None:
        self.name, self._capabilities = name, capabilities
        self.bot: Bot | None = None

    def may(self, capability: str) -> bool:
        """Whether the plugin has declared the capability."""
        return capability in self._capabilities

    def need(self, capability: str) -> Bot:
        """The bot, if the plugin has declared the capability.

        Raises:
            Forbidden: it has not.
        """
        if not self.may(capability):
            raise Forbidden(f"The plugin of {self.name} has not declared the capability {capability}.")
        return self.known()

    def known(self) -> Bot:
        """The bot."""
        if self.bot is None:
            raise NotFound(f"The bot of {self.name} is not there yet.")
        return self.bot


class InstanceChat:
    """See `crust.plugin.Chat`."""

    def __init__(self, access: Access, core: Core) -> None:
        self._access, self._core = access, core

    @property
    def user_id(self) -> str:
        return str(self._access.known().actor.user_id)

    async def post(self, channel_id: str, contents: str, *, reply_to: str | None = None, key: str | None = None) -> str:
        bot, once = self._access.need("message:post"), self._key("post", channel_id, key)
        if (first := await self._core.bots.done(once)) is not None:
            return str(first)
        channel = number(channel_id, "channel")
        await self._core.bots.check_place(bot, channel, "post")
        reply = None if reply_to is None else number(reply_to, "message")
        return (await self._core.messages.post(bot.actor, channel, contents, reply_to=reply, client_msg_id=None, key=once)).id

    async def upload(
        self, channel_id: str, name: str, body: bytes, contents: str = "", *, reply_to: str | None = None, key: str | None = None
    ) -> str:
        bot, once = self._access.need("file:upload"), self._key("upload", channel_id, key)
        if (first := await self._core.bots.done(once)) is not None:
            return str(first)
        channel = number(channel_id, "channel")
        await self._core.bots.check_place(bot, channel, "post")
        aim = Aim(channel_id=channel, contents=contents, reply_to=None if reply_to is None else number(reply_to, "message"))
        async with self._core.files.receiving(chunks(body)) as received:
            return (await self._core.files.send(bot.actor, aim, received, name, once)).id

    async def edit(self, message_id: str, contents: str, *, key: str | None = None) -> None:
        bot, once = self._access.need("message:edit"), self._key("edit", message_id, key)
        if await self._core.bots.done(once) is None:
            await self._core.messages.edit(bot.actor, await self._message(bot, message_id), contents, None, once)

    async def remove(self, message_id: str, *, key: str | None = None) -> None:
        bot, once = self._access.need("message:remove"), self._key("remove", message_id, key)
        if await self._core.bots.done(once) is not None:
            return
        try:
            await self._core.messages.remove(bot.actor, await self._message(bot, message_id), once)
        except NotFound:
            return

    async def react(self, message_id: str, emoji: str, *, key: str | None = None) -> None:
        bot, once = self._access.need("reaction:add"), self._key("react", message_id, key)
        if await self._core.bots.done(once) is None:
            await self._core.messages.react(bot.actor, await self._message(bot, message_id), emoji, once)

    async def unreact(self, message_id: str, emoji: str, *, key: str | None = None) -> None:
        bot, once = self._access.need("reaction:add"), self._key("unreact", message_id, key)
        if await self._core.bots.done(once) is None:
            await self._core.messages.unreact(bot.actor, await self._message(bot, message_id), emoji, once)

    async def preview(self, message_id: str, preview: Preview | None, *, version: int | None = None, key: str | None = None) -> None:
        bot, once = self._access.need("message:preview"), self._key("preview", message_id, key)
        if await self._core.bots.done(once) is None:
            await self._core.messages.preview(bot.actor, await self._message(bot, message_id), preview, version, once)

    async def join(self, channel_id: str) -> None:
        bot, channel = self._access.need("channel:join"), number(channel_id, "channel")
        await self._core.bots.check_place(bot, channel, "read")
        await self._core.channels.join(bot.actor, channel)

    async def direct(self, user_id: str) -> str:
        bot, user = self._access.need("channel:direct"), number(user_id, "user")
        made = await self._core.channels.create(
            bot.actor, name="", topic="", type_="direct", organisation_id=None, members=[user], key=None
        )  # fmt: skip
        await self._core.bots.check_place(bot, int(made.id), "read")
        return made.id

    # ---- look-ups

    async def message(self, message_id: str) -> Message:
        bot = self._access.known()
        number_ = await self._message(bot, message_id, reading=True)
        return await self._core.messages.read_one(bot.actor, number_)

    async def link(self, message_id: str) -> str:
        bot = self._access.need("link:public")
        return await self._core.public_links.to_message(bot.actor, await self._message(bot, message_id, reading=True))

    async def channel(self, channel_id: str) -> Channel:
        bot, channel = self._access.known(), number(channel_id, "channel")
        self._access.need(f"read:{await self._core.bots.check_place(bot, channel, 'read')}")
        return await self._core.channels.read(bot.actor, channel)

    async def user(self, user_id: str) -> User:
        bot, user = self._access.known(), number(user_id, "user")
        if not await self._core.members.acquainted(bot.actor.user_id, user):
            raise NotFound("There is no such user.", field="user_id")
        return await self._core.members.user(user)

    async def _message(self, bot: Bot, message_id: str, *, reading: bool = False) -> int:
        """A message's id, where the bot sees it in an organisation that it is at work in."""
        row = await self._core.messages.row(number(message_id, "message"))
        type_ = await self._core.bots.check_place(bot, row["channel_id"], "read")
        if reading:
            self._access.need(f"read:{type_}")
        return int(row["id"])

    def _key(self, verb: str, target: str, own: str | None) -> Key | None:
        """By which a repeat is known; None: each call counts."""
        place, counted = f"{verb}:{target}", calls.get()
        if own is not None:
            if not 0 < len(own) <= KEY_MAX:
                raise Invalid(f"A key has 1 to {KEY_MAX} characters.", field="key")
            name = f"key/{place}/{own}"
        elif counted is not None:
            counted[place] += 1
            name = f"{counted.cause}/{place}/{counted[place]}"
        else:
            return None
        # What is asked for is no part of it: a handler that runs again may say it in other words, and the first ones stay.
        return Key(scope_of(self._access.name), name, fingerprint("plugin", place))


class InstanceFiles:
    """See `crust.plugin.Files`."""

    def __init__(self, access: Access, core: Core) -> None:
        self._access, self._core = access, core

    async def read(self, file_id: str, *, most: int = 1_048_576) -> bytes:
        bot, file = self._access.need("file:read"), number(file_id, "file")
        await self._seen(file)
        content = await self._core.files.read(bot.actor, file)
        if content.size > most:
            raise TooLarge(f"The file has {content.size} bytes, which are more than {most}.")
        return b"".join([chunk async for chunk in content.read(0, content.size)])

    async def link(self, file_id: str) -> str:
        bot, file = self._access.need("link:public"), number(file_id, "file")
        await self._seen(file)
        return await self._core.public_links.to_file(bot.actor, file)

    async def _seen(self, file: int) -> None:
        """Refuse a file on a message that the plugin does not see: elsewhere, or in a channel of a type that it has not declared."""
        message_id = await self._core.public_links.message_of(file)
        await InstanceChat(self._access, self._core).message(str(message_id))


async def chunks(body: bytes) -> AsyncIterator[bytes]:
    """Bytes as an upload has them."""
    for start in range(0, len(body), CHUNK):
        yield body[start : start + CHUNK]


def number(text: str, what: str) -> int:
    """An id as the core has it.

    Raises:
        NotFound: it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise NotFound(f"There is no such {what}: {text!r:.40} is no id.")
    return int(text)
