"""Files: what people put on messages, handed out to whoever sees the message, and small pictures of them.

A file is received, looked at and stored before the change that puts it on a message; so a crash leaves bytes without a message, never a
message without bytes. Such bytes are swept away when they are old enough that no upload can still be about to use them.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass

from crust.errors import CrustError, Gone, Invalid, NotFound, TooLarge, Unavailable
from crust.files.pictures import USUAL, Busy, Dimensions, NoPicture, Pictures, owner, preview_key, size_for
from crust.files.sniffing import PICTURES, SHOWN, TEXT, is_markup, media_type
from crust.files.storage import Missing, Received, Spool, Storage, TooMuch, new_key
from crust.log.tasks import repeated
from crust.models.database import Database, Row
from crust.services import keys, names
from crust.services.actor import Actor
from crust.services.attachments import NewFile, discard
from crust.services.channels import Channels
from crust.services.filters import Filters, Where, where
from crust.services.keys import Key
from crust.services.messages import Messages
from crust.services.parts import Part
from crust.services.views import ViewedMessage
from crust.settings import Files as FileSettings
from crust.telemetry import get_logger

log = get_logger(__name__)

PREVIEW_TYPE = "image/webp"
TOGETHER = 500  # keys that are looked for at once when bytes are swept
ONE = "SELECT id, message_id, name, size, media_type, sha256, key, width FROM file WHERE id = $1"
LIVING = """
SELECT f.key FROM file f JOIN message x ON x.id = f.message_id JOIN channel c ON c.id = x.channel_id
WHERE x.removed_at IS NULL AND c.removed_at IS NULL AND f.key IN {0}
UNION ALL SELECT f.key FROM file f WHERE f.message_id IS NULL AND f.key IN {0}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """Where a file goes: on a message, or as a new one into a channel. `part`: what it is elsewhere, if it was sent there."""

    message_id: int | None = None
    channel_id: int | None = None
    contents: str = ""
    reply_to: int | None = None
    client_msg_id: str | None = None
    part: Part | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Bytes that somebody may read. `inline`: a browser may show them itself; `version` is another one for other bytes."""

    name: str
    size: int
    media_type: str
    inline: bool
    version: str
    read: Callable[[int, int], AsyncGenerator[bytes, None]]


class Files:
    """See the module.

    Args:
        storage: where bytes lie.
        spool: where they lie until it is known what they are.
        pictures: makes small ones.
    """

    def __init__(
        self, database: Database, channels: Channels, messages: Messages, storage: Storage, spool: Spool, pictures: Pictures,
        settings: FileSettings, filters: Filters,
    ) -> None:  # fmt: skip
        self._database, self._channels, self._messages = database, channels, messages
        self._storage, self._spool, self._pictures, self._settings = storage, spool, pictures, settings
        self._filters = filters

    # ---- sending

    async def may_send(self, actor: Actor, aim: Aim) -> None:
        """Refuse a file that could not be put where it is to go, before its bytes are taken.

        Raises:
            Invalid: it goes nowhere, or to two places.
            NotFound, Forbidden, Gone: as in `Messages.post` and `Messages.attach`.
        """
        if (aim.message_id is None) == (aim.channel_id is None):
            raise Invalid("Either message_id or channel_id is required: what to attach to, or where to post.", field="channel_id")
        if aim.message_id is not None:
            await self._messages.may_attach(actor, aim.message_id)
        if aim.channel_id is not None:
            await self._channels.standing_row(actor, aim.channel_id, "post")

    @asynccontextmanager
    async def receiving(self, chunks: AsyncIterable[bytes]) -> AsyncIterator[Received]:
        """Take a file's bytes as they come; at the end of the block they are gone, unless `send` has stored them.

        Raises:
            TooLarge: they are more than the settings allow.
            Invalid: there are none.
            Unavailable: there is no room for them.
        """
        most = self._settings.upload_bytes
        with failing("The file could not be stored; nothing of it is kept."):
            try:
                async with self._spool.receiving(chunks, most) as received:
                    if not received.size:
                        raise Invalid("The file is empty.", field="upload")
                    yield received
            except TooMuch:
                raise TooLarge(f"A file may have at most {most} bytes.", field="upload") from None

    async def send(self, actor: Actor, aim: Aim, received: Received, name: str, key: Key | None) -> ViewedMessage:
        """Put a received file on a message. Errors are those of `may_send`, `Messages.post` and `Messages.attach`."""
        await self.may_send(actor, aim)
        if "upload" in self._filters.wanted and await keys.result(self._database, key) is None:
            await self._filters.upload(actor, await self._where(actor, aim), name, received.size, media_type(received.head))
        file = await self._stored(received, name)
        try:
            message = await self._put(actor, aim, file, key)
        except Unavailable:
            raise  # it may have been put there all the same
        except CrustError:
            await discard(self._storage, [file.key])
            raise
        if message.duplicate is True:
            await discard(self._storage, [file.key])
        return message

    async def _where(self, actor: Actor, aim: Aim) -> Where:
        """The channel that a file comes into."""
        if aim.message_id is not None:
            _, channel = await self._messages.may_attach(actor, aim.message_id)
            return where(channel)
        return where(await self._channels.standing_row(actor, aim.channel_id or 0, "post"))

    async def _put(self, actor: Actor, aim: Aim, file: NewFile, key: Key | None) -> ViewedMessage:
        if aim.message_id is not None:
            return await self._messages.attach(actor, aim.message_id, file, key)
        return await self._messages.post(
            actor, aim.channel_id or 0, aim.contents, reply_to=aim.reply_to, client_msg_id=aim.client_msg_id, key=key, file=file,
            part=aim.part,
        )  # fmt: skip

    async def _stored(self, received: Received, name: str) -> NewFile:
        key, type_ = new_key(), media_type(received.head)
        picture = await self._looked_at(received, key) if type_ in PICTURES else None
        await self._storage.keep(received.path, key)
        return NewFile(
            name=names.file(name), size=received.size, media_type=type_, sha256=received.sha256, key=key,
            width=picture.width if picture else None, height=picture.height if picture else None,
        )  # fmt: skip

    async def _looked_at(self, received: Received, key: str) -> Dimensions | None:
        """A picture's dimensions, once it is sure that it can be shown: its usual preview is made."""
        target = self._spool.new_path()
        try:
            picture = await self._pictures.shrink(received.path, target, USUAL)
            await self._storage.keep(target, preview_key(key, USUAL))
        except NoPicture as error:
            log.info("a file that begins like a picture cannot be shown", reason=str(error))
            return None
        finally:
            target.unlink(missing_ok=True)
        return picture

    # ---- reading

    async def read(self, actor: Actor, file_id: int) -> Content:
        """A file, for whoever sees its message now.

        Raises:
            NotFound: it is not there, or not the caller's to see.
        """
        return await self._content(await self._row(actor, file_id))

    async def unguarded(self, file_id: int) -> Content:
        """The same, for whoever has made sure that it may be read.

        Raises:
            NotFound: it is not there.
        """
        rows = await self._database.fetch(ONE, file_id)
        if not rows:
            raise NotFound("There is no such file.", field="id")
        return await self._content(rows[0])

    async def _content(self, row: Row) -> Content:
        return Content(
            name=row["name"], size=row["size"], media_type=row["media_type"], inline=await self._harmless(row), version=row["sha256"],
            read=lambda start, end: self.stored(row["key"], start, end),
        )  # fmt: skip

    async def _harmless(self, row: Row) -> bool:
        """Whether a browser may show it: only of types that cannot act in it, and no text that some program may take for more."""
        if row["media_type"] != TEXT:
            return row["media_type"] in SHOWN
        async for head in self.stored(row["key"], 0, min(row["size"], 4096)):
            return not is_markup(head)
        return False

    async def preview(self, actor: Actor, file_id: int, wanted: int) -> Content:
        """A small picture of a file, at least `wanted` pixels wide or high if the file is, made when it is first asked for.

        Raises:
            NotFound: the file is not there, not the caller's to see, or none that can be shown small.
        """
        row = await self._row(actor, file_id)
        if row["width"] is None:
            raise NotFound("There is no preview of this file.", field="id")
        size = size_for(wanted)
        key = preview_key(row["key"], size)
        with failing("The preview cannot be made or read now."):
            length = await self._storage.size(key) or await self._make(row["key"], size)
        return Content(
            name=f"{row['name'].rpartition('.')[0] or row['name']}.webp", size=length, media_type=PREVIEW_TYPE, inline=True,
            version=f"{row['sha256']}-{size}", read=lambda start, end: self.stored(key, start, end),
        )  # fmt: skip

    async def _make(self, source: str, size: int) -> int:
        """Make a preview and store it; gives its length in bytes."""
        key, target = preview_key(source, size), self._spool.new_path()
        try:
            async with self._pictures.turn(), self._storage.local(source) as path:
                if length := await self._storage.size(key):
                    return length  # somebody else asked for it at the same time
                await self._pictures.shrink_now(path, target, size)
                length = target.stat().st_size
                await self._storage.keep(target, key)
                return length
        except Busy:
            raise Unavailable("Too many previews are being made.", retry_after=5) from None
        except (NoPicture, Missing):
            raise NotFound("There is no preview of this file.", field="id") from None
        finally:
            target.unlink(missing_ok=True)

    async def _row(self, actor: Actor, file_id: int) -> Row:
        """A file's row, after a check that the caller sees its message."""
        rows = await self._database.fetch(ONE, file_id)
        try:
            if rows and rows[0]["message_id"] is not None:
                await self._messages.seen(actor, await self._messages.row(rows[0]["message_id"]), "read")
                return rows[0]
        except NotFound:
            pass
        raise NotFound("There is no such file.", field="id")

    async def stored(self, key: str, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """The bytes in [start, end) under a key, for whoever has checked the right to read them.

        Raises:
            Gone: they are lost.
            Unavailable: they cannot be read now.
        """
        with failing("The file cannot be read now."):
            try:
                async with aclosing(self._storage.read(key, start, end)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            except Missing:
                log.error("the bytes of a file are not in the storage", key=key)  # noqa: TRY400  # where it was raised tells nothing
                raise Gone("The bytes of this file are lost.") from None

    # ---- removing

    async def sweep_always(self) -> None:
        """Sweep now and from time to time, until cancelled."""
        failure = "the sweep of files failed; it is repeated"
        await repeated(self.sweep, self._settings.sweep_s, lambda error: log.warning(failure, error=error))

    async def sweep(self) -> int:
        """Remove bytes that belong to no message and are old enough that none is about to get them; gives how many files it were."""
        age = self._settings.orphan_s
        before, gone, some = time.time() - age, await self._spool.sweep(age), list[str]()
        async for stored in self._storage.stored():
            if stored.modified < before:
                some.append(stored.key)
            if len(some) == TOGETHER:
                gone += await self._sweep(some)
                some = []
        gone += await self._sweep(some)
        if gone:
            log.info("bytes without a message were removed", files=gone)
        return gone

    async def _sweep(self, keys: Sequence[str]) -> int:
        d = self._database
        owners = sorted({owner(key) for key in keys})
        living = {row["key"] for row in await d.fetch(LIVING.format(d.any_of(1, "text")), d.as_list(owners))}
        orphans = [key for key in keys if owner(key) not in living]
        await self._storage.delete(orphans)
        return len(orphans)

    async def close(self) -> None:
        """End what runs beside the event loop."""
        await self._pictures.close()


@contextmanager
def failing(message: str) -> Iterator[None]:
    """Say of a storage that fails what it means."""
    try:
        yield
    except OSError as error:
        log.error("the storage of files failed", error=str(error))  # noqa: TRY400  # where it was raised tells nothing
        raise Unavailable(message, retry_after=5) from error
