"""Avatars: the small square pictures by which people are known. What they sent is not kept; what is shown is made anew from it."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from crust.errors import CrustError, Invalid, NotFound, Unavailable
from crust.files.pictures import Busy, NoPicture, Pictures
from crust.files.sniffing import PICTURES, media_type
from crust.files.storage import Received, Spool, Storage, new_key
from crust.log import Log
from crust.models.database import Database, inserting
from crust.services.actor import Actor
from crust.services.attachments import FILE_COLUMNS, discard
from crust.services.files import PREVIEW_TYPE, Content, Files
from crust.services.profiles import Profiles
from crust.services.views import ViewedUser

SIDE = 256  # pixels: twice what is drawn of the largest, for sharp screens
ONE = "SELECT user_id, size, sha256, key FROM file WHERE id = $1 AND message_id IS NULL"


class Avatars:
    """See the module."""

    def __init__(
        self, database: Database, log: Log, profiles: Profiles, files: Files, storage: Storage, spool: Spool, pictures: Pictures
    ) -> None:
        self._database, self._log, self._profiles, self._files = database, log, profiles, files
        self._storage, self._spool, self._pictures = storage, spool, pictures

    async def put(self, actor: Actor, received: Received) -> ViewedUser:
        """Show the caller as this picture from now on, instead of any before.

        Raises:
            Invalid: it is no picture that can be read.
            Forbidden: the account is suspended.
            Unavailable: it could not be stored.
        """
        if media_type(received.head) not in PICTURES:
            raise Invalid("An avatar is a picture: PNG, JPEG, GIF, WebP, AVIF, BMP or TIFF.", field="upload")
        key, target = new_key(), self._spool.new_path()
        try:
            await self._pictures.shrink(received.path, target, SIDE, square=True)
            size, sha256 = await asyncio.to_thread(measured, target)
            await self._storage.keep(target, key)
        except Busy:
            raise Unavailable("Too many pictures are being made.", retry_after=5) from None
        except NoPicture:
            raise Invalid("This picture cannot be read, or is too large.", field="upload") from None
        finally:
            target.unlink(missing_ok=True)
        try:
            await self._show(actor, key, size, sha256)
        except Unavailable:
            raise  # it may be shown all the same
        except CrustError:
            await discard(self._storage, [key])
            raise
        return await self._profiles.read(actor, actor.user_id)

    async def _show(self, actor: Actor, key: str, size: int, sha256: str) -> None:
        async with self._log.change() as change:
            before = await self._forget(actor)
            id_ = change.next_id()
            row = (id_, None, actor.user_id, "avatar.webp", size, PREVIEW_TYPE, sha256, key, SIDE, SIDE, change.now)
            change.write(inserting("file", FILE_COLUMNS, [row]))
            await self._profiles.set_avatar(change, actor, f"/file/avatar?id={id_}")
        await discard(self._storage, before)

    async def remove(self, actor: Actor) -> None:
        """Show the caller without a picture; again is no error.

        Raises:
            Forbidden: the account is suspended.
        """
        async with self._log.change() as change:
            before = await self._forget(actor)
            if before:
                await self._profiles.set_avatar(change, actor, None)
        await discard(self._storage, before)

    async def _forget(self, actor: Actor) -> list[str]:
        """Inside a change: the keys of the caller's pictures, which nobody has any more."""
        rows = await self._database.fetch("SELECT key FROM file WHERE message_id IS NULL AND user_id = $1", actor.user_id)
        await self._database.execute("DELETE FROM file WHERE message_id IS NULL AND user_id = $1", actor.user_id)
        return [row["key"] for row in rows]

    async def read(self, actor: Actor, avatar_id: int) -> Content:
        """An avatar, for whoever sees the person.

        Raises:
            NotFound: it is not there, or the person is not the caller's to see.
        """
        rows = await self._database.fetch(ONE, avatar_id)
        if not rows or not await self._profiles.sees(actor, rows[0]["user_id"]):
            raise NotFound("There is no such avatar.", field="id")
        row = rows[0]
        return Content(
            name="avatar.webp", size=row["size"], media_type=PREVIEW_TYPE, inline=True, version=row["sha256"],
            read=lambda start, end: self._files.stored(row["key"], start, end),
        )  # fmt: skip


def measured(path: Path) -> tuple[int, str]:
    """A small file's size and SHA-256."""
    data = path.read_bytes()
    return len(data), hashlib.sha256(data).hexdigest()
