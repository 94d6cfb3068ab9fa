"""Coming, going and roles in channels and organisations: the low-level half, used inside a change."""

from __future__ import annotations

from crust.events import objects
from crust.log import Change, NewEvent
from crust.models.database import Database, Row
from crust.models.tables import ChannelMember, OrganisationMember
from crust.services import views
from crust.services.standing import record_in_channel

USER = f'SELECT {views.USER_COLUMNS} FROM "user" u WHERE u.id = $1'


class Members:
    """Writes memberships and their events. Every method is called inside a change, after the rights were checked."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def role_in_organisation(self, user_id: int, organisation_id: int) -> str | None:
        sql = (
            "SELECT m.role FROM organisation_member m JOIN organisation o ON o.id = m.organisation_id "
            "WHERE m.user_id = $1 AND m.organisation_id = $2 AND o.removed_at IS NULL"
        )
        rows = await self._database.fetch(sql, user_id, organisation_id)
        return rows[0]["role"] if rows else None

    async def user(self, user_id: int) -> objects.User:
        (row,) = await self._database.fetch(USER, user_id)
        return views.user(row)

    # ---- organisations

    async def join_organisation(self, change: Change, organisation_id: int, user_id: int, role: str, by: int) -> None:
        await OrganisationMember.create(
            id=change.next_id(), organisation_id=organisation_id, user_id=user_id, role=role, joined_at=change.now
        )
        body = objects.Member(
            user=await self.user(user_id), user_id=str(user_id), by=str(by), role=role, organisation_id=str(organisation_id)
        )
        change.record(NewEvent(type="member", event="joined", body=body, organisation=organisation_id, recipient=user_id, object=user_id))

    # ---- channels

    async def join(self, change: Change, channel: Row, user_id: int, role: str, by: int) -> None:
        """Make somebody a member; all that was said before counts as read."""
        await ChannelMember.create(
            id=change.next_id(),
            channel_id=channel["id"],
            user_id=user_id,
            role=role,
            joined_at=change.now,
            last_read_id=channel["last_message_id"] or 0,
        )
        count = await self._count(channel["id"], 1)
        await self._record(change, channel, "joined", user_id, role, by, count)

    async def part(self, change: Change, channel: Row, user_id: int, by: int) -> None:
        """End a membership. When the last owner goes, the longest-standing member takes over."""
        await ChannelMember.filter(channel_id=channel["id"], user_id=user_id).delete()
        await self._database.execute("DELETE FROM mention WHERE user_id = $1 AND channel_id = $2", user_id, channel["id"])
        count = await self._count(channel["id"], -1)
        await self._record(change, channel, "parted", user_id, None, by, count)
        if not await ChannelMember.filter(channel_id=channel["id"], role="owner").exists():
            await self._promote_longest(change, channel, by, count)

    async def _promote_longest(self, change: Change, channel: Row, by: int, count: int) -> None:
        heir = await ChannelMember.filter(channel_id=channel["id"]).order_by("joined_at", "id").first()
        if heir is not None:
            heir.role = "owner"
            await heir.save(update_fields=["role"])
            await self._record(change, channel, "role", heir.user_id, "owner", by, count)

    async def _count(self, channel_id: int, by: int) -> int:
        await self._database.execute("UPDATE channel SET members_count = members_count + $1 WHERE id = $2", by, channel_id)
        (row,) = await self._database.fetch("SELECT members_count FROM channel WHERE id = $1", channel_id)
        return int(row["members_count"])

    async def _record(self, change: Change, channel: Row, event: str, user_id: int, role: str | None, by: int, count: int) -> None:
        body = objects.Member(
            user=await self.user(user_id), user_id=str(user_id), by=str(by), role=role, channel_id=str(channel["id"]), members_count=count
        )
        record_in_channel(change, channel, "member", event, body, object_=user_id, recipient=user_id)
