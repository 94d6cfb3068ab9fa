"""`/command/…`: slash commands, which plugins offer."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from crust.api.calls import Context, Page, Registry
from crust.api.lists import Listed
from crust.api.params import Id
from crust.services.commands import CommandAnswer, ViewedCommand
from crust.services.core import Core
from crust.services.keys import request_key
from crust.services.names import NAME_MAX


class CommandRun(Struct, kw_only=True):
    channel_id: Annotated[Id, Meta(description="The channel to run it in; one has to see it.")]
    command: Annotated[str, Meta(description="All of the line: `/remind me in 2h stand up`. The slash may be left out.")]


class CommandSearch(Listed, kw_only=True):
    channel_id: Annotated[Id, Meta(description="The channel that it would be run in.")]
    query: Annotated[str, Meta(max_length=NAME_MAX, description="What its name begins with; the slash may be left out.")] = ""


class CommandCalls:
    """The handlers."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def run(self, context: Context, params: CommandRun) -> CommandAnswer:
        """Run a slash command in a channel; what it answers, in markdown, is for the caller alone.

        What it posts is posted in the channel, for all who are in it. With the same Idempotency-Key it does nothing again, and the answer
        is the first one; that is kept for a day (the setting `hosting.answers_s`).
        """
        key = request_key(context.caller.scope, context.idempotency_key, "command/run", params.channel_id, params.command)
        return await self._core.commands.run(context.caller, params.channel_id, params.command, key)

    async def search(self, context: Context, params: CommandSearch) -> Page[ViewedCommand]:
        """The commands that can be run in a channel and whose name begins with `query`, by name: for completion, and for help."""
        found = await self._core.commands.search(context.caller, params.channel_id, params.query, params.part)
        return Page.of(found, params.limit)


def register(registry: Registry, core: Core) -> None:
    """Add the calls to a registry."""
    calls = CommandCalls(core)
    registry.add("POST", "/command/run", calls.run, creates=True, rate="messages")
    registry.add("GET", "/command/search", calls.search)
