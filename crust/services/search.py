"""Finding messages: only what the caller may see, newest first.

The index knows nothing of rights, which change, so what it gives is checked against the channels that the caller sees now. It is asked for
the newest matches, a few, then some more; where those are nearly all in other channels it is given the caller's channels, and skips through
its lists. So neither a word that is everywhere nor a caller who sees little makes it read a large part of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace

from crust.ids import MAX_ID
from crust.models.database import Database, Row
from crust.models.search_index import PINNED, TYPES, WITH_MEDIA, Match, SearchIndex, by_user, flagged_by, in_channel, of_type
from crust.services import names
from crust.services.actor import Actor
from crust.services.attachments import found_text
from crust.services.channels import VIEWED
from crust.services.history import PAGE, History
from crust.services.search_query import Query, parse
from crust.services.snippets import snippet
from crust.services.views import FoundMessage, ViewedMessage
from crust.words import Phrase

WINDOWS = (200, 2_000)  # matches that are looked at before the index is told where to look; 2,000 take about 5 ms
WINDOW_MAX = 20_000  # when it cannot be told, because there are too many channels
CHANNELS_MAX = 2_000  # that it is told: it looks at the lists of all of them for every match
NARROW = 20  # so few that it is told them at once
SEEN = f"SELECT v.id, v.name FROM ({VIEWED}) v"
NOBODY = by_user(0)  # the label of no message
KINDS = {
    "history": [frozenset({of_type("CREATE"), of_type("TOPIC"), of_type("RENAME")})],
    "message": [frozenset({of_type("MESSAGE")})],
    "attachment": [frozenset({of_type("FILE")})],
    "media": [frozenset({of_type("FILE")}), frozenset({WITH_MEDIA})],
    **{type_: [frozenset({of_type(type_)})] for type_ in TYPES},
}
"""What `message_type` may be, and the labels that a message then bears: of each of these, one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is looked for. Ids are exclusive bounds; `flagged` by the caller."""

    query: str = ""
    message_type: str | None = None
    channel_id: int | None = None
    user_id: int | None = None
    before: int | None = None
    after: int | None = None
    pinned: bool = False
    flagged: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """A match, and where it may lie: channels that the caller sees, and ids in (after, before)."""

    match: Match
    channels: frozenset[int]
    after: int
    before: int

    @property
    def narrowed(self) -> Scope:
        """The same, with the index told of the channels."""
        return replace(self, match=self.match.also(*map(in_channel, self.channels)))


class Search:
    """See the module."""

    def __init__(self, database: Database, history: History) -> None:
        self._database, self._history = database, history
        self._index = SearchIndex(database.dialect)

    async def find(self, actor: Actor, wish: Wish, limit: int) -> list[FoundMessage]:
        """The newest messages that match and that the caller may see, newest first."""
        query = parse(wish.query)
        scope = await self._scope(actor, wish, query)
        found: list[Row] = []
        if not query.nothing and scope.channels:
            async for ids in self._candidates(scope):
                found += await self._visible(actor, scope, ids, limit - len(found))
                if len(found) == limit:
                    break
        return [shown(message, query.wanted) for message in await self._history.shown(actor.user_id, found)]

    # ---- what is asked for

    async def _scope(self, actor: Actor, wish: Wish, query: Query) -> Scope:
        labels = list(KINDS[wish.message_type]) if wish.message_type is not None else []
        labels += [frozenset({by_user(wish.user_id)})] if wish.user_id is not None else []
        labels += [frozenset({label}) for label in query.labels]
        labels += [frozenset({PINNED})] if wish.pinned else []
        labels += [frozenset({flagged_by(actor.user_id)})] if wish.flagged else []
        people = await self._people(actor, {person.name for person in query.people})
        labels += [frozenset({people.get(person.name, NOBODY)}) for person in query.people if person.wanted]
        without = {people.get(person.name, NOBODY) for person in query.people if not person.wanted}
        return Scope(
            Match(tuple(query.wanted), tuple(query.unwanted), tuple(labels), frozenset(query.without) | without),
            await self._channels(actor, wish, query),
            max(wish.after or 0, query.after),
            min(wish.before or MAX_ID, query.before),
        )

    async def _channels(self, actor: Actor, wish: Wish, query: Query) -> frozenset[int]:
        """Those that the caller sees, as far as they are asked for."""
        rows = await self._database.fetch(SEEN, actor.user_id)
        named: dict[str, set[int]] = {}
        if query.channels:
            for row in rows:
                named.setdefault(names.fold(row["name"]), set()).add(row["id"])
        channels = {row["id"] for row in rows}
        if wish.channel_id is not None:
            channels &= {await self._stands_for(wish.channel_id)}
        for place in query.channels:
            these = named.get(place.name, set())
            channels = channels & these if place.wanted else channels - these
        return frozenset(channels)

    async def _stands_for(self, channel_id: int) -> int:
        """The channel that a channel was merged into, or itself."""
        rows = await self._database.fetch("SELECT merged_into FROM channel WHERE id = $1 AND merged_into IS NOT NULL", channel_id)
        return int(rows[0]["merged_into"]) if rows else channel_id

    async def _people(self, actor: Actor, wanted: set[str]) -> dict[str, str]:
        """Folded username → label; `me` is the caller."""
        if not wanted:
            return {}
        d = self._database
        rows = await d.fetch(f'SELECT id, username_key FROM "user" WHERE username_key IN {d.any_of(1, "text")}', d.as_list(sorted(wanted)))
        return {"me": by_user(actor.user_id)} | {row["username_key"]: by_user(row["id"]) for row in rows}

    # ---- what there is

    async def _candidates(self, scope: Scope) -> AsyncIterator[Sequence[int]]:
        """Ids that match, some at a time, newest first. They may lie in any channel."""
        told = len(scope.channels) <= NARROW
        scope = scope.narrowed if told else scope
        for size in windows():
            if not told and size > WINDOWS[-1] and len(scope.channels) <= CHANNELS_MAX:
                scope, told = scope.narrowed, True
            ids = await self._ids(scope, size := min(size, WINDOWS[-1]) if told else size)
            yield ids
            if len(ids) < size:
                return
            scope = replace(scope, before=ids[-1])

    async def _ids(self, scope: Scope, limit: int) -> list[int]:
        sql, values = self._index.finding(scope.match, scope.after, scope.before, limit)
        return [row["id"] for row in await self._database.fetch_planned(sql, *values)]

    async def _visible(self, actor: Actor, scope: Scope, ids: Sequence[int], limit: int) -> Sequence[Row]:
        """Those of the messages that lie in the scope's channels, newest first."""
        if not ids:
            return []
        d = self._database
        sql = f"{PAGE} AND x.id IN {d.any_of(2)} AND x.channel_id IN {d.any_of(3)} ORDER BY x.id DESC LIMIT $4"
        return await d.fetch(sql, actor.user_id, d.as_list(ids), d.as_list(sorted(scope.channels)), limit)


def windows() -> Iterable[int]:
    """How many matches to look at: a few, some, and then many at a time."""
    yield from WINDOWS
    while True:
        yield WINDOW_MAX


def shown(message: ViewedMessage, phrases: Sequence[Phrase]) -> FoundMessage:
    """A message with what it was found by."""
    fields = {name: getattr(message, name) for name in message.__struct_fields__}
    return FoundMessage(**fields, snippet=snippet(found_text(message.contents, message.attachments), phrases))
