"""An event handed to a handler twice, as after a crash in the last moment: all that it did is done, and its end was not stored."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from crust.events.event import Event
from crust.host.consumer import Delivery, Outcome
from crust.host.held import Held
from crust.host.instance import Instance, glance
from crust.host.plugins import PluginHost
from crust.host.store import holding
from crust.runtime import Node

TASKS_S = 1.0  # for what a handler has started beside itself
BEYOND = 2**62
ADVICE = (
    "What a handler does through ctx.chat is known again by the call, its target and its order, so let these not depend on chance, on what "
    "an object keeps in memory, or on the clock; what is started in ctx.tasks, or done elsewhere, takes a key of its own."
)


@dataclass
class Crashes:
    """Lets every handler of a host run twice, for the length of a block. `handled` counts events, `complaints` says what came on top."""

    node: Node
    host: PluginHost
    handled: int = 0
    complaints: list[str] = field(default_factory=list)
    _alone: asyncio.Lock = field(default_factory=asyncio.Lock)

    @contextmanager
    def happening(self) -> Iterator[None]:
        for instance in self.host.instances:
            self._let_crash(instance)
        try:
            yield
        finally:
            for instance in self.host.instances:
                del instance.handle  # the class's own again

    def _let_crash(self, instance: Instance) -> None:
        once = instance.handle

        async def twice(delivery: Delivery) -> Outcome | None:
            async with self._alone:  # so that nothing of others comes between
                await self._lost(instance, delivery)
                before = await self._footprint(instance)
                outcome = await once(delivery)
                await self.host.tasks_ended(instance.name, TASKS_S)
                self._compare(instance, delivery.event, before, await self._footprint(instance))
                return outcome

        instance.handle = twice  # type: ignore[method-assign]  # of this object alone, which nobody else has

    async def _lost(self, instance: Instance, delivery: Delivery) -> None:
        """The first time, of which the documents are lost that it held back."""
        held, outer = Held(instance.name), holding.get()
        holding.set(held)
        try:
            await type(instance).handle(instance, delivery)
        finally:
            held.over = True
            holding.set(outer)
        await self.host.tasks_ended(instance.name, TASKS_S)

    async def _footprint(self, instance: Instance) -> tuple[dict[int, str], dict[str, int]]:
        """What an instance has done so far: the events of its bot, and the versions of its documents."""
        own = str(instance.access.known().actor.user_id)
        events = {each.position: told(each) for each in await self.node.log.read(0, BEYOND, BEYOND) if own in doers(each)}
        rows = await self.node.database.fetch("SELECT collection, key, version FROM document WHERE instance = $1", instance.name)
        return events, {f"{row['collection']}/{row['key']}": row["version"] for row in rows}

    def _compare(
        self, instance: Instance, event: Event, before: tuple[dict[int, str], dict[str, int]], after: tuple[dict[int, str], dict[str, int]]
    ) -> None:
        self.handled += 1
        new = [text for position, text in after[0].items() if position not in before[0]]
        new += [f"document {place} written at once" for place, version in after[1].items() if before[1].get(place) != version]
        new += [f"document {place} removed at once" for place in before[1].keys() - after[1].keys()]
        if new:
            listed = "".join(f"\n  {each}" for each in new)
            self.complaints.append(f"{instance.name} was handed the same event twice ({told(event)}), and this came on top:{listed}")


def doers(event: Event) -> tuple[str, ...]:
    """Who may have done what an event tells of."""
    seen = glance(event.body)
    return (seen.by, seen.user_id)


def told(event: Event) -> str:
    """An event in short."""
    return f"{event.type} {event.event} {event.body.decode()[:300]}"
