"""Two channels become one: the source's messages and members go over, and its id is read and written as the destination's."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from crust.errors import Conflict, Invalid, NotFound
from crust.events import objects
from crust.log import Change, Log
from crust.models.database import Database, Row, Write
from crust.models.search_index import SearchIndex
from crust.services import views
from crust.services.actor import Actor
from crust.services.channels import Channels
from crust.services.links import Links
from crust.services.members import Members
from crust.services.rights import ADMIN, may
from crust.services.standing import channel_row, record_in_channel, standing
from crust.services.ties import Ties, team_ids
from crust.services.views import ViewedChannel

PORTION = 10_000  # messages that one statement takes over: a second at most, of the five that a statement may take

FIRST_UNREAD = """
SELECT m.user_id, min((SELECT x.id FROM message x WHERE x.channel_id = m.channel_id AND x.id > m.last_read_id
AND x.user_id <> m.user_id AND x.removed_at IS NULL ORDER BY x.id LIMIT 1)) AS first
FROM channel_member m WHERE m.channel_id IN ($1, $2) GROUP BY m.user_id
"""


class Merging:
    """See the module."""

    def __init__(self, database: Database, log: Log, members: Members, ties: Ties, channels: Channels, links: Links) -> None:
        self._database, self._log, self._members, self._ties, self._channels = database, log, members, ties, channels
        self._links = links

    async def merge(self, actor: Actor, destination: int, source: int) -> ViewedChannel:
        """Let a channel have another one's messages, in the order of their times, and its members; the other is archived and forwards.

        What was unread in either is unread in the one, with what was said since in the other; who was in one alone has read the other.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may`, for both.
            Invalid: they are the same, of different types or organisations, or direct.
            Conflict: what a team's channel holds would be shown to others, and the caller is no admin of the organisation.
        """
        async with self._log.change() as change:
            into = await self._row(actor, destination, "destination")
            other = await self._row(actor, source, "source")
            if into["id"] == other["id"]:
                raise Invalid("A channel is not merged with itself.", field="source")
            if "direct" in (into["type"], other["type"]):
                raise Invalid("Direct channels are not merged.", field="destination" if into["type"] == "direct" else "source")
            for row in (into, other):
                may("merge", standing(row))
            if into["organisation_id"] != other["organisation_id"]:
                raise Invalid("Channels of different organisations are not merged: move one first.", field="source")
            if into["type"] != other["type"]:
                raise Invalid("A public and a private channel are not merged.", field="source")
            if opens(other, into) and other["organisation_role"] not in ADMIN:
                raise Conflict(
                    "The source would be shown to people outside its teams: an admin of the organisation may do so.", field="source"
                )
            await self._merge(change, into["id"], other, actor.user_id)
        return await self._channels.read(actor, into["id"])

    async def _row(self, actor: Actor, channel_id: int, field: str) -> Row:
        """One of the two; `field`: what the caller calls it."""
        try:
            return await self._channels.standing_row(actor, channel_id, "read")
        except NotFound as error:
            error.field = field
            raise

    async def _merge(self, change: Change, destination: int, source: Row, by: int) -> None:
        first_unread = await self._database.fetch(FIRST_UNREAD, destination, source["id"])
        coming = await self._members.of(source["id"])
        there = set(await self._members.of(destination))
        await self._take_over(change, source["id"], destination)
        now = await channel_row(self._database, destination)
        await self._members.join_all(change, now, [user_id for user_id in coming if user_id not in there], by)
        await self._mark(now, first_unread)
        now = await channel_row(self._database, destination)
        merged = objects.ChannelMerged(**msgspec.structs.asdict(views.channel(now)), source_id=str(source["id"]))
        record_in_channel(change, now, "channel", "merged", merged, object_=destination)
        await self._links.rehome(change, source["id"], destination, by)
        await self._members.part_all(change, source, coming, by)
        await self._forward(change, source["id"], destination)

    async def _take_over(self, change: Change, source: int, destination: int) -> None:
        """All messages; an id is a time, so they lie in the order of their times by themselves."""
        some = "SELECT id FROM message WHERE channel_id = $2 ORDER BY id LIMIT $3"
        sql = f"UPDATE message SET channel_id = $1 WHERE id IN ({some})"
        while await self._database.execute(sql, destination, source, PORTION) == PORTION:
            pass
        await self._database.execute("UPDATE mention SET channel_id = $1 WHERE channel_id = $2", destination, source)
        change.write(SearchIndex(self._database.dialect).rehoming(source, destination))
        newest = "SELECT max(id) FROM message WHERE channel_id = $2"
        sql = f"UPDATE channel SET last_message_id = ({newest}), updated_at = $1 WHERE id = $2"
        await self._database.execute(sql, change.now, destination)

    async def _mark(self, channel: Row, first_unread: Sequence[Row]) -> None:
        """Set everybody's mark to before what they have not read, or to the newest message."""
        newest = channel["last_message_id"] or 0
        rows = [(newest if row["first"] is None else row["first"] - 1, channel["id"], row["user_id"]) for row in first_unread]
        sql = "UPDATE channel_member SET last_read_id = $1 WHERE channel_id = $2 AND user_id = $3"
        await self._database.run([Write(sql, rows)])

    async def _forward(self, change: Change, source: int, destination: int) -> None:
        """From now on the source's id, and those that it stood for, are the destination's."""
        await self._ties.set_teams(change, source, [])
        sql = "UPDATE channel SET merged_into = $1, archived_at = coalesce(archived_at, $2), last_message_id = NULL WHERE id = $3"
        await self._database.execute(sql, destination, change.now, source)
        await self._database.execute("UPDATE channel SET merged_into = $1 WHERE merged_into = $2", destination, source)


def opens(source: Row, destination: Row) -> bool:
    """Whether people who are in none of the source's teams would see what was said in it."""
    teams, others = set(team_ids(source)), set(team_ids(destination))
    return source["type"] == "public" and bool(teams) and not (others and others <= teams)
