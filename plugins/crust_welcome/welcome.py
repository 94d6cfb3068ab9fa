"""Greets whoever comes into a channel."""

from __future__ import annotations

from pydantic import Field, field_validator

from crust.plugin import Forbidden, Gone, Happened, Member, NotFound, Plugin, PluginConfig, hookimpl


class Config(PluginConfig):
    """What newcomers are told, and where."""

    greeting: str = Field("Welcome, {name}!", description="The greeting; {name} is the newcomer's name, {mention} calls them")
    channels: list[str] = Field([], description="Names of the channels in which it greets; empty: in all public ones")

    @field_validator("greeting")
    @classmethod
    def _has_known_places(cls, value: str) -> str:
        try:
            filled = value.format(name="Ana", mention="@ana")
        except (IndexError, KeyError, ValueError, AttributeError):
            raise ValueError("has places other than {name} and {mention}; braces of your own are written twice") from None
        if not filled.strip():
            raise ValueError("should say something")
        return value


class Welcome(Plugin[Config]):
    """Greets whoever comes into a public channel, once for each time that they come."""

    api = 1
    capabilities = frozenset({"read:public", "message:post", "channel:join"})

    @hookimpl
    async def on_member_joined(self, event: Happened[Member]) -> None:
        """Say the greeting, unless it is a program that came, or who made the channel."""
        user, channel = event.body.user, event.channel_id
        if not channel or user.kind != "person" or event.body.role == "owner":
            return
        greeting = self.ctx.config.greeting.format(name=user.name, mention=f"@{user.username}")
        try:
            if await self._greets_in(channel):
                await self.ctx.chat.join(channel)
                await self.ctx.chat.post(channel, greeting)
        except (Forbidden, Gone, NotFound) as error:  # archived, removed or closed meanwhile: nothing that trying again would change
            self.ctx.log.info("nobody is greeted", channel=channel, reason=error.message)

    async def _greets_in(self, channel_id: str) -> bool:
        channels = self.ctx.config.channels
        return not channels or (await self.ctx.chat.channel(channel_id)).name.casefold() in {name.casefold() for name in channels}
