"""Links: which room elsewhere is which channel here, who said so, and since when.

One room of a network is linked to one channel, by one bridge; a channel may have several links. A link that has ended stays as a row, so
that what came over it is known still; the room can be linked anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import astuple, dataclass, field, replace
from typing import Any

import msgspec

from crust.errors import Conflict, Forbidden, Invalid, NotFound
from crust.events import objects
from crust.events.objects import Bridged
from crust.log import Change, Log
from crust.models.database import Database, Row
from crust.models.fields import decode_json, encode_json
from crust.services import views
from crust.services.actor import Actor
from crust.services.members import Members
from crust.services.names import line
from crust.services.paging import Part
from crust.services.rights import may
from crust.services.standing import STANDING, channel_row, record_in_channel, standing

ROOM_MAX, TITLE_MAX, FORMAT_MAX = 255, 100, 200  # characters
FORMER_MAX = 100  # changes of a link that are known; a bridge that was away for more deals with the oldest as with the next
DIRECTIONS = ("both", "in", "out")
CROSSES = ("files", "joins", "topics")
TRUSTS = ("accept", "mark", "refuse")
NOBODY = 0  # who makes links by the settings
CONFIGURED = "This link stands in the server's settings: it is changed and ended there."
COLUMNS = (
    "l.id, l.instance, l.remote_room, l.channel_id, l.title, l.network, l.direction, l.crosses, l.relay_format, l.trust, l.crossings,"
    " l.configured, l.made_by, l.position, l.made_at, l.former, l.ended_position, l.ended_at, l.ended_why"
)
LIVING = f"SELECT {COLUMNS}, c.organisation_id FROM room_link l JOIN channel c ON c.id = l.channel_id WHERE l.ended_at IS NULL"
MANAGED = f"""
SELECT {COLUMNS}, c.organisation_id FROM room_link l JOIN channel c ON c.id = l.channel_id
LEFT JOIN channel_member m ON m.channel_id = c.id AND m.user_id = $1
LEFT JOIN organisation_member o ON o.organisation_id = c.organisation_id AND o.user_id = $1
WHERE l.ended_at IS NULL AND (CAST($2 AS bigint) = 0 OR l.channel_id = $2)
AND (
    (m.role = 'owner' AND o.role IN ('owner', 'admin', 'member'))
    OR (o.role IN ('owner', 'admin') AND (c.type = 'public' OR m.id IS NOT NULL))
)
"""
"""Those in channels that $1 manages, as `Standing.manages` has it."""
STATED = "SELECT key, body FROM document WHERE instance = 'host' AND collection = 'bridges'"  # what the host keeps of them
INSERT = (
    "INSERT INTO room_link (id, instance, remote_room, channel_id, title, network, direction, crosses, relay_format, trust, crossings,"
    " configured, made_by, position, made_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """A bridge that links can be made with, as long as its instance is there.

    Args:
        network: what the network is called, in handles and badges.
        user_id: its bot's.
        organisations: where it may be at work.
        sees: the types of channels that it may see.
        crossings: what crosses a new link, and how.
        room: a room's name as the network compares it; raises Invalid where it can be none.
        sends: whether anything can go out with it. If not, links with it are `in`.
    """

    name: str
    network: str
    user_id: int
    organisations: AbstractSet[int]
    sees: AbstractSet[str]
    crossings: Mapping[str, str | int | None]
    room: Callable[[str], str]
    sends: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A link that somebody wants. `title` is what people are shown instead of the room's name, where that is secret or long.

    `crosses` names what crosses beside messages; `trust` says what becomes of what a sender is not known to have sent: it is accepted,
    marked or refused. What they are known not to have sent is marked at least.
    """

    room: str
    direction: str = "both"
    crosses: AbstractSet[str] = frozenset(CROSSES)
    relay_format: str = ""
    trust: str = "accept"
    title: str = ""


def via_of(instance: str, link_id: int) -> str:
    """How a link is named among those that something came through."""
    return f"{instance}#{link_id}"


