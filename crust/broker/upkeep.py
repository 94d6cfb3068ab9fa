"""What has to be on RabbitMQ: is it there, and as it should be? `check` looks, `repair` makes it so.

What a server declares itself (exchanges, queues, bindings) is part of it, and what it cannot: who may read and write what. Queues of nodes
are not looked at; they come and go with them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import aiormq
from aiormq.exceptions import AMQPError, ChannelNotFoundEntity
from pamqp.commands import Queue

from crust.broker import topology
from crust.broker.connection import BrokerTrouble
from crust.broker.management import Management, ManagementError
from crust.settings import Settings

NOTHING = "^$"  # matches no name of ours
PROBE_S = 5.0  # for a queue to answer; one without a leader never does


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, in words, and what mends it; None where only a person can. `passing`: a server that starts may end it."""

    text: str
    mend: Callable[[], Awaitable[None]] | None = None
    passing: bool = False


class Upkeep:
    """See the module.

    Args:
        settings: `broker_url` and `broker.*`.
        api: RabbitMQ's management API.
    """

    def __init__(self, settings: Settings, api: Management) -> None:
        self._settings, self._api = settings, api
        self._base = topology.base(settings.broker.queue_type)
        nothing: list[str] = []  # who may say something need not be let read anything
        self._granted = dict.fromkeys(topology.granted(settings.broker.injects), nothing)
        self._granted |= topology.granted(settings.broker.grants)

    async def check(self) -> list[Problem]:
        """Everything that is wrong, in the order in which it can be mended.

        Raises:
            ManagementError: the management API cannot be used.
        """
        if await self._api.get("vhosts", self._api.vhost) is None:
            return [Problem(f"there is no vhost {self._api.vhost}", self._make_vhost)]
        if own := await self._plain(self._api.account, topology.core_permissions()):
            return own  # without these there is no looking at the rest
        found = [*await self._permissions(), *await self._exchanges(), *await self._queues(), *await self._bindings()]
        return [*found, *await self._policies(), *await self._refusing()]

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
        return [Problem(f"nobody reads the queue {queue}, in which {counted.message_count} messages wait: {why}", passing=True)]

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

    async def _bindings(self) -> list[Problem]:
        found = []
        for binding in self._base.bindings:
            path = ("bindings", self._api.vhost, "e", binding.exchange, "q", binding.queue)
            there = await self._api.get(*path) or []
            if all(each.get("routing_key") != binding.key for each in there):

                async def bind(path: tuple[str, ...] = path, key: str = binding.key) -> None:
                    await self._api.post(*path, body={"routing_key": key, "arguments": {}})

                found.append(Problem(f"the queue {binding.queue} is not bound to {binding.exchange} by {binding.key}", bind))
        return found

    # ---- who may do what

    async def _permissions(self) -> list[Problem]:
        found = await self._topics(self._api.account, topology.core_permissions())
        for account, grants in sorted(self._granted.items()):
            if account == self._api.account:
                found.append(Problem(f"broker.grants names {account}, the account of broker_url, which may do everything anyhow"))
            elif await self._api.get("users", account) is None:
                found.append(Problem(f"there is no account {account}; make it: rabbitmqctl add_user {account}"))
            else:
                found += await self._account(account, topology.account_permissions(account, grants))
        return [*found, *await self._not_granted()]

    async def _account(self, account: str, wanted: topology.Permissions) -> list[Problem]:
        return [*await self._plain(account, wanted), *await self._topics(account, wanted)]

    async def _plain(self, account: str, wanted: topology.Permissions) -> list[Problem]:
        vhost = self._api.vhost
        plain = {"configure": wanted.configure, "write": wanted.write, "read": wanted.read}
        there = await self._api.get("permissions", vhost, account) or {}
        if all(there.get(key) == value for key, value in plain.items()):
            return []

        async def permit() -> None:
            await self._api.put("permissions", vhost, account, body=plain)

        return [Problem(f"the account {account} has other permissions than it should", permit)]

    async def _topics(self, account: str, wanted: topology.Permissions) -> list[Problem]:
        vhost = self._api.vhost
        topics = {"exchange": topology.EVENTS, "write": ".*" if account == self._api.account else NOTHING, "read": wanted.topics}
        rules = await self._api.get("topic-permissions", vhost, account) or []
        if [{key: rule.get(key) for key in topics} for rule in rules if rule.get("exchange") == topology.EVENTS] == [topics]:
            return []

        async def grant() -> None:
            await self._api.put("topic-permissions", vhost, account, body=topics)

        what = ", ".join(self._granted.get(account, ["everything"])) or "nothing"
        return [Problem(f"the account {account} does not have the topic permission for {what}", grant)]

    async def _not_granted(self) -> list[Problem]:
        """Accounts that may read events and are in no grant, RabbitMQ's administrators left out: they may grant themselves anything."""
        topics = {rule["user"]: rule for rule in await self._rules("topic-permissions") if rule["exchange"] == topology.EVENTS}
        readers = [rule["user"] for rule in await self._rules("permissions") if rule["read"] not in ("", NOTHING)]
        known = {self._api.account, *self._granted}
        found = []
        for account in sorted(set(readers) - known):
            user = await self._api.get("users", account) or {}
            may = account not in topics or topics[account]["read"] != NOTHING
            if may and "administrator" not in user.get("tags", ""):
                found.append(self._superfluous(account))
        return found

    async def _rules(self, kind: str) -> list[dict[str, Any]]:
        return await self._api.get("vhosts", self._api.vhost, kind) or []

    def _superfluous(self, account: str) -> Problem:
        async def withdraw() -> None:
            body = {"exchange": topology.EVENTS, "write": NOTHING, "read": NOTHING}
            await self._api.put("topic-permissions", self._api.vhost, account, body=body)

        return Problem(f"the account {account} may read events and is in no grant of broker.grants", withdraw)

    async def _refusing(self) -> list[Problem]:
        """Queues of others that refuse what they have no place for; each refusal is one of the event, as the relay hears it."""
        return [
            Problem(f"the queue {each['name']} refuses events when it is full: {each['arguments']['x-overflow']}")
            for each in await self._api.get("queues", self._api.vhost) or []
            if str((each.get("arguments") or {}).get("x-overflow", "")).startswith("reject")
        ]

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
            if each["name"] != ours.name and each["priority"] >= ours.priority and _fits(each, topology.INJECT)
        ]

    def _setting(self, policy: topology.Policy) -> Callable[[], Awaitable[None]]:
        async def set_policy() -> None:
            await self._api.put("policies", self._api.vhost, policy.name, body=policy.body)

        return set_policy


def _fits(policy: dict[str, Any], queue: str) -> bool:
    try:
        return policy["apply-to"] != "exchanges" and re.search(policy["pattern"], queue) is not None
    except re.error:  # RabbitMQ's expressions know more than Python's
        return False


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
    return mended, [problem for problem in await upkeep.check() if not problem.passing]
