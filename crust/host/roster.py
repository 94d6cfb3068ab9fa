"""Which instances are configured, and how they are, whichever process they live in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crust.clock import Clock
from crust.host.kinds import kinds
from crust.host.registration import Refused, Wanted
from crust.host.states import LEASE, STATES, states_of
from crust.log import Leases
from crust.models.database import Database
from crust.settings import Settings

Shown = dict[str, Any]
STOPPED: Shown = {"state": "stopped", "reason": None, "node": None, "since": None, "life": None}
UNLEASED = ("waiting", "refused")  # states in which an instance lives nowhere


async def lives_of(database: Database, leases: Leases, clock: Clock) -> Mapping[str, Shown]:
    """What the instances were said to be last: of those whose process is gone, that they are stopped."""
    held = {name.removeprefix(LEASE) for name, row in (await leases.all()).items() if name.startswith(LEASE) and row["held"]}
    documents = await states_of(database, clock).collection(STATES).find(limit=1000)
    return {each.key: dict(each.body) if each.key in held or each.body["state"] in UNLEASED else STOPPED for each in documents}


def listed(settings: Settings, registered: tuple[list[Wanted], list[Refused]], lives: Mapping[str, Shown]) -> list[Shown]:
    """Every instance that is configured, in the order of the settings, and the plugins that are there besides."""
    wanted, refused = registered
    states = {each.name: lives.get(each.name, STOPPED) if each.settings.enabled else _state("disabled", None) for each in wanted}
    states |= {each.name: _state("refused", "; ".join(each.problems)) for each in refused}
    used = [{"name": name, "plugin": each.use or name, **states[name]} for name, each in settings.plugins.items()]
    there = kinds(settings.plugins_dir).keys() - {each["plugin"] for each in used}
    return [*used, *({"name": None, "plugin": kind, **_state("not configured", None)} for kind in sorted(there))]


def _state(state: str, reason: str | None) -> Shown:
    return {**STOPPED, "state": state, "reason": reason}
