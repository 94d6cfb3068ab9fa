"""Posting: all messages that arrive together are checked and written together, without the ORM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from crust.clock import rfc3339
from crust.errors import CrustError, Forbidden, NotFound
from crust.events.objects import Message
from crust.log import Change
from crust.log.way import HERE, Way, way
from crust.models.database import Database, Row, Write, inserting
from crust.models.fields import encode_json
from crust.models.search_index import Document, SearchIndex
from crust.services import keys, views
from crust.services.actor import Actor
from crust.services.attachments import NewFile, filing, found_text
from crust.services.keys import Key
from crust.services.known import Known
from crust.services.mentions import NOBODY, Named
from crust.services.parts import Part, recorded
from crust.services.rights import may
from crust.services.standing import SEEN, STANDING, record_in_channel, standing

MESSAGE_COLUMNS = {
    "id": "bigint", "channel_id": "bigint", "user_id": "bigint", "type": "text", "contents": "text", "reply_to": "bigint",
    "replies": "int", "mentions": "jsonb", "pinned_by": "bigint", "client_msg_id": "text", "origin": "text", "version": "int",
    "created_at": "bigint", "edited_at": "bigint", "removed_at": "bigint", "attachments": "text", "channels": "text",
}  # fmt: skip
OPEN_PLACES = f"""
SELECT {views.CHANNEL_COLUMNS} FROM channel c JOIN organisation g ON g.id = c.organisation_id
WHERE c.removed_at IS NULL AND c.archived_at IS NULL AND g.archived_at IS NULL
"""
MENTION_COLUMNS = {"id": "bigint", "user_id": "bigint", "channel_id": "bigint", "message_id": "bigint"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A message to be written.

    `named`: the people and channels in it; `reply_to`: what it answers; `file`: what a FILE message bears; `way`: how it came here;
    `part`: what it is elsewhere, if it was said there.
    """

    actor: Actor
    channel_id: int
    contents: str
    reply_to: int | None = None
    named: Named = NOBODY
    client_msg_id: str | None = None
    key: Key | None = None
    type: str = "MESSAGE"
    file: NewFile | None = None
    way: Way = HERE
    part: Part | None = None


@dataclass(frozen=True, slots=True)
class Posted:
    """What came of a post: the message, or of a repeat (`duplicate_of`) the id of the first one."""

    message: Message | None
    duplicate_of: int | None = None
    mentioned: tuple[int, ...] = ()


@dataclass(slots=True)
class Batch:
    """What is known of the posts of one change."""

    channels: dict[int, Row]
    members: set[tuple[int, int]]
    threads: dict[int, Row]
    named: dict[tuple[int, str], int]
    keys: dict[tuple[str, str], tuple[str, int]]


