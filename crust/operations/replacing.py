"""Putting what there is out of the way of what is restored, so that it can be looked at after, and put back where the restore fails."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg


def name_of_now() -> str:
    """What the place for it is called."""
    return time.strftime("replaced_%Y%m%dt%H%M%Sz", time.gmtime())


@contextmanager
def files_aside(paths: Sequence[Path], name: str) -> Iterator[None]:
    """Move those of the paths that there are into folders of this name beside them; and back where the block fails."""
    moved = []
    try:
        for path in (path for path in paths if path.exists()):
            place = path.parent / name
            place.mkdir(mode=0o700, exist_ok=True)
            path.rename(place / path.name)
            moved.append(path)
        yield
    except BaseException:
        for path in reversed(moved):
            if path.exists():
                path.rename(path.parent / name / f"{path.name}.failed")
            (path.parent / name / path.name).rename(path)
        raise


@asynccontextmanager
async def schema_aside(connection: asyncpg.Connection, name: str) -> AsyncIterator[None]:
    """Give the schema with the tables this name, and have an empty one in its stead; and back where the block fails."""
    schema = await connection.fetchval("SELECT current_schema()")
    async with connection.transaction():
        await connection.execute(f'ALTER SCHEMA "{schema}" RENAME TO "{name}"')
        await connection.execute(f'CREATE SCHEMA "{schema}"')
    try:
        yield
    except BaseException:
        async with connection.transaction():
            await connection.execute(f'DROP SCHEMA "{schema}" CASCADE')
            await connection.execute(f'ALTER SCHEMA "{name}" RENAME TO "{schema}"')
        raise
