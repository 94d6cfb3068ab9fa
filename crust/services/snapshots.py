"""Channels as the websocket shows them when they come into view: many at once, because a fresh start may want hundreds.

Five queries at most for up to twenty channels, or two with messages; and each person is encoded once, in however many of them they are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Raw

from crust.models.database import Database, Row
from crust.services import views
from crust.services.actor import Actor
from crust.services.channels import VIEWED, viewed
from crust.services.history import PAGE
from crust.services.history import viewed as viewed_message
from crust.services.presence import PresenceService
from crust.services.reactions import Reactions
from crust.services.views import ChannelFrame, ViewedMessage

TOGETHER = 20  # channels; what is read together is held while a client reads it
MESSAGES_TOGETHER = 100
CHARACTERS = 131_072  # of messages in one channel's frame: with longer ones it bears fewer, and `has_more`
MEMBERS = "SELECT m.channel_id, m.user_id FROM channel_member m WHERE m.channel_id = ${} ORDER BY m.user_id LIMIT $1"
MESSAGES = f"{PAGE} AND x.channel_id = ${{}} ORDER BY x.id DESC LIMIT $2"
USERS = f'SELECT {views.USER_COLUMNS}, {views.PRESENCE_COLUMNS} FROM "user" u WHERE u.id IN'


class Wanted(NamedTuple):
    """A channel, and how many of its newest messages."""

    channel_id: int
    messages: int


class Snapshots:
    """See the module.

    Args:
        shown: the most members of each channel that are listed, the viewer among them.
    """

    def __init__(self, database: Database, presence: PresenceService, shown: int) -> None:
        self._database, self._presence, self._shown = database, presence, shown
        self._reactions = Reactions(database)

    async def of(self, actor: Actor, wanted: Sequence[Wanted]) -> AsyncIterator[Raw]:
        """The `data` of each channel's frame, encoded, in this order; those that the viewer may not see (any more) are left out."""
        people: dict[int, Raw] = {}
        for some in portions(wanted):
            encoded = await self._some(actor, some, people)
            while encoded:
                yield encoded.pop(0)

    async def _some(self, actor: Actor, wanted: Sequence[Wanted], people: dict[int, Raw]) -> list[Raw]:
        rows = await self._channels(actor, wanted)
        members = await self._members(actor, list(rows))
        await self._encode(people, {user_id for users in members.values() for user_id in users})
        messages = await self._messages(actor, [each for each in wanted if each.channel_id in rows and each.messages])
        return [
            encoded(rows[channel_id], [people[user_id] for user_id in members[channel_id]], messages.get(channel_id), most)
            for channel_id, most in wanted
            if channel_id in rows
        ]

    async def _channels(self, actor: Actor, wanted: Sequence[Wanted]) -> dict[int, Row]:
        d = self._database
        ids = d.as_list([each.channel_id for each in wanted])
        return {row["id"]: row for row in await d.fetch(f"{VIEWED} AND c.id IN {d.any_of(2)}", actor.user_id, ids)}

    async def _members(self, actor: Actor, channels: Sequence[int]) -> dict[int, list[int]]:
        """The first members of each channel by user id; the last of them gives way to the viewer."""
        found: dict[int, list[int]] = {channel_id: [] for channel_id in channels}
        for row in await self._each(MEMBERS, [self._shown], channels):
            found[row["channel_id"]].append(row["user_id"])
        for users in found.values():
            if actor.user_id not in users:
                users[self._shown - 1 :] = [actor.user_id]
        return found

    async def _encode(self, people: dict[int, Raw], wanted: set[int]) -> None:
        d = self._database
        for row in await d.fetch(f"{USERS} {d.any_of(1)}", d.as_list(list(wanted - people.keys()))):
            people[row["id"]] = Raw(msgspec.json.encode(views.viewed_user(row, self._presence.of(row))))

    async def _messages(self, actor: Actor, wanted: Sequence[Wanted]) -> dict[int, list[ViewedMessage]]:
        """Of each channel the newest messages, newest first, one more than wanted to see whether there are more."""
        found: dict[int, list[ViewedMessage]] = {each.channel_id: [] for each in wanted}
        if wanted:
            most = max(each.messages for each in wanted) + 1
            rows = await self._each(MESSAGES, [actor.user_id, most], [each.channel_id for each in wanted])
            reactions = await self._reactions.on(rows, actor.user_id)
            for row in rows:
                found[row["channel_id"]].append(viewed_message(row, reactions.get(row["id"], ())))
        return found

    async def _each(self, sql: str, values: Sequence[int], channels: Sequence[int]) -> Sequence[Row]:
        """The rows of one statement for each of the channels; `{}` in it is the number of the parameter that is the channel."""
        if not channels:
            return []
        first = len(values) + 1
        parts = [f"SELECT * FROM ({sql.format(number)}) part" for number in range(first, first + len(channels))]
        return await self._database.fetch(" UNION ALL ".join(parts), *values, *channels)


def portions(wanted: Sequence[Wanted]) -> Iterator[list[Wanted]]:
    """What is read together."""
    some: list[Wanted] = []
    for each in wanted:
        if some and (len(some) == TOGETHER or sum(one.messages for one in some) + each.messages > MESSAGES_TOGETHER):
            yield some
            some = []
        some.append(each)
    if some:
        yield some


def up_to(messages: Sequence[ViewedMessage], most: int) -> list[ViewedMessage]:
    """The first messages, at most so many and with at most `CHARACTERS`, but one at least."""
    size = 0
    for number, message in enumerate(messages[:most]):
        size += len(message.contents or "")
        if size > CHARACTERS and number:
            return list(messages[:number])
    return list(messages[:most])


def encoded(row: Row, members: list[Raw], messages: list[ViewedMessage] | None, most: int) -> Raw:
    """A channel's frame. Without messages it is not known whether any are left, only whether there ever were."""
    shown = up_to(messages or [], most)
    frame = ChannelFrame(
        **msgspec.structs.asdict(viewed(row)),
        members=members,
        messages=shown[::-1],
        has_more=len(messages) > len(shown) if messages is not None else row["last_message_id"] is not None,
    )
    return Raw(msgspec.json.encode(frame))
