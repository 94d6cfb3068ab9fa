"""Links that the settings name: made where they are not yet, ended where they stand there no more.

Nobody else changes or ends them, so that what is written in the settings is what is so.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass

from crust.errors import Conflict, Forbidden, Gone, Invalid, NotFound
from crust.log import Log
from crust.models.database import Database, Row
from crust.services import names, views
from crust.services.links import LIVING, NOBODY, Bridge, Links, RoomLink, Wish, checked, link_of

CANNOT_BE = (NotFound, Forbidden, Gone, Invalid, Conflict)
TAKEN_OUT = "The settings name it no more."


@dataclass(frozen=True, slots=True)
class Plan:
    """Which of the wished links can be, with their channels; all rooms that are named; and what cannot be, in words."""

    found: Sequence[tuple[Row, Wish]]
    rooms: AbstractSet[str]
    problems: Sequence[str]

    def stays(self, link: RoomLink) -> bool:
        """Whether a link that the settings made still stands there. One whose channel cannot be found is left as it is."""
        channels = {wish.room: row["id"] for row, wish in self.found}
        return link.remote_room in self.rooms and channels.get(link.remote_room, link.channel_id) == link.channel_id


class Configured:
    """See the module."""

    def __init__(self, database: Database, log: Log, links: Links) -> None:
        self._database, self._log, self._links = database, log, links

    async def plan(self, bridge: Bridge, wishes: Sequence[tuple[str, Wish]]) -> Plan:
        """What would be done with these links, each with its channel's name or id. Nothing is."""
        found: list[tuple[Row, Wish]] = []
        problems: list[str] = []
        rooms: set[str] = set()
        for channel, wish in wishes:
            try:
                wish = checked(wish, bridge)
                if wish.room in rooms:
                    raise Conflict("This room stands there twice, and is linked with one channel only.")
                rooms.add(wish.room)
                row = await self._named(bridge, channel)
                if await self._links.linkable(row, bridge, wish, NOBODY) is None and row["archived_at"] is not None:
                    raise Gone("The channel is archived: it can be read, but not changed.")
                found.append((row, wish))
            except CANNOT_BE as error:
                problems.append(in_words(channel, wish, error))
        return Plan(found, rooms, problems)

    async def configure(self, bridge: Bridge, wishes: Sequence[tuple[str, Wish]]) -> list[str]:
        """Let there be these links, and no others that the settings made before.

        Gives what could not be, in words; the others are none the worse.
        """
        plan = await self.plan(bridge, wishes)
        for link in await self._links.of_bridge(bridge.name):
            if link.configured and not plan.stays(link):
                await self._end(link)
        problems = list(plan.problems)
        for row, wish in plan.found:
            try:
                async with self._log.change() as change:
                    await self._links.put(change, row, bridge, wish, NOBODY)
            except CANNOT_BE as error:  # since it was planned
                problems.append(in_words(str(row["name"]), wish, error))
        return problems

    async def leave(self, instances: AbstractSet[str]) -> None:
        """End the links that the settings made for bridges which do not stand there any more; `instances` are those that do."""
        for link in map(link_of, await self._database.fetch(f"{LIVING} ORDER BY l.id")):
            if link.configured and link.instance not in instances:
                await self._end(link)

    async def _end(self, link: RoomLink) -> None:
        with suppress(NotFound):  # another process was faster
            async with self._log.change() as change:
                await self._links.end(change, await self._links.one(link.id), NOBODY, TAKEN_OUT)

    async def _named(self, bridge: Bridge, name: str) -> Row:
        """A channel of this name or id where the bridge may be at work; of one that was merged the other.

        Of several it is the one that is not archived.
        """
        d = self._database
        sql = (
            f"SELECT {views.CHANNEL_COLUMNS} FROM channel c WHERE c.removed_at IS NULL AND c.type <> 'direct'"
            " AND c.id IN (SELECT coalesce(f.merged_into, f.id) FROM channel f WHERE f.name_key = $1 OR CAST(f.id AS text) = $2)"
            f" AND c.organisation_id IN {d.any_of(3)} ORDER BY c.id"
        )
        bare = name.strip()
        rows = await d.fetch(sql, names.fold(bare.removeprefix("#")), bare, d.as_list(sorted(bridge.organisations)))
        open_ = [row for row in rows if row["archived_at"] is None]
        if not rows:
            raise NotFound(f"There is no channel {name!r:.80} where the bridge may be at work.", field="channel")
        if len(open_ or rows) > 1:
            raise Conflict(f"Several channels are called {name!r:.80}: name it by its id.", field="channel")
        return (open_ or rows)[0]


def in_words(channel: str, wish: Wish, error: NotFound | Forbidden | Gone | Invalid | Conflict) -> str:
    return f"the link of {wish.room} with {channel}: {error.message}"
