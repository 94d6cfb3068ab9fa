"""What has to be on RabbitMQ: is it there, and as it should be? `check` looks, `repair` makes it so.

What a server declares itself (exchanges, queues, bindings) is part of it, and what it cannot: who may read and write what. Queues of nodes
are not looked at; they come and go with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import aiormq
from aiormq.exceptions import AMQPError, ChannelNotFoundEntity
from pamqp.commands import Queue

from crust.broker import topology
from crust.broker.accounts import Accounts
from crust.broker.connection import BrokerTrouble
from crust.broker.management import Management, ManagementError
from crust.broker.problem import Problem
from crust.settings import Settings

PROBE_S = 5.0  # for a queue to answer; one without a leader never does


class Upkeep:
    """See the module.

    Args:
        settings: `broker_url` and `broker.*`.
        api: RabbitMQ's management API.
    """

    def __init__(self, settings: Settings, api: Management) -> None:
        self._settings, self._api = settings, api
        inject = topology.inject(settings.broker.queue_type)
        self._base = replace(inject, exchanges=(*topology.READ, *inject.exchanges))
        self._accounts = Accounts(settings, api)

    async def check(self) -> list[Problem]:
        """Everything that is wrong, in the order in which it can be mended.

        Raises:
            ManagementError: the management API cannot be used.
        """
        if await self._api.get("vhosts", self._api.vhost) is None:
            return [Problem(f"there is no vhost {self._api.vhost}", self._make_vhost)]
        if own := await self._accounts.own():
            return own  # without these there is no looking at the rest
        bindings = await self._api.get("bindings", self._api.vhost) or []
        found = [*await self._accounts.check(), *await self._exchanges(), *await self._queues(), *self._bindings(bindings)]
        return [*found, *await self._policies(), *await self._others(told_of_events(bindings))]

    async def _make_vhost(self) -> None:
        await self._api.put("vhosts", self._api.vhost, body={})

    # ---- exchanges, queues, bindings

    async def _exchanges(self) -> list[Problem]:
        found = []
        for exchange in self._base.exchanges:
            wanted = {"type": exchange.type, "durable": True, "auto_delete": False}
            there = await self._api.get("exchanges", self._api.vhost, exchange.name)
            found += self._compared("exchanges", exchange.name, wanted, there)
        return found

    async def _queues(self) -> list[Problem]:
        found = []
        for queue in self._base.queues:
            wanted = {"durable": queue.durable, "auto_delete": False, "arguments": dict(queue.arguments)}
            there = await self._api.get("queues", self._api.vhost, queue.name)
            if there is not None:
                try:
                    counted = await self._counted(queue.name)
                except BrokerTrouble as trouble:
                    waits = there.get("messages")  # as the management API remembers
                    mend = None if waits else self._replacing("queues", queue.name, wanted, even_full=True)
                    left = f"; {waits} messages waited in it, so it is left alone" if waits else ""
                    found.append(Problem(f"the queue {queue.name} does not answer: {trouble}{left}", mend))
                    continue
                there["messages"] = counted.message_count
                found += self._unread(queue.name, counted)
            found += self._compared("queues", queue.name, wanted, there)
        return found

    def _unread(self, queue: str, counted: Queue.DeclareOk) -> list[Problem]:
        """Whether what programs have sent waits for nobody."""
        if not counted.message_count or counted.consumer_count:
            return []
        why = "no server or worker with plugins reads it now" if self._settings.broker.injects else "broker.injects names no program"
        return [Problem(f"nobody reads the queue {queue}, in which {counted.message_count} messages wait: {why}", outside=True)]

    async def _counted(self, queue: str) -> Queue.DeclareOk:
        """How many messages wait in a queue, and who reads it: asked over AMQP, because the management API tells what it remembers.

        Raises:
            BrokerTrouble: it does not answer, or its node is away.
            ManagementError: there is no way to RabbitMQ, or it ended on the way: that says nothing of the queue.
        """
        connection = await self._connected()
        try:
            async with asyncio.timeout(PROBE_S):
                channel = await connection.channel()
                return await channel.queue_declare(queue, passive=True)
        except TimeoutError:
            raise BrokerTrouble(f"nothing for {PROBE_S:g} s; it may have no leader") from None
        except ChannelNotFoundEntity as error:
            raise BrokerTrouble(str(error)) from None
        except (AMQPError, OSError) as error:
            raise ManagementError(f"RabbitMQ cannot be asked over AMQP: {str(error) or type(error).__name__}") from None
        finally:
            await connection.close(timeout=PROBE_S)

    async def _connected(self) -> aiormq.Connection:
        """A connection. That there is none says nothing of the queues: they must not be replaced for it."""
        connection = aiormq.Connection(self._settings.broker_url)
        try:
            async with asyncio.timeout(self._settings.broker.connect_timeout_s):
                await connection.connect()
        except (AMQPError, OSError, TimeoutError) as error:
            raise ManagementError(f"RabbitMQ cannot be reached over AMQP: {str(error) or type(error).__name__}") from None
        return connection

    def _compared(self, kind: str, name: str, wanted: dict[str, Any], there: dict[str, Any] | None) -> list[Problem]:
        what = f"the {kind.removesuffix('s')} {name}"
        if there is None:
            return [Problem(f"{what} is missing", self._making(kind, name, wanted))]
        wrong = {key: there.get(key) for key, value in wanted.items() if there.get(key) != value}
        if not wrong:
            return []
        text = ", ".join(f"{key} is {value}, not {wanted[key]}" for key, value in wrong.items())
        if there.get("messages"):
            return [Problem(f"{what}: {text}; {there['messages']} messages wait in it, so it is left alone until they are gone")]
        even_full = there.get("type") == "quorum"  # RabbitMQ removes them without a look; it was empty a moment ago
        return [Problem(f"{what}: {text}", self._replacing(kind, name, wanted, even_full=even_full))]

    def _making(self, kind: str, name: str, wanted: dict[str, Any]) -> Callable[[], Awaitable[None]]:
        async def make() -> None:
            await self._api.put(kind, self._api.vhost, name, body=wanted)

        return make

    def _replacing(self, kind: str, name: str, wanted: dict[str, Any], *, even_full: bool = False) -> Callable[[], Awaitable[None]]:
        async def replace() -> None:
            await self._api.delete(kind, self._api.vhost, name, if_empty=kind == "queues" and not even_full)
            await self._api.put(kind, self._api.vhost, name, body=wanted)

        return replace

    def _bindings(self, there: Sequence[dict[str, Any]]) -> list[Problem]:
        paths = {path_of(each) for each in there}
        wanted = {(each.exchange, "queue", each.queue, each.key): each for each in self._base.bindings}
        missing = [self._unbound(each) for path, each in wanted.items() if path not in paths]
        return [*missing, *(self._brought(each) for each in there if path_of(each) not in wanted and self._into_ours(*path_of(each)))]

    def _into_ours(self, source: str, kind: str, name: str, _key: str) -> bool:
        """Whether a binding brings something into what is ours; each queue has one to RabbitMQ's default exchange, which is none."""
        ours = self._base.queues if kind == "queue" else self._base.exchanges
        return source != "" and any(name == each.name for each in ours)

    def _unbound(self, binding: topology.Binding) -> Problem:
        async def bind() -> None:
            body = {"routing_key": binding.key, "arguments": {}}
            await self._api.post("bindings", self._api.vhost, "e", binding.exchange, "q", binding.queue, body=body)

        return Problem(f"the queue {binding.queue} is not bound to {binding.exchange} by {binding.key}", bind)

    def _brought(self, there: dict[str, Any]) -> Problem:
        """What one of ours gets and is not meant for it: nobody believes it, and it takes the place of what is."""
        source, kind, name, key = path_of(there)

        async def unbind() -> None:
            await self._api.delete("bindings", self._api.vhost, "e", source, kind[0], name, there["properties_key"])

        return Problem(f"the {kind} {name} is bound to {source} by {key!r}, and should not be", unbind)

    async def _others(self, told: set[str]) -> list[Problem]:
        """Queues of other programs that get in the way of ours; `told` get events."""
        found = []
        queues = await self._api.get("queues", self._api.vhost) or []
        for each in (each for each in queues if not each["name"].startswith(topology.PREFIX)):
            rules = rules_of(each)
            overflow = str(rules.get("overflow", ""))
            if overflow.startswith("reject") and each["name"] in told:  # as the relay hears it, of the event
                found.append(Problem(f"the queue {each['name']} refuses events when it is full: {overflow}", outside=True))
            if (into := str(rules.get("dead-letter-exchange", ""))).startswith(topology.PREFIX):
                found.append(Problem(f"the queue {each['name']} moves messages to {into}, where nobody believes them", outside=True))
        return found

    # ---- policies

    async def _policies(self) -> list[Problem]:
        there = {each["name"]: each for each in await self._api.get("policies", self._api.vhost) or []}
        found = []
        for policy in topology.POLICIES:
            body, other = policy.body, there.get(policy.name, {})
            if {key: other.get(key) for key in body} != body:
                found.append(
                    Problem(f"the policy {policy.name}, which bounds {policy.bounds}, is missing or another", self._setting(policy))
                )
        return [*found, *self._overruled(there.values())]

    def _overruled(self, there: Iterable[dict[str, Any]]) -> list[Problem]:
        """Somebody else's policies that hold for the queue of programs in the place of ours, and may not bound it."""
        ours = topology.INJECT_POLICY
        return [
            Problem(
                f"the policy {each['name']} may hold for {ours.bounds}, which {ours.name} bounds: give it a priority below {ours.priority}"
            )
            for each in there
            if each["name"] != ours.name
            and each["priority"] >= ours.priority
            and each["apply-to"] != "exchanges"
            and topology.fits(each["pattern"], topology.INJECT)
        ]

    def _setting(self, policy: topology.Policy) -> Callable[[], Awaitable[None]]:
        async def set_policy() -> None:
            await self._api.put("policies", self._api.vhost, policy.name, body=policy.body)

        return set_policy


