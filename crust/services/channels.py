"""Channels: making, changing, finding, joining, leaving."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from crust.clock import rfc3339
from crust.errors import Conflict, Forbidden, Gone, Invalid, NotFound
from crust.log import Change, Log
from crust.models.database import Database, Row
from crust.models.tables import Channel, User
from crust.services import keys, names, views
from crust.services.accounts import like
from crust.services.actor import Actor
from crust.services.filters import Filters, where
from crust.services.keys import Key
from crust.services.members import Members
from crust.services.paging import Part
from crust.services.posts import system_message
from crust.services.presence import PresenceService
from crust.services.rights import may, may_in_organisation
from crust.services.standing import SEEN, STANDING, THE_CHANNEL, channel_row, record_channel, record_in_channel, standing
from crust.services.ties import Ties, team_ids

COUNTED_MAX = 1000  # unread is counted to here: "1000" reads as "more than you will look at"
MEMBERS_MAX = 100  # members that a channel's page shows; /channel/members pages through all
UNREAD = f"""
(SELECT count(*) FROM (SELECT 1 FROM message x WHERE x.channel_id = c.id AND x.id > m.last_read_id AND x.user_id <> $1
AND x.removed_at IS NULL LIMIT {COUNTED_MAX}) counted) AS unread,
(SELECT count(*) FROM (SELECT 1 FROM mention n WHERE n.user_id = $1 AND n.channel_id = c.id AND n.message_id > m.last_read_id
LIMIT {COUNTED_MAX}) counted) AS mentions
"""
VIEWED = f"""
SELECT {views.CHANNEL_COLUMNS}, m.role AS channel_role, m.last_read_id, m.muted, {UNREAD} {SEEN}
"""
MEMBERS = f"""
SELECT {views.USER_COLUMNS}, {views.PRESENCE_COLUMNS}, m.role, m.joined_at FROM channel_member m JOIN "user" u ON u.id = m.user_id
WHERE m.channel_id = $1
"""
MINE = """
SELECT c.id FROM channel_member m JOIN channel c ON c.id = m.channel_id WHERE m.user_id = $1 AND c.removed_at IS NULL
ORDER BY coalesce(c.last_message_id, 0) DESC, c.id DESC
"""


def viewed(row: Row) -> views.ViewedChannel:
    """A row of `VIEWED` as its viewer sees it."""
    member = row["last_read_id"] is not None
    return views.ViewedChannel(
        **msgspec.structs.asdict(views.channel(row)),
        unread=row["unread"] if member else 0,
        mentions=row["mentions"] if member else 0,
        muted=bool(row["muted"]),
        last_read_id=str(row["last_read_id"]) if member else None,
    )


class Channels:
    """See the module."""

    def __init__(self, database: Database, log: Log, members: Members, ties: Ties, presence: PresenceService, filters: Filters) -> None:
        self._database, self._log, self._members, self._ties, self._presence = database, log, members, ties, presence
        self._filters = filters

    # ---- reading

    async def read(self, actor: Actor, channel_id: int) -> views.ViewedChannel:
        """The channel as the caller sees it.

        Raises:
            NotFound: it is not there, or not theirs to see.
        """
        return viewed(await self._viewed_row(actor, channel_id))

    async def _viewed_row(self, actor: Actor, channel_id: int) -> Row:
        rows = await self._database.fetch(f"{VIEWED} AND c.id = {THE_CHANNEL.format('$2')}", actor.user_id, channel_id)
        if not rows:
            raise NotFound("There is no such channel.", field="channel_id")
        return rows[0]

    async def search(
        self,
        actor: Actor,
        query: str,
        *,
        organisation_id: int | None,
        type_: str | None,
        archived: bool,
        part: Part,
        team_id: int | None = None,
    ) -> list[views.ViewedChannel]:
        """Channels that the caller may see and whose name, or one of its words, begins with `query`; by id."""
        start = like(names.fold(query.strip())) + "%"
        named = " OR ".join(f"c.name_key LIKE ${n} ESCAPE '!'" for n in (2, 3, 4))
        narrowed = "(c.archived_at IS NULL OR $5) AND (CAST($6 AS bigint) = 0 OR c.organisation_id = $6) AND ($7 = '' OR c.type = $7)"
        narrowed += " AND (CAST($8 AS bigint) = 0 OR EXISTS (SELECT 1 FROM team_channel t WHERE t.channel_id = c.id AND t.team_id = $8))"
        sql = f"{VIEWED} AND ({named}) AND {narrowed} AND {part.cut('c.id', 9)}"
        rows = await self._database.fetch(
            sql,
            actor.user_id,
            start,
            "% " + start,
            "%-" + start,
            archived,
            organisation_id or 0,
            type_ or "",
            team_id or 0,
            *part.values,
        )
        return [viewed(row) for row in rows]

    async def members(self, actor: Actor, channel_id: int, part: Part) -> list[views.ViewedMember]:
        """Who is in it, by user id.

        Raises:
            NotFound: as in `read`.
        """
        row = await self.standing_row(actor, channel_id, "read")
        return await self.members_of(row["id"], part)

    async def members_of(self, channel_id: int, part: Part) -> list[views.ViewedMember]:
        """The same, for whoever has checked the right to see it."""
        rows = await self._database.fetch(f"{MEMBERS} AND {part.cut('m.user_id', 2)}", channel_id, *part.values)
        return [
            views.ViewedMember(
                id=str(row["id"]),
                user=views.viewed_user(row, self._presence.of(row)),
                role=row["role"],
                joined_at=rfc3339(row["joined_at"]),
            )
            for row in rows
        ]

    async def mine(self, user_id: int) -> list[int]:
        """The ids of the channels that somebody is in, the most recently active first."""
        return [row["id"] for row in await self._database.fetch(MINE, user_id)]

    async def standing_row(self, actor: Actor, channel_id: int, verb: str) -> Row:
        """The channel, after a check that the caller may do `verb` there.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may`.
        """
        rows = await self._database.fetch(STANDING, actor.user_id, channel_id)
        if not rows:
            raise NotFound("There is no such channel.", field="channel_id")
        if rows[0]["suspended_at"] is not None:
            raise Forbidden("This account is suspended.")
        may(verb, standing(rows[0]))
        return rows[0]

    # ---- making

    async def create(
        self,
        actor: Actor,
        *,
        name: str,
        topic: str,
        type_: str,
        organisation_id: int | None,
        members: Sequence[int],
        key: Key | None,
        team_id: int | None = None,
    ) -> views.ViewedChannel:
        """Make a channel, which the caller owns, with these members; a direct channel that exists is given back.

        Raises:
            Invalid: a name or topic is not as it must be; a direct channel has not exactly one other member; a member is not in the
                organisation.
            NotFound, Forbidden: the organisation is not the caller's, or they are a guest in it.
            IdempotencyMismatch: the key was used for another request.
        """
        others = sorted(set(members) - {actor.user_id})
        if type_ == "direct":
            if len(others) != 1:
                raise Invalid("A direct channel has exactly one other member.", field="members")
            name, topic = "", ""
        else:
            name, topic = names.display(name), names.topic(topic)
        async with self._log.change() as change:
            repeated = await keys.result(self._database, key)
            existing = await self._direct(actor.user_id, others[0]) if type_ == "direct" else None
            channel_id = repeated or existing
            if channel_id is None:
                organisation = await self._organisation(actor, others, type_, organisation_id, team_id)
                channel_id = await self._create(change, actor, name, topic, type_, organisation, others, team_id)
            if repeated is None:
                keys.keep(change, key, channel_id)
        channel = await self.read(actor, channel_id)
        return channel if repeated is None else msgspec.structs.replace(channel, duplicate=True)

    async def _direct(self, one: int, other: int) -> int | None:
        existing = await Channel.get_or_none(pair=pair(one, other), removed_at=None)
        return None if existing is None else existing.id

    async def _create(
        self, change: Change, actor: Actor, name: str, topic: str, type_: str, organisation: int, others: Sequence[int], team_id: int | None
    ) -> int:
        verb = "make direct channels" if type_ == "direct" else "make channels"
        may_in_organisation(verb, await self._members.membership(actor.user_id, organisation))
        inside = await self._inside(organisation, others)
        if outside := [user_id for user_id in others if user_id not in inside]:
            raise Invalid(f"members names {outside[0]}, who is not in the organisation.", field="members")
        channel = await Channel.create(
            id=change.next_id(), organisation_id=organisation, type=type_, name=name, name_key=names.fold(name), topic=topic,
            pair=pair(actor.user_id, others[0]) if type_ == "direct" else None, members_count=0,
            created_at=change.now, updated_at=change.now,
        )  # fmt: skip
        if team_id is not None:
            await self._ties.set_teams(change, channel.id, [team_id])
        row = await channel_row(self._database, channel.id)
        await self._members.join(change, row, actor.user_id, "owner", by=actor.user_id)
        created = msgspec.structs.replace(views.channel(row), members_count=1)
        record_in_channel(change, row, "channel", "created", created, object_=channel.id)
        if type_ != "direct":
            # Before the others join, so that it is unread for nobody; they are shown it with the channel.
            await system_message(self._database, change, row, actor.user_id, "CREATE", name)
            row = await channel_row(self._database, channel.id)
        await self._members.join_all(change, row, others, by=actor.user_id)
        return int(channel.id)

    async def _inside(self, organisation_id: int, user_ids: Sequence[int]) -> set[int]:
        """Of these users, those of an organisation who can be brought into a channel.

        Who is suspended is as good as not there, and ghosts come by their bridge.
        """
        roles = await self._members.roles(organisation_id, user_ids)
        return {
            user_id
            for user_id, user in (await self._members.users(list(roles))).items()
            if user.suspended_at is None and user.kind != "ghost"
        }

    async def _organisation(self, actor: Actor, others: Sequence[int], type_: str, organisation_id: int | None, team_id: int | None) -> int:
        """Where a new channel belongs: to the organisation of its team, to the one that is named, or to the caller's."""
        if team_id is None:
            return organisation_id or await self._organisation_for(actor, others, type_)
        if type_ == "direct":
            raise Invalid("A direct channel belongs to no team.", field="team_id")
        own = int((await self._ties.giving(actor, team_id))["organisation_id"])
        if organisation_id not in (None, own):
            raise Invalid("The team is not in this organisation.", field="team_id")
        return own

    async def _organisation_for(self, actor: Actor, others: Sequence[int], type_: str) -> int:
        """The caller's home; for a direct channel one that both are in, home first."""
        home = int((await User.get(id=actor.user_id)).organisation_id)
        if type_ != "direct":
            return home
        sql = (
            "SELECT mine.organisation_id FROM organisation_member mine JOIN organisation_member theirs "
            'ON theirs.organisation_id = mine.organisation_id JOIN "user" u ON u.id = theirs.user_id '
            "WHERE mine.user_id = $1 AND theirs.user_id = $2 AND u.suspended_at IS NULL AND u.kind <> 'ghost' "
            "ORDER BY CASE WHEN mine.organisation_id = $3 THEN 0 ELSE 1 END, mine.organisation_id LIMIT 1"
        )
        rows = await self._database.fetch(sql, actor.user_id, others[0], home)
        if not rows:
            raise NotFound("There is no such user.", field="members")
        return int(rows[0]["organisation_id"])

    # ---- changing

    async def change(
        self,
        actor: Actor,
        channel_id: int,
        *,
        name: str,
        topic: str,
        type_: str | None,
        organisation_id: int | None = None,
        team_id: int | None = None,
        members: Sequence[int] | None = None,
    ) -> views.ViewedChannel:
        """Give a channel another name or topic; what did change is told by a RENAME or TOPIC message in it.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may`.
            Invalid: a name or topic is not as it must be.
            Conflict: another type or organisation than the channel's, a team that is not among its own, or other members than it has.
        """
        name, topic = names.display(name), names.topic(topic)
        async with self._log.change() as change:
            row = await self.standing_row(actor, channel_id, "change")
            self._check_same(row, type_, organisation_id, team_id)
            if members is not None and {*members, actor.user_id} != {*await self._members.of(row["id"]), actor.user_id}:
                raise Conflict("Members of a channel come and go by /channel/invite and /channel/kick.", field="members")
            changed = [field for field, value in (("name", name), ("topic", topic)) if row[field] != value]
            if changed:
                await self._change(change, actor, row, name, topic, changed)
        return await self.read(actor, channel_id)

    async def set_topic(self, actor: Actor, channel_id: int, topic: str, key: Key | None) -> None:
        """Give a channel another topic, and leave its name. With a key that was used before, nothing is done. Errors as in `change`."""
        topic = names.topic(topic)
        async with self._log.change() as change:
            if await keys.result(self._database, key) is None:
                row = await self.standing_row(actor, channel_id, "change")
                keys.keep(change, key, row["id"])
                if row["topic"] != topic:
                    await self._change(change, actor, row, row["name"], topic, ["topic"])

    async def topic_elsewhere(self, actor: Actor, channel_id: int, topic: str) -> None:
        """Give a channel the topic that it has elsewhere, cut to what one may have here; the same is no change.

        Raises:
            Gone: it is archived.
        """
        topic = names.topic("".join(each for each in topic if names.plain(each) or each.isspace())[: names.TOPIC_MAX])
        async with self._log.change() as change:
            row = await channel_row(self._database, channel_id)
            if row["archived_at"] is not None:
                raise Gone("The channel is archived: it can be read, but not changed.")
            if row["topic"] != topic:
                await self._change(change, actor, row, row["name"], topic, ["topic"])

    def _check_same(self, row: Row, type_: str | None, organisation_id: int | None, team_id: int | None) -> None:
        """Refuse what a channel is not given by its name and topic, unless it is so already."""
        if type_ not in (None, row["type"]):
            raise Conflict("A channel keeps its type.", field="type")
        if organisation_id not in (None, row["organisation_id"]):
            raise Conflict("A channel goes to another organisation by /channel/move.", field="organisation_id")
        if team_id is not None and team_id not in team_ids(row):
            raise Conflict("A channel is given to another team by /channel/move or /channel/share.", field="team_id")

    async def _change(self, change: Change, actor: Actor, row: Row, name: str, topic: str, changed: list[str]) -> None:
        sql = "UPDATE channel SET name = $1, name_key = $2, topic = $3, updated_at = $4 WHERE id = $5"
        await self._database.execute(sql, name, names.fold(name), topic, change.now, row["id"])
        if "name" in changed:
            await system_message(self._database, change, row, actor.user_id, "RENAME", name)
        if "topic" in changed:
            await system_message(self._database, change, row, actor.user_id, "TOPIC", topic)
        await record_channel(self._database, change, row["id"], "edited", changed)

    # ---- coming and going

    async def join(self, actor: Actor, channel_id: int) -> views.ViewedChannel:
        """Join a public channel; again is no error.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may`.
            Rejected: a filter refused it.
        """
        if "channel_join" in self._filters.wanted:
            row = await self.standing_row(actor, channel_id, "read")
            if row["channel_role"] is None:
                may("join", standing(row))
                await self._filters.channel_join(actor, where(row))
        async with self._log.change() as change:
            row = await self.standing_row(actor, channel_id, "read")
            if row["channel_role"] is None:
                may("join", standing(row))
                await self._members.join(change, row, actor.user_id, "member", by=actor.user_id)
        return await self.read(actor, channel_id)

    async def invite(self, actor: Actor, channel_id: int, user_id: int, key: Key | None = None) -> None:
        """Bring somebody of the organisation into a channel; again is no error. With a key that was used before, nothing is done.

        A ghost that was kicked comes back with its next word.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may`; NotFound also where there is no such person in the organisation.
        """
        async with self._log.change() as change:
            if await keys.result(self._database, key) is not None:
                return
            row = await self.standing_row(actor, channel_id, "invite")
            keys.keep(change, key, row["id"])
            if await self._members.let_in_again(row["id"], user_id):
                return
            if not await self._inside(row["organisation_id"], [user_id]):
                raise NotFound("There is no such user.", field="user_id")
            if not await self._is_member(row["id"], user_id):
                await self._members.join(change, row, user_id, "member", by=actor.user_id)

    async def part(self, actor: Actor, channel_id: int) -> None:
        """Leave a channel; again is no error.

        Raises:
            NotFound, Forbidden: as in `rights.may`.
        """
        async with self._log.change() as change:
            row = await self.standing_row(actor, channel_id, "part")
            if row["channel_role"] is not None:
                await self._members.part(change, row, actor.user_id, by=actor.user_id)

    async def kick(self, actor: Actor, channel_id: int, user_id: int) -> None:
        """Remove somebody from a channel. A ghost stays away, whatever it says, until it is invited.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may`; NotFound also where they are not in it.
        """
        async with self._log.change() as change:
            row = await self.standing_row(actor, channel_id, "kick")
            if not await self._is_member(row["id"], user_id):
                raise NotFound("They are not in this channel.", field="user_id")
            await self._members.part(change, row, user_id, by=actor.user_id)
            await self._members.keep_out(row["id"], user_id)

    async def _is_member(self, channel_id: int, user_id: int) -> bool:
        sql = "SELECT 1 FROM channel_member WHERE channel_id = $1 AND user_id = $2"
        return bool(await self._database.fetch(sql, channel_id, user_id))


def pair(one: int, other: int) -> str:
    """How the direct channel of two people is found."""
    low, high = sorted((one, other))
    return f"{low}:{high}"
