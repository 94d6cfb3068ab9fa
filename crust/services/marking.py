"""What is put on messages: pins, reactions and previews of links, for all; flags, for oneself."""

from __future__ import annotations

import msgspec

from crust.errors import Gone, Invalid
from crust.events import objects
from crust.log import Change, Log, NewEvent
from crust.models.database import Database, Row
from crust.models.fields import encode_json
from crust.models.search_index import PINNED, SearchIndex, flagged_by
from crust.models.tables import Flag
from crust.services import keys, names, previews, views
from crust.services.actor import Actor
from crust.services.channels import Channels
from crust.services.history import History
from crust.services.keys import Key
from crust.services.rights import may
from crust.services.standing import channel_row, record_in_channel, standing


class Marking(History):
    """See the module."""

    def __init__(self, database: Database, log: Log, channels: Channels) -> None:
        super().__init__(database, channels)
        self._log = log
        self._index = SearchIndex(database.dialect)

    def _note(self, change: Change, act: str, channel: Row, row: Row, actor: Actor, whose: int) -> None:
        """Put into the record that somebody took away what was another one's, without what it said."""
        if whose != actor.user_id:
            details = {"channel_id": str(channel["id"]), "user_id": str(whose)}
            change.audit(act, organisation_id=channel["organisation_id"], object_=row["id"], **details)

    async def pin(self, actor: Actor, message_id: int) -> None:
        """Pin a message for all in its channel; again is no error.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may`.
        """
        async with self._log.change() as change:
            row = await self.row(message_id)
            channel = await self.seen(actor, row, "pin")
            if row["pinned_by"] is None:
                await self._set_pin(change, channel, row, actor.user_id, "added")

    async def unpin(self, actor: Actor, message_id: int) -> None:
        """Take a pin away; again is no error.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may`.
        """
        async with self._log.change() as change:
            row = await self.row(message_id)
            channel = await self.seen(actor, row, "read")
            if row["pinned_by"] is not None:
                may("unpin", standing(channel, own=row["pinned_by"] == actor.user_id))
                self._note(change, "pin removed", channel, row, actor, row["pinned_by"])
                await self._set_pin(change, channel, row, actor.user_id, "removed")

    async def _set_pin(self, change: Change, channel: Row, row: Row, user_id: int, event: str) -> None:
        pinned_by = user_id if event == "added" else None
        await self._database.execute("UPDATE message SET pinned_by = $1 WHERE id = $2", pinned_by, row["id"])
        change.write(self._index.labelling(row["id"], PINNED, on=event == "added"))
        body = objects.Pin(message_id=str(row["id"]), user_id=str(user_id))
        record_in_channel(change, channel, "pin", event, body, object_=row["id"])

    async def react(self, actor: Actor, message_id: int, emoji: str, key: Key | None = None) -> None:
        """Put an emoji on a message, for all to see; again is no error. With a key that was used before, nothing is done.

        Raises:
            Invalid: it is none, or there are too many different ones on the message.
            NotFound, Forbidden, Gone: as in `rights.may`.
        """
        emoji = names.emoji(emoji)
        async with self._log.change() as change:
            row = await self.row(message_id)
            channel = await self.seen(actor, row, "react")
            if await keys.result(self._database, key) is not None:
                return
            keys.keep(change, key, message_id)
            await self._reactions.add(change, channel, row, actor.user_id, emoji)

    async def unreact(self, actor: Actor, message_id: int, emoji: str, key: Key | None = None) -> None:
        """Take one's emoji from a message; again is no error. With a key that was used before, nothing is done.

        Raises:
            Invalid: it is none.
            NotFound, Forbidden, Gone: as in `rights.may`.
        """
        emoji = names.emoji(emoji)
        async with self._log.change() as change:
            row = await self.row(message_id)
            channel = await self.seen(actor, row, "unreact")
            if await keys.result(self._database, key) is not None:
                return
            keys.keep(change, key, message_id)
            await self._reactions.remove(change, channel, row, actor.user_id, emoji)

    async def react_elsewhere(self, user_id: int, message_id: int, emoji: str, *, added: bool) -> None:
        """Put an emoji on a message, or take it away, as somebody elsewhere did, who may be a guest here; again is no error.

        Raises:
            Invalid: as in `react`.
            NotFound: the message is not there.
            Gone: the channel is archived.
        """
        emoji = names.emoji(emoji)
        async with self._log.change() as change:
            row, channel = await self._open_row(message_id)
            await (self._reactions.add if added else self._reactions.remove)(change, channel, row, user_id, emoji)

    async def _open_row(self, message_id: int) -> tuple[Row, Row]:
        """Inside a change: a message, whoever asks, and its channel, if things can be changed there.

        Raises:
            NotFound: the message is not there.
            Gone: the channel is archived.
        """
        row = await self.row(message_id)
        channel = await channel_row(self._database, row["channel_id"])
        if channel["archived_at"] is not None:
            raise Gone("The channel is archived: it can be read, but not changed.")
        return row, channel

    async def preview(
        self, actor: Actor, message_id: int, preview: objects.Preview | None, version: int | None = None, key: Key | None = None
    ) -> None:
        """Show with a message what a link in it leads to, or nothing any more. It says what it said, so it is at the same version still.

        With a key that was used before, nothing is done.

        Args:
            version: of the message, for which the preview was made; at another one by now, it stays as it is.

        Raises:
            Invalid: it cannot be shown, or is for what tells of a channel's changes.
            NotFound, Gone: as in `rights.may`.
        """
        preview = None if preview is None else previews.checked(preview)
        async with self._log.change() as change:
            row = await self.row(message_id)
            channel = await self.seen(actor, row, "preview")
            if row["type"] not in ("MESSAGE", "FILE"):
                raise Invalid("What tells of a channel's changes has no preview.", field="message_id")
            if await keys.result(self._database, key) is not None:
                return
            keys.keep(change, key, message_id)
            before = views.message(row)
            if version in (None, before.version) and preview != before.preview:
                await self._set_preview(change, channel, row, preview)

    async def _set_preview(self, change: Change, channel: Row, row: Row, preview: objects.Preview | None) -> None:
        stored = None if preview is None else encode_json(preview)
        await self._database.execute("UPDATE message SET preview = $1 WHERE id = $2", stored, row["id"])
        now = views.message(await self.row(row["id"]), await self._reactions.shared(row))
        body = objects.MessageEdited(**msgspec.structs.asdict(now), changed=["preview"])
        record_in_channel(change, channel, "message", "edited", body, object_=row["id"])

    async def flag(self, actor: Actor, message_id: int, *, flagged: bool) -> None:
        """Mark a message for oneself, or take the mark away; again is no error.

        Raises:
            NotFound: as in `read_one`.
        """
        async with self._log.change() as change:
            await self.seen(actor, await self.row(message_id), "flag")
            existing = await Flag.get_or_none(user_id=actor.user_id, message_id=message_id)
            if flagged == (existing is not None):
                return
            if existing is None:
                await Flag.create(id=change.next_id(), user_id=actor.user_id, message_id=message_id, at=change.now)
            else:
                await existing.delete()
            change.write(self._index.labelling(message_id, flagged_by(actor.user_id), on=flagged))
            body = objects.Flag(message_id=str(message_id))
            event = "added" if flagged else "removed"
            change.record(NewEvent(type="flag", event=event, body=body, recipient=actor.user_id, object=message_id))
