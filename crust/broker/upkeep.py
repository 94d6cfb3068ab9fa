"""What has to be on RabbitMQ: is it there, and as it should be? `check` looks, `repair` makes it so.

What a server declares itself (exchanges, queues, bindings) is part of it, and what it cannot: who may read and write what. Queues of nodes
are not looked at; they come and go with them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import aiormq
from aiormq.exceptions import AMQPError, ChannelNotFoundEntity
from pamqp.commands import Queue

from crust.broker import topology
from crust.broker.connection import BrokerTrouble
from crust.broker.management import Management, ManagementError
from crust.settings import Settings

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
        self._granted, self._injecting = topology.granted(settings.broker.grants), topology.granted(settings.broker.injects)

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
        if (own := self._api.account) in self._granted:
            found.append(Problem(f"broker.grants names {own}, the account of broker_url, which may do everything anyhow"))
        for account in sorted({*self._granted, *self._injecting} - {own}):
            if await self._api.get("users", account) is None:
                found.append(Problem(f"there is no account {account}; make it: rabbitmqctl add_user {account}"))
            else:
                wanted = topology.account_permissions(account, self._granted.get(account, []), injects=account in self._injecting)
                found += [*await self._plain(account, wanted), *await self._topics(account, wanted)]
        return [*found, *await self._not_granted()]

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
        topics = {"exchange": topology.EVENTS, "write": ".*" if account == self._api.account else topology.NOTHING, "read": wanted.topics}
        rules = await self._api.get("topic-permissions", vhost, account) or []
        if [{key: rule.get(key) for key in topics} for rule in rules if rule.get("exchange") == topology.EVENTS] == [topics]:
            return []

        async def grant() -> None:
            await self._api.put("topic-permissions", vhost, account, body=topics)

        what = ", ".join(self._granted.get(account, ["everything"])) or "nothing"
        return [Problem(f"the account {account} does not have the topic permission for {what}", grant)]

    async def _not_granted(self) -> list[Problem]:
        """What accounts may do and no setting says, RabbitMQ's administrators left out: they may grant themselves anything."""
        topics = {rule["user"]: rule["read"] for rule in await self._rules("topic-permissions") if rule["exchange"] == topology.EVENTS}
        found = []
        for rule in sorted(await self._rules("permissions"), key=itemgetter("user")):
            account, wrong = rule["user"], []
            if _may(rule["read"], topology.EVENTS) and topics.get(account) != topology.NOTHING:
                wrong.append(self._superfluous(account))
            if _may(rule["write"], topology.INJECT):
                wrong.append(self._writing(account, rule))
            if wrong and account not in {self._api.account, *self._granted, *self._injecting} and not await self._administers(account):
                found += wrong
        return found

    async def _administers(self, account: str) -> bool:
        return "administrator" in (await self._api.get("users", account) or {}).get("tags", "")

    async def _rules(self, kind: str) -> list[dict[str, Any]]:
        return await self._api.get("vhosts", self._api.vhost, kind) or []

    def _superfluous(self, account: str) -> Problem:
        async def withdraw() -> None:
            body = {"exchange": topology.EVENTS, "write": topology.NOTHING, "read": topology.NOTHING}
            await self._api.put("topic-permissions", self._api.vhost, account, body=body)

        return Problem(f"the account {account} may read events and is in no grant of broker.grants", withdraw)

    def _writing(self, account: str, rule: dict[str, Any]) -> Problem:
        """It was named once, or somebody else has let it write to more."""
        write = f"{topology.MAY_INJECT})$"

        async def withdraw() -> None:
            body = {"configure": rule["configure"], "write": rule["write"].replace(write, ")$"), "read": rule["read"]}
            await self._api.put("permissions", self._api.vhost, account, body=body)

        text = f"the account {account} may write to {topology.INJECT} and is not named in broker.injects"
        return Problem(text, withdraw if rule["write"].endswith(write) else None)

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
            if each["name"] != ours.name
            and each["priority"] >= ours.priority
            and each["apply-to"] != "exchanges"
            and _fits(each["pattern"], topology.INJECT)
        ]

    def _setting(self, policy: topology.Policy) -> Callable[[], Awaitable[None]]:
        async def set_policy() -> None:
            await self._api.put("policies", self._api.vhost, policy.name, body=policy.body)

        return set_policy


def _fits(pattern: str, name: str) -> bool:
    """Whether one of RabbitMQ's regular expressions may fit a name; they know more than Python's."""
    try:
        return re.search(pattern, name) is not None
    except re.error:
        return True


def _may(pattern: str, name: str) -> bool:
    """The same, for a permission: an empty one is none."""
    return pattern != "" and _fits(pattern, name)


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
