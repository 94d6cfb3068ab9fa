"""The slash commands of a process: taken from plugins when they are made, found by name, run for whoever asks.

A plain name is the first instance's, in the order of the settings, of those that are at work in the channel's organisation; each instance
has its commands as `/instance:name`, too.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from inspect import iscoroutinefunction
from time import perf_counter
from typing import Any

from msgspec.structs import replace

from crust.errors import CrustError, Forbidden, IdempotencyMismatch, Invalid, Unavailable
from crust.host.arguments import Reading, Unfit, Wrong, read
from crust.host.bounded import Broken, bounded
from crust.host.chat import Access, number
from crust.host.consumer import Code
from crust.host.registration import meant
from crust.host.signatures import Argument, Untyped, arguments_of
from crust.host.states import HOST
from crust.host.store import Store
from crust.plugin import Channel, CommandHelp, Invocation, User
from crust.plugin.commands import Handler
from crust.services.bots import scope_of
from crust.services.commands import CommandAnswer, CommandArgument, Place, ViewedCommand, unknown
from crust.services.core import Core
from crust.services.keys import OTHER, Key, fingerprint
from crust.telemetry import Metrics, get_logger

log = get_logger(__name__)

NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}( [a-z0-9][a-z0-9_-]{0,31})?")
WORDS = re.compile(r"(\S+)(?:\s+(\S+))?")
HELP_MAX = 200  # characters of what a command says that it does
ANSWERS = "answers"  # the collection of what was answered to requests with a key
FIRST = 1000  # the first one's place: whoever walks a list may begin with `after=1`
MOST = 1_048_576  # bytes of one


@dataclass(frozen=True, slots=True)
class Command:
    """A command as a plugin offers it. `kept`: its answer is, for the same request when it comes again; no secret is."""

    name: str
    handler: Handler
    help: str
    arguments: tuple[Argument, ...]
    kept: bool = True

    def usage(self, shown: str) -> str:
        """How it is written, by the name that it is shown under."""
        return " ".join([f"/{shown}", *(argument.usage for argument in self.arguments)])


class NewCommands:
    """See `crust.plugin.Commands`. What is wrong is gathered in `problems`."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.problems: list[str] = []

    def add(self, name: Any, handler: Any, *, help: Any = "") -> None:
        try:
            self.commands.append(self._made(name, handler, help))
        except Untyped as error:
            self.problems.append(f"the command {name!r}: {error}")

    def _made(self, name: Any, handler: Any, help_: Any) -> Command:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise Untyped("its name has to be one or two words of small letters, digits, - and _, without the /")
        if any(each.name == name for each in self.commands):
            raise Untyped("it is there twice: give one of the two another name")
        if not isinstance(help_, str) or not help_.strip() or len(help_) > HELP_MAX:
            raise Untyped(f"help has to say in one sentence, of {HELP_MAX} characters at most, what it does")
        return Command(name, handler, " ".join(help_.split()), arguments_of(coroutine(handler)))


