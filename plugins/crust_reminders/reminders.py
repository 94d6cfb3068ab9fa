"""Reminds people, or a channel, of what they asked for: once, also if the server was down when it was due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import ClassVar, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from crust.plugin import (
    Channel,
    Collection,
    Commands,
    Conflict,
    Context,
    CrustError,
    Document,
    Invalid,
    Invocation,
    JobRun,
    Jobs,
    NotFound,
    Plugin,
    PluginConfig,
    Rest,
    Unavailable,
    hookimpl,
)
from crust_reminders.when import Unreadable, read

EVERY = timedelta(seconds=10)  # how late a reminder may be
TEXT_MAX = 2_000  # characters


class Config(PluginConfig):
    """Whose clock counts."""

    timezone: str = Field("UTC", description="Where times of day are those of, such as Europe/Berlin")
    morning: str = Field("09:00", description="The time of a day that is named without one")
    most: int = Field(100, ge=1, le=1000, description="How many reminders one person may have waiting")

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ValueError, OSError, LookupError):
            raise ValueError(f"there is no time zone {name!r}; one is like Europe/Berlin") from None
        return name

    @field_validator("morning")
    @classmethod
    def _is_a_time(cls, text: str) -> str:
        try:
            time.fromisoformat(text)
        except ValueError:
            raise ValueError(f"{text!r} is no time of day, such as 09:00") from None
        return text


class Reminders(Plugin[Config]):
    """`/remind`, `/remind list` and `/remind cancel`."""

    api = 1
    capabilities = frozenset({"read:public", "read:private", "message:post", "channel:join", "channel:direct"})
    collections: ClassVar[Mapping[str, Sequence[str]]] = {"reminders": ("due", "user")}

    def __init__(self, ctx: Context[Config]) -> None:
        super().__init__(ctx)
        self._zone, self._morning = ZoneInfo(ctx.config.timezone), time.fromisoformat(ctx.config.morning)

    @property
    def _waiting(self) -> Collection:
        return self.ctx.store.collection("reminders")

    # ---- what people say

    @hookimpl
    def register_commands(self, commands: Commands) -> None:
        """Offer them."""
        commands.add("remind", self.remind, help="Reminds you or a channel: /remind me in 2h to call Ben, /remind #team tomorrow at 9 …")
        commands.add("remind list", self.show, help="Lists what you will be reminded of.")
        commands.add("remind cancel", self.forget, help="Forgets a reminder, by its id in the list.")

    async def remind(self, call: Invocation, whom: Literal["me", "here"] | Channel, when: Rest) -> str:
        """Keep it under the request's key: the same request again keeps nothing more."""
        try:
            due, text = read(when, self.ctx.now(), self._zone, self._morning)
        except Unreadable as error:
            raise Invalid(str(error), field="command") from None
        if not 0 < len(text) <= TEXT_MAX:
            raise Invalid("Of what? Say it after the time." if not text else f"That has more than {TEXT_MAX} characters.", field="command")
        if len(await self._of(call.user.id)) >= self.ctx.config.most:
            raise Conflict(f"You have {self.ctx.config.most} reminders waiting: /remind cancel one first.")
        where = "" if whom == "me" else await self._channel(call.channel if isinstance(whom, str) else whom)
        body = {"user": call.user.id, "name": call.user.username, "channel": where, "due": milliseconds(due), "text": text}
        await self._waiting.put(call.key, body)
        return f"I shall remind {'you' if not where else 'everybody there'} {self._said(due)} ({call.key[:8]})."

    async def _channel(self, channel: Channel) -> str:
        """A channel that the bot can post in when the time has come."""
        if channel.type == "direct":
            raise Invalid("In a direct channel, ask for yourself: /remind me …", field="command")
        if channel.type == "public":
            await self.ctx.chat.join(channel.id)
        try:
            await self.ctx.chat.channel(channel.id)
        except NotFound:
            raise Invalid(f"I am not in that channel: invite @{self.ctx.name} first.", field="command") from None
        return channel.id

    async def show(self, call: Invocation) -> str:
        """The caller's own."""
        found = await self._of(call.user.id)
        lines = [f"- `{each.key[:8]}` {self._said(moment(each))}: {each.body['text']}" for each in found]
        return "\n".join(lines) or "Nothing waits."

    async def forget(self, call: Invocation, id: str) -> str:  # it is what people are shown
        """One of the caller's own."""
        for each in await self._of(call.user.id):
            if each.key[:8] == id.lower():
                await self._waiting.delete(each.key)
                return f"Forgotten: {each.body['text']}"
        raise NotFound(f"You have no reminder {id[:40]!r}: /remind list has their ids.", field="command")

    async def _of(self, user_id: str) -> list[Document]:
        found = await self._waiting.find({"user": user_id}, limit=1000)
        return sorted(found, key=lambda each: (each.body["due"], each.key))

    def _said(self, due: datetime) -> str:
        return f"on {due.astimezone(self._zone):%Y-%m-%d at %H:%M} ({self.ctx.config.timezone})"

    # ---- when the time has come

    @hookimpl
    def register_jobs(self, jobs: Jobs) -> None:
        """Look, and look again. In one process at a time."""
        jobs.add("remind", self.remind_of_all, every=EVERY)

    async def remind_of_all(self, run: JobRun) -> None:
        """Of everything whose time has come."""
        while found := await self._waiting.find({"due": (None, milliseconds(self.ctx.now()))}, order="due"):
            for each in found:
                await self._remind(each)

    async def _remind(self, reminder: Document) -> None:
        """Say it, then forget it. Its key makes what was said just before a crash be said no second time."""
        body, chat = reminder.body, self.ctx.chat
        try:
            if (await chat.user(body["user"])).suspended_at is not None:
                self.ctx.log.info("whoever asked for a reminder is suspended", user=body["user"])
            elif body["channel"]:
                await chat.post(body["channel"], f"Reminder of @{body['name']}'s: {body['text']}", key=reminder.key)
            else:
                await chat.post(await chat.direct(body["user"]), f"Reminder: {body['text']}", key=reminder.key)
        except Unavailable:
            raise  # the database is away: everything is tried again
        except CrustError as error:  # nobody is there to be told any more, or the bot was sent away
            await self._complain(reminder, error)
        await self._waiting.delete(reminder.key)

    async def _complain(self, reminder: Document, error: CrustError) -> None:
        """Tell whoever asked for it, if they are still there, why others were not."""
        self.ctx.log.warning("a reminder could not be given", channel=reminder.body["channel"], reason=error.message)
        if not reminder.body["channel"]:
            return
        text = f"Your reminder could not be given in its channel ({error.message}): {reminder.body['text']}"
        try:
            await self.ctx.chat.post(await self.ctx.chat.direct(reminder.body["user"]), text, key=f"{reminder.key}/complaint")
        except Unavailable:
            raise
        except CrustError as another:
            self.ctx.log.warning("nor can whoever asked for it be told", reason=another.message)


def milliseconds(when: datetime) -> int:
    """Since 1970."""
    return int(when.timestamp() * 1000)


def moment(reminder: Document) -> datetime:
    """When it is due."""
    return datetime.fromtimestamp(reminder.body["due"] / 1000, UTC)
