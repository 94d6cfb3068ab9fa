"""`crust init`, `crust migrate`: what comes before the first start, and before one of a new version."""

from __future__ import annotations

from pathlib import Path

from crust.cli.common import Config, configured
from crust.runtime import opened
from crust.settings import example_toml


async def init(*, config: Config = None) -> None:
    """Write a commented config.toml, if there is none, and make the database."""
    path = config or Path("config.toml")
    if path.exists():
        print(f"{path} is there already and stays as it is")
    else:
        path.write_text(example_toml())
        print(f"wrote {path}: every setting with its default, all commented out")
    await migrate(config=path)
    print("now: crust user add NAME --admin, or crust serve and its link")


async def migrate(*, config: Config = None) -> None:
    """Bring the database up to date. (`serve` and all other commands do so too.)"""
    settings = configured(config)
    async with opened(settings) as node:
        print(f"migrated: {', '.join(node.migrated)}" if node.migrated else "the database is up to date")
