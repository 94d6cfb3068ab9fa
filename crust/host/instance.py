"""A plugin's instance as the engine's consumer: which events it hears of, and how its hooks are called with them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import cache
from inspect import signature
from typing import Any

import msgspec
import pluggy
from msgspec import Struct

from crust.errors import Conflict, NotFound
from crust.events.catalogue import CATALOGUE
from crust.events.event import Event
from crust.host.chat import Access, Calls, calls
from crust.host.consumer import Code, Delivery, Outcome, Over, Parked, Running, current
from crust.host.registration import Wanted
from crust.log import Way, coming
from crust.plugin import Happened, Plugin
from crust.plugin.base import PROJECT
from crust.plugin.hooks import SPECS
from crust.services.core import Core
from crust.telemetry import get_logger

log = get_logger(__name__)

PERSONAL = frozenset({"flag", "session", "delivery", "plugin", "bridge"})  # events that are for one person alone
READS = "read:"
HOOK_OF: Mapping[tuple[str, str], str] = {
    ("message", "created"): "on_message_posted",
    **{(type_, event): f"on_{type_}_{event}" for type_, event in CATALOGUE if type_ in ("reaction", "channel", "member", "user")},
    **{("message", event): f"on_message_{event}" for event in ("edited", "removed")},
}
UPLOADED = "on_file_uploaded"
ARGUMENTS = 10  # more than any hook is called with
EVERY = "on_event"


class Glance(Struct, frozen=True):
    """Of a body, who did it, and whether it is about files."""

    id: str = ""
    user_id: str = ""
    by: str = ""
    type: str = ""
    changed: tuple[str, ...] = ()


glance = msgspec.json.Decoder(Glance).decode


class Instance:
    """See the module. `plugin` is set before the first event comes.

    What of its settings could not be, in words: `unknown` of its organisations, `problems` of the rest.
    """

    def __init__(self, wanted: Wanted, access: Access, core: Core) -> None:
        self.wanted, self.access, self._core = wanted, access, core
        self.plugin: Plugin[Any] | None = None
        self.unknown: Sequence[str] = ()
        self.problems: Sequence[str] = ()
        self._visibilities = visibilities(wanted)

    @property
    def name(self) -> str:
        return self.wanted.name

    @property
    def collections(self) -> Mapping[str, Sequence[str]]:
        return self.wanted.plugin.collections

    async def ready(self) -> None:
        pass

    async def missed(self, after: int, upto: int) -> None:
        pass

    async def listen(self) -> None:
        """Hear of what is no event, as long as it lives."""
        await asyncio.Event().wait()

    def wants(self, event: Event) -> Sequence[str]:
        if not self._hooks(event, None) or not self._may_see(event):
            return ()
        seen = glance(event.body)
        if self._own(event, seen) or not self._hooks(event, seen):
            return ()
        return (str(event.channel) if event.channel else f"organisation {event.organisation}",)

    def _may_see(self, event: Event) -> bool:
        """Whether it may know of events like this."""
        if event.type in PERSONAL or self.access.bot is None:
            return False
        if event.organisation and event.organisation not in self.access.bot.organisations:
            return False
        return (event.visibility if event.channel else "public") in self._visibilities

    def _own(self, event: Event, seen: Glance) -> bool:
        """Whether its bot did it, or it is about the bot."""
        own = str(self.access.known().actor.user_id)
        who = {"user": (seen.id,), "member": (seen.user_id, seen.by)}.get(event.type, (seen.by or seen.user_id,))
        return own in who

    def _hooks(self, event: Event, seen: Glance | None) -> list[str]:
        """The hooks that are called for an event, in order; before it was looked at, those that might be."""
        names = [HOOK_OF.get((event.type, event.event), ""), EVERY]
        if event.type == "message" and event.event != "removed" and (seen is None or has_files(event, seen)):
            names.insert(1, UPLOADED)
        return [name for name in names if name in self.wanted.hooks]

    async def still_allowed(self, delivery: Delivery) -> bool:
        event, bot = delivery.event, self.access.known()
        if event.channel and (event.type, event.event) != ("channel", "removed"):
            return await self._core.bots.sees(bot, event.channel)
        if event.organisation:
            return await self._core.bots.belongs(bot, event.organisation)
        return event.type == "user" and await self._core.members.acquainted(bot.actor.user_id, event.object)

    async def handle(self, delivery: Delivery) -> Outcome | None:
        event = delivery.event
        happened = happened_of(event)
        calls.set(Calls(str(event.id)))
        with coming(Way(via=tuple(event.via))):  # what it does because of an event has come by the same way
            for hook in self._hooks(event, glance(event.body)):
                await self.call(hook, happened)
        return None

    async def call(self, hook: str, *arguments: object) -> Any:
        """Call a hook of the plugin, with as many of the arguments as it takes."""
        function = getattr(self.plugin, hook)
        with Running(Code(self.name, hook, current.get())):
            return await function(*arguments[: takes(function)])

    def over(self, over: Over) -> None:
        pass

    def parked(self, parked: Parked) -> None:
        log.warning("a plugin could not deal with something", plugin=self.name, lane=parked.lane, position=parked.position)


async def places_of(core: Core, organisations: Sequence[str]) -> tuple[list[int], list[str]]:
    """Which of these organisations, names or ids, there are, and what is wrong with the others; of none the home organisation.

    Raises:
        NotFound: there is no organisation at all yet.
    """
    places, unknown = await core.bots.organisations([]) if not organisations else [], []
    for each in organisations:
        try:
            places += await core.bots.organisations([each])
        except (NotFound, Conflict) as error:
            unknown.append(error.message)
    return places, unknown


def visibilities(wanted: Wanted) -> frozenset[str]:
    """The types of channels that an instance may see."""
    return frozenset(each.removeprefix(READS) for each in wanted.plugin.capabilities if each.startswith(READS))


def has_files(event: Event, seen: Glance) -> bool:
    """Whether an event tells of new files."""
    return seen.type == "FILE" if event.event == "created" else "attachments" in seen.changed


def happened_of(event: Event) -> Happened[Any]:
    """An event as plugins have it."""
    body = msgspec.json.decode(event.body, type=CATALOGUE[event.type, event.event])
    return Happened(
        id=str(event.id), position=event.position, type=event.type, event=event.event, channel_id=str(event.channel or ""),
        organisation_id=str(event.organisation or ""), visibility=event.visibility, at=event.at, via=tuple(event.via),
        origin=event.origin, body=body,
    )  # fmt: skip


def takes(function: Any) -> int:
    """How many arguments a hook takes, itself aside; one that passes on whatever it is given takes all."""
    return _taken(function.__func__)


@cache
def _taken(function: Any) -> int:
    parameters = signature(function).parameters.values()
    if any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return ARGUMENTS
    return sum(each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD) for each in parameters) - 1


def registry(instances: Sequence[Instance]) -> pluggy.PluginManager:
    """The plugins of these instances, in the order of the settings. What is left of what can be wrong is found here."""
    manager = pluggy.PluginManager(PROJECT)
    for spec in SPECS:
        manager.add_hookspecs(spec)
    for instance in reversed(instances):  # who comes last is asked first
        manager.register(instance.plugin, instance.name)
    return manager


def in_order(manager: pluggy.PluginManager, hook: str) -> list[str]:
    """The names of the instances that implement a hook, in the order in which they are asked: tryfirst, the settings', trylast."""
    return [impl.plugin_name for impl in reversed(getattr(manager.hook, hook).get_hookimpls())]
