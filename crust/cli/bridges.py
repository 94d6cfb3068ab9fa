"""`crust bridges`: how bridges and their links are, and whether one can do its work."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

from cyclopts import App

from crust.cli.common import Config, Json, configured, core, print_rows
from crust.errors import NotFound
from crust.host import bridges
from crust.host.chain import FilterChain
from crust.host.registration import registered
from crust.host.roster import lives_of
from crust.plugin import Bridge, Finding
from crust.runtime import hosting, opened
from crust.settings import Settings

app = App(name="bridges", help="How bridges and their links are: status, check.")

COLUMNS = ["bridge", "link", "room", "channel", "state", "waiting", "parked", "lag_s", "reason"]
CHECK_S = 120.0  # for all that a bridge tries


@app.command
async def status(*, json: Json = False, config: Config = None) -> None:
    """Every bridge with its links: how it is, what waits to go out and for how long, what is parked."""
    async with core(config) as node:
        lives = await lives_of(node.database, node.leases, node.clock)
        rows = await bridges.status(node.core, registered(node.settings)[0], lives)
    print_rows(rows, COLUMNS, json=json)


@app.command
async def check(name: str, *, json: Json = False, config: Config = None) -> None:
    """Have a bridge try the real thing, and say what to change; exit status 1 where something is not good."""
    findings = await tried(configured(config), name)
    print_rows([dataclasses.asdict(each) for each in findings], ["good", "what", "found", "change"], json=json)
    sys.exit(0 if all(each.good for each in findings) else 1)


async def tried(settings: Settings, name: str) -> Sequence[Finding]:
    """What a bridge finds with these settings, which need not be those of the server that runs: nothing is changed by it.

    Raises:
        NotFound: there is no such bridge, or it cannot be at work.
    """
    wanted, refused = registered(settings)
    if found := [each for each in refused if each.name == name]:
        raise NotFound(f"{name} cannot be at work: {'; '.join(found[0].problems)}")
    own = [each for each in bridges.bridges_of(wanted) if each.name == name]
    if not own:
        raise NotFound(f"There is no enabled bridge {name}.")
    async with opened(settings) as node, hosting(node, own, FilterChain(node.clock), "serve", strict=True, begin=False) as hosted:
        return await found_by(hosted.bridges[name])


async def found_by(bridge: Bridge[Any]) -> Sequence[Finding]:
    """What it finds; that it raises, or takes too long, is a finding."""
    try:
        async with asyncio.timeout(CHECK_S):
            findings = list(await bridge.check())
    except TimeoutError:
        return [Finding(what="the check", good=False, found=f"it took longer than {CHECK_S:g} s")]
    except Exception as error:  # noqa: BLE001  # the boundary: a plugin's code
        return [Finding(what="the check", good=False, found=f"it raised {type(error).__name__}: {error}")]
    return findings or [Finding(what="the check", good=True, found="this bridge has nothing to try")]
