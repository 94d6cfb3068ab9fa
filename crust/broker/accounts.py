"""Who may do what on RabbitMQ: the core's account anything, other programs' what the settings say, and nobody else anything of ours."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from crust.broker import topology
from crust.broker.management import Management
from crust.broker.problem import Problem
from crust.settings import Settings


class Accounts:
    """See the module.

    Args:
        settings: `broker.grants` and `broker.injects`.
        api: RabbitMQ's management API.
    """

    def __init__(self, settings: Settings, api: Management) -> None:
        self._api = api
        self._granted, self._injecting = topology.granted(settings.broker.grants), topology.granted(settings.broker.injects)

    async def own(self) -> list[Problem]:
        """Whether the core's account may do what everything else needs."""
        return await self._plain(self._api.account, topology.core_permissions())

    async def check(self) -> list[Problem]:
        """What is wrong with anybody's permissions."""
        found = await self._topics(self._api.account, topology.core_permissions())
        if (own := self._api.account) in self._granted:
            found.append(Problem(f"broker.grants names {own}, the account of broker_url, which may do everything anyhow"))
        for account in sorted({*self._granted, *self._injecting} - {own}):
            if await self._api.get("users", account) is None:
                found.append(Problem(f"there is no account {account}; make it: rabbitmqctl add_user {account}", outside=True))
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

        what = "everything" if account == self._api.account else ", ".join(self._granted.get(account, [])) or "nothing"
        return [Problem(f"the account {account} does not have the topic permission for {what}", grant)]

    async def _not_granted(self) -> list[Problem]:
        """What accounts may do and no setting says, RabbitMQ's administrators left out: they may grant themselves anything."""
        topics = {rule["user"]: rule["read"] for rule in await self._rules("topic-permissions") if rule["exchange"] == topology.EVENTS}
        found = []
        for rule in sorted(await self._rules("permissions"), key=itemgetter("user")):
            account, wrong = rule["user"], []
            if may(rule["read"], topology.EVENTS) and topics.get(account) != topology.NOTHING:
                wrong.append(self._superfluous(account))
            if may(rule["write"], topology.INJECT):
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


def may(pattern: str, name: str) -> bool:
    """Whether a permission includes a name; an empty one is none."""
    return pattern != "" and topology.fits(pattern, name)