@dataclass(frozen=True, slots=True)
class Former:
    """What a link was up to a position, that included: of which channel, and whether anything went out over it."""

    until: int
    channel_id: int
    out: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomLink:
    """A link as it is stored. `organisation_id` is that of its channel; `former`: what it was since `position`, oldest first."""

    id: int
    instance: str
    remote_room: str
    channel_id: int
    organisation_id: int
    title: str
    network: str
    direction: str
    crosses: frozenset[str]
    relay_format: str
    trust: str
    crossings: Mapping[str, str | int | None] = field(default_factory=dict)
    configured: bool = False
    made_by: int = NOBODY
    position: int = 0
    former: tuple[Former, ...] = ()
    ended_position: int | None = None

    @property
    def out(self) -> bool:
        """Whether anything goes out over it."""
        return self.direction != "in"

    def became(self, now: RoomLink, position: int) -> RoomLink:
        """What it is now, known what it was up to this position."""
        if (now.channel_id, now.out) == (self.channel_id, self.out):
            return now
        return replace(now, former=(*self.former, Former(position, self.channel_id, self.out))[-FORMER_MAX:])

    @property
    def via(self) -> str:
        """How it is named among the links that something came through."""
        return via_of(self.instance, self.id)

    @property
    def scope(self) -> str:
        """The scope of its idempotency keys."""
        return f"link:{self.id}"

    @property
    def shown(self) -> Bridged:
        """What those who see the channel may know of it."""
        limits = {name: value for name, value in self.crossings.items() if name in ("characters", "lines", "file_bytes")}
        return Bridged(
            link_id=str(self.id), bridge=self.instance, network=self.network, room=self.title or self.remote_room,
            direction=self.direction, crossings={name: str(value) for name, value in self.crossings.items() if name not in limits},
            characters=limits.get("characters"), lines=limits.get("lines"), file_bytes=limits.get("file_bytes"),  # type: ignore[arg-type]  # limits are numbers
        )  # fmt: skip


