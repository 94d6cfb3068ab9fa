"""How bridges are, and each of their links, as operators see it, whichever process they live in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crust.clock import Clock
from crust.host.registration import Wanted
from crust.host.roster import STOPPED, Shown, lives_of
from crust.host.states import BRIDGES, states_of
from crust.log import Leases
from crust.models.database import Database
from crust.plugin import Bridge
from crust.services.core import Core
from crust.services.deliveries import LANE
from crust.services.links import RoomLink
from crust.telemetry.metrics import Labels

# How many events wait for each lane, how many are parked, whether the lane itself is, and why it waits.
LANES = """
SELECT d.lane, sum(CASE WHEN d.state IN ('waiting', 'running') THEN 1 ELSE 0 END) AS waiting,
sum(CASE WHEN d.state = 'parked' THEN 1 ELSE 0 END) AS parked,
min(CASE WHEN d.state IN ('waiting', 'running') THEN d.made_at END) AS oldest
FROM delivery d WHERE d.consumer = $1 AND d.state IN ('waiting', 'running', 'parked') GROUP BY d.lane
"""
REASON_MAX = 500  # characters of an error that are shown where it says what to do
ALIVE = ("running", "degraded")  # of an instance: only then it is as it has said
GIVEN_UP = f"SELECT consumer, lane FROM lane WHERE parked_at IS NOT NULL AND lane LIKE '{LANE}%'"
TROUBLES = "SELECT lane, parked_at, error FROM lane WHERE consumer = $1"


def bridges_of(wanted: Sequence[Wanted]) -> list[Wanted]:
    """Those of the instances that are bridges."""
    return [each for each in wanted if issubclass(each.plugin, Bridge)]


async def status(core: Core, wanted: Sequence[Wanted], lives: Mapping[str, Shown]) -> list[Shown]:
    """A row for each bridge, and one for each of its links. `lag_s` is for how long the oldest event waits that is to go out."""
    says = {each.key: each.body for each in await states_of(core.database, core.clock).collection(BRIDGES).find(limit=1000)}
    found: list[Shown] = []
    for each in bridges_of(wanted):
        life = lives.get(each.name, STOPPED)
        alive = life["state"] in ALIVE
        said = says.get(each.name) if alive else None
        now = said or life
        empty = {"link": None, "room": None, "channel": None, "waiting": None, "parked": None, "lag_s": None}
        found.append({"bridge": each.name, **empty, "state": now["state"], "reason": now["reason"]})
        found += await _links(core, each.name, says if alive else {})
    return found


OLDEST = (
    "SELECT consumer, lane, min(made_at) AS oldest FROM delivery WHERE state IN ('waiting', 'running') AND lane LIKE 'link/%'"
    " GROUP BY consumer, lane"
)


async def states(database: Database, leases: Leases, clock: Clock) -> dict[Labels, float]:
    """The state of each bridge and link that has said one, as metrics have it; link is empty for the bridge itself."""
    lives = await lives_of(database, leases, clock)
    found: dict[tuple[str, str], str] = {}
    for each in await states_of(database, clock).collection(BRIDGES).find(limit=1000):
        bridge, _, link = each.key.partition("/")
        life = lives.get(bridge, STOPPED)["state"]
        found[bridge, link] = str(each.body["state"] if life in ALIVE else life)
    for row in await database.fetch(GIVEN_UP):
        found[row["consumer"], row["lane"].removeprefix(LANE)] = "needs-attention"
    return {(*which, state): 1.0 for which, state in found.items()}


async def lags(database: Database, clock: Clock) -> dict[Labels, float]:
    """For how many seconds the oldest event waits that is to go out over a link; links for which nothing waits are left out."""
    rows = await database.fetch(OLDEST)
    return {(row["consumer"], row["lane"].removeprefix(LANE)): max(0, clock.now() - row["oldest"]) / 1000 for row in rows}


async def _links(core: Core, name: str, states: Mapping[str, Mapping[str, Any]]) -> list[Shown]:
    lanes = {row["lane"]: row for row in await core.database.fetch(LANES, name)}
    troubles = {row["lane"]: row for row in await core.database.fetch(TROUBLES, name)}
    links = await core.links.of_bridge(name)
    names = {each.channel_id: await _channel(core, each) for each in links}
    found = []
    for link in links:
        row, trouble, said = lanes.get(f"{LANE}{link.id}"), troubles.get(f"{LANE}{link.id}"), states.get(f"{name}/{link.id}")
        state, reason = (said["state"], said["reason"]) if said else ("linked", None)
        if trouble is not None and trouble["parked_at"] is not None:
            state, reason = "needs-attention", given_up(name, link.id, trouble["error"])
        elif trouble is not None:
            state, reason = "failing", trouble["error"]
        oldest = row["oldest"] if row else None
        found.append({
            "bridge": name, "link": str(link.id), "room": link.remote_room, "channel": names[link.channel_id],
            "waiting": int(row["waiting"]) if row else 0, "parked": int(row["parked"]) if row else 0,
            "lag_s": None if oldest is None else max(0, core.clock.now() - oldest) // 1000, "state": state, "reason": reason,
        })  # fmt: skip
    return found


def given_up(name: str, link_id: int, error: str | None) -> str:
    """What somebody has to do about a link over which nothing goes out any more."""
    why = f"Nothing goes out over this link: its room failed for too long{f' ({error[:REASON_MAX]})' if error else ''}."
    return f"{why} When it is back: crust parked replay --consumer {name} --lane {LANE}{link_id}"


async def _channel(core: Core, link: RoomLink) -> str:
    rows = await core.database.fetch("SELECT name FROM channel WHERE id = $1", link.channel_id)
    return f"#{rows[0]['name']}" if rows else str(link.channel_id)