class Posts:
    """Writes posts; `write` is handed to the log, which calls it with all that wait."""

    def __init__(self, database: Database, known: Known) -> None:
        self._database, self._known = database, known
        self._index = SearchIndex(database.dialect)

    async def write(self, change: Change, posts: Sequence[Post]) -> list[Posted | CrustError]:
        """Write those that may be written; gives for each what came of it."""
        places, members = await self._places(change, pairs(posts))
        if missing := {post.channel_id for post in posts} - places.keys():
            forwarded = await self._forwarded(posts, missing)
            if forwarded is not posts:
                posts = forwarded
                places, members = await self._read_places(pairs(posts))
        batch = await self._gather(posts, places, members)
        results: list[Posted | CrustError] = []
        written: list[tuple[Post, Message, list[int]]] = []
        for post in posts:
            try:
                results.append(await self._one(change, batch, post, written))
            except CrustError as refusal:
                results.append(refusal)
        self._store(change, batch, written)
        return results

    # ---- checking

    async def _forwarded(self, posts: Sequence[Post], missing: set[int]) -> Sequence[Post]:
        """The posts as they stand where channels that are not to be posted to were merged into others: those to these go to the others."""
        d = self._database
        sql = f"SELECT id, merged_into FROM channel WHERE merged_into IS NOT NULL AND id IN {d.any_of(1)}"
        into = {row["id"]: row["merged_into"] for row in await d.fetch(sql, d.as_list(sorted(missing)))}
        return [replace(post, channel_id=into.get(post.channel_id, post.channel_id)) for post in posts] if into else posts

    async def _gather(self, posts: Sequence[Post], places: dict[int, Row], members: set[tuple[int, int]]) -> Batch:
        """Read what the checks need and is not known, one query a table."""
        channels = sorted({post.channel_id for post in posts})
        return Batch(
            channels=places,
            members=members,
            threads=await self._threads([post.reply_to for post in posts if post.reply_to]),
            named=await self.members_named(channels, sorted({name for post in posts for name in post.named.users})),
            keys=await keys.results(self._database, [post.key for post in posts if post.key]),
        )

    async def _places(self, change: Change, pairs: set[tuple[int, int]]) -> tuple[dict[int, Row], set[tuple[int, int]]]:
        """The channels of these (channel, user) pairs, and those of the pairs that are memberships."""
        known = self._known if self._known.exact(change) else None
        if known and all(known.posts_in(*pair) for pair in pairs):
            return {channel_id: row for channel_id, _ in pairs if (row := known.place(channel_id))}, pairs
        places, members = await self._read_places(pairs)
        if known:
            known.keep(places, members)
        return places, members

    async def _read_places(self, pairs: set[tuple[int, int]]) -> tuple[dict[int, Row], set[tuple[int, int]]]:
        d = self._database
        channels, users = d.as_list(sorted({pair[0] for pair in pairs})), d.as_list(sorted({pair[1] for pair in pairs}))
        rows = await d.fetch(f"{OPEN_PLACES} AND c.id IN {d.any_of(1)}", channels)
        sql = (
            'SELECT m.channel_id, m.user_id FROM channel_member m JOIN "user" u ON u.id = m.user_id '
            f"WHERE u.suspended_at IS NULL AND m.channel_id IN {d.any_of(1)} AND m.user_id IN {d.any_of(2)}"
        )
        members = await d.fetch(sql, channels, users)
        return {row["id"]: row for row in rows}, {(row["channel_id"], row["user_id"]) for row in members}

    async def _threads(self, ids: Sequence[int]) -> dict[int, Row]:
        if not ids:
            return {}
        sql = f"SELECT id, channel_id, reply_to FROM message WHERE removed_at IS NULL AND id IN {self._database.any_of(1)}"
        return {row["id"]: row for row in await self._database.fetch(sql, self._database.as_list(sorted(set(ids))))}

    async def members_named(self, channels: Sequence[int], named: Sequence[str]) -> dict[tuple[int, str], int]:
        """(channel, folded username) → user id, of members: nobody is called into a channel that they are not in.

        `ana:some.net` is who has that handle and, where nobody in the channel has it, ana: "@ana:look" calls her as well.
        """
        if not named:
            return {}
        d, locals_ = self._database, {name: name.partition(":")[0] for name in named if ":" in name}
        sql = (
            'SELECT m.channel_id, u.username_key, u.id FROM "user" u JOIN channel_member m ON m.user_id = u.id '
            f"WHERE u.username_key IN {d.any_of(1, 'text')} AND m.channel_id IN {d.any_of(2)}"
        )
        rows = await d.fetch(sql, d.as_list(sorted({*named, *locals_.values()})), d.as_list(list(channels)))
        found: dict[tuple[int, str], int] = {(row["channel_id"], row["username_key"]): row["id"] for row in rows}
        meant = {
            (channel, name): found[channel, local] for channel in channels for name, local in locals_.items() if (channel, local) in found
        }
        return meant | {place: id_ for place, id_ in found.items() if place[1] in named}

    async def channels_named(self, user_id: int, channel: Row, named: Sequence[str]) -> list[int]:
        """The public channels of these folded names that somebody may point to from a channel.

        They see them, and so does everybody who is in the channel, guests aside: they are open to the organisation, or to one of the
        channel's own teams. Of several of one name it is the oldest.
        """
        if not named:
            return []
        d = self._database
        public = f"AND c.type = 'public' AND c.organisation_id = $2 AND c.name_key IN {d.any_of(3, 'text')}"
        rows = await d.fetch(
            f"SELECT c.id, c.name_key, c.team_ids {SEEN} {public} ORDER BY c.id DESC",
            user_id,
            channel["organisation_id"],
            d.as_list(list(named)),
        )
        own = set(channel["team_ids"].split())
        found = {row["name_key"]: int(row["id"]) for row in rows if not row["team_ids"] or own & set(row["team_ids"].split())}
        return [found[name] for name in named if name in found]

    async def _one(self, change: Change, batch: Batch, post: Post, written: list[tuple[Post, Message, list[int]]]) -> Posted:
        if post.key and (known := batch.keys.get((post.key.scope, post.key.key))):
            return Posted(None, duplicate_of=keys.match(post.key, known))
        if post.way.still is not None:
            await post.way.still()
        await self._check(batch, post)
        thread = self._thread(batch, post)
        named = [batch.named[post.channel_id, name] for name in post.named.users if (post.channel_id, name) in batch.named]
        mentioned = list(dict.fromkeys(named))
        channels = await self.channels_named(post.actor.user_id, batch.channels[post.channel_id], post.named.channels)
        message = new_message(change, replace(post, reply_to=thread), mentioned, channels)
        written.append((post, message, mentioned))
        if post.key:
            batch.keys[post.key.scope, post.key.key] = (post.key.fingerprint, int(message.id))
        others = tuple(user_id for user_id in mentioned if user_id != post.actor.user_id)
        return Posted(message, mentioned=others)

    async def _check(self, batch: Batch, post: Post) -> None:
        """The common case needs no query of its own; who is refused is told why by the rules."""
        channel = batch.channels.get(post.channel_id)
        if channel and (post.channel_id, post.actor.user_id) in batch.members:
            return
        rows = await self._database.fetch(STANDING, post.actor.user_id, post.channel_id)
        if not rows:
            raise NotFound("There is no such channel.", field="channel_id")
        may("post", standing(rows[0]))
        raise Forbidden("This account is suspended.")

    def _thread(self, batch: Batch, post: Post) -> int | None:
        """The head of the thread: a reply to a reply belongs to the same one."""
        if post.reply_to is None:
            return None
        target = batch.threads.get(post.reply_to)
        if target is None or target["channel_id"] != post.channel_id:
            raise NotFound("There is no such message to reply to in this channel.", field="reply_to")
        return int(target["reply_to"] or target["id"])

    # ---- writing

    def _store(self, change: Change, batch: Batch, written: Sequence[tuple[Post, Message, list[int]]]) -> None:
        change.write(inserting("message", MESSAGE_COLUMNS, [message_row(post, message, change.now) for post, message, _ in written]))
        for post, message, _ in written:
            record_in_channel(
                change, batch.channels[post.channel_id], "message", "created", message, object_=int(message.id), way=post.way
            )  # fmt: skip
        mentions = [
            (change.next_id(), user, post.channel_id, int(message.id))
            for post, message, users in written
            for user in users
            if user != post.actor.user_id
        ]
        last = {post.channel_id: int(message.id) for post, message, _ in written}
        heads = [[int(message.reply_to)] for _, message, _ in written if message.reply_to]
        change.write(
            self._index.adding([document(post, message) for post, message, _ in written]),
            inserting("mention", MENTION_COLUMNS, mentions),
            keys.keeping(change, [(post.key, int(message.id)) for post, message, _ in written if post.key]),
            recorded([(post.part, int(message.id)) for post, message, _ in written if post.part]),
            filing(change, [(post.file, message) for post, message, _ in written if post.file]),
            Write("UPDATE channel SET last_message_id = $1 WHERE id = $2", [(id_, channel) for channel, id_ in last.items()]),
            Write("UPDATE message SET replies = replies + 1 WHERE id = $1", heads),
        )


