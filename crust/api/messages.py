"""`/message/…`: what people say."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from crust.api.calls import Context, Page, Registry
from crust.api.fields import ReplyTo, TheMessage
from crust.api.lists import Listed
from crust.api.params import Id
from crust.errors import Invalid
from crust.services.core import Core
from crust.services.keys import request_key
from crust.services.search import Wish
from crust.services.views import Delivery, FormerVersion, FoundMessage, ViewedMessage

ClientMessageId = Annotated[
    str, Meta(min_length=1, max_length=64, description="The client's own name for it: a repeat is no second message.")
]


QUERY_MAX = 256  # characters: more words than anybody remembers of a message
Type = Literal["history", "message", "attachment", "media", "MESSAGE", "FILE", "CREATE", "TOPIC", "RENAME"]


class MessageEdit(Struct, kw_only=True):
    id: Annotated[Id | None, Meta(description="The message to change; left out: post one.")] = None
    channel_id: Annotated[Id | None, Meta(description="Where to post; required without id.")] = None
    contents: Annotated[str, Meta(description="Markdown.")]
    reply_to: ReplyTo = None
    client_msg_id: ClientMessageId | None = None
    version: (
        Annotated[int, Meta(ge=1, le=2**31 - 1, description="The version that one has read; the edit is refused where there is a newer.")]
        | None
    ) = None


class MessageId(Struct, kw_only=True):
    id: TheMessage


class MessagePart(Listed, kw_only=True):
    id: TheMessage


class MessageReact(Struct, kw_only=True):
    id: TheMessage
    emoji: Annotated[str, Meta(description="An emoji or a :shortcode:, 1 to 64 characters without spaces.")]


class MessageRead(Listed, kw_only=True):
    before: Annotated[Id | None, Meta(description="Only what has a smaller id; the oldest first all the same.")] = None
    id: Annotated[Id | None, Meta(description="One message; left out: a page of a channel.")] = None
    channel_id: Annotated[Id | None, Meta(description="The channel to read; required without id.")] = None
    around: Annotated[Id | None, Meta(description="What was said before and after this message.")] = None


class MessageSearch(Listed, kw_only=True):
    after: Annotated[Id | None, Meta(description="Only what has a greater id; the newest first all the same.")] = None
    query: Annotated[
        str,
        Meta(
            max_length=QUERY_MAX,
            description='Words, "phrases", -without; from:ana in:general before:2026-11-24 after:2026-11-01 has:file is:pinned.',
        ),
    ] = ""
    message_type: Annotated[
        Type | None,
        Meta(description="history: CREATE, TOPIC and RENAME; attachment: FILE; media: FILE with an image, audio or video; or a type."),
    ] = None
    channel_id: Annotated[Id | None, Meta(description="Only those in this channel.")] = None
    user_id: Annotated[Id | None, Meta(description="Only those of this person.")] = None
    pinned: Annotated[bool, Meta(description="Only pinned ones.")] = False
    flagged: Annotated[bool, Meta(description="Only those that one has flagged.")] = False


class MessageCalls:
    """The handlers."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def edit(self, context: Context, params: MessageEdit) -> ViewedMessage:
        """Post a message to a channel, or change one of one's own.

        With `client_msg_id` (or the header Idempotency-Key) a repeat gives the first message, with `duplicate`.
        """
        if params.id is not None:
            return await self._core.messages.edit(context.caller, params.id, params.contents, params.version)
        if params.channel_id is None:
            raise Invalid("channel_id is required to post; id, to edit.", field="channel_id")
        key = request_key(
            context.caller.scope, params.client_msg_id or context.idempotency_key,
            "message/edit", params.channel_id, params.contents, params.reply_to,
        )  # fmt: skip
        return await self._core.messages.post(
            context.caller, params.channel_id, params.contents, reply_to=params.reply_to, client_msg_id=params.client_msg_id, key=key
        )

    async def read(self, context: Context, params: MessageRead) -> ViewedMessage | Page[ViewedMessage]:
        """One message by id, or a page of a channel, oldest first: the newest, those before or after an id, or around one.

        Without `after`, `next` is what to pass as `before`.
        """
        if params.id is not None:
            return await self._core.messages.read_one(context.caller, params.id)
        if params.channel_id is None:
            raise Invalid("channel_id is required, or the id of one message.", field="channel_id")
        page = await self._core.messages.read(
            context.caller, params.channel_id, before=params.before, after=params.after, around=params.around, limit=params.limit
        )
        return Page(page.messages, page.next)

    async def search(self, context: Context, params: MessageSearch) -> Page[FoundMessage]:
        """The messages that one may see, those of archived channels too, and that have all these words, newest first.

        Case and accents do not count. In `snippet` the matches stand between U+E000 and U+E001. `next` is what to pass as `before`.
        """
        wish = Wish(
            query=params.query, message_type=params.message_type, channel_id=params.channel_id, user_id=params.user_id,
            before=params.before, after=params.after, pinned=params.pinned, flagged=params.flagged,
        )  # fmt: skip
        return Page.of(await self._core.search.find(context.caller, wish, params.limit + 1), params.limit)

    async def thread(self, context: Context, params: MessagePart) -> Page[ViewedMessage]:
        """The replies in a message's thread, oldest first."""
        found = await self._core.messages.thread(context.caller, params.id, params.part)
        return Page.of(found, params.limit)

    async def history(self, context: Context, params: MessagePart) -> Page[FormerVersion]:
        """What a message said before its edits, oldest first."""
        found = await self._core.messages.versions(context.caller, params.id, params.part)
        return Page.of(found, params.limit)

    async def delivery(self, context: Context, params: MessagePart) -> Page[Delivery]:
        """Where bridges have delivered a message, and how that went; of one that was removed, its author alone is told."""
        return Page.of(await self._core.messages.deliveries(context.caller, params.id, params.part), params.limit)

    async def remove(self, context: Context, params: MessageId) -> None:
        """Take a message back; nobody can read it any more, anywhere."""
        await self._core.messages.remove(context.caller, params.id)

    async def pin(self, context: Context, params: MessageId) -> None:
        """Pin a message for all in its channel; again is no error."""
        await self._core.messages.pin(context.caller, params.id)

    async def unpin(self, context: Context, params: MessageId) -> None:
        """Take a pin away; again is no error."""
        await self._core.messages.unpin(context.caller, params.id)

    async def react(self, context: Context, params: MessageReact) -> None:
        """Put an emoji on a message, for all in the channel; again is no error."""
        await self._core.messages.react(context.caller, params.id, params.emoji)

    async def unreact(self, context: Context, params: MessageReact) -> None:
        """Take one's emoji from a message; again is no error."""
        await self._core.messages.unreact(context.caller, params.id, params.emoji)

    async def flag(self, context: Context, params: MessageId) -> None:
        """Flag a message for oneself alone; again is no error."""
        await self._core.messages.flag(context.caller, params.id, flagged=True)

    async def unflag(self, context: Context, params: MessageId) -> None:
        """Take one's flag away; again is no error."""
        await self._core.messages.flag(context.caller, params.id, flagged=False)


def register(registry: Registry, core: Core) -> None:
    """Add the calls to a registry."""
    calls = MessageCalls(core)
    registry.add("POST", "/message/edit", calls.edit, creates=True, rate=lambda params: "writes" if params.id else "messages")
    registry.add("GET", "/message/read", calls.read)
    registry.add("GET", "/message/search", calls.search)
    registry.add("GET", "/message/thread", calls.thread)
    registry.add("GET", "/message/history", calls.history)
    registry.add("GET", "/message/delivery", calls.delivery)
    registry.add("DELETE", "/message/remove", calls.remove)
    registry.add("POST", "/message/pin", calls.pin)
    registry.add("POST", "/message/unpin", calls.unpin)
    registry.add("POST", "/message/react", calls.react)
    registry.add("POST", "/message/unreact", calls.unreact)
    registry.add("POST", "/message/flag", calls.flag)
    registry.add("POST", "/message/unflag", calls.unflag)
