"""The log as everybody else sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from msgspec import Raw

from crust import settings
from crust.clock import Clock
from crust.events.event import BROUGHT_INTO_VIEW, Event
from crust.log.change import Change
from crust.log.way import way
from crust.log.writer import GroupWrite, OwnTurn, Pace, Writer
from crust.models.database import Database, Row
from crust.telemetry import Metrics

EVENTS = (
    "SELECT position, id, organisation, channel, recipient, object, visibility, type, event, body, origin, via, at FROM event "
    "WHERE position > $1 AND position <= $2"
)


class Head(NamedTuple):
    """Where the log ends. A cursor of another `epoch` means nothing here."""

    epoch: str
    position: int


class Log:
    """The event log of one database.

    Args:
        database: opened.
        clock: tells the time of changes.
        settings: `database.*`.
        announce: called after each commit with its events, in order; must not block.
        metrics: where commits are counted.
    """

    def __init__(
        self, database: Database, clock: Clock, settings: settings.Database, announce: Callable[[Sequence[Event]], None], metrics: Metrics
    ) -> None:
        self._database = database
        self._writer = Writer(database, clock, settings, announce, metrics)

    def paced_by(self, pace: Pace) -> None:
        """Let whoever passes on what was written hold the writer up, so that those who write cannot outrun those who read."""
        self._writer.pace = pace

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Write for the length of a block; what waits at its end is still served."""
        task = asyncio.create_task(self._writer.run(), name="log writer")
        try:
            yield
        finally:
            self._writer.close()
            await task

    # ---- writing

    @asynccontextmanager
    async def change(self) -> AsyncIterator[Change]:
        """Change what people share: everything written inside is stored with its events, or none of it.

        The block runs when the writer's turn comes; leaving it waits for the commit. No network, no prompt and no foreign code inside:
        all other writers wait meanwhile.

        Raises:
            Unavailable: the database did not commit; the outcome may be unknown.
            Others: what `still` of the way raises by which this has come.
        """
        turn = self._writer.ask()
        change = await _granted(turn)
        try:
            with self._database.using(change.transaction):
                if (still := way.get().still) is not None:
                    await still()
                yield change
        except BaseException:
            turn.committed.cancel()
            _end(turn, keep=False)
            raise
        _end(turn, keep=True)
        await turn.committed

    async def together(self, write: GroupWrite, item: Any) -> Any:
        """Have `item` written by `write` in one change with all others that arrive meanwhile; gives its result after the commit.

        `write(change, items)` gives for each item a result, or the error that refuses it. Calls take effect in the order in which they
        were made.

        Raises:
            CrustError: what `write` gave for this item.
            Unavailable: as in `change`.
        """
        return await self._writer.together(write, item)

    @property
    def waiting(self) -> int:
        """How many changes wait for the writer."""
        return self._writer.waiting

    # ---- reading

    async def head(self) -> Head:
        """Where the log ends now, read from the database."""
        return await head_of(self._database)

    async def oldest(self) -> int:
        """The first position that is still held; 0 in an empty log."""
        (row,) = await self._database.fetch("SELECT coalesce(min(position), 0) AS position FROM event")
        return int(row["position"])

    async def read(self, after: int, upto: int, limit: int = 500) -> list[Event]:
        """The events in (after, upto], in order, at most `limit`."""
        rows = await self._database.fetch(f"{EVENTS} ORDER BY position LIMIT $3", after, upto, limit)
        return [event_of(row) for row in rows]

    async def visible(
        self, user_id: int, channels: Collection[int], organisations: Mapping[int, str], after: int, upto: int, limit: int
    ) -> list[Event]:
        """Those of the events in (after, upto] that go to a person with these memberships (organisation → role), in order."""
        sql = f"{EVENTS} AND {self._goes_to()} ORDER BY position LIMIT $6"
        rows = await self._database.fetch(sql, after, upto, *self._who(user_id, channels, organisations), limit)
        return [event_of(row) for row in rows]

    async def count_visible(
        self, user_id: int, channels: Collection[int], organisations: Mapping[int, str], after: int, upto: int, most: int
    ) -> int:
        """How many `visible` would give, counted up to `most`."""
        within = f"SELECT 1 FROM event WHERE position > $1 AND position <= $2 AND {self._goes_to()} LIMIT $6"
        rows = await self._database.fetch(
            f"SELECT count(*) AS n FROM ({within}) counted", after, upto, *self._who(user_id, channels, organisations), most
        )
        return int(rows[0]["n"])

    async def came_into_view(self, user_id: int, channels: Collection[int], after: int, upto: int) -> set[int]:
        """Those of the channels that somebody joined in (after, upto], or that were moved, unarchived or the destination of a merge."""
        d = self._database
        sql = (
            f"SELECT DISTINCT channel FROM event WHERE position > $1 AND position <= $2 AND channel IN {d.any_of(4)} AND ("
            "(recipient = $3 AND type = 'member' AND event = 'joined')"
            f" OR (type = 'channel' AND event IN {BROUGHT_INTO_VIEW}))"
        )
        rows = await d.fetch(sql, after, upto, user_id, d.as_list(list(channels)))
        return {row["channel"] for row in rows}

    def _goes_to(self) -> str:
        """The condition that an event goes to the person whom `_who` describes, as parameters 3 to 5."""
        d = self._database
        return (
            f"(recipient = $3 OR (channel <> 0 AND channel IN {d.any_of(4)})"
            f" OR (channel = 0 AND (recipient = 0 OR type = 'member') AND organisation IN {d.any_of(5)}))"
        )

    def _who(self, user_id: int, channels: Collection[int], organisations: Mapping[int, str]) -> tuple[int, Any, Any]:
        d = self._database
        own = [organisation for organisation, role in organisations.items() if role != "guest"]
        return user_id, d.as_list(list(channels)), d.as_list(own)


async def head_of(database: Database) -> Head:
    """Where the log of a database ends now."""
    (row,) = await database.fetch("SELECT epoch, position FROM log WHERE id = 1")
    return Head(row["epoch"], row["position"])


async def _granted(turn: OwnTurn) -> Change:
    """Wait for the turn. Who is cancelled meanwhile gives it back: the grant may have come in the same moment."""
    try:
        return await turn.granted
    except asyncio.CancelledError:
        turn.committed.cancel()
        _end(turn, keep=False)
        raise


def _end(turn: OwnTurn, *, keep: bool) -> None:
    if not turn.ended.done():  # it is when the writer has given the change up
        turn.ended.set_result(keep)


def event_of(row: Row) -> Event:
    """A row of the table as an event."""
    return Event(
        position=row["position"],
        id=row["id"],
        organisation=row["organisation"],
        channel=row["channel"],
        recipient=row["recipient"],
        object=row["object"],
        visibility=row["visibility"],
        type=row["type"],
        event=row["event"],
        body=Raw(row["body"].encode()),
        origin=row["origin"],
        via=tuple(row["via"].split()),
        at=row["at"],
    )
