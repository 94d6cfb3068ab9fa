"""`/message/attach`, `/file/…` and `/user/avatar`: what people put on messages, and show themselves as."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from msgspec import Meta, Struct

from crust.api.calls import Context, Registry
from crust.api.fields import ReplyTo, TheFile
from crust.api.messages import ClientMessageId
from crust.api.params import Id, convert
from crust.api.users import Nothing
from crust.files.pictures import SIZES, USUAL
from crust.services.core import Core
from crust.services.files import Aim, Content
from crust.services.keys import request_key
from crust.services.views import ViewedMessage, ViewedUser


class MessageAttach(Struct, kw_only=True):
    message_id: Annotated[Id | None, Meta(description="The message that gets the file; left out: post one.")] = None
    channel_id: Annotated[Id | None, Meta(description="Where to post; required without message_id.")] = None
    name: Annotated[str | None, Meta(description="What the file is called; a form says it beside the file.")] = None
    contents: Annotated[str, Meta(description="Markdown that is posted with the file.")] = ""
    reply_to: ReplyTo = None
    client_msg_id: ClientMessageId | None = None


class FileRead(Struct, kw_only=True):
    id: TheFile
    download: Annotated[bool, Meta(description="To be saved, whatever it is.")] = False


class FilePreview(Struct, kw_only=True):
    id: TheFile
    size: Annotated[
        int, Meta(ge=1, le=SIZES[-1], description=f"Pixels of the longer side, at least; made are {', '.join(map(str, SIZES))}.")
    ] = USUAL


class AvatarRead(Struct, kw_only=True):
    id: Annotated[Id, Meta(description="The avatar, by the id in a user's `avatar`.")]


class FileCalls:
    """The handlers."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def attach(self, context: Context, params: MessageAttach) -> ViewedMessage:
        """Attach a file to one of one's own messages, or post it to a channel as a FILE message.

        The body is the file as it is, of any type but multipart, with the parameters in the query; or a multipart form with the file as
        `upload`. With Idempotency-Key (or `client_msg_id`) a repeat gives the first message, with `duplicate`.
        """
        files = self._core.files
        if params.message_id or params.channel_id or context.upload is None:
            await files.may_send(context.caller, aim(params))  # before the file is taken
        upload = context.file
        async with files.receiving(upload.chunks) as received:
            params = convert(MessageAttach, upload.fields)  # what stands behind the file in a form counts too
            name = params.name or upload.name or "file"
            key = request_key(
                context.caller.scope, params.client_msg_id or context.idempotency_key, "message/attach",
                params.message_id, params.channel_id, params.contents, params.reply_to, name, received.sha256,
            )  # fmt: skip
            return await files.send(context.caller, aim(params), received, name, key)

    async def read(self, context: Context, params: FileRead) -> Content:
        """The bytes of a file, whole or in part, for whoever sees its message.

        Its type is what its bytes are, not what its sender called it. Only pictures, sound, video and plain text may be shown in place.
        """
        content = await self._core.files.read(context.caller, params.id)
        return replace(content, inline=False) if params.download else content

    async def preview(self, context: Context, params: FilePreview) -> Content:
        """A small picture of a picture, as WebP, for whoever sees its message."""
        return await self._core.files.preview(context.caller, params.id, params.size)

    async def avatar(self, context: Context, params: AvatarRead) -> Content:
        """Somebody's avatar, for whoever sees them; a user's `avatar` is the path of this call."""
        return await self._core.avatars.read(context.caller, params.id)

    async def put_avatar(self, context: Context, params: Nothing) -> ViewedUser:
        """Show oneself as a picture: the body as it is, or a form with it as `upload`. It is cut square, and made anew."""
        async with self._core.files.receiving(context.file.chunks) as received:
            return await self._core.avatars.put(context.caller, received)

    async def remove_avatar(self, context: Context, params: Nothing) -> None:
        """Show oneself without a picture; again is no error."""
        await self._core.avatars.remove(context.caller)


def aim(params: MessageAttach) -> Aim:
    """Where the file goes."""
    return Aim(
        message_id=params.message_id, channel_id=params.channel_id, contents=params.contents, reply_to=params.reply_to,
        client_msg_id=params.client_msg_id,
    )  # fmt: skip


def register(registry: Registry, core: Core) -> None:
    """Add the calls to a registry."""
    calls = FileCalls(core)
    registry.add("PUT", "/message/attach", calls.attach, rate="uploads", creates=True, uploads=True)
    registry.add("GET", "/file/read", calls.read)
    registry.add("GET", "/file/preview", calls.preview)
    registry.add("GET", "/file/avatar", calls.avatar)
    registry.add("PUT", "/user/avatar", calls.put_avatar, rate="uploads", uploads=True)
    registry.add("DELETE", "/user/avatar", calls.remove_avatar)
