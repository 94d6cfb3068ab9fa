"""Messages: saying, changing, taking back."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import msgspec

from crust.errors import Conflict, Gone, Invalid, NotFound
from crust.events import objects
from crust.files.storage import Storage
from crust.log import Change, Log
from crust.log.way import way
from crust.models.database import Database, Row, inserting
from crust.models.fields import decode_json, encode_json
from crust.models.tables import Flag, Mention, MessageVersion, Reaction
from crust.services import keys, names, views
from crust.services.actor import Actor
from crust.services.attachments import Attachments, NewFile, discard, found_text
from crust.services.channels import Channels
from crust.services.deliveries import Deliveries
from crust.services.filters import Filters, Where, where
from crust.services.keys import Key
from crust.services.known import Known
from crust.services.marking import Marking
from crust.services.marks import Marks
from crust.services.mentions import named
from crust.services.parts import RAISED, Part, forgotten
from crust.services.posts import MENTION_COLUMNS, Post, Posted, Posts
from crust.services.standing import channel_row, record_in_channel
from crust.services.views import ViewedMessage

FILES_MAX = 20  # on one message


class Messages(Marking):
    """See the module.

    Args:
        storage: where the bytes of files lie.
        contents_max: the most characters of a message.
        filters: have a say.
    """

    def __init__(
        self, database: Database, log: Log, channels: Channels, marks: Marks, known: Known, storage: Storage, contents_max: int,
        filters: Filters,
    ) -> None:  # fmt: skip
        super().__init__(database, log, channels)
        self._marks, self._storage, self._contents_max = marks, storage, contents_max
        self._known, self._filters = known, filters
        self._posts = Posts(database, known)
        self._attachments = Attachments(database)

    # ---- posting

    async def post(
        self,
        actor: Actor,
        channel_id: int,
        contents: str,
        *,
        reply_to: int | None,
        client_msg_id: str | None,
        key: Key | None,
        file: NewFile | None = None,
        part: Part | None = None,
    ) -> ViewedMessage:
        """Say something in a channel. With a key that was used for the same before: the first message, `duplicate`.

        Args:
            file: makes it a FILE message; then the contents may be empty.
            part: what it is elsewhere, if it was said there.

        Raises:
            Invalid, TooLarge: the contents are empty or too long.
            NotFound, Forbidden, Gone: as in `rights.may`; Gone also where the key's message was removed since.
            IdempotencyMismatch: the key was used for another message.
            Rejected: a filter refused it.
            Unavailable: it is not known whether it was stored; the same key makes a repeat safe.
        """
        contents = names.contents(contents, self._contents_max) if contents.strip() or file is None else ""
        if "message_post" in self._filters.wanted:
            first = await keys.result(self._database, key)
            if first is not None:
                return await self._first(actor, first)
            place = await self._where(actor, channel_id)
            filtered = await self._filters.message_post(actor, place, contents, reply_to, file.name if file else None)
            contents = contents if filtered == contents else names.contents(filtered, self._contents_max)
        post = Post(
            actor=actor, channel_id=channel_id, contents=contents, reply_to=reply_to, named=named(contents),
            client_msg_id=client_msg_id, key=key, file=file, type="MESSAGE" if file is None else "FILE", way=way.get(), part=part,
        )  # fmt: skip
        posted: Posted = await self._log.together(self._posts.write, post)
        if posted.message is None:
            return await self._first(actor, posted.duplicate_of or 0)
        if posted.mentioned:
            await self._marks.tell(int(posted.message.channel_id), posted.mentioned)
        return views.viewed_message(posted.message)

    async def _where(self, actor: Actor, channel_id: int) -> Where:
        """The channel that somebody may post to, mostly without asking the database."""
        place = self._known.place(channel_id)
        if place is None or not (self._known.follows and self._known.posts_in(channel_id, actor.user_id)):
            place = await self._channels.standing_row(actor, channel_id, "post")
        return where(place)

    async def _first(self, actor: Actor, message_id: int) -> ViewedMessage:
        try:
            first = await self.read_one(actor, message_id)
        except NotFound:
            raise Gone("The message that this key made was removed since.") from None
        return msgspec.structs.replace(first, duplicate=True)

    # ---- changing

    async def attach(self, actor: Actor, message_id: int, file: NewFile, key: Key | None) -> ViewedMessage:
        """Put one more file on a message. With a key that was used for the same before: the message, `duplicate`.

        Raises:
            Invalid: it bears as many as it can, or tells of a channel's changes.
            NotFound, Forbidden, Gone: as in `rights.may`; Gone also where the key's message was removed since.
            IdempotencyMismatch: the key was used for something else.
            Unavailable: as in `post`.
        """
        async with self._log.change() as change:
            first = await keys.result(self._database, key)
            if first is None:
                row, channel = await self.may_attach(actor, message_id)
                now = await self._attachments.add(change, row, file)
                now = msgspec.structs.replace(now, reactions=tuple(await self._reactions.shared(row)))
                body = objects.MessageEdited(**msgspec.structs.asdict(now), changed=["attachments"])
                record_in_channel(change, channel, "message", "edited", body, object_=message_id)
                keys.keep(change, key, message_id)
        return await self.read_one(actor, message_id) if first is None else await self._first(actor, first)

    async def may_attach(self, actor: Actor, message_id: int) -> tuple[Row, Row]:
        """A message that the caller may put one more file on, and its channel. Errors are those of `attach`."""
        row = await self.row(message_id)
        channel = await self.seen(actor, row, "edit message")
        if row["type"] not in ("MESSAGE", "FILE"):
            raise Invalid("What tells of a channel's changes bears no files.", field="message_id")
        if len(views.attachments(row)) >= FILES_MAX:
            raise Invalid(f"A message bears at most {FILES_MAX} files.", field="message_id")
        return row, channel

    async def edit(self, actor: Actor, message_id: int, contents: str, version: int | None, key: Key | None = None) -> ViewedMessage:
        """Say it better; what it said before is kept as a version. With a key that was used before, nothing is done.

        Args:
            version: what the caller believes to be the current one; None overwrites whatever it is.

        Raises:
            Invalid, TooLarge: the contents are empty or too long.
            NotFound, Forbidden, Gone: as in `rights.may`.
            Conflict: `version` is stale.
            Rejected: a filter refused it.
        """
        contents = names.contents(contents, self._contents_max)
        if "message_edit" in self._filters.wanted and await keys.result(self._database, key) is None:
            channel = await self.seen(actor, await self.row(message_id), "edit message")
            contents = names.contents(await self._filters.message_edit(actor, where(channel), message_id, contents), self._contents_max)
        async with self._log.change() as change:
            if await keys.result(self._database, key) is not None:
                return await self.read_one(actor, message_id)
            row = await self.row(message_id)
            channel = await self.seen(actor, row, "edit message")
            if row["type"] not in ("MESSAGE", "FILE"):
                raise Invalid("What tells of a channel's changes cannot be edited.", field="id")
            if version is not None and version != row["version"]:
                raise Conflict(f"The message is at version {row['version']} by now.", field="version")
            new = await self._edit(change, channel, row, contents) if contents != row["contents"] else []
            keys.keep(change, key, message_id)
        if new:
            await self._marks.tell(channel["id"], new)
        return await self.read_one(actor, message_id)

    async def _edit(self, change: Change, channel: Row, row: Row, contents: str) -> list[int]:
        """Write it; gives whom it names that it did not name before."""
        await MessageVersion.create(
            id=change.next_id(),
            message_id=row["id"],
            version=row["version"],
            contents=row["contents"],
            at=row["edited_at"] or row["created_at"],
        )
        found = named(contents)
        mentioned = await self._mention(change, row, found.users)
        channels = await self._posts.channels_named(row["user_id"], channel, found.channels)
        sql = (
            "UPDATE message SET contents = $1, mentions = $2, channels = $3, preview = NULL, version = version + 1, edited_at = $4 "
            "WHERE id = $5"
        )
        ids = [encode_json([str(id_) for id_ in some]) for some in (mentioned, channels)]
        await self._database.execute(sql, contents, *ids, change.now, row["id"])
        now = views.message(await self.row(row["id"]), await self._reactions.shared(row))
        change.write(self._index.replacing(row["id"], found_text(now.contents, now.attachments)))
        body = objects.MessageEdited(
            **msgspec.structs.asdict(now), changed=["contents"] if row["preview"] is None else ["contents", "preview"]
        )
        record_in_channel(change, channel, "message", "edited", body, object_=row["id"])
        return [user_id for user_id in mentioned if str(user_id) not in decode_json(row["mentions"]) and user_id != row["user_id"]]

    async def _mention(self, change: Change, row: Row, usernames: Sequence[str]) -> list[int]:
        """Whom the message names now. Their rows are made anew, so who was named before and has read it is not called twice."""
        await Mention.filter(message_id=row["id"]).delete()
        people = set((await self._posts.members_named([row["channel_id"]], usernames)).values())
        rows = [(change.next_id(), user_id, row["channel_id"], row["id"]) for user_id in people if user_id != row["user_id"]]
        change.write(inserting("mention", MENTION_COLUMNS, rows))
        return list(people)

    async def edit_elsewhere(self, message_id: int, contents: str, revised: Part | None = None) -> bool:
        """Let a message that was said elsewhere say what it says there now, whoever is in the channel.

        Args:
            revised: the part of it whose revision this is; at a later one already, nothing is done, and that is given.

        Raises:
            Invalid, TooLarge, NotFound, Rejected: as in `edit`.
            Gone: the channel is archived.
        """
        contents = names.contents(contents, self._contents_max)
        if "message_edit" in self._filters.wanted:
            row = await self.row(message_id)
            author = Actor(row["user_id"], "", 0, "")
            place = where(await channel_row(self._database, row["channel_id"]))
            contents = names.contents(await self._filters.message_edit(author, place, message_id, contents), self._contents_max)
        async with self._log.change() as change:
            row, channel = await self._open_row(message_id)
            if revised and not await self._database.execute(RAISED, revised.link_id, revised.remote_id, revised.revision):
                return False
            new = await self._edit(change, channel, row, contents) if contents != row["contents"] else []
        if new:
            await self._marks.tell(channel["id"], new)
        return True

    async def remove_elsewhere(self, by: int, message_id: int, link_id: int) -> None:
        """Take a message back that came over a link, as it was there; one that is gone is no error.

        Raises:
            Gone: the channel is archived.
        """
        bare: Sequence[str] = ()
        async with self._log.change() as change:
            with suppress(NotFound):
                row, channel = await self._open_row(message_id)
                bare = await self._remove(change, channel, row, by=by)
            change.write(forgotten(message_id, link_id))
        await discard(self._storage, bare)

    async def remove(self, actor: Actor, message_id: int, key: Key | None = None) -> None:
        """Take a message back: what it said is gone from every table, earlier events included, in the same change; then its files' bytes.

        With a key that was used before, nothing is done.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may`.
            Rejected: a filter refused it.
        """
        if "message_delete" in self._filters.wanted and await keys.result(self._database, key) is None:
            channel = await self.seen(actor, await self.row(message_id), "remove message")
            await self._filters.message_delete(actor, where(channel), message_id)
        async with self._log.change() as change:
            if await keys.result(self._database, key) is not None:
                return
            keys.keep(change, key, message_id)
            row = await self.row(message_id)
            channel = await self.seen(actor, row, "remove message")
            bare = await self._remove(change, channel, row, by=actor.user_id)
            self._note(change, "message removed", channel, row, actor, row["user_id"])
        await discard(self._storage, bare)

    async def remove_old(self, message_ids: Sequence[int]) -> int:
        """Take messages back that are too old, whoever's they are; gives how many they were. In one change, so not too many."""
        bare: list[str] = []
        async with self._log.change() as change:
            for message_id in message_ids:
                row = await self.row(message_id)
                bare += await self._remove(change, await channel_row(self._database, row["channel_id"]), row, by=row["user_id"])
        await discard(self._storage, bare)
        return len(message_ids)

    async def erase(self, message_ids: Sequence[int]) -> None:
        """Take the contents out of messages that nobody can read any more, their channel having been removed. In one change, as above."""
        bare: list[str] = []
        async with self._log.change() as change:
            for message_id in message_ids:
                with suppress(NotFound):  # another node was faster
                    bare += await self._erase(change, await self.row(message_id))
        await discard(self._storage, bare)

    async def _remove(self, change: Change, channel: Row, row: Row, by: int) -> Sequence[str]:
        """Inside a change; gives the keys of the files whose bytes nobody needs after it."""
        bare = await self._erase(change, row)
        if row["reply_to"] is not None:
            await self._database.execute("UPDATE message SET replies = replies - 1 WHERE id = $1", row["reply_to"])
        body = objects.MessageRemoved(id=str(row["id"]), channel_id=str(channel["id"]), user_id=str(row["user_id"]), by=str(by))
        record_in_channel(change, channel, "message", "removed", body, object_=row["id"])
        return bare

    async def _erase(self, change: Change, row: Row) -> Sequence[str]:
        """Take a message's contents out of every table; what stays of it tells that there was one."""
        await self._blank(row)
        bare = await self._attachments.remove_all(row["id"])
        change.write(self._index.removing(row["id"]))
        change.write(forgotten(row["id"]))
        sql = (
            "UPDATE message SET contents = '', mentions = '[]', channels = '[]', pinned_by = NULL, reactions = 0, attachments = '[]', "
            "preview = NULL, removed_at = $1 WHERE id = $2"
        )
        await self._database.execute(sql, change.now, row["id"])
        return bare

    async def _blank(self, row: Row) -> None:
        """Take the contents out of everything but the message's own row."""
        blank = msgspec.structs.replace(
            views.message(row), contents=None, mentions=[], channels=[], pinned=False, attachments=(), preview=None
        )
        edited = objects.MessageEdited(**msgspec.structs.asdict(blank), changed=["contents"])
        sql = "UPDATE event SET body = $1 WHERE object = $2 AND type = 'message' AND event = $3"
        for event, body in (("created", blank), ("edited", edited)):
            await self._database.execute(sql, msgspec.json.encode(body).decode(), row["id"], event)
        await Deliveries(self._database).blank(row["id"])
        for table in (MessageVersion, Mention, Flag, Reaction):
            await table.filter(message_id=row["id"]).delete()
