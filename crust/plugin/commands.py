"""Slash commands: what people type after a `/`, with arguments that the annotations of a method give.

    @hookimpl
    def register_commands(self, commands: Commands) -> None:
        commands.add("remind", self.remind, help="Reminds you or somebody of something.")

    async def remind(self, call: Invocation, who: Literal["me"] | User, when: datetime, what: Rest) -> str:
        ...
        return f"I shall remind you at {when:%H:%M}."      # shown to the caller alone

An argument may be `str` (one word, or several in double quotes), `int`, `float`, `bool` (yes, no), a `Literal` of words, `User` (`@ana`),
`Channel` (`#general`), `timedelta` (`2h`, `in 1h30m`), `datetime` (`in 2h`, `at 14:30`, `tomorrow 9:00`, `2026-11-24`; in UTC), or `Rest`:
all that is left of the line, as it stands. `A | B` is the first that fits. One with a default may be left out, and `*names` takes what is
left, word by word. `Annotated[int, "How many"]` says what it is for.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, NewType, Protocol

from crust.events.objects import Channel, User

Rest = NewType("Rest", str)
"""The rest of the line as it stands: quotes, spaces and lines are its own. It can only come last."""


class Caller(Protocol):
    """Whoever runs a command. What is done here they do themselves, in the channel that they are in, as far as they themselves may.

    Takes user:act. Each act is keyed: when the same request comes again, it does nothing and gives the first result. Errors are those
    of the API's calls of the same name.
    """

    async def post(self, contents: str, *, reply_to: str | None = None) -> str:
        """Say something; gives the message's id."""
        ...

    async def set_topic(self, topic: str) -> None:
        """Change the channel's topic."""
        ...

    async def invite(self, user_id: str) -> None:
        """Bring somebody of the organisation into the channel."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandHelp:
    """A command as people are shown it: `/name`, how it is written, and in one sentence what it does."""

    name: str
    usage: str
    help: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """A command that was run: by whom, and where.

    Args:
        user: who runs it.
        channel: where; they see it, the plugin's bot need not be in it.
        command: its name, and `text` all that was written after it.
        key: the stable name of this run: the same request, sent again, has the same. What is kept under it is kept once.
        manages: whether the caller looks after the channel: its owners do, and the organisation's admins.
        administers: whether the caller administers the server.
        caller: acts as the caller.
        available: all commands that can be run in this channel, by name.
    """

    user: User
    channel: Channel
    command: str
    text: str
    key: str
    manages: bool
    administers: bool
    caller: Caller
    available: Sequence[CommandHelp]


Handler = Callable[..., Coroutine[Any, Any, Any]]
"""`async def handler(call: Invocation, …arguments) -> str | None`: markdown that is shown to the caller alone, or nothing."""


class Commands(Protocol):
    """Takes the commands of an instance. The same name as another instance's is no harm: `/instance:name` is each one's own."""

    def add(self, name: str, handler: Handler, *, help: str) -> None:
        """Offer a command.

        It runs in the server process that was asked, without the instance's lease and whether its other hooks are at work or not: what it
        shares with them belongs into `ctx.store`. A `CrustError` that it raises is what the caller is shown; anything else is a bug.

        Args:
            name: one word, or two (`poll close`): small letters, digits, - and _.
            handler: an async method; its annotations are the arguments.
            help: one sentence that says what it does.
        """
        ...
