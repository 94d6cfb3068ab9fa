"""Export and import: what goes out comes in, once, into either database, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from crust.errors import Gone, Invalid
from crust.operations import importing
from crust.operations.records import KINDS
from crust.runtime import Node, opened
from crust.services.actor import Actor
from crust.services.paging import Part
from crust.services.search import Wish
from crust.settings import Settings
from tests.conftest import run_beside
from tests.support.people import channel, events, names, person, say
from tests.support.transfer import a_life, as_lines, exported, imported, records, without_header

pytestmark = pytest.mark.asyncio


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def other(request: pytest.FixtureRequest, tmp_path: Path, settings: Settings) -> Settings:
    """An empty database of each kind."""
    url = request.getfixturevalue("another_postgres_url") if request.param == "postgres" else ""
    return settings.model_copy(update={"data_dir": tmp_path / "other", "database_url": url})


@pytest.fixture(scope="session")
def lines(tmp_path_factory: pytest.TempPathFactory, sqlite_in: Callable[[Path], Settings]) -> bytes:
    """An export of such a life."""
    return run_beside(exported_life(sqlite_in(tmp_path_factory.mktemp("life") / "data")))


async def exported_life(settings: Settings) -> bytes:
    await a_life(settings)
    return await exported(settings)


async def test_what_goes_out_comes_in(settings: Settings, other: Settings) -> None:
    """From each database into each: the same lines come out again; every kind of record is among them."""
    await a_life(settings)
    lines = await exported(settings)
    async with opened(other) as node:
        work = await imported(node, lines)
        assert work.made.total() == len(lines.splitlines()) - 2
    assert without_header(await exported(other)) == without_header(lines)
    assert {record["record"] for record in records(lines)} == {"crust", "end", *(kind.name for kind in KINDS)}


async def test_people_go_on_where_they_were(settings: Settings, lines: bytes) -> None:
    """Passwords hold, messages are found and counted, new ones come after the old, and ana is told of nothing new."""
    async with opened(settings) as node:
        await imported(node, lines)
        signed_in = await node.core.sessions.sign_in("ben", "correct horse", "c", "", "")
        ben = signed_in.actor
        (found,) = await node.core.search.find(ben, Wish(query="好世 grusse is:pinned from:ana"), 10)
        assert found.snippet
        assert [m.contents for m in await node.core.search.find(ben, Wish(query="answer", flagged=True), 10)] == ["an answer"]
        said = await say(node, ben, int(found.channel_id), "and on")
        assert int(said.id) > max(int(record["id"]) for record in records(lines) if "id" in record)
        thread = await node.core.messages.thread(ben, int(found.id), Part(limit=10))
        assert [m.contents for m in thread] == ["an answer"]


async def test_files_come_along_when_asked_for(settings: Settings, tmp_path: Path) -> None:
    """Their records always do; their bytes from and into a folder beside the lines, and what is found in it beside is left alone."""
    source = settings.model_copy(update={"data_dir": tmp_path / "source", "database_url": ""})
    await a_life(source)
    lines = await exported(source, files=tmp_path / "bytes")
    (tmp_path / "bytes" / "stray").write_text("nobody's")
    async with opened(settings) as node:
        work = await imported(node, lines)
        ben = (await node.core.sessions.sign_in("ben", "correct horse", "c", "", "")).actor
        (message,) = await node.core.search.find(ben, Wish(query="plan has:file"), 10)
        file = int(message.attachments[0].id)
        with pytest.raises(Gone):
            await content(node, ben, file)
        assert [step async for step in work.files(settings, tmp_path / "bytes")][-1] == ("files", 2, 2)
        assert await content(node, ben, file) == b"what we will do"
        assert not list(settings.effective_files_dir.rglob("stray"))


async def content(node: Node, who: Actor, file: int) -> bytes:
    found = await node.core.files.read(who, file)
    return b"".join([chunk async for chunk in found.read(0, found.size)])


async def test_again_makes_nothing_twice(settings: Settings, lines: bytes) -> None:
    """Cut off anywhere and done again, or done three times over, there is one of everything; what changed since stays as it is there."""
    whole = lines.splitlines(keepends=True)
    async with opened(settings) as node:
        with pytest.raises(Invalid, match="a part of it is missing"):
            await imported(node, b"".join(whole[: len(whole) * 2 // 3]))
        await imported(node, lines)
        async with node.log.change():
            await node.database.execute('UPDATE "user" SET name = $1 WHERE username_key = $2', "Anastasia", "ana")
        work = await imported(node, lines)
        assert (work.made.total(), work.kept.total()) == (0, len(whole) - 2)
    after = [record for record in records(await exported(settings)) if record["record"] == "user"]
    assert [record["name"] for record in after if record["username"] == "ana"] == ["Anastasia"]
    was, now = (sum(map(len, without_header(each))) for each in (lines, await exported(settings)))
    assert now - was == len("Anastasia") - len("ana")


async def test_secrets_go_out_only_when_asked_for(settings: Settings) -> None:
    """No hash of a password without the option; sessions never."""
    await a_life(settings)
    async with opened(settings) as node:
        signed_in = await node.core.sessions.sign_in("ben", "correct horse", "c", "", "")
    plain, full = await exported(settings, passwords=False), await exported(settings)
    assert b"argon2" not in plain
    assert b"argon2" in full
    assert signed_in.secret.encode() not in full
    async with opened(settings.model_copy(update={"data_dir": settings.data_dir / "third", "database_url": ""})) as node:
        await imported(node, plain)
        assert not await node.core.accounts.empty()


async def test_who_is_connected_hears_of_it(settings: Settings) -> None:
    """A membership that comes with an import is an event for who is signed in; nobody else's is."""
    async with opened(settings) as node:
        ana, ben = await person(node, "ana", is_admin=True), await person(node, "ben")
        await node.core.sessions.sign_in("ben", "correct horse", "c", "", "")
        place = await channel(node, ana, ben)
        lines = await exported(settings)
        async with node.log.change():
            await node.database.execute("DELETE FROM channel_member WHERE channel_id = $1", place)
        head = (await node.log.head()).position
        await imported(node, lines)
        told = await events(node, head)
        assert names(told) == ["member joined"]
        assert told[0].recipient == ben.user_id