def coroutine(handler: Any) -> Any:
    """A handler, if it is an async function.

    Raises:
        Untyped: it is none.
    """
    if not iscoroutinefunction(handler):
        raise Untyped("its handler has to be an `async def` method")
    return handler


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose commands: an instance, or, without `access`, the host itself, whose commands are everywhere."""

    name: str
    access: Access | None

    def at_work_in(self, organisation_id: int) -> bool:
        if self.access is None:
            return True
        return self.access.bot is not None and organisation_id in self.access.bot.organisations


@dataclass(frozen=True, slots=True)
class Shown:
    """A command with whose it is, the name that it has in some organisation, and its place among all."""

    owner: Owner
    command: Command
    name: str
    rank: int

    def viewed(self) -> ViewedCommand:
        arguments = tuple(
            CommandArgument(
                name=each.name, expected=each.expected, required=each.required, several=each.several, rest=each.rest,
                choices=each.choices, help=each.help,
            )
            for each in self.command.arguments
        )  # fmt: skip
        return ViewedCommand(
            id=str(self.rank), name=f"/{self.name}", usage=self.command.usage(self.name), help=self.command.help, plugin=self.owner.name,
            arguments=arguments,
        )  # fmt: skip


class HostedCommands:
    """See the module, and `crust.services.commands.Offered`."""

    def __init__(self, core: Core, metrics: Metrics) -> None:
        self._core, self._metrics = core, metrics
        self._all: list[tuple[Owner, Command]] = []
        self._kept = Store(core.database, core.clock, HOST, {}, MOST).collection(ANSWERS)

    def add(self, owner: Owner, commands: Sequence[Command]) -> None:
        """Offer these, after those that are there."""
        self._all += [(owner, command) for command in commands]
        self._all.sort(key=lambda each: each[1].name)  # stable: of one name, who came first is first

    # ---- finding

    def of(self, plugin: str) -> Sequence[str]:
        return [f"/{command.name}" for owner, command in self._all if owner.name == plugin]

    def offered(self, organisation_id: int) -> Sequence[ViewedCommand]:
        return [shown.viewed() for shown in self._shown(organisation_id)]

    def _shown(self, organisation_id: int) -> Iterator[Shown]:
        taken: set[str] = set()
        for rank, (owner, command) in enumerate(self._all, FIRST):
            if owner.at_work_in(organisation_id):
                name = f"{owner.name}:{command.name}" if command.name in taken else command.name
                taken.add(command.name)
                yield Shown(owner, command, name, rank)

    def _find(self, organisation_id: int, line: str) -> tuple[Shown, str]:
        """The command that a line begins with, and what comes after it."""
        words = WORDS.match(line)
        assert words is not None, "the line is not empty"
        first, second = words[1].lower(), (words[2] or "").lower()
        here = {name: shown for shown in self._shown(organisation_id) for name in (f"{shown.owner.name}:{shown.command.name}", shown.name)}
        for name, end in ((f"{first} {second}", words.end()), (first, words.end(1))):
            if name in here:
                return here[name], line[end:].strip()
        if others := sorted(name for name in here if name.startswith(f"{first} ")):
            raise unknown(f"{first} {second}".strip(), f"; there are: {', '.join(f'/{name}' for name in others)}")
        raise unknown(first, meant(first, here).replace("; is ", "; is /"))

    # ---- running

    async def run(self, place: Place, line: str, key: Key | None) -> CommandAnswer:
        if key is not None and (kept := await self._before(key)) is not None:
            return kept
        shown, text = self._find(place.organisation_id, line)
        answer = await self._counted(place, shown, text, key)
        if key is not None and shown.command.kept:
            await self._keep(key, answer)
        return answer

    async def anew(self, place: Place, line: str, key: Key | None) -> CommandAnswer:
        """Run it, whether the same request was answered before or not, and keep no answer. Errors are those of `run`."""
        return await self._counted(place, *self._find(place.organisation_id, line), key)

    async def _counted(self, place: Place, shown: Shown, text: str, key: Key | None) -> CommandAnswer:
        began, how = perf_counter(), "failed"
        try:
            answer = CommandAnswer(command=f"/{shown.name}", text=await self._run(place, shown, text, key))
            how = "done"
            return answer
        except CrustError:
            how = "refused"
            raise
        except Broken as error:
            log.exception("a command failed", plugin=shown.owner.name, command=shown.command.name, reason=str(error))
            raise Unavailable(f"/{shown.name} of {shown.owner.name} failed; the server's log has the reason.") from None
        finally:
            self._metrics.plugin_calls[shown.owner.name, "command", how] += 1
            self._metrics.plugin_call_seconds.observe((shown.owner.name, "command"), perf_counter() - began)

    async def _run(self, place: Place, shown: Shown, text: str, key: Key | None) -> str | None:
        cause = f"command/{named(key) if key else secrets.token_hex(16)}"
        call = await self._invocation(place, shown, text, cause)
        reading = Reading(self._now(), lambda name: self._user(place, name), lambda name: self._channel(place, shown.owner, name))
        try:
            values = await read(text, shown.command.arguments, reading)
        except Wrong as error:
            raise Invalid(f"{error}. Usage: {shown.command.usage(shown.name)}", field="command") from None
        code = Code(shown.owner.name, f"command {shown.command.name}")
        answer = await bounded(shown.command.handler(call, *values), self._core.settings.hosting.command_s, code, cause)
        if answer is not None and not isinstance(answer, str):
            raise Broken(f"it answered with {answer!r:.80}, and not with a text")
        return answer[: self._core.settings.limits.contents_characters] if answer else None

    async def _invocation(self, place: Place, shown: Shown, text: str, cause: str) -> Invocation:
        actor, channel = place.actor, place.channel
        return Invocation(
            user=await self._core.members.user(actor.user_id), channel=channel, command=shown.command.name, text=text,
            key=cause.partition("/")[2], manages=place.manages, administers=actor.is_admin,
            caller=ActingCaller(place, shown.owner, self._core, cause),
            available=[
                CommandHelp(name=f"/{each.name}", usage=each.command.usage(each.name), help=each.command.help)
                for each in self._shown(place.organisation_id)
            ],
        )  # fmt: skip

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._core.clock.now() / 1000, UTC)

    async def _user(self, place: Place, name: str) -> User:
        found = await self._core.commands.user(place.organisation_id, name)
        if found is None:
            raise Unfit("there is nobody of that name here")
        return found

    async def _channel(self, place: Place, owner: Owner, name: str) -> Channel:
        found = await self._core.commands.channels(place.actor, place.organisation_id, name)
        if not found:
            raise Unfit("there is no channel of that name that you see")
        if len(found) > 1:
            raise Unfit("several channels are called that")
        if owner.access is not None and found[0].id != place.channel.id and not owner.access.may(f"read:{found[0].type}"):
            raise Unfit(f"{owner.name} sees no {found[0].type} channels")
        return found[0]

    # ---- requests that come again

    async def _before(self, key: Key) -> CommandAnswer | None:
        """What was answered to the same request."""
        kept = await self._kept.get(named(key))
        if kept is None:
            return None
        if kept.body["fingerprint"] != key.fingerprint:
            raise IdempotencyMismatch(OTHER)
        body: Any = kept.body
        return replace(CommandAnswer(command=body["command"], text=body["text"]), duplicate=True)

    async def _keep(self, key: Key, answer: CommandAnswer) -> None:
        body = {"fingerprint": key.fingerprint, "command": answer.command, "text": answer.text}
        try:
            await self._kept.put(named(key), body, ttl=self._core.settings.hosting.answers_s)
        except CrustError as error:  # what it did is done; again it does nothing, but may say something else
            log.warning("a command's answer could not be kept", error=error.message)


def named(key: Key) -> str:
    """A request's key, whoever's, as 32 characters."""
    return sha256(f"{key.scope}\n{key.key}".encode()).hexdigest()[:32]


class ActingCaller:
    """See `crust.plugin.Caller`."""

    def __init__(self, place: Place, owner: Owner, core: Core, cause: str) -> None:
        self._place, self._owner, self._core, self._cause = place, owner, core, cause
        self._count = 0

    async def post(self, contents: str, *, reply_to: str | None = None) -> str:
        key = self._key("post")
        reply = None if reply_to is None else number(reply_to, "message")
        posted = await self._core.messages.post(
            self._place.actor, self._channel_id, contents, reply_to=reply, client_msg_id=None, key=key
        )  # fmt: skip
        return posted.id

    async def set_topic(self, topic: str) -> None:
        await self._core.channels.set_topic(self._place.actor, self._channel_id, topic, self._key("set_topic"))

    async def invite(self, user_id: str) -> None:
        await self._core.channels.invite(self._place.actor, self._channel_id, number(user_id, "user"), self._key("invite"))

    @property
    def _channel_id(self) -> int:
        return int(self._place.channel.id)

    def _key(self, verb: str) -> Key:
        """The next act's; there is none without the capability."""
        if self._owner.access is not None and not self._owner.access.may("user:act"):
            raise Forbidden(f"The plugin of {self._owner.name} has not declared the capability user:act.")
        self._count += 1
        return Key(scope_of(self._owner.name), f"{self._cause}/act/{verb}/{self._count}", fingerprint("plugin", verb))
