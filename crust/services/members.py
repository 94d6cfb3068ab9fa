"""Coming, going and roles in channels and organisations: the low-level half, used inside a change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crust.events import objects
from crust.log import Change, NewEvent
from crust.models.database import Database, Row, inserting
from crust.models.tables import ChannelMember, OrganisationMember
from crust.services import views
from crust.services.actor import Actor
from crust.services.rights import Membership
from crust.services.standing import record_in_channel

CHANNEL_MEMBER_COLUMNS = {
    "id": "bigint", "channel_id": "bigint", "user_id": "bigint", "role": "text", "joined_at": "bigint", "last_read_id": "bigint",
}  # fmt: skip

MEMBERSHIP = """
SELECT m.role, g.archived_at, u.is_admin FROM organisation g JOIN "user" u ON u.id = $1
LEFT JOIN organisation_member m ON m.organisation_id = g.id AND m.user_id = u.id
WHERE g.id = $2 AND g.removed_at IS NULL AND u.suspended_at IS NULL
"""
ACQUAINTED = """
SELECT 1 FROM organisation_member theirs JOIN organisation_member mine ON mine.organisation_id = theirs.organisation_id
WHERE theirs.user_id = $1 AND mine.user_id = $2 LIMIT 1
"""
LONGEST = """
SELECT m.user_id FROM channel_member m JOIN channel c ON c.id = m.channel_id JOIN "user" u ON u.id = m.user_id AND u.kind <> 'ghost'
LEFT JOIN organisation_member o ON o.organisation_id = c.organisation_id AND o.user_id = m.user_id
WHERE m.channel_id = $1 ORDER BY CASE WHEN coalesce(o.role, 'guest') = 'guest' THEN 1 ELSE 0 END, m.joined_at, m.id LIMIT 1
"""
"""Who has been in a channel for longest; guests, who cannot look after it before they are members, last, and ghosts never."""


class Members:
    """Writes memberships and their events. Every method is called inside a change, after the rights were checked."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def user(self, user_id: int) -> objects.User:
        return (await self.users([user_id]))[user_id]

    async def users(self, user_ids: Sequence[int]) -> dict[int, objects.User]:
        """Those of these that there are, by id."""
        d = self._database
        rows = await d.fetch(f'SELECT {views.USER_COLUMNS} FROM "user" u WHERE u.id IN {d.any_of(1)}', d.as_list(list(user_ids)))
        return {row["id"]: views.user(row) for row in rows}

    # ---- organisations

    async def membership(self, user_id: int, organisation_id: int) -> Membership:
        """How somebody stands to an organisation; who is suspended stands outside."""
        rows = await self._database.fetch(MEMBERSHIP, user_id, organisation_id)
        if not rows:
            return Membership(None)
        return Membership(rows[0]["role"], rows[0]["archived_at"] is not None, administers=bool(rows[0]["is_admin"]))

    async def sees(self, actor: Actor, user_id: int) -> bool:
        """Whether somebody is the caller, or in one of their organisations; who administers the server sees everybody."""
        return user_id == actor.user_id or actor.is_admin or await self.acquainted(user_id, actor.user_id)

    async def acquainted(self, user_id: int, other: int) -> bool:
        """Whether two people are in one organisation."""
        return bool(await self._database.fetch(ACQUAINTED, user_id, other))

    async def roles(self, organisation_id: int, user_ids: Sequence[int]) -> dict[int, str]:
        """Of these users, those who are in an organisation that there is, with their roles."""
        d = self._database
        sql = (
            "SELECT m.user_id, m.role FROM organisation_member m JOIN organisation g ON g.id = m.organisation_id "
            f"WHERE m.organisation_id = $1 AND g.removed_at IS NULL AND m.user_id IN {d.any_of(2)}"
        )
        return {row["user_id"]: row["role"] for row in await d.fetch(sql, organisation_id, d.as_list(list(user_ids)))}

    async def join_organisation(self, change: Change, organisation_id: int, user_id: int, role: str, by: int) -> None:
        await OrganisationMember.create(
            id=change.next_id(), organisation_id=organisation_id, user_id=user_id, role=role, joined_at=change.now
        )
        self.record_in_organisation(change, organisation_id, "joined", await self.user(user_id), role, by)

    async def set_role_in_organisation(self, change: Change, organisation_id: int, user_id: int, role: str, by: int) -> None:
        await OrganisationMember.filter(organisation_id=organisation_id, user_id=user_id).update(role=role)
        self.record_in_organisation(change, organisation_id, "role", await self.user(user_id), role, by)

    async def part_organisation(self, change: Change, organisation_id: int, user_ids: Sequence[int], by: int) -> None:
        """End memberships, those in the organisation's teams and channels having been ended before."""
        d = self._database
        sql = f"DELETE FROM organisation_member WHERE organisation_id = $1 AND user_id IN {d.any_of(2)}"
        await d.execute(sql, organisation_id, d.as_list(list(user_ids)))
        users = await self.users(user_ids)
        for user_id in user_ids:
            self.record_in_organisation(change, organisation_id, "parted", users[user_id], None, by)

    def record_in_organisation(
        self, change: Change, organisation_id: int, event: str, user: objects.User, role: str | None, by: int
    ) -> None:
        """Tell an organisation, and the person, of a membership in it."""
        body = objects.Member(user=user, user_id=user.id, by=str(by), role=role, organisation_id=str(organisation_id))
        person = int(user.id)
        change.record(NewEvent(type="member", event=event, body=body, organisation=organisation_id, recipient=person, object=person))

    # ---- channels

    async def of(self, channel_id: int) -> list[int]:
        """Who is in a channel, those who came first being first."""
        sql = "SELECT user_id FROM channel_member WHERE channel_id = $1 ORDER BY joined_at, id"
        return [row["user_id"] for row in await self._database.fetch(sql, channel_id)]

    async def outside(self, channel_id: int, organisation_id: int) -> list[int]:
        """Who is in a channel, but not in an organisation."""
        members = await self.of(channel_id)
        inside = await self.roles(organisation_id, members)
        return [user_id for user_id in members if user_id not in inside]

    async def join(self, change: Change, channel: Row, user_id: int, role: str, by: int) -> None:
        """Make somebody a member; all that was said before counts as read."""
        await self.join_all(change, channel, [user_id], by, role)

    async def join_all(self, change: Change, channel: Row, user_ids: Sequence[int], by: int, role: str = "member") -> None:
        """The same for many."""
        if not user_ids:
            return
        mark = channel["last_message_id"] or 0
        rows = [(change.next_id(), channel["id"], user_id, role, change.now, mark) for user_id in user_ids]
        await self._database.run([inserting("channel_member", CHANNEL_MEMBER_COLUMNS, rows)])
        before = await self._count(channel["id"], len(user_ids)) - len(user_ids)
        counts = {user_id: before + number for number, user_id in enumerate(user_ids, 1)}
        await self._record(change, channel, "joined", counts, role, by)

    async def part(self, change: Change, channel: Row, user_id: int, by: int) -> None:
        """End a membership. When the last owner goes, the longest-standing member takes over."""
        await self.part_all(change, channel, [user_id], by)

    async def part_all(self, change: Change, channel: Row, user_ids: Sequence[int], by: int) -> None:
        """The same for many."""
        if not user_ids:
            return
        d = self._database
        for table in ("channel_member", "mention"):
            sql = f"DELETE FROM {table} WHERE channel_id = $1 AND user_id IN {d.any_of(2)}"
            await d.execute(sql, channel["id"], d.as_list(list(user_ids)))
        left = await self._count(channel["id"], -len(user_ids))
        counts = {user_id: left + len(user_ids) - number for number, user_id in enumerate(user_ids, 1)}
        await self._record(change, channel, "parted", counts, None, by)
        if left and not await ChannelMember.filter(channel_id=channel["id"], role="owner").exists():
            await self._promote_longest(change, channel, by, left)

    async def keep_out(self, channel_id: int, user_id: int) -> None:
        """Let a ghost not come back into a channel by its own word, until it is let in again. Of others nothing is kept."""
        sql = (
            "INSERT INTO kicked (channel_id, user_id) SELECT CAST($1 AS bigint), id FROM \"user\" WHERE id = $2 AND kind = 'ghost'"
            " ON CONFLICT (channel_id, user_id) DO NOTHING"
        )
        await self._database.execute(sql, channel_id, user_id)

    async def let_in_again(self, channel_id: int, user_id: int) -> bool:
        """Let a ghost that was kept out come back with its next word; gives whether it was."""
        sql = "DELETE FROM kicked WHERE channel_id = $1 AND user_id = $2"
        return bool(await self._database.execute(sql, channel_id, user_id))

    async def _promote_longest(self, change: Change, channel: Row, by: int, count: int) -> None:
        rows = await self._database.fetch(LONGEST, channel["id"])
        if rows:
            heir = rows[0]["user_id"]
            await ChannelMember.filter(channel_id=channel["id"], user_id=heir).update(role="owner")
            await self._record(change, channel, "role", {heir: count}, "owner", by)

    async def _count(self, channel_id: int, by: int) -> int:
        await self._database.execute("UPDATE channel SET members_count = members_count + $1 WHERE id = $2", by, channel_id)
        (row,) = await self._database.fetch("SELECT members_count FROM channel WHERE id = $1", channel_id)
        return int(row["members_count"])

    async def _record(self, change: Change, channel: Row, event: str, counts: Mapping[int, int], role: str | None, by: int) -> None:
        """An event for each of the people: their id → how many members there are then."""
        users = await self.users(list(counts))
        for user_id, count in counts.items():
            self.record_in_channel(change, channel, event, users[user_id], role, by, count)

    def record_in_channel(
        self, change: Change, channel: Row, event: str, user: objects.User, role: str | None, by: int, count: int
    ) -> None:
        """Tell a channel, and the person, of a membership in it; it has `count` members then."""
        body = objects.Member(user=user, user_id=user.id, by=str(by), role=role, channel_id=str(channel["id"]), members_count=count)
        person = int(user.id)
        record_in_channel(change, channel, "member", event, body, object_=person, recipient=person)