class Links:
    """See the module. `bridges` are those that are at work, by the names of their instances; the host puts them there."""

    def __init__(self, database: Database, log: Log, members: Members) -> None:
        self._database, self._log, self._members = database, log, members
        self.bridges: dict[str, Bridge] = {}

    # ---- reading

    async def of_bridge(self, instance: str) -> list[RoomLink]:
        """All living links of a bridge, the oldest first."""
        return [link_of(row) for row in await self._database.fetch(f"{LIVING} AND l.instance = $1 ORDER BY l.id", instance)]

    async def of_channel(self, channel_id: int) -> list[RoomLink]:
        """All living links of a channel, the oldest first."""
        return [link_of(row) for row in await self._database.fetch(f"{LIVING} AND l.channel_id = $1 ORDER BY l.id", channel_id)]

    async def one(self, link_id: int, instance: str | None = None) -> RoomLink:
        """A living link.

        Raises:
            NotFound: there is none of this id, it has ended, or is another bridge's.
        """
        rows = await self._database.fetch(f"{LIVING} AND l.id = $1", link_id)
        if not rows or instance not in (None, rows[0]["instance"]):
            raise NotFound("There is no such link, or it has ended.", field="id")
        return link_of(rows[0])

    async def of_room(self, instance: str, room: str) -> RoomLink | None:
        """The living link of a room, by its name as the bridge compares it."""
        if not room.isprintable():
            return None  # as in `checked`
        rows = await self._database.fetch(f"{LIVING} AND l.instance = $1 AND l.remote_room = $2", instance, room)
        return link_of(rows[0]) if rows else None

    async def ended(self, link_id: int) -> RoomLink | None:
        """A link, ended or not."""
        sql = f"SELECT {COLUMNS}, c.organisation_id FROM room_link l JOIN channel c ON c.id = l.channel_id WHERE l.id = $1"
        rows = await self._database.fetch(sql, link_id)
        return link_of(rows[0]) if rows else None

    async def search(self, actor: Actor, query: str, channel_id: int | None, part: Part) -> list[views.ViewedBridge]:
        """The bridges at work in organisations that the caller is a full member of, with those of their links that they may end."""
        d = self._database
        sql = "SELECT organisation_id FROM organisation_member WHERE user_id = $1 AND role <> 'guest'"
        own = {row["organisation_id"] for row in await d.fetch(sql, actor.user_id)}
        after, before, limit = part.values
        found = sorted(
            (each for each in self.bridges.values() if any(place in each.organisations for place in own)),
            key=lambda each: each.user_id, reverse=part.newest_first(),
        )  # fmt: skip
        start = query.strip().casefold()
        found = [each for each in found if each.name.casefold().startswith(start) and after < each.user_id < before][:limit]
        states = {row["key"]: decode_json(row["body"]) for row in await d.fetch(STATED)}
        links = [link_of(row) for row in await d.fetch(f"{MANAGED} ORDER BY l.id", actor.user_id, channel_id or 0)]
        return [viewed_bridge(each, states.get(each.name, {}), [link for link in links if link.instance == each.name]) for each in found]

    async def still_holds(self, link: RoomLink) -> bool:
        """Whether what a link was made on still is: it has not ended, its bridge may be there, and its maker may read the channel."""
        bridge = self.bridges.get(link.instance)
        if bridge is None or link.organisation_id not in bridge.organisations:
            return False
        if link.made_by == NOBODY:
            return True
        rows = await self._database.fetch(STANDING, link.made_by, link.channel_id)
        return bool(rows) and rows[0]["suspended_at"] is None and standing(rows[0]).sees

    # ---- making and ending

    async def link(self, actor: Actor, channel_id: int, bridge: str, wish: Wish) -> RoomLink:
        """Link a room with a channel. The same again is no error, and changes what is to be different.

        Raises:
            NotFound, Forbidden, Gone: as in `rights.may`; NotFound also where there is no such bridge.
            Invalid: something of the wish cannot be.
            Conflict: the room is linked with another channel, or by another bridge of its network; or this link stands in the settings and
                would be another.
        """
        made = self.known(bridge)
        wish = checked(wish, made)
        async with self._log.change() as change:
            rows = await self._database.fetch(STANDING, actor.user_id, channel_id)
            if not rows:
                raise NotFound("There is no such channel.", field="channel_id")
            if rows[0]["suspended_at"] is not None:
                raise Forbidden("This account is suspended.")
            may("bridge", standing(rows[0]))
            return await self.put(change, rows[0], made, wish, actor.user_id)

    def known(self, name: str) -> Bridge:
        """A bridge at work.

        Raises:
            NotFound: there is none of this name.
        """
        if name not in self.bridges:
            there = ", ".join(sorted(self.bridges)) or "none"
            raise NotFound(f"There is no bridge {name!r:.80} at work; there are: {there}.", field="bridge")
        return self.bridges[name]

    async def put(self, change: Change, channel: Row, bridge: Bridge, wish: Wish, by: int) -> RoomLink:
        """Inside a change: the same, of what was checked, whoever asks; `by` is NOBODY where the settings do."""
        existing = await self.linkable(channel, bridge, wish, by)
        if existing is not None and existing.channel_id == channel["id"]:
            return await self._changed(change, existing, bridge, wish, by)
        return await self._made(change, channel, bridge, wish, by)

    async def linkable(self, channel: Row, bridge: Bridge, wish: Wish, by: int) -> RoomLink | None:
        """The link that a room has already; raises what `link` does where the room cannot be linked with this channel."""
        if channel["type"] == "direct":
            raise Invalid("A direct channel is linked with nothing.", field="channel_id")
        if channel["organisation_id"] not in bridge.organisations:
            raise Forbidden("This channel is in an organisation that the bridge is not configured for.")
        if channel["type"] not in bridge.sees:
            raise Forbidden(f"The bridge of {bridge.name} has not declared the capability read:{channel['type']}.")
        existing = await self.of_room(bridge.name, wish.room)
        if existing is not None and existing.channel_id != channel["id"] and not (existing.configured and by == NOBODY):
            raise Conflict(f"The room {wish.room!r} of {bridge.name} is linked with another channel: unlink it there first.", field="room")
        sql = f"{LIVING} AND l.network = $1 AND l.remote_room = $2 AND l.instance <> $3"
        if others := await self._database.fetch(sql, bridge.network, wish.room, bridge.name):
            there = f"{others[0]['instance']}, which is on {bridge.network} too"
            raise Conflict(f"The room {wish.room!r} is linked by {there}: unlink it there first.", field="room")
        return existing

    async def _made(self, change: Change, channel: Row, bridge: Bridge, wish: Wish, by: int) -> RoomLink:
        link = RoomLink(
            id=change.next_id(), instance=bridge.name, remote_room=wish.room, channel_id=channel["id"], title=wish.title,
            organisation_id=channel["organisation_id"], network=bridge.network, direction=wish.direction, crosses=frozenset(wish.crosses),
            relay_format=wish.relay_format, trust=wish.trust, crossings=bridge.crossings, configured=by == NOBODY, made_by=by,
        )  # fmt: skip
        await self._let_in(change, channel, bridge)
        values = [
            link.id, link.instance, link.remote_room, link.channel_id, link.title, link.network, link.direction,
            encode_json(sorted(link.crosses)), link.relay_format, link.trust, encode_json(link.crossings), link.configured, by,
        ]  # fmt: skip
        await self._database.execute(INSERT, *values, change.position + 1, change.now)
        position = await self._tell(change, link, "linked", by)
        return replace(link, position=position)

    async def _let_in(self, change: Change, channel: Row, bridge: Bridge) -> None:
        """Let the bridge's bot be in the channel, so that everybody there knows."""
        sql = "SELECT 1 FROM channel_member WHERE channel_id = $1 AND user_id = $2"
        if not await self._database.fetch(sql, channel["id"], bridge.user_id):
            await self._members.join(change, await channel_row(self._database, channel["id"]), bridge.user_id, "member", by=bridge.user_id)

    async def _changed(self, change: Change, link: RoomLink, bridge: Bridge, wish: Wish, by: int) -> RoomLink:
        now = replace(
            link, title=wish.title, direction=wish.direction, crosses=frozenset(wish.crosses), relay_format=wish.relay_format,
            trust=wish.trust, network=bridge.network, configured=by == NOBODY, made_by=by,
        )  # fmt: skip
        now = link.became(now, change.position)
        if replace(now, made_by=link.made_by, configured=link.configured) == link and (link.configured or by != NOBODY):
            return link
        if link.configured and by != NOBODY:
            raise Conflict(CONFIGURED, field="room")
        await self._save(change, now, by)
        return now

    async def _save(self, change: Change, link: RoomLink, by: int) -> None:
        sql = (
            "UPDATE room_link SET title = $1, direction = $2, crosses = $3, relay_format = $4, trust = $5, network = $6, crossings = $7,"
            " configured = $8, made_by = $9, former = $10, channel_id = $11 WHERE id = $12"
        )
        values: list[object] = [link.title, link.direction, encode_json(sorted(link.crosses)), link.relay_format, link.trust, link.network]
        values += [encode_json(link.crossings), link.configured, link.made_by, encode_json([astuple(each) for each in link.former])]
        await self._database.execute(sql, *values, link.channel_id, link.id)
        await self._tell(change, link, "linked", by)

    async def cross(self, link: RoomLink, crossings: Mapping[str, str | int | None]) -> RoomLink:
        """Say anew what crosses a link, and how; those who see its channel are told. The same again is not told again."""
        if link.crossings == crossings:
            return link
        async with self._log.change() as change:
            now = replace(await self.one(link.id), crossings=crossings)
            await self._save(change, now, now.made_by)
        return now

    async def unlink(self, actor: Actor, link_id: int) -> None:
        """End a link.

        Raises:
            NotFound, Forbidden: as in `rights.may`; NotFound also where it has ended.
            Conflict: it stands in the settings.
        """
        async with self._log.change() as change:
            link = await self.one(link_id)
            rows = await self._database.fetch(STANDING, actor.user_id, link.channel_id)
            if not rows or not standing(rows[0]).sees or rows[0]["suspended_at"] is not None:
                raise NotFound("There is no such link, or it has ended.", field="id")
            may("unbridge", standing(rows[0]))
            if link.configured:
                raise Conflict(CONFIGURED, field="id")
            await self.end(change, link, actor.user_id, "It was unlinked.")

    async def end(self, change: Change, link: RoomLink, by: int, why: str) -> None:
        """Inside a change: the same, whoever asks."""
        sql = "UPDATE room_link SET ended_position = $1, ended_at = $2, ended_why = $3 WHERE id = $4"
        await self._database.execute(sql, change.position + 1, change.now, why, link.id)
        await self._tell(change, link, "unlinked", by, why)

    async def end_all(self, change: Change, channel_id: int, by: int, why: str) -> None:
        """Inside a change: end all links of a channel."""
        for link in await self.of_channel(channel_id):
            await self.end(change, link, by, why)

    async def rehome(self, change: Change, source: int, destination: int, by: int) -> None:
        """Inside a change: let a channel have another one's links, with which it is merged."""
        position = change.position
        await self._database.execute("UPDATE channel SET bridged = '[]' WHERE id = $1", source)
        for link in await self.of_channel(source):
            bridge = self.bridges.get(link.instance)
            if bridge is not None:
                await self._let_in(change, await channel_row(self._database, destination), bridge)
            await self._save(change, link.became(replace(link, channel_id=destination), position), by)

    async def _tell(self, change: Change, link: RoomLink, event: str, by: int, why: str | None = None) -> int:
        """Write what is shown of a channel's links, and tell its members; gives the event's position."""
        living = [each.shown for each in await self.of_channel(link.channel_id)]
        text = msgspec.json.encode(living).decode()
        sql = "UPDATE channel SET bridged = $1, updated_at = $2 WHERE id = $3"
        await self._database.execute(sql, text, change.now, link.channel_id)
        row = await channel_row(self._database, link.channel_id)
        body = objects.ChannelLinked(
            **msgspec.structs.asdict(views.channel(row)), link=link.shown, by=views.id_or_none(by or None), reason=why
        )  # fmt: skip
        record_in_channel(change, row, "channel", event, body, object_=link.channel_id)
        return change.position