def pairs(posts: Sequence[Post]) -> set[tuple[int, int]]:
    """Which channel is posted to by whom."""
    return {(post.channel_id, post.actor.user_id) for post in posts}


def new_message(change: Change, post: Post, mentioned: Sequence[int] = (), channels: Sequence[int] = ()) -> Message:
    return Message(
        id=str(change.next_id()),
        channel_id=str(post.channel_id),
        user_id=str(post.actor.user_id),
        type=post.type,
        contents=post.contents,
        reply_to=views.id_or_none(post.reply_to),
        replies=0,
        attachments=() if post.file is None else (post.file.attachment(change),),
        reactions=(),
        mentions=[str(user_id) for user_id in mentioned],
        channels=[str(channel_id) for channel_id in channels],
        preview=None,
        pinned=False,
        client_msg_id=post.client_msg_id,
        origin=post.way.origin,
        version=1,
        created_at=rfc3339(change.now),
        edited_at=None,
    )


def message_row(post: Post, message: Message, now: int) -> tuple[object, ...]:
    """A new message as its table has it."""
    return (
        int(message.id), post.channel_id, post.actor.user_id, message.type, message.contents,
        None if message.reply_to is None else int(message.reply_to), 0, encode_json(message.mentions), None, message.client_msg_id,
        message.origin, message.version, now, None, None, encode_json(message.attachments),
        encode_json(message.channels),
    )  # fmt: skip


def document(post: Post, message: Message) -> Document:
    """A new message as it is found."""
    return Document(
        id=int(message.id), channel_id=post.channel_id, user_id=post.actor.user_id, type=post.type,
        text=found_text(message.contents, message.attachments), media_types=[each.media_type for each in message.attachments],
    )  # fmt: skip


async def system_message(database: Database, change: Change, channel: Row, user_id: int, type_: str, contents: str) -> None:
    """Inside a change: tell in a channel what happened to it (CREATE, RENAME, TOPIC)."""
    post = Post(actor=Actor(user_id, "", 0, ""), channel_id=channel["id"], contents=contents, type=type_, way=way.get())
    message = new_message(change, post)
    await database.run([inserting("message", MESSAGE_COLUMNS, [message_row(post, message, change.now)])])
    await database.execute("UPDATE channel SET last_message_id = $1 WHERE id = $2", int(message.id), channel["id"])
    record_in_channel(change, channel, "message", "created", message, object_=int(message.id))
    change.write(SearchIndex(database.dialect).adding([document(post, message)]))
