"""What messages bear: the rows of their files, written inside a change, and the keys under which the bytes lie."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from crust.events.objects import Attachment, Message
from crust.files.pictures import SIZES, preview_key
from crust.files.storage import Storage
from crust.log import Change
from crust.models.database import Database, Row, Write, inserting
from crust.models.fields import encode_json
from crust.models.search_index import MEDIA, WITH_FILE, WITH_MEDIA, SearchIndex
from crust.services import views
from crust.telemetry import get_logger

log = get_logger(__name__)

FILE_COLUMNS = {
    "id": "bigint", "message_id": "bigint", "user_id": "bigint", "name": "text", "size": "bigint", "media_type": "text", "sha256": "text",
    "key": "text", "width": "int", "height": "int", "created_at": "bigint",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFile:
    """A file that is stored under `key`, and is to be put on a message. `width` and `height` are there if it can be shown small."""

    name: str
    size: int
    media_type: str
    sha256: str
    key: str
    width: int | None = None
    height: int | None = None

    def attachment(self, change: Change) -> Attachment:
        """What is shown of it, with a new id."""
        id_ = str(change.next_id())
        return Attachment(
            id=id_, name=self.name, size=self.size, media_type=self.media_type, width=self.width, height=self.height,
            preview=None if self.width is None else f"/file/preview?id={id_}",
        )  # fmt: skip


def filing(change: Change, files: Sequence[tuple[NewFile, Message]]) -> Write:
    """The rows of files, each the last one on its message."""
    rows = [
        (
            int(message.attachments[-1].id), int(message.id), int(message.user_id), file.name, file.size, file.media_type, file.sha256,
            file.key, file.width, file.height, change.now,
        )
        for file, message in files
    ]  # fmt: skip
    return inserting("file", FILE_COLUMNS, rows)


def found_text(contents: str | None, attachments: Iterable[Attachment]) -> str:
    """What a message is found by: what it says, and what its files are called."""
    return "\n".join([contents or "", *(each.name for each in attachments)]).strip("\n")


class Attachments:
    """Writes what messages bear, inside a change, after the rights were checked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._index = SearchIndex(database.dialect)

    async def add(self, change: Change, row: Row, file: NewFile) -> Message:
        """Put one more file on a message; gives it as it is then, without reactions."""
        before = views.message(row)
        attachments = (*before.attachments, file.attachment(change))
        sql = "UPDATE message SET attachments = $1, version = version + 1 WHERE id = $2"
        await self._database.execute(sql, encode_json(attachments), row["id"])
        (now,) = await self._database.fetch(f"SELECT {views.MESSAGE_COLUMNS} FROM message x WHERE x.id = $1", row["id"])
        message = views.message(now)
        change.write(filing(change, [(file, message)]), self._index.replacing(row["id"], found_text(message.contents, message.attachments)))
        self._label(change, before, file)
        return message

    def _label(self, change: Change, before: Message, file: NewFile) -> None:
        """Let the message be found as one with files, if it is not yet; labels are put on once."""
        if not before.attachments and before.type != "FILE":
            change.write(self._index.labelling(int(before.id), WITH_FILE, on=True))
        if file.media_type.startswith(MEDIA) and not any(each.media_type.startswith(MEDIA) for each in before.attachments):
            change.write(self._index.labelling(int(before.id), WITH_MEDIA, on=True))

    async def remove_all(self, message_id: int) -> list[str]:
        """Forget a message's files; gives the keys under which bytes lie that now belong to nobody."""
        rows = await self._database.fetch("SELECT key FROM file WHERE message_id = $1", message_id)
        await self._database.execute("DELETE FROM file WHERE message_id = $1", message_id)
        return [row["key"] for row in rows]


async def discard(storage: Storage, keys: Sequence[str]) -> None:
    """After the change: remove bytes that no message has any more, and their previews. What fails is left to the sweep."""
    try:
        await storage.delete([each for key in keys for each in (key, *(preview_key(key, size) for size in SIZES))])
    except OSError as error:
        log.warning("bytes of files could not be removed; the sweep tries again", error=str(error))
