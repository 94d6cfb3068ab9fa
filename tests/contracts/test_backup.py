"""What a backup refuses, and what is left when one is cut off."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crust.errors import Conflict, CrustError, Invalid, NotFound
from crust.models.database import StartRefused
from crust.operations.backup import PARTIAL, back_up, restore, set_aside
from crust.operations.manifest import NAME
from crust.operations.progress import Step
from crust.runtime import opened
from crust.settings import Settings
from tests.support.people import channel, person, say

pytestmark = pytest.mark.asyncio


def quiet(_step: Step) -> None:
    """Nobody watches."""


async def talked(settings: Settings) -> None:
    """A server with somebody who said something."""
    async with opened(settings) as node:
        ana = await person(node, "ana", is_admin=True)
        await say(node, ana, await channel(node, ana), "hello")


@pytest.fixture
def empty(settings: Settings, request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Another database of the same kind, with nothing in it."""
    url = request.getfixturevalue("another_postgres_url") if settings.database_url else ""
    return settings.model_copy(update={"data_dir": tmp_path / "elsewhere", "database_url": url})


async def test_a_backup_becomes_a_server(settings: Settings, empty: Settings, tmp_path: Path) -> None:
    """With all that was said, under another epoch; a second restore over it is refused and changes nothing."""
    await talked(settings)
    made = await back_up(settings, tmp_path / "backup", quiet)
    assert (tmp_path / "backup").stat().st_mode & 0o077 == 0
    assert await restore(empty, tmp_path / "backup", quiet) == made
    async with opened(empty) as node:
        rows = await node.database.fetch("SELECT contents FROM message WHERE type = 'MESSAGE'")
        assert [row["contents"] for row in rows] == ["hello"]
        head = await node.log.head()
        assert (head.position, head.epoch != made.epoch) == (made.position, True)
    with pytest.raises(Conflict):
        await restore(empty, tmp_path / "backup", quiet)
    async with opened(empty) as node:
        assert await node.log.head() == head


async def test_where_nothing_is_nothing_is_backed_up(empty_settings: Settings, tmp_path: Path) -> None:
    """It is said, and no empty database is left behind."""
    with pytest.raises(StartRefused):
        await back_up(empty_settings, tmp_path / "backup", quiet)
    assert not (tmp_path / "backup").exists()
    assert not (empty_settings.data_dir / "crust.db").exists()


async def test_a_folder_with_something_in_it_is_left_alone(settings: Settings, tmp_path: Path) -> None:
    """Whatever it is; an earlier attempt that was cut off is no hindrance."""
    await talked(settings)
    there = tmp_path / "backup"
    there.mkdir()
    (there / "mine").write_text("keep")
    with pytest.raises(Conflict, match="is there already"):
        await back_up(settings, there, quiet)
    assert [path.name for path in there.iterdir()] == ["mine"]
    (tmp_path / f"second{PARTIAL}").mkdir()
    (tmp_path / f"second{PARTIAL}" / "half").write_text("cut off")
    await back_up(settings, tmp_path / "second", quiet)
    assert sorted(path.name for path in (tmp_path / "second").iterdir()) == ["database", NAME]


async def test_what_fails_leaves_nothing(settings: Settings, tmp_path: Path) -> None:
    """A backup that cannot be finished is not there, under no name."""
    await talked(settings)

    def stop(step: Step) -> None:
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        await back_up(settings, tmp_path / "backup", stop)
    assert not (tmp_path / "backup").exists()
    assert not (tmp_path / f"backup{PARTIAL}").exists()


def cut(folder: Path) -> None:
    path = max((folder / "database").iterdir(), key=lambda each: each.stat().st_size)
    path.write_bytes(path.read_bytes()[:-1])


def flipped(folder: Path) -> None:
    path = max((folder / "database").iterdir(), key=lambda each: each.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def saying(**changed: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        manifest = json.loads((folder / NAME).read_text())
        (folder / NAME).write_text(json.dumps({**manifest, **changed}))

    return change


@pytest.mark.parametrize(
    ("harm", "error", "said"),
    [
        (lambda folder: (folder / NAME).unlink(), NotFound, "is no backup"),
        (lambda folder: (folder / NAME).write_text("{"), Invalid, "cannot be read"),
        (saying(parts=7), Invalid, "cannot be read"),
        (saying(format=2), Invalid, "format 2"),
        (saying(migrations=["0001_initial", "9999_later"]), Invalid, "9999_later is not known"),
        (saying(dialect="other"), Invalid, "cannot be read"),
        (cut, Invalid, "is not what was backed up"),
        (flipped, Invalid, "SHA-256"),
    ],
)
async def test_what_is_not_whole_is_refused(
    settings: Settings, empty: Settings, tmp_path: Path, harm: Callable[[Path], None], error: type[CrustError], said: str
) -> None:
    """By what is wrong with it, before anything is written."""
    await talked(settings)
    await back_up(settings, tmp_path / "backup", quiet)
    harm(tmp_path / "backup")
    with pytest.raises(error, match=said):
        await restore(empty, tmp_path / "backup", quiet)
    assert not (tmp_path / "elsewhere" / "crust.db").exists()
    async with opened(empty) as node:
        assert await node.core.accounts.empty()


async def test_a_database_in_use_is_refused(settings: Settings, empty: Settings, tmp_path: Path) -> None:
    """Also when nobody has an account yet: whoever has it open would not know that everything is another now."""
    await talked(settings)
    await back_up(settings, tmp_path / "backup", quiet)
    async with opened(empty) as node:
        with pytest.raises(Conflict):
            await restore(empty, tmp_path / "backup", quiet)
        assert await node.core.accounts.empty()


async def test_kinds_of_databases_are_told_apart(settings: Settings, tmp_path: Path) -> None:
    """A backup is for the kind that it was made of; the error names the way from one to the other."""
    await talked(settings)
    await back_up(settings, tmp_path / "backup", quiet)
    other = "" if settings.database_url else "postgres://postgres@127.0.0.1:1/none"
    with pytest.raises(Invalid, match="crust export"):
        await restore(settings.model_copy(update={"database_url": other, "data_dir": tmp_path / "other"}), tmp_path / "backup", quiet)


async def test_a_server_in_the_way_is_set_aside(settings: Settings, empty: Settings, tmp_path: Path) -> None:
    """When that is asked for: what was there can still be looked at. A restore that fails leaves it where it was."""
    await talked(settings)
    await back_up(settings, tmp_path / "backup", quiet)
    async with opened(empty) as node:
        await person(node, "zoe", is_admin=True)

    def stop(step: Step) -> None:
        if step.what == "the database":
            raise OSError("no space")

    async def people() -> list[str]:
        async with opened(empty) as node:
            return [row["username"] for row in await node.database.fetch('SELECT username FROM "user" ORDER BY id')]

    with pytest.raises(OSError, match="no space"):
        await restore(empty, tmp_path / "backup", stop, replace="failed")
    assert await people() == ["zoe"]
    await restore(empty, tmp_path / "backup", quiet, replace="replaced")
    assert await people() == ["ana"]
    if empty.database_url:
        assert set_aside(empty, "replaced")[-1] == "the schema replaced of the database"
        async with opened(empty) as node:
            rows = await node.database.fetch('SELECT username FROM replaced."user"')
    else:
        assert set_aside(empty, "replaced") == [str(empty.data_dir.absolute() / "replaced")]
        aside = empty.model_copy(update={"data_dir": empty.data_dir / "replaced"})
        async with opened(aside) as node:
            rows = await node.database.fetch('SELECT username FROM "user"')
    assert [row["username"] for row in rows] == ["zoe"]