def checked(wish: Wish, bridge: Bridge) -> Wish:
    """A wish as it is stored.

    Raises:
        Invalid: something of it cannot be.
    """
    room = bridge.room(wish.room.strip())
    if not 1 <= len(room) <= ROOM_MAX or not room.isprintable():
        raise Invalid(f"room must have 1 to {ROOM_MAX} printable characters.", field="room")
    for field_, value, known in (("direction", wish.direction, DIRECTIONS), ("trust", wish.trust, TRUSTS)):
        if value not in known:
            raise Invalid(f"{field_} must be one of {', '.join(known)}.", field=field_)
    if unknown := sorted(wish.crosses - set(CROSSES)):
        raise Invalid(f"crosses names {unknown[0]!r:.40}; there are: {', '.join(CROSSES)}.", field="crosses")
    if wish.direction == "out" and not bridge.sends:
        raise Invalid(f"{bridge.name} sends nothing out: a link with it is in.", field="direction")
    return replace(
        wish, room=room, direction=wish.direction if bridge.sends else "in", title=line(wish.title, "title", TITLE_MAX),
        relay_format=line(wish.relay_format, "relay_format", FORMAT_MAX),
    )  # fmt: skip


def link_of(row: Row) -> RoomLink:
    return RoomLink(
        id=row["id"], instance=row["instance"], remote_room=row["remote_room"], channel_id=row["channel_id"], title=row["title"],
        organisation_id=row["organisation_id"], network=row["network"], direction=row["direction"],
        crosses=frozenset(decode_json(row["crosses"])), relay_format=row["relay_format"], trust=row["trust"],
        crossings=decode_json(row["crossings"]), configured=bool(row["configured"]), made_by=row["made_by"], position=row["position"],
        former=tuple(Former(*each) for each in decode_json(row["former"])), ended_position=row["ended_position"],
    )  # fmt: skip


