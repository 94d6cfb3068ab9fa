"""Outward: what has happened in a linked channel, made into what a bridge is asked to send, and what came of it into rows.

What crosses a link as a fallback is asked for of the bridge, if it can; else it is said here in words, in the one way for all networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import msgspec

from crust.errors import EventRefused, Invalid, NotFound
from crust.events import objects
from crust.events.catalogue import CATALOGUE
from crust.host.attempt import kept
from crust.host.bridging import link_of
from crust.host.consumer import Delivery, Outcome, key_of
from crust.models.database import Row, writing
from crust.plugin.bridge import (
    Author,
    Outgoing,
    OutgoingEdit,
    OutgoingMembership,
    OutgoingMessage,
    OutgoingReaction,
    OutgoingRemoval,
    OutgoingTopic,
    Sent,
    Target,
)
from crust.services import views
from crust.services.core import Core
from crust.services.deliveries import Receipt, receipt_of
from crust.services.links import RoomLink
from crust.services.parts import OUT, Part, forgotten, recorded, remote_id

EXCERPT = 80  # characters of a message that a fallback quotes
WORDS_MS = 86_400_000  # after which a removal is not put into words: by retention, many old messages go at once
EDITED = "edited: {0}"
ATTACHED = "added a file: {0}"
REMOVED = "removed a message"
REACTED = "reacted {0} to: {1}"
UNREACTED = "took {0} back from: {1}"
SENT_FILE = "sent a file: {0}"
DROPPED = Outcome("skipped", note="This does not cross the link.")
REMOVED_BEFORE = Outcome("skipped", note="The message was removed before it was delivered.")
MAYBE_SENT = Outcome("uncertain", note="The message was removed; it may have been sent before.")
WENT_AS_NOW = Outcome("skipped", note="The message went over this link as it was after this edit.")
CREATED = (
    "SELECT d.receipt FROM event e JOIN delivery d ON d.position = e.position WHERE e.object = $1 AND e.type = 'message'"
    " AND e.event = 'created' AND d.consumer = $2 AND d.lane = $3 AND d.state = 'done'"
)
UNSURE = (
    "SELECT e.id, e.position FROM event e JOIN delivery d ON d.position = e.position WHERE e.object = $1 AND e.type = 'message'"
    " AND e.event = 'created' AND d.consumer = $2 AND d.lane = $3 AND d.state = 'uncertain'"
)
TAKEN_BACK = "UPDATE delivery SET state = 'withdrawn' WHERE consumer = $1 AND lane = $2 AND position = $3 AND state = 'uncertain'"
NEVER_WENT = Outcome("skipped", note="The message that it is about never went over this link.")


class Asked(Protocol):
    """A bridge's instance, whose hooks are called."""

    @property
    def name(self) -> str: ...
    @property
    def wanted(self) -> Any: ...
    async def call(self, hook: str, *arguments: object) -> Any: ...


