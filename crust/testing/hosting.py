"""The block in which plugins are at work, and what a test can do in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any, Literal

from crust.clock import ManualClock
from crust.host.chain import FilterChain
from crust.host.desk import Desk
from crust.host.engine import Engine
from crust.host.plugins import PluginHost
from crust.host.registration import Wanted
from crust.host.states import EVENTS, STATES, states_of
from crust.host.supervisor import Times
from crust.log.tasks import first_to_end
from crust.plugin import Channel, Link, Message, Plugin
from crust.runtime import Node, opened
from crust.services.links import Wish
from crust.settings import Settings
from crust.testing.crashing import ADVICE, Crashes
from crust.testing.database import empty_server
from crust.testing.instances import Instance, PluginRefused, wanted
from crust.testing.noticing import Notices
from crust.testing.people import Person, Where

SETTLE_S = 20.0  # of real time, for everything to be delivered
LOOK_S = 0.01
QUICK = Times(waits=(0.01,), health=0.05, look=0.02)
NEWEST = 1000  # messages that are read of a channel
OWNER = "owner"
SAID = """
SELECT u.username, m.contents FROM message m JOIN "user" u ON u.id = m.user_id WHERE m.type = 'MESSAGE' ORDER BY m.id DESC LIMIT $1
"""


class NotSettled(Exception):
    """Not everything could be delivered; the text says what each instance is about."""


@asynccontextmanager
async def hosted(
    *instances: Instance | type[Plugin[Any]], config: Mapping[str, Any] | None = None, settings: Settings | None = None,
    seconds: float = SETTLE_S,
) -> AsyncIterator[Host]:  # fmt: skip
    """A server with plugins at work, for the length of a block: `hosted(Hello)`, `hosted(Hello, config={…})`, `hosted(Instance(…), …)`.

    Args:
        instances: what is at work; several are `Instance(Plugin, {…}, name=…)`.
        config: the configuration, where it is one plugin.
        settings: of another database than an empty one in SQLite.
        seconds: of real time that everything may take to be delivered.

    Raises:
        PluginRefused: one cannot be at work; with what `crust plugins check` says.
        PluginFailed: one raised in `startup`; or, at the end of the block, anywhere, and the test has not come upon it.
        NotSettled: one does not begin.
    """
    if config is not None:
        if len(instances) != 1 or isinstance(instances[0], Instance):
            raise TypeError("config= is that of one plugin; of several, give each its own: hosted(Instance(Hello, {…}), …)")
        instances = (Instance(instances[0], config),)
    all_wanted, notices = wanted(instances), Notices()
    with notices.noticing():
        async with AsyncExitStack() as stack:
            settings = settings or stack.enter_context(empty_server())
            clock = ManualClock()
            chain = FilterChain(clock)
            node = await stack.enter_async_context(opened(settings, clock, filters=chain))
            host = Host(node, clock, chain, notices, all_wanted, seconds)
            try:
                await host.begin()
                yield host
            except BaseException as error:
                await host.explain(error)
                raise
            finally:
                await host.end()
        notices.check()


class Host:
    """A server with plugins at work. `clock` is its time, `log` everything that was logged, `node` its insides."""

    def __init__(
        self, node: Node, clock: ManualClock, chain: FilterChain, notices: Notices, all_wanted: Sequence[Wanted], seconds: float
    ) -> None:  # fmt: skip
        self.node, self.clock, self.log = node, clock, notices.log
        self._chain, self._notices, self._wanted, self._seconds = chain, notices, all_wanted, seconds
        self._life = AsyncExitStack()
        self._people: dict[str, Person] = {}
        self._channels: dict[str, int] = {}
        self._owner = self.user(OWNER, admin=True)
        self.plugins: PluginHost

    # ---- life

    async def begin(self) -> None:
        """Let the plugins live, as when a process starts. A test need not: the block has."""
        await self._owner.actor()
        node = self.node
        engine = Engine(
            node.database, node.log, node.broker, node.leases, node.consumers, node.clock, node.settings.delivery, node.metrics
        )  # fmt: skip
        self.plugins = PluginHost(node.core, engine, node.leases, self._wanted, self._chain, "serve", QUICK, node.metrics)
        await self._life.enter_async_context(self.plugins.ready())
        self._notices.check()
        if refused := [problem for each in self.plugins.refused for problem in each.problems]:
            raise PluginRefused(refused)
        work = asyncio.create_task(self.plugins.run(), name="plugins")
        self._life.push_async_callback(cancelled, work)
        await self.settle()

    async def end(self) -> None:
        """Let the plugins end, as when a process does."""
        await self._life.aclose()

    async def restart(self) -> None:
        """End the process and begin another: what a plugin keeps in memory is gone, what it has stored is there."""
        await self.end()
        self._life = AsyncExitStack()
        await self.begin()

    async def explain(self, error: BaseException) -> None:
        """Say with an error what the host knows of how it came to it."""
        lines = [f"log: {line}" for line in self._notices.troubles()]
        lines += [f"{row['consumer']} has parked {row['position']}: {row['error']}" for row in await self.parked()]
        if lines:
            error.add_note("\n".join(["Meanwhile, in Crust:", *lines]))

    # ---- time

    async def settle(self) -> None:
        """Wait until everything that has happened is delivered, and what came of that too. What waits until later does.

        Raises:
            PluginFailed: a plugin has a bug.
            NotSettled: it takes too long.
        """
        __tracebackhide__ = True
        self._notices.check()
        try:
            async with asyncio.timeout(self._seconds):
                await first_to_end(self._settled(), self._notices.bug())
        except TimeoutError:
            raise NotSettled(await self._why()) from None
        self._notices.check()

    async def _settled(self) -> None:
        head = -1
        while head != (head := (await self.node.log.head()).position):
            for name in (each.name for each in self._wanted if any(hook.startswith(EVENTS) for hook in each.hooks)):
                while not self.plugins.engine.delivers(name):  # noqa: ASYNC110  # it is begun by its supervisor, which tells nobody
                    await asyncio.sleep(LOOK_S)
                await self.plugins.engine.settled(name)
            for each in self.plugins.instances:
                while each.name not in self.plugins.jobs:  # noqa: ASYNC110  # the same
                    await asyncio.sleep(LOOK_S)
                await self.plugins.jobs[each.name].settled()

    async def _why(self) -> str:
        states = states_of(self.node.database, self.clock).collection(STATES)
        found = [f"Not everything was delivered within {self._seconds:g} s."]
        for each in self._wanted:
            state = await states.get(each.name)
            found.append(
                f"{each.name} is {state.body['state']}: {state.body['reason'] or 'no reason'}" if state else f"{each.name}: unknown"
            )
        last = await self._newest(3)
        return "\n".join([*found, *(f"said last: {text}" for text in last)])

    async def advance(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Let time pass at once; what is due by then happens. Errors are those of `settle`."""
        __tracebackhide__ = True
        self.clock.advance(timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds).total_seconds())
        for each in self._wanted:
            self.plugins.engine.wake(each.name)
        await self.settle()

    # ---- people and places

    def user(self, username: str, *, admin: bool = False) -> Person:
        """Somebody; the same name is the same person. Their account is made when they first do something."""
        return self._people.setdefault(username, Person(self, username, admin=admin))

    def bot(self, name: str | None = None) -> Person:
        """The bot of an instance, to be invited, or written to directly."""
        instance = self._instance(name)
        return Person(self, instance.name, actor=instance.access.known().actor)

    async def channel(
        self, name: str, *, type: Literal["public", "private"] = "public", topic: str = "", members: Sequence[Person] = ()
    ) -> Channel:  # fmt: skip
        """Make a channel, `"#staff"`, with these members beside the one who owns all channels here."""
        ids = [(await each.actor()).user_id for each in members]
        made = await self.node.core.channels.create(
            await self._owner.actor(), name=name.removeprefix("#"), topic=topic, type_=type, organisation_id=None, members=ids, key=None
        )
        self._channels[name.removeprefix("#")] = int(made.id)
        return made

    async def link(self, where: Where, room: str, name: str | None = None) -> Link:
        """Link a channel with a room elsewhere, over the bridge of that instance, or the only one."""
        instance, channel = self._instance(name), await self.number_of(where)
        made = await self.node.core.links.link(await self._owner.actor(), channel, instance.name, Wish(room=room))
        await self.settle()
        found: Link | None = await instance.plugin.ctx.bridge.link(made.remote_room)
        assert found is not None, "it was made just now"
        return found

    async def number_of(self, where: Where, who: Person | None = None) -> int:
        """A channel's id as the core has it; one that is named is made if need be, as is the direct one of two people."""
        if isinstance(where, Channel):
            return int(where.id)
        if isinstance(where, Person):
            one, other = await (who or self._owner).actor(), await where.actor()
            made = await self.node.core.channels.create(
                one, name="", topic="", type_="direct", organisation_id=None, members=[other.user_id], key=None
            )
            return int(made.id)
        if not where.startswith("#"):
            return int(where)
        if where[1:] not in self._channels:
            if who is None:
                raise LookupError(f"Nobody has said anything in {where} yet; there are: {', '.join(self._channels) or 'no channels'}.")
            await self.channel(where)
        return self._channels[where[1:]]

    # ---- looking

    async def messages(self, where: Where, *, between: Person | None = None) -> list[Message]:
        """What was posted in a channel, oldest first, without what tells of the channel itself. A direct one is `between` two people."""
        channel, viewer = await self.number_of(where, between), (await self._owner.actor()).user_id
        page = await self.node.core.messages.page(viewer, channel, limit=NEWEST)
        return [message for message in page.messages if message.type in ("MESSAGE", "FILE")]

    async def said(self, where: Where, *, between: Person | None = None) -> list[str]:
        """The same as texts: `"ana: hello"`; of a file its name stands first, in brackets."""
        return [await self._text(message) for message in await self.messages(where, between=between)]

    async def documents(self, collection: str, name: str | None = None) -> dict[str, Mapping[str, Any]]:
        """What an instance keeps in a collection of `ctx.store`: key → document."""
        store = self.plugins.engine.store(self._instance(name))
        return {each.key: each.body for each in await store.collection(collection).find(limit=NEWEST)}

    async def parked(self) -> list[dict[str, Any]]:
        """What is tried no more, as `crust parked list --json` shows it: `consumer`, `position`, `error` and more."""
        node = self.node
        return await Desk(node.database, node.log, node.leases, node.consumers, node.clock).parked()

    def plugin(self, name: str | None = None) -> Any:
        """The plugin itself: of that instance, or of the only one."""
        return self._instance(name).plugin

    # ---- crashes

    async def assert_idempotent(self, act: Awaitable[Any]) -> Any:
        """Do something, and let every handler crash that hears of it: `await host.assert_idempotent(ana.says("#general", "hi"))`.

        Each runs to its end, which is lost, as when the process is killed in that moment; then it is handed the same event again. By the
        second time nothing must come on top: no message, no change of one, no reaction, no document beside those that are held back. It is
        the same with a command, `ana.runs("/…")`, whose request is sent again, and with jobs: `host.advance(hours=1)`. Filters and `run`
        are not asked twice. Gives what the act gives.

        Raises:
            AssertionError: something did; or no handler heard of it.
            PluginFailed, NotSettled: as in `settle`.
        """
        __tracebackhide__ = True
        await self.settle()
        crashes = Crashes(self.node, self.plugins)
        with crashes.happening():
            given = await act
            await self.settle()
        if crashes.complaints:
            raise AssertionError("\n".join([*crashes.complaints, ADVICE]))
        if not crashes.handled:
            raise AssertionError(
                "No handler heard of it, and no command or job was run: see the plugin's hooks and capabilities, and in which channels its "
                "bot is."
            )
        return given

    # ---- for people

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Something is done: a bug that it brings to light is raised at once, and before what the core made of it."""
        __tracebackhide__ = True
        try:
            yield
        finally:
            self._notices.check()

    def _instance(self, name: str | None) -> Any:
        found = [each for each in self.plugins.instances if name in (None, each.name)]
        if len(found) != 1:
            raise LookupError(f"Say which instance is meant: {', '.join(each.name for each in self.plugins.instances)}.")
        return found[0]

    async def _text(self, message: Message) -> str:
        user = await self.node.core.members.user(int(message.user_id))
        files = "".join(f"[{each.name}] " for each in message.attachments)
        return f"{user.username}: {files}{message.contents or ''}".rstrip()

    async def _newest(self, count: int) -> list[str]:
        rows = await self.node.database.fetch(SAID, count)
        return [f"{row['username']}: {row['contents']}" for row in reversed(rows)]


async def cancelled(task: asyncio.Task[None]) -> None:
    """End a task."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
