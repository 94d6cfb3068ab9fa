"""Polls: a question with options, voted on by reactions, counted when it is closed or as votes come in."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from crust.plugin import (
    Commands,
    Conflict,
    CrustError,
    Document,
    Forbidden,
    Happened,
    Invalid,
    Invocation,
    MessageRemoved,
    NotFound,
    Plugin,
    PluginConfig,
    Reacted,
    Unavailable,
    hookimpl,
)

KEYCAPS = [f"{digit}\ufe0f\u20e3" for digit in range(1, 10)] + ["\U0001f51f"]
LOOK_S = 5.0  # how late a poll may be closed
TEXT_MAX = 200  # characters of a question or an option
NEVER = 2**52


class Config(PluginConfig):
    """How votes count."""

    several: bool = Field(False, description="Whether one person may vote for several options; false: their last vote counts")
    live: bool = Field(False, description="Whether the poll shows its count while it is open; each vote is an edit then")
    hours: float = Field(0.0, ge=0, description="Hours after which a poll is closed by itself; 0: never")


class Polls(Plugin[Config]):
    """`/poll` and `/poll close`."""

    api = 1
    capabilities = frozenset({"read:public", "read:private", "message:post", "message:edit", "reaction:add", "channel:join"})
    collections: ClassVar[Mapping[str, Sequence[str]]] = {"polls": ("channel", "closes")}

    # ---- what people say

    @hookimpl
    def register_commands(self, commands: Commands) -> None:
        """Offer them."""
        commands.add("poll", self.poll, help='Asks everybody here: /poll "Lunch?" "Pizza" "Sushi". Votes are reactions.')
        commands.add("poll close", self.close, help="Closes your last poll here, and says what came of it.")

    async def poll(self, call: Invocation, question: str, first: str, second: str, *more: str) -> None:
        """Post it, keep it, and put the reactions on that people click. Each step is done once, so a repeat goes on where it ended."""
        options = [" ".join(each.split()) for each in (first, second, *more)]
        question = " ".join(question.split())
        if len(options) > len(KEYCAPS) or len(set(options)) < len(options):
            raise Invalid(f"A poll has 2 to {len(KEYCAPS)} different options.", field="command")
        if not all(0 < len(each) <= TEXT_MAX for each in (question, *options)):
            raise Invalid(f"Question and options have 1 to {TEXT_MAX} characters.", field="command")
        await self._come(call)
        hours, now = self.ctx.config.hours, int(self.ctx.now().timestamp() * 1000)
        body: dict[str, Any] = {
            "channel": call.channel.id, "by": call.user.id, "name": call.user.username, "question": question, "options": options,
            "closes": now + round(hours * 3_600_000) if hours else NEVER, "made": now, "votes": {},
        }  # fmt: skip
        message_id = await self.ctx.chat.post(call.channel.id, shown(body))
        try:
            await self.ctx.store.collection("polls").cas(message_id, None, body)
        except Conflict:
            self.ctx.log.info("a poll that is there was asked for again", message=message_id)
        for keycap in KEYCAPS[: len(options)]:
            await self.ctx.chat.react(message_id, keycap)

    async def _come(self, call: Invocation) -> None:
        """Be where it is asked: what is public is joined, into what is private somebody has to invite it.

        Raises:
            Invalid: nobody has.
        """
        if call.channel.type == "direct":
            raise Invalid("A poll is for a channel, and this is a direct one.", field="command")
        try:
            if call.channel.type == "public":
                await self.ctx.chat.join(call.channel.id)
            await self.ctx.chat.channel(call.channel.id)
        except NotFound:
            raise Invalid(f"I am not in this channel: invite @{self.ctx.name} first.", field="command") from None

    async def close(self, call: Invocation) -> None:
        """The caller's last one here; who looks after the channel may close anybody's."""
        found = await self.ctx.store.collection("polls").find({"channel": call.channel.id}, limit=1000)
        own = [each for each in found if each.body["by"] == call.user.id] or (list(found) if call.manages else [])
        if not own:
            if found:
                raise Forbidden("A poll is closed by whoever made it, or looks after the channel.")
            raise NotFound("There is no open poll here.", field="command")
        await self._close(max(own, key=lambda each: each.body["made"]))

    # ---- votes

    @hookimpl
    async def on_reaction_added(self, event: Happened[Reacted]) -> None:
        """A vote."""
        await self._vote(event.body, voted=True)

    @hookimpl
    async def on_reaction_removed(self, event: Happened[Reacted]) -> None:
        """One that is taken back."""
        await self._vote(event.body, voted=False)

    async def _vote(self, reacted: Reacted, *, voted: bool) -> None:
        """Who has voted for what, in order, is kept: the same event again changes nothing."""
        polls = self.ctx.store.collection("polls")
        poll = await polls.get(reacted.message_id)
        if poll is None or reacted.emoji not in KEYCAPS[: len(poll.body["options"])]:
            return
        body: dict[str, Any] = {**poll.body, "votes": dict(poll.body["votes"])}
        option = KEYCAPS.index(reacted.emoji)
        mine = [each for each in body["votes"].get(reacted.user_id, []) if each != option]
        body["votes"][reacted.user_id] = [*mine, option] if voted else mine
        if body["votes"] == poll.body["votes"]:
            return
        await polls.put(poll.key, body)
        if self.ctx.config.live:
            try:
                await self.ctx.chat.edit(poll.key, shown(body, self._counted(body)))
            except CrustError as error:
                if isinstance(error, Unavailable):
                    raise
                self.ctx.log.info("a poll cannot be shown as it is", message=poll.key, reason=error.message)

    @hookimpl
    async def on_message_removed(self, event: Happened[MessageRemoved]) -> None:
        """A poll whose message is gone is none any more."""
        await self.ctx.store.collection("polls").delete(event.body.id)

    def _counted(self, body: Mapping[str, Any]) -> list[int]:
        """How many have voted for each option."""
        counts = Counter(each for mine in body["votes"].values() for each in (mine if self.ctx.config.several else mine[-1:]))
        return [counts[option] for option in range(len(body["options"]))]

    # ---- the end

    @hookimpl
    async def run(self) -> None:
        """Close those whose time has come. In one process at a time."""
        while True:
            now = int(self.ctx.now().timestamp() * 1000)
            for each in await self.ctx.store.collection("polls").find({"closes": (None, now)}, order="closes"):
                await self._close(each)
            await asyncio.sleep(LOOK_S)

    async def _close(self, poll: Document) -> None:
        """Show the count and say it, then forget the poll. A repeat says it no second time."""
        counts, chat = self._counted(poll.body), self.ctx.chat
        try:
            await chat.edit(poll.key, shown(poll.body, counts, closed=True), key="closed")
            await chat.post(poll.body["channel"], result(poll.body, counts), reply_to=poll.key, key=f"closed/{poll.key}")
        except Unavailable:
            raise
        except CrustError as error:  # the poll was removed, or its channel
            self.ctx.log.info("a poll is closed where nobody sees it", message=poll.key, reason=error.message)
        await self.ctx.store.collection("polls").delete(poll.key)


def shown(body: Mapping[str, Any], counts: Sequence[int] = (), *, closed: bool = False) -> str:
    """A poll as people see it."""
    lines = [f"**{body['question']}** ({'closed' if closed else 'a poll'}, by @{body['name']})"]
    for place, option in enumerate(body["options"]):
        lines.append(f"{KEYCAPS[place]} {option}" + (f": {counts[place]}" if counts else ""))
    return "\n".join(lines)


def result(body: Mapping[str, Any], counts: Sequence[int]) -> str:
    """What came of it."""
    ranked = sorted(zip(counts, body["options"], strict=True), key=lambda each: -each[0])
    return f"**{body['question']}** " + ", ".join(f"{option}: {count}" for count, option in ranked)
