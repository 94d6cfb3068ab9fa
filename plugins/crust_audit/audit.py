"""Keeps what happens in a file of JSON Lines, each event once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
from pydantic import Field, field_validator

from crust.plugin import Context, Happened, Plugin, PluginConfig, TargetError, hookimpl
from crust_audit.journal import Journal

EVENT = re.compile(r"[a-z]+( [a-z]+)?")
# Of a body, what says who did what to what, and no word of anybody's.
BARE = frozenset(
    {
        "id", "user_id", "by", "role", "organisation_id", "channel_id", "message_id", "source_id", "team_ids", "reply_to", "type",
        "version", "changed", "count", "members_count",
    }
)  # fmt: skip


class Config(PluginConfig):
    """Where it writes, and what."""

    path: str = Field(description="The file; older ones lie beside it, with the day of their last event in their names")
    events: list[str] = Field([], description="What is kept: types such as member, or events such as member joined; empty: everything")
    contents: bool = Field(False, description="Whether it is kept too what was said and how things are called; false: ids alone")
    size_mb: int = Field(100, ge=1, description="Megabytes after which a new file is begun")
    daily: bool = Field(True, description="Whether each day, in UTC, begins a new file")
    keep: int = Field(0, ge=0, description="How many older files are kept; 0: all")
    fsync: Literal["always", "never"] = Field(
        "always", description="always: an event is on the disk before it counts as kept; never: a power failure may take the last seconds"
    )

    @field_validator("path")
    @classmethod
    def _names_a_file(cls, path: str) -> str:
        if not Path(path).name or path.endswith("/"):
            raise ValueError("should be the path of a file")
        return path

    @field_validator("events")
    @classmethod
    def _are_events(cls, events: list[str]) -> list[str]:
        if wrong := [each for each in events if not EVENT.fullmatch(each)]:
            raise ValueError(f"{wrong[0]!r} is neither a type, such as member, nor an event, such as member joined")
        return events


class Audit(Plugin[Config]):
    """Writes a line for every event that its bot may see."""

    api = 1
    capabilities = frozenset({"read:public", "read:private", "read:direct"})

    def __init__(self, ctx: Context[Config]) -> None:
        super().__init__(ctx)
        config = ctx.config
        self._journal = Journal(Path(config.path), config.size_mb * 1_000_000, daily=config.daily, keep=config.keep)
        self._wrong: str | None = None

    @hookimpl
    async def startup(self) -> None:
        """Find out what the file has."""
        try:
            self._journal.open()
        except OSError as error:
            raise TargetError(f"The file cannot be written: {error}.") from error

    @hookimpl
    async def shutdown(self) -> None:
        """Let others have the file."""
        self._journal.close()

    @hookimpl
    async def health(self) -> str | None:
        """Why the last event could not be kept."""
        return self._wrong

    @hookimpl
    async def on_event(self, event: Happened[Any]) -> None:
        """Write it down, unless it stands there. While the disk is full it waits, and nothing is lost."""
        wanted = self.ctx.config.events
        if wanted and event.type not in wanted and f"{event.type} {event.event}" not in wanted:
            return
        try:
            self._journal.write(event.id, day_of(event.at), self._line(event))
            if self.ctx.config.fsync == "always":
                await self._journal.sync()
        except OSError as error:
            self._wrong = f"The file cannot be written: {error}."
            raise TargetError(self._wrong) from error
        self._wrong = None

    def _line(self, event: Happened[Any]) -> bytes:
        body: Mapping[str, Any] = msgspec.to_builtins(event.body)
        if not self.ctx.config.contents:
            body = {name: value for name, value in body.items() if name in BARE}
        line = {
            "position": event.position,
            "id": event.id,
            "at": datetime.fromtimestamp(event.at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "type": event.type,
            "event": event.event,
            "organisation_id": event.organisation_id,
            "channel_id": event.channel_id,
            "visibility": event.visibility,
            "origin": event.origin,
            "via": event.via,
            "body": body,
        }
        return msgspec.json.encode(line) + b"\n"


def day_of(at: int) -> str:
    """The day of a time in milliseconds, in UTC."""
    return datetime.fromtimestamp(at / 1000, UTC).date().isoformat()
