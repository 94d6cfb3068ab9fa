"""`crust broker`: what has to be on RabbitMQ."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from cyclopts import App

from crust.broker.management import Management
from crust.broker.upkeep import Upkeep, repaired
from crust.cli.common import Config, Json, configured, print_json
from crust.settings import SettingsError

app = App(name="broker", help="Check what has to be on RabbitMQ, or repair it.")


@app.command
async def check(*, json: Json = False, config: Config = None) -> None:
    """Say what is missing or wrong: vhost, exchanges, queues, bindings, permissions, policies. Exit status 1 if anything is."""
    async with _upkeep(config) as upkeep:
        problems = [problem.text for problem in await upkeep.check()]
    if json:
        print_json(problems)
    else:
        print("\n".join(problems) or "everything is as it should be")
    sys.exit(1 if problems else 0)


@app.command
async def repair(*, config: Config = None) -> None:
    """Make it as it should be, and say what was done and what only a person can do. Exit status 1 if more than other programs' is left."""
    async with _upkeep(config) as upkeep:
        mended, left = await repaired(upkeep)
    print("\n".join(f"mended: {text}" for text in mended) or "there was nothing to mend")
    for problem in left:
        print(f"left: {problem.text}")
    sys.exit(0 if all(problem.outside for problem in left) else 1)


@asynccontextmanager
async def _upkeep(config: Path | None) -> AsyncIterator[Upkeep]:
    settings = configured(config)
    if not settings.broker_url:
        raise SettingsError(["broker_url: is empty, so there is no RabbitMQ to look at"])
    async with Management(settings) as api:
        yield Upkeep(settings, api)
