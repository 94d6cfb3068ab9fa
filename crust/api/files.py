"""`/message/attach` and `/file/…`: what people put on messages."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from msgspec import Meta, Struct

from crust.api.calls import Context, Registry
from crust.api.messages import ClientMessageId
from crust.api.params import Id, convert
from crust.errors import BadRequest
from crust.files.pictures import SIZES, USUAL
from crust.services.core import Core
from crust.services.files import Aim, Content
from crust.services.keys import request_key
from crust.services.views import ViewedMessage


class MessageAttach(Struct, kw_only=True):
    message_id: Annotated[Id | None, Meta(description="The message that gets the file; left out: post one.")] = None
    channel_id: Annotated[Id | None, Meta(description="Where to post; required without message_id.")] = None
    name: Annotated[str | None, Meta(description="What the file is called; a form says it beside the file.")] = None
    contents: Annotated[str, Meta(description="Markdown that is posted with the file.")] = ""
    reply_to: Id | None = None
    client_msg_id: ClientMessageId | None = None


class FileRead(Struct, kw_only=True):
    id: Id
    download: Annotated[bool, Meta(description="To be saved, whatever it is.")] = False


class FilePreview(Struct, kw_only=True):
    id: Id
    size: Annotated[
        int, Meta(ge=1, le=SIZES[-1], description=f"Pixels of the longer side, at least; made are {', '.join(map(str, SIZES))}.")
    ] = USUAL


class FileCalls:
    """The handlers."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def attach(self, context: Context, params: MessageAttach) -> ViewedMessage:
        """Attach a file to one of one's own messages, or post it to a channel as a FILE message.

        The body is the file as it is, of any type but multipart, with the parameters in the query; or a multipart form with the file as
        `upload`. With Idempotency-Key (or `client_msg_id`) a repeat gives the first message, with `duplicate`.
        """
        files, upload = self._core.files, context.upload
        if params.message_id or params.channel_id or upload is None:
            await files.may_send(context.caller, aim(params))  # before the file is taken
        if upload is None:
            raise BadRequest("Files are sent over HTTP.")
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