class Carrier:
    """See the module."""

    def __init__(self, instance: Asked, core: Core) -> None:
        self._instance, self._core = instance, core

    async def carry(self, delivery: Delivery, link: RoomLink) -> Outcome | None:
        """Have an event sent over a link; gives how that ended, with the ids there to be stored with it."""
        event = delivery.event
        body: Any = msgspec.json.decode(event.body, type=CATALOGUE[event.type, event.event])
        match event.type, event.event:
            case "message", "created":
                return await self._message(delivery, link, body)
            case "message", "edited":
                return await self._edit(delivery, link, body)
            case "message", "removed":
                return await self._removal(delivery, link, body)
            case "reaction", _:
                return await self._reaction(delivery, link, body)
            case "member", _:
                return await self._membership(delivery, link, body)
            case _:
                return await self._topic(delivery, link, body)

    # ---- each of them

    async def _message(self, delivery: Delivery, link: RoomLink, body: objects.Message) -> Outcome | None:
        if "send_message" not in self._instance.wanted.hooks:
            return DROPPED
        try:
            message, upto = await self._as_now(body)
        except NotFound:
            return MAYBE_SENT if delivery.claim > 1 else REMOVED_BEFORE
        thread = await self._target(link, message.reply_to)
        common = await self._out(delivery, link, message.user_id)
        out = OutgoingMessage(**common, contents=said(link, message), message=message, reply_to=thread, thread=thread)
        return await self._sent(link, int(message.id), await self._instance.call("send_message", out), upto=upto)

    async def _edit(self, delivery: Delivery, link: RoomLink, body: objects.MessageEdited) -> Outcome | None:
        if not {"contents", "attachments"} & set(body.changed):
            return DROPPED
        target = await self._target(link, body.id)
        if target is None or not target.parts:
            return NEVER_WENT
        if await self._went_with(delivery):
            return WENT_AS_NOW
        message, _ = await self._as_now(objects.Message(**{name: getattr(body, name) for name in objects.Message.__struct_fields__}))
        common = await self._out(delivery, link, body.user_id)
        out = OutgoingEdit(**common, contents=message.contents or "", message=message, target=target, changed=tuple(body.changed))
        words = EDITED.format(message.contents) if "contents" in body.changed else ATTACHED.format(body.attachments[-1].name)
        return await self._cross(link, "edit", "send_edit", out, words, int(body.id), len(target.parts))

    async def _removal(self, delivery: Delivery, link: RoomLink, body: objects.MessageRemoved) -> Outcome | None:
        """Whatever came of it, nobody needs to know any more what the message was there."""
        parts = await self._core.injects.parts.of(link.id, int(body.id))
        if not parts:
            return await self._removal_of_unsure(delivery, link, body)
        author = await self.author(body.user_id)
        target = Target(message_id=body.id, parts=parts, author=author, contents="")
        out = OutgoingRemoval(**await self._out(delivery, link, body.by), target=target)
        old = delivery.event.at - await self._posted_at(int(body.id)) > WORDS_MS
        sent = DROPPED if old and not self._natively(link, "remove", "send_removal") else None
        sent = sent or await self._cross(link, "remove", "send_removal", out, REMOVED, None, 0) or Outcome()
        return replace(sent, writes=(*sent.writes, forgotten(int(body.id), link.id)))

    async def _removal_of_unsure(self, delivery: Delivery, link: RoomLink, body: objects.MessageRemoved) -> Outcome | None:
        """What may have been sent is taken back by its key, if the bridge is asked for removals at all."""
        rows = await self._core.database.fetch(UNSURE, delivery.event.object, delivery.consumer, delivery.lane)
        if not rows or not self._natively(link, "remove", "send_removal"):
            return NEVER_WENT
        key = key_of(delivery.consumer, rows[0]["id"], delivery.lane)
        target = Target(message_id=body.id, parts=(), author=await self.author(body.user_id), contents="", key=key)
        out = OutgoingRemoval(**await self._out(delivery, link, body.by), target=target)
        sent = await self._sent(link, None, await self._instance.call("send_removal", out))
        return replace(sent, writes=(writing(TAKEN_BACK, delivery.consumer, delivery.lane, rows[0]["position"]),))

    async def _reaction(self, delivery: Delivery, link: RoomLink, body: objects.Reacted) -> Outcome | None:
        target = await self._target(link, body.message_id)
        if target is None or not target.parts:
            return NEVER_WENT
        added = delivery.event.event == "added"
        out = OutgoingReaction(**await self._out(delivery, link, body.user_id), target=target, emoji=body.emoji, added=added)
        words = (REACTED if added else UNREACTED).format(body.emoji, excerpt(target.contents))
        return await self._cross(link, "react", "send_reaction", out, words, None, 0)

    async def _membership(self, delivery: Delivery, link: RoomLink, body: objects.Member) -> Outcome | None:
        if "joins" not in link.crosses or "send_membership" not in self._instance.wanted.hooks:
            return DROPPED
        by = await self.author(body.by) if body.by != body.user_id else None
        out = OutgoingMembership(**await self._out(delivery, link, body.user_id), joined=delivery.event.event == "joined", by=by)
        return await self._sent(link, None, await self._instance.call("send_membership", out))

    async def _topic(self, delivery: Delivery, link: RoomLink, body: objects.ChannelEdited) -> Outcome | None:
        if "topics" not in link.crosses or "send_topic" not in self._instance.wanted.hooks:
            return DROPPED
        out = OutgoingTopic(**await self._out(delivery, link, await self._who_set_topic(body)), topic=body.topic)
        return await self._sent(link, None, await self._instance.call("send_topic", out))

    # ---- what is common to them

    async def _cross(
        self, link: RoomLink, what: str, hook: str, out: Outgoing, words: str, message_id: int | None, before: int
    ) -> Outcome | None:
        """Have it sent as the link's crossings say: by its hook, in words, or not at all."""
        crossing, hooks = link.crossings.get(what, "dropped"), self._instance.wanted.hooks
        if self._natively(link, what, hook):
            return await self._sent(link, message_id, await self._instance.call(hook, out), before)
        if crossing != "fallback" or "send_message" not in hooks:
            return DROPPED
        target = getattr(out, "target", None)
        in_words = OutgoingMessage(
            link=out.link, key=out.key, attempt=out.attempt, author=out.author, at=out.at, via=out.via, contents=words, reply_to=target
        )
        sent = await self._instance.call("send_message", in_words)
        return await self._sent(link, message_id, sent, before, f"The {what} was sent in words." if message_id is not None else None)

    def _natively(self, link: RoomLink, what: str, hook: str) -> bool:
        """Whether the bridge itself is asked for it."""
        return link.crossings.get(what, "dropped") != "dropped" and hook in self._instance.wanted.hooks

    async def _sent(
        self, link: RoomLink, message_id: int | None, sent: object, before: int = 0, note: str | None = None, upto: int = 0
    ) -> Outcome:
        """The end of a row: a receipt, and the ids there, from the number `before` on."""
        if not isinstance(sent, Sent | None):
            raise TypeError(f"a hook that sends gives a Sent or None, and {self._instance.name} gave a {type(sent).__name__}")
        sent = sent or Sent()
        note = kept(sent.fallback) or note
        ids: Sequence[str] = [] if message_id is None else ids_of(sent)
        state = "fallback" if note else "delivered" if sent.delivered else "sent"
        receipt = Receipt(state=state, note=note, first=before, count=len(ids), upto=upto)
        parts = [Part(link_id=link.id, remote_id=each, number=number, direction=OUT) for number, each in enumerate(ids, before)]
        writes = (recorded([(part, message_id or 0) for part in parts]),) if parts else ()
        return Outcome(receipt=msgspec.json.encode(receipt).decode(), writes=writes)

    async def _out(self, delivery: Delivery, link: RoomLink, user_id: str) -> dict[str, Any]:
        """What all that goes out has."""
        return {
            "link": link_of(link), "key": delivery.key, "attempt": delivery.attempt, "author": await self.author(user_id),
            "at": delivery.event.at, "via": tuple(delivery.event.via),
        }  # fmt: skip

    async def author(self, user_id: str | int) -> Author:
        """Somebody as bridges have them."""
        id_ = int(user_id)
        user = await self._core.members.user(id_)
        remote = await self._core.ghosts.identities(self._instance.name, [id_])
        return Author(
            id=user.id, username=user.username, name=user.name, avatar=user.avatar, origin=user.origin,
            kind=user.kind,  # type: ignore[arg-type]  # one of these three
            remote_user=remote.get(id_),
        )  # fmt: skip

    async def _target(self, link: RoomLink, message_id: str | None) -> Target | None:
        """A message that something is about; None where there is none any more."""
        if message_id is None:
            return None
        try:
            row: Row = await self._core.messages.row(int(message_id))
        except NotFound:
            return None
        parts = await self._core.injects.parts.of(link.id, row["id"])
        author = await self.author(str(row["user_id"]))
        return Target(message_id=message_id, parts=parts, author=author, contents=row["contents"])

    async def _as_now(self, message: objects.Message) -> tuple[objects.Message, int]:
        """A message of an event as it is by now, late as that may be, and up to which of its edits that is; 0 where it is the same.

        Raises:
            NotFound: it was removed.
        """
        said = (message.contents, message.attachments)
        upto = 0
        while ((now := views.message(await self._core.messages.row(int(message.id)))).contents, now.attachments) != said:
            if upto:
                return now, upto
            upto = (await self._core.log.head()).position  # first, so that the message is at least as new
        return message, 0

    async def _went_with(self, delivery: Delivery) -> bool:
        """Whether a message went out after it was edited so."""
        rows = await self._core.database.fetch(CREATED, delivery.event.object, delivery.consumer, delivery.lane)
        return any(receipt_of(row["receipt"]).upto >= delivery.event.position for row in rows)

    async def _posted_at(self, message_id: int) -> int:
        (row,) = await self._core.database.fetch("SELECT created_at FROM message WHERE id = $1", message_id)
        return int(row["created_at"])

    async def _who_set_topic(self, channel: objects.ChannelEdited) -> str:
        """Who said what a channel is about: that was the last message in it then. The bridge's bot, where that is not known."""
        sql = "SELECT user_id FROM message WHERE id = $1 AND type = 'TOPIC'"
        rows = await self._core.database.fetch(sql, int(channel.last_message_id or 0))
        return str(rows[0]["user_id"] if rows else self._core.links.bridges[self._instance.name].user_id)


def ids_of(sent: Sent) -> list[str]:
    """The ids there of what was sent, each once.

    Raises:
        EventRefused: one of them can be none. What was sent is not sent again: that would change nothing of it.
    """
    try:
        return [remote_id(each) for each in dict.fromkeys(sent.parts)]
    except Invalid as error:
        raise EventRefused(f"It was sent, but is not known there by what the bridge gave for it. {error.message}") from error


def said(link: RoomLink, message: objects.Message) -> str:
    """What a message says over a link; of files that don't cross, what they are called."""
    contents = message.contents or ""
    if message.attachments and ("files" not in link.crosses or link.crossings.get("file") == "dropped"):
        named = SENT_FILE.format(", ".join(each.name for each in message.attachments))
        return f"{contents}\n{named}" if contents else named
    return contents


def excerpt(contents: str) -> str:
    """The beginning of a message, in one line."""
    line = " ".join(contents.split())
    return line if len(line) <= EXCERPT else f"{line[: EXCERPT - 1]}…"
