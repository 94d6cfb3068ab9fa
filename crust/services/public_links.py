"""Public links: addresses by which anybody reads one message, or one file, until the link expires or what it leads to is removed.

A bridge puts them where a network has no room for the whole: a long text, a file. The address says what it leads to and until when, and is
signed with a key that is in the database alone: nothing is stored for each, and nobody else can make one. Its end is that of a day, so the
same link made again is the same.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import struct
from dataclasses import dataclass
from typing import Literal

from crust.clock import Clock
from crust.errors import NotFound
from crust.log import Log
from crust.models.database import Database
from crust.services.actor import Actor
from crust.services.files import Content, Files
from crust.services.messages import Messages

Kind = Literal["message", "file"]

KEY = "public links"  # its name among the secrets
KEY_BYTES, MAC_BYTES = 32, 20
PATH = "/public/"
BODY = struct.Struct(">cQI")  # what, its id, and the day since 1970 with which it ends
LETTERS: dict[Kind, bytes] = {"message": b"m", "file": b"f"}
LINK_MAX = 64  # characters; one has 44
DAY_MS = 86_400_000

# Whether anybody could still read it: what was removed, with its channel or by itself, has no link.
ALIVE = (
    "SELECT x.contents, x.created_at, u.name FROM message x JOIN channel c ON c.id = x.channel_id"
    ' JOIN "user" u ON u.id = x.user_id WHERE x.id = $1 AND x.removed_at IS NULL AND c.removed_at IS NULL'
)
FILE = "SELECT message_id FROM file WHERE id = $1 AND message_id IS NOT NULL"


@dataclass(frozen=True, slots=True)
class PublicMessage:
    """What a link to a message shows: who said what, when (in milliseconds since 1970), and nothing else."""

    author: str
    contents: str
    at: int


class PublicLinks:
    """See the module.

    Args:
        url: the server's public address.
        days: for which a link holds, at least.
    """

    def __init__(self, database: Database, log: Log, clock: Clock, messages: Messages, files: Files, url: str, days: int) -> None:
        self._database, self._log, self._clock = database, log, clock
        self._messages, self._files, self._url, self._days = messages, files, url, days

    # ---- making

    async def to_message(self, actor: Actor, message_id: int) -> str:
        """The address by which anybody reads a message that the caller sees.

        Raises:
            NotFound: it is not there, or not the caller's to see.
        """
        await self._messages.read_one(actor, message_id)
        return await self._made("message", message_id)

    async def to_file(self, actor: Actor, file_id: int) -> str:
        """The same for a file."""
        await self._files.read(actor, file_id)
        return await self._made("file", file_id)

    async def _made(self, kind: Kind, id_: int) -> str:
        body = BODY.pack(LETTERS[kind], id_, self._clock.now() // DAY_MS + self._days + 1)
        return f"{self._url}{PATH}{written(body + signature(await self._key(), body))}"

    async def _key(self) -> bytes:
        """This server's, made when it is first needed."""
        if (key := await self._kept()) is None:
            async with self._log.change():
                sql = "INSERT INTO secret (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING"
                await self._database.execute(sql, KEY, secrets.token_hex(KEY_BYTES))
            key = await self._kept()
            assert key is not None, "it was just stored"
        return key

    async def _kept(self) -> bytes | None:
        rows = await self._database.fetch("SELECT value FROM secret WHERE name = $1", KEY)
        return bytes.fromhex(rows[0]["value"]) if rows else None

    # ---- following

    async def followed(self, link: str) -> tuple[Kind, int]:
        """What a link leads to, and its id.

        Raises:
            NotFound: it was not made here, has expired, or has been changed; which of these is not said.
        """
        body, mac = taken_apart(link)
        good = hmac.compare_digest(mac, signature(await self._kept() or secrets.token_bytes(KEY_BYTES), body))
        letter, id_, day = BODY.unpack(body)
        for kind, own in LETTERS.items():
            if good and letter == own and self._clock.now() < day * DAY_MS:
                return kind, id_
        raise NotFound("There is nothing here, or not any more.")

    async def message(self, message_id: int) -> PublicMessage:
        """The message that a link leads to.

        Raises:
            NotFound: it was removed.
        """
        rows = await self._database.fetch(ALIVE, message_id)
        if not rows:
            raise NotFound("There is nothing here, or not any more.")
        return PublicMessage(rows[0]["name"], rows[0]["contents"], rows[0]["created_at"])

    async def file(self, file_id: int) -> Content:
        """The file that a link leads to.

        Raises:
            NotFound: it was removed, or its message was.
        """
        await self.message(await self.message_of(file_id))
        return await self._files.unguarded(file_id)

    async def message_of(self, file_id: int) -> int:
        """The message that a file is on.

        Raises:
            NotFound: there is no such file.
        """
        rows = await self._database.fetch(FILE, file_id)
        if not rows:
            raise NotFound("There is no such file.", field="id")
        return int(rows[0]["message_id"])


def signature(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, b"crust public link 1\0" + body, hashlib.sha256)[:MAC_BYTES]


def written(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def taken_apart(link: str) -> tuple[bytes, bytes]:
    """What is signed, and the signature. Whatever is no link at all is one that nobody has signed."""
    nothing = bytes(BODY.size), bytes(MAC_BYTES)
    if not link.isascii() or len(link) > LINK_MAX:
        return nothing
    try:
        data = base64.urlsafe_b64decode(link + "=" * (-len(link) % 4))
    except ValueError:
        return nothing
    if len(data) != BODY.size + MAC_BYTES or written(data) != link:  # each link has one spelling
        return nothing
    return data[: BODY.size], data[BODY.size :]