# ---- what is wrong


def changed(index: int, **fields: Any) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    """The first record of a kind with other values."""

    def change(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**record, **fields} if at == index else record for at, record in enumerate(found)]

    return change


def first(found: list[dict[str, Any]], kind: str) -> int:
    return next(at for at, record in enumerate(found) if record["record"] == kind)


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        ("message", {"id": "x"}, "id must be an id"),
        ("message", {"id": 7}, "id must be an id"),
        ("message", {"id": str(2**63)}, "id must be an id"),
        ("message", {"id": str(2**62)}, "id is one of a time to come"),
        ("message", {"channel_id": "17"}, r"there is no channel 17 \(channel_id\)"),
        ("message", {"user_id": "17"}, r"there is no user 17 \(user_id\)"),
        ("message", {"type": "SONG"}, "type must be one of MESSAGE"),
        ("message", {"contents": None}, "contents must not be null"),
        ("message", {"contents": "a\0b"}, "contents has NUL"),
        ("message", {"contents": "\ud800"}, "contents has NUL or half of a surrogate"),
        ("message", {"created_at": "yesterday"}, "created_at must be a time"),
        ("message", {"mentions": "ana"}, "mentions must be a list of ids"),
        ("message", {"version": -1}, "version must be a whole number"),
        ("file", {"key": "../crust.db"}, "key must be like"),
        ("file", {"key": "/etc/passwd"}, "key must be like"),
        ("message", {"colour": "red"}, "colour is nothing that a message has"),
        ("message", {"attachments": [{"id": "1"}]}, "attachments is not as it must be"),
        ("file", {"message_id": "17"}, "there is no message 17"),
        ("user", {"username": "x" * 65}, "username must have at most 64 characters"),
        ("user", {"is_admin": 1}, "is_admin must be true or false"),
        ("user", {"organisation_id": "17"}, "there is no organisation 17"),
        ("user", {"username": "BEN"}, "another user with the username 'ben' already"),
        ("channel_member", {"role": "king"}, "role must be one of owner, member"),
    ],
)
async def test_a_wrong_record_is_named(settings: Settings, lines: bytes, kind: str, fields: dict[str, Any], said: str) -> None:
    """By its line and what is wrong with it; nothing of it is written, and the corrected file can be imported after."""
    found = records(lines)
    at = first(found, kind)
    async with opened(settings) as node:
        with pytest.raises(Invalid, match=said) as refused:
            await imported(node, as_lines(changed(at, **fields)(found)))
        assert f"Line {at + (2 if 'username' in said and 'another' in said else 1)}:" in refused.value.message
        work = await imported(node, lines)
        assert work.made.total() + work.kept.total() == len(found) - 2
    assert without_header(await exported(settings)) == without_header(lines)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "ends in line 0"),
        (b"hello\n", "Line 1: this is no JSON"),
        (b"7\n", "Line 1: there is no kind of record None"),
        (b'{"record": "song"}\n', "no kind of record 'song'"),
        (b'{"record": "crust", "format": 2}\n', "format 2"),
        (b'{"record": "end", "records": 0}\n', "begins with a line that says so"),
        (b'{"record": "crust", "format": 1}\n{"record": "crust", "format": 1}\n', "Line 2: an export begins"),
        (b'{"record": "crust", "format": 1}\n{"record": "end", "records": 1}\n', "there should be 1 records before it"),
        (b'{"record": "crust", "format": 1}\n{"record": "end", "records": 0}\n{"record": "user"}\n', "goes on after its end"),
        (b'{"record": "crust", "format": 1}\n{"record": "user", "record": "user"}\n', "'record' comes twice"),
        (b'{"record": "crust", "format": 1}\n' + b"x" * 2_000_000, "at most 1048576 bytes"),
        (b'{"record": "crust", "format": 1}\n\xff\xfe\n', "Line 2: this is no JSON"),
    ],
)
async def test_what_is_no_export_is_refused(settings: Settings, text: bytes, said: str) -> None:
    """With the line that shows it; the check says the same without a server."""
    with pytest.raises(Invalid, match=said):
        list(importing.check(BytesIO(text)))
    async with opened(settings) as node:
        with pytest.raises(Invalid, match=said):
            await imported(node, text)


async def test_an_id_that_is_somebody_elses_is_refused(settings: Settings, lines: bytes) -> None:
    """Two servers may have made the same id; what is there is not taken for what comes."""
    found = records(lines)
    async with opened(settings) as node:
        await imported(node, as_lines(found))
        at = first(found, "message")
        with pytest.raises(Invalid, match=f"Line {at + 1}: there is another message with the id"):
            await imported(node, as_lines(changed(at, created_at="2020-01-01T00:00:00.000Z")(found)))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (b'{"record":"crust"}\n{"record":"end","records":7}\n', 7), (b'{"record":"end","records":7}\n', None), (b"", None), (b"\n{", None),
        (b'{}\n{"record":"end"}\n', None), (b'{}\n{"record":"user","records":7}\n', None),
        (b"x" * 1000 + b'\n{"record":"end","records":0}', 0),
    ],
)  # fmt: skip
async def test_a_file_says_at_its_end_how_many_records_it_has(text: bytes, count: int | None) -> None:
    """Where it can be read from there, and does say so; it is read from its beginning then."""
    file = BytesIO(text)
    assert (importing.total(file), file.tell()) == (count, 0)
