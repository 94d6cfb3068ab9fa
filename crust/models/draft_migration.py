"""Write the migration that today's models ask for: `python -m crust.models.draft_migration`. For developers of Crust."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from tortoise.migrations.autodetector import MigrationAutodetector

from crust.models.database import Database
from crust.settings import Settings


def detector(database: Database) -> MigrationAutodetector:
    """Compares the models with what the migrations make of an empty database. The database itself is not looked at."""
    return MigrationAutodetector(database.apps, database.tortoise_apps)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with Database(Settings(data_dir=Path(folder))).opened() as database:
            for path in await detector(database).write():
                print(path)  # noqa: T201  # a command's answer


if __name__ == "__main__":
    asyncio.run(main())
