"""An examination finds what is wrong, says what to do, and changes nothing."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crust.operations import surroundings
from crust.operations.doctor import examine
from crust.operations.findings import Finding
from crust.operations.progress import Step
from crust.runtime import opened
from crust.settings import Settings
from tests.support.people import channel, person, position, say
from tests.support.server import free_port

pytestmark = pytest.mark.asyncio


@pytest.fixture
def config(settings: Settings, tmp_path: Path) -> Path:
    return written(settings, tmp_path / "config.toml")


def written(settings: Settings, path: Path) -> Path:
    """The settings as a file, with a port that is free."""
    lines = {"data_dir": str(settings.data_dir), "database_url": settings.database_url, "port": free_port()}
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items()))
    return path


def quiet(_step: Step) -> None:
    """Nobody watches."""


async def examined(config: Path) -> dict[str, Finding]:
    return {finding.check: finding async for finding in examine(config, quiet)}


async def lived(settings: Settings) -> int:
    """A server with a channel, whose id is given."""
    async with opened(settings) as node:
        ana = await person(node, "ana", is_admin=True)
        place = await channel(node, ana)
        await say(node, ana, place, "hello")
    return place


async def test_a_healthy_server(settings: Settings, config: Path) -> None:
    """All is good, also while it is open elsewhere, and the log goes on where it was."""
    await lived(settings)
    async with opened(settings) as node:
        before = await position(node)
        found = await examined(config)
        assert [finding for finding in found.values() if finding.state != "good"] == []
        assert {"settings", "data folder", "disk", "port", "database", "schema", "durability", "log", "clock", "message_search"} <= set(
            found
        )
        assert await position(node) == before


async def test_where_there_is_none_yet(empty_settings: Settings, tmp_path: Path) -> None:
    """That is no fault, and none is made."""
    found = await examined(written(empty_settings, tmp_path / "config.toml"))
    assert found["database"].state == "note"
    assert not empty_settings.data_dir.exists()


@pytest.mark.parametrize(
    ("check", "sql", "said"),
    [
        ("log", "DELETE FROM event WHERE position = 3", "1 of the positions"),
        ("log", "UPDATE log SET position = 999", "its head is 999"),
        ("log", "UPDATE log SET last_id = 5", "the last one that was made is 5"),
        ("clock", f"UPDATE log SET last_id = {2**62}", "the newest id is of"),
        ("channel.members_count", "UPDATE channel SET members_count = 42", "has 42, and should have 1"),
        ("message_search", "DELETE FROM message_search", "nothing, and should have"),
        ("schema", "DELETE FROM tortoise_migrations WHERE name LIKE '0005%'", "0005_reactions"),
        ("schema", "UPDATE tortoise_migrations SET name = '9999_later' WHERE name LIKE '0005%'", "a newer Crust has made 9999_later"),
    ],
)
async def test_what_is_wrong_with_a_database(settings: Settings, config: Path, check: str, sql: str, said: str) -> None:
    """Is found, with what to do; the same again, because nothing was changed."""
    await lived(settings)
    async with opened(settings) as node, node.database.transaction():
        await node.database.execute(sql)
    for _ in range(2):
        finding = (await examined(config))[check]
        assert finding.state == ("note" if check == "clock" else "wrong")
        assert said in finding.found
        assert finding.fix


async def test_a_broken_file_is_found(tmp_path: Path) -> None:
    """One that SQLite cannot read is named as such, and no traceback ends the examination."""
    (tmp_path / "crust.db").write_bytes(b"no database" * 1000)  # nobody else runs in this loop
    (tmp_path / "config.toml").write_text(f"data_dir = {json.dumps(str(tmp_path))}\nport = 0\n")  # the same
    assert (await examined(tmp_path / "config.toml"))["database"].state == "wrong"


async def test_settings_that_cannot_be_used(config: Path) -> None:
    """Are told one by one, and nothing else is looked at."""
    config.write_text("port = 'many'\ncolour = 'red'\n")  # noqa: ASYNC240  # nobody else runs in this loop
    found = [finding async for finding in examine(config, quiet)]
    assert [finding.state for finding in found] == ["wrong", "wrong"]
    assert "port" in found[0].found + found[1].found


@pytest.mark.parametrize(
    ("look", "state", "changed"),
    [
        (surroundings.public_url, "good", {}),
        (surroundings.public_url, "wrong", {"public_url": "http://chat.example.org"}),
        (surroundings.public_url, "wrong", {"public_url": "https://chat.example.org"}),
        (surroundings.public_url, "good", {"public_url": "https://chat.example.org", "trusted_proxies": ["10.0.0.7/32"]}),
        (surroundings.public_url, "wrong", {"host": "::", "server_name": "chat.example.org"}),
        (surroundings.proxies, "good", {"trusted_proxies": ["10.0.0.0/8", "192.0.2.7/32", "8.8.8.8/32"]}),
        (surroundings.proxies, "wrong", {"trusted_proxies": ["0.0.0.0/0"]}),
        (surroundings.proxies, "wrong", {"trusted_proxies": ["::/0"]}),
        (surroundings.proxies, "wrong", {"trusted_proxies": ["8.0.0.0/8"]}),
    ],
)
async def test_what_people_reach_it_by(look: Callable[[Settings], Finding], state: str, changed: dict[str, Any]) -> None:
    """Passwords that go unencrypted, cookies that are not marked, and proxies that are everybody."""
    assert look(Settings(**changed)).state == state


async def test_folders(tmp_path: Path) -> None:
    """One that others may look into, one that is none, one that is not there yet."""
    tmp_path.chmod(0o700)  # noqa: ASYNC240  # nobody else runs in this loop
    assert surroundings.folder("data folder", tmp_path).state == "good"
    assert surroundings.folder("data folder", tmp_path / "later" / "data").state == "good"
    tmp_path.chmod(0o755)  # noqa: ASYNC240  # the same
    finding = surroundings.folder("data folder", tmp_path)
    assert (finding.state, finding.fix) == ("wrong", f"chmod -R o-rwx {tmp_path}")
    (tmp_path / "file").touch()
    assert surroundings.folder("data folder", tmp_path / "file").state == "wrong"


async def test_a_port_that_something_else_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found out, also when that something says nothing."""
    monkeypatch.setattr(surroundings, "ANSWER_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as other:
        finding = surroundings.port(Settings(port=other.getsockname()[1]))
    assert (finding.state, "does not answer" in finding.found) == ("wrong", True)


async def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Too little room is said before it is none."""
    monkeypatch.setattr(surroundings, "FREE_BYTES", 2**70)
    assert surroundings.disk(tmp_path / "later").state == "wrong"
