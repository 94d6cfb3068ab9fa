"""The plugin of `crust torture --faults poison`: what a message says is what its handler does. Servers find it in a folder of their own.

`trial ana 7 hangs` hangs, raises, exits, quits or loops, as its last word says; without one the handler keeps two documents, says
something, and writes a line into a file, which nothing can take back.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from pydantic import Field

from crust.plugin import Happened, Message, Plugin, PluginConfig, hookimpl

DIED = 3  # the status of a process that a handler has ended


class Config(PluginConfig):
    """Where it writes."""

    effects: Path = Field(description="The file that gets a line for each message that was dealt with: channel and position")


class Poisoned(Plugin[Config]):
    """See the module."""

    api = 1
    capabilities = frozenset({"read:public", "message:post", "channel:join"})

    @hookimpl
    async def on_message_posted(self, event: Happened[Message]) -> None:
        """Do as it says."""
        words = (event.body.contents or "").split()
        if words[:1] != ["trial"]:
            return
        await misbehave(words[3] if len(words) > 3 else "")
        counts = self.ctx.store.collection("counts")
        for key in (event.id, f"channel {event.channel_id}"):
            before = await counts.get(key)
            await counts.put(key, {"n": (before.body["n"] if before else 0) + 1})
        await self.ctx.chat.join(event.channel_id)
        await self.ctx.chat.post(event.channel_id, f"echo {event.body.id}")
        with self.ctx.config.effects.open("a") as out:
            out.write(f"{event.channel_id} {event.position}\n")


async def misbehave(how: str) -> None:
    """What a bug may do."""
    if how == "raises":
        raise ValueError("a bug")
    if how == "quits":
        raise SystemExit(DIED)
    if how == "exits":
        os._exit(DIED)
    if how == "hangs":
        await asyncio.sleep(3600)
    while how == "loops":
        pass
