"""Slash commands: who may run what where, and whom and what their arguments can name. The host has the commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from msgspec import UNSET, Struct, UnsetType

from crust.errors import Invalid, NotFound, TooLarge
from crust.events import objects
from crust.models.database import Database, Row
from crust.services import names, views
from crust.services.actor import Actor
from crust.services.channels import Channels
from crust.services.keys import Key
from crust.services.paging import Part
from crust.services.standing import SEEN, standing

NAMED_USER = f"""
SELECT {views.USER_COLUMNS} FROM "user" u JOIN organisation_member o ON o.user_id = u.id
WHERE o.organisation_id = $1 AND u.username_key = $2 AND u.suspended_at IS NULL
"""
NAMED_CHANNELS = f"""
SELECT {views.CHANNEL_COLUMNS} {SEEN} AND c.organisation_id = $2 AND c.name_key = $3 AND c.type <> 'direct' ORDER BY c.id LIMIT 2
"""


class CommandArgument(Struct, frozen=True, kw_only=True):
    """An argument of a command. `expected` says in words what it may be, `choices` names them where there are few.

    `several`: it takes all words that are left; `rest`: all that is left, as it stands.
    """

    name: str
    expected: str
    required: bool
    several: bool
    rest: bool
    choices: tuple[str, ...]
    help: str


class ViewedCommand(Struct, frozen=True, kw_only=True):
    """A command that can be run in a channel. `name` begins with /, `usage` says how it is written, `plugin` is the instance's name.

    `id` is its place in the list, and no more: another after the next start, maybe.
    """

    id: str
    name: str
    usage: str
    help: str
    plugin: str
    arguments: tuple[CommandArgument, ...]


class CommandAnswer(Struct, frozen=True, kw_only=True):
    """What a command answers: `text`, in markdown, for its caller alone; null: nothing.

    `duplicate`: the request was a repeat, and this is what came of the first.
    """

    command: str
    text: str | None
    duplicate: bool | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command is run, and by whom."""

    actor: Actor
    channel: objects.Channel
    manages: bool

    @property
    def organisation_id(self) -> int:
        return int(self.channel.organisation_id)


class Offered(Protocol):
    """Who has the commands."""

    def offered(self, organisation_id: int) -> Sequence[ViewedCommand]:
        """Those that can be run in an organisation, by name."""
        ...

    def of(self, plugin: str) -> Sequence[str]:
        """The names of an instance's commands."""
        ...

    async def run(self, place: Place, line: str, key: Key | None) -> CommandAnswer:
        """Run what a line says, which begins with the command's name.

        Raises:
            NotFound: there is no such command.
            Invalid: its arguments do not fit.
            IdempotencyMismatch: the key was used for something else.
            Unavailable: the command failed, or took too long.
            CrustError: whatever it refuses.
        """
        ...


class Nothing:
    """There are none."""

    def offered(self, organisation_id: int) -> Sequence[ViewedCommand]:
        return ()

    def of(self, plugin: str) -> Sequence[str]:
        return ()

    async def run(self, place: Place, line: str, key: Key | None) -> CommandAnswer:
        raise unknown(line.split(None, 1)[0] if line else "")


def unknown(name: str, meant: str = "") -> NotFound:
    """What somebody is told whose command there is not."""
    return NotFound(f"There is no command /{name:.64}{meant}.", field="command")


class Commands:
    """See the module. `host` has the commands; whoever hosts plugins sets it.

    Args:
        longest: the most characters of a line.
    """

    def __init__(self, database: Database, channels: Channels, longest: int) -> None:
        self._database, self._channels, self._longest = database, channels, longest
        self.host: Offered = Nothing()

    async def run(self, actor: Actor, channel_id: int, line: str, key: Key | None) -> CommandAnswer:
        """Run a command in a channel that the caller sees. What it does there it does by its own rights, or by the caller's.

        Raises:
            NotFound: the channel is not theirs to see; or as in `Offered.run`, whose errors are all its others.
            TooLarge: the line is too long.
        """
        if len(line) > self._longest:
            raise TooLarge(f"command must have at most {self._longest} characters.", field="command")
        line = line.strip().removeprefix("/").lstrip()
        place = await self._place(actor, channel_id)
        if not line:
            raise Invalid("command must name a command, such as /help.", field="command")
        return await self.host.run(place, line, key)

    async def search(self, actor: Actor, channel_id: int, query: str, part: Part) -> list[ViewedCommand]:
        """The commands that can be run in a channel and whose names begin with `query`, by name.

        Raises:
            NotFound: the channel is not theirs to see.
        """
        place = await self._place(actor, channel_id)
        start = "/" + query.strip().removeprefix("/").lower()
        found = [each for each in self.host.offered(place.organisation_id) if each.name.startswith(start)]
        return part.of(found)

    async def _place(self, actor: Actor, channel_id: int) -> Place:
        row = await self._channels.standing_row(actor, channel_id, "read")
        return Place(actor, views.channel(row), standing(row).manages)

    # ---- whom and what arguments name

    async def user(self, organisation_id: int, username: str) -> objects.User | None:
        """Somebody of an organisation, by their handle."""
        rows = await self._database.fetch(NAMED_USER, organisation_id, names.fold(username[: names.NAME_MAX]))
        return views.user(rows[0]) if rows else None

    async def channels(self, actor: Actor, organisation_id: int, name: str) -> list[objects.Channel]:
        """The first two channels of this name in an organisation that the caller sees."""
        rows: Sequence[Row] = await self._database.fetch(NAMED_CHANNELS, actor.user_id, organisation_id, names.fold(name[: names.NAME_MAX]))
        return [views.channel(row) for row in rows]
