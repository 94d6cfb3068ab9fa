"""An event, a command or a run of a job handed to its handler twice, as after a crash in its last moment."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from crust.events.event import Event
from crust.host.consumer import Delivery, Outcome
from crust.host.held import Held
from crust.host.instance import Instance, glance
from crust.host.jobs import JobRunner, Planned
from crust.host.plugins import PluginHost
from crust.host.states import HOST
from crust.host.store import holding
from crust.runtime import Node
from crust.services.commands import CommandAnswer, Place
from crust.services.keys import Key, fingerprint

TASKS_S = 1.0  # for what a handler has started beside itself
BEYOND = 2**62
ADVICE = (
    "What a handler does through ctx.chat is known again by the call, its target and its order, so let these not depend on chance, on what "
    "an object keeps in memory, or on the clock; what is started in ctx.tasks, or done elsewhere, takes a key of its own. What commands "
    "and jobs keep in ctx.store is stored at once, so keep it under call.key or run.key."
)


Footprint = tuple[dict[int, str], dict[str, str]]
"""Events by position, documents by place."""


@dataclass
class Crashes:
    """Lets every handler of a host run twice, for the length of a block. `handled` counts what was, `complaints` says what came on top."""

    node: Node
    host: PluginHost
    handled: int = 0
    complaints: list[str] = field(default_factory=list)
    _alone: asyncio.Lock = field(default_factory=asyncio.Lock)

    @contextmanager
    def happening(self) -> Iterator[None]:
        for instance in self.host.instances:
            self._let_crash(instance)
        for name, jobs in self.host.jobs.items():
            self._let_jobs_crash(name, jobs)
        self._let_commands_crash()
        try:
            yield
        finally:
            for instance in self.host.instances:
                del instance.handle  # the class's own again
            for jobs in self.host.jobs.values():
                del jobs.attempt
            del self.host.commands.run

    def _let_crash(self, instance: Instance) -> None:
        once = instance.handle

        async def twice(delivery: Delivery) -> Outcome | None:
            async with self._alone:  # so that nothing of others comes between
                await self._lost(instance, delivery)
                before = await self._footprint(instance.name)
                outcome = await once(delivery)
                await self.host.tasks_ended(instance.name, TASKS_S)
                self._compare(
                    instance.name, f"was handed the same event twice ({told(delivery.event)})", before, await self._footprint(instance.name)
                )
                return outcome

        instance.handle = twice  # type: ignore[method-assign]  # of this object alone, which nobody else has

    def _let_jobs_crash(self, name: str, jobs: JobRunner) -> None:
        once = jobs.attempt

        async def twice(planned: Planned, due: datetime, scheduled: int) -> None:
            async with self._alone:
                await once(planned, due, scheduled)
                before = await self._footprint(name)
                await once(planned, due, scheduled)
                self._compare(name, f"ran the job {planned.name} twice", before, await self._footprint(name))

        jobs.attempt = twice  # type: ignore[method-assign]  # as above

    def _let_commands_crash(self) -> None:
        commands = self.host.commands
        once = commands.run

        async def twice(place: Place, line: str, key: Key | None) -> CommandAnswer:
            key = key or Key(f"test/{place.actor.user_id}", secrets.token_hex(8), fingerprint(line))
            async with self._alone:
                await commands.anew(place, line, key)  # whose answer is lost, so that the same request is sent again
                before = await self._footprint(None)
                answer = await once(place, line, key)
                self._compare(answer.command, "was run twice", before, await self._footprint(None))
                return answer

        commands.run = twice  # type: ignore[method-assign]  # as above

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

    async def _footprint(self, name: str | None) -> Footprint:
        """What an instance has done so far: the events of its bot, and its documents; None: what anybody has."""
        own = {str(each.access.known().actor.user_id) for each in self.host.instances if each.name == name}
        events = {each.position: told(each) for each in await self.node.log.read(0, BEYOND, BEYOND) if name is None or own & doers(each)}
        rows = await self.node.database.fetch("SELECT instance, collection, key, body FROM document WHERE instance <> $1", HOST)
        mine = [row for row in rows if name in (None, row["instance"])]
        return events, {f"{row['collection']}/{row['key']}": row["body"] for row in mine}

    def _compare(self, name: str, what: str, before: Footprint, after: Footprint) -> None:
        self.handled += 1
        new = [text for position, text in after[0].items() if position not in before[0]]
        new += [f"document {place} written at once" for place, body in after[1].items() if before[1].get(place) != body]
        new += [f"document {place} removed at once" for place in before[1].keys() - after[1].keys()]
        if new:
            listed = "".join(f"\n  {each}" for each in new)
            self.complaints.append(f"{name} {what}, and this came on top:{listed}")


def doers(event: Event) -> set[str]:
    """Who may have done what an event tells of."""
    seen = glance(event.body)
    return {seen.by, seen.user_id}


def told(event: Event) -> str:
    """An event in short."""
    return f"{event.type} {event.event} {bytes(event.body).decode()[:300]}"