def told_of_events(bindings: Iterable[dict[str, Any]]) -> set[str]:
    """The queues that events get into, over exchanges of others, too."""
    paths = [path_of(each) for each in bindings]
    exchanges, more = set[str](), {topology.EVENTS}
    while more:
        exchanges |= more
        more = {name for source, kind, name, _ in paths if kind == "exchange" and source in exchanges} - exchanges
    return {name for source, kind, name, _ in paths if kind == "queue" and source in exchanges}


def rules_of(queue: dict[str, Any]) -> dict[str, Any]:
    """What holds for a queue: what policies say, and before them what it was declared with."""
    declared = {key.removeprefix("x-"): value for key, value in (queue.get("arguments") or {}).items()}
    return {**(queue.get("effective_policy_definition") or {}), **declared}


def path_of(binding: dict[str, Any]) -> tuple[str, str, str, str]:
    """From where to what, and by which key."""
    return binding["source"], binding["destination_type"], binding["destination"], binding["routing_key"]


async def repaired(upkeep: Upkeep) -> tuple[list[str], list[Problem]]:
    """Mend what can be mended; gives what was, and what is still wrong.

    Raises:
        ManagementError: the management API cannot be used, or refused.
    """
    mended: list[str] = []
    for _ in range(3):  # what was mended may bring to light what lay behind it, such as a vhost that was missing
        problems = [problem for problem in await upkeep.check() if problem.mend is not None and problem.text not in mended]
        if not problems:
            break
        for problem in problems:
            assert problem.mend is not None
            await problem.mend()
            mended.append(problem.text)
    return mended, await upkeep.check()