def viewed(link: RoomLink) -> views.ViewedLink:
    """A link as those see it who may end it."""
    return views.ViewedLink(
        **msgspec.structs.asdict(link.shown) | {"room": link.remote_room}, id=str(link.id), channel_id=str(link.channel_id),
        title=link.title, crosses=sorted(link.crosses), relay_format=link.relay_format, trust=link.trust, configured=link.configured,
        made_by=views.id_or_none(link.made_by or None),
    )  # fmt: skip


def viewed_bridge(bridge: Bridge, state: Mapping[str, Any], links: Sequence[RoomLink]) -> views.ViewedBridge:
    """A bridge as the people of its organisations see it."""
    shown = RoomLink(
        id=0, instance=bridge.name, remote_room="", channel_id=0, organisation_id=0, title="", network=bridge.network, direction="both",
        crosses=frozenset(), relay_format="", trust="", crossings=bridge.crossings,
    ).shown  # fmt: skip
    return views.ViewedBridge(
        id=str(bridge.user_id), bridge=bridge.name, network=bridge.network, state=state.get("state"), reason=state.get("reason"),
        crossings=shown.crossings, characters=shown.characters, lines=shown.lines, file_bytes=shown.file_bytes,
        links=[viewed(link) for link in links],
    )  # fmt: skip
