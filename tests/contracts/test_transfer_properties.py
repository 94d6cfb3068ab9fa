"""Export and import, whatever happened on the server and whatever is in the file."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as tried
from hypothesis import strategies as st

from crust.errors import CrustError, Invalid
from crust.operations import importing
from crust.runtime import Node, opened
from crust.services.actor import Actor
from crust.settings import Settings
from tests.support.people import channel, person, say
from tests.support.recounting import recounted
from tests.support.transfer import a_life, exported, imported, without_header

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40).filter(lambda text: text.strip())
VERBS = ["post", "reply", "edit", "remove", "react", "pin", "flag", "part", "join", "merge", "archive"]
ACTS = st.lists(st.tuples(st.sampled_from(VERBS), TEXTS), max_size=12)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that no two examples share."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


async def act(node: Node, people: tuple[Actor, Actor], places: tuple[int, int], verb: str, text: str, said: list[int]) -> None:
    core, (ana, ben), (one, other) = node.core, people, places
    last = said[-1] if said else 0
    if verb == "post":
        said.append(int((await say(node, ben, one, f"@ana {text}")).id))
    elif verb == "reply":
        said.append(int((await core.messages.post(ana, one, text, reply_to=last, client_msg_id=None, key=None)).id))
    elif verb == "edit":
        await core.messages.edit(ben, last, f"{text} @ben @ana", None)
    elif verb == "remove":
        await core.messages.remove(ben, last)
    elif verb == "react":
        await core.messages.react(ana, last, "👍")
    elif verb == "pin":
        await core.messages.pin(ana, last)
    elif verb == "flag":
        await core.messages.flag(ben, last, flagged=True)
    elif verb == "part":
        await core.channels.part(ben, one)
    elif verb == "join":
        await core.channels.join(ben, one)
    elif verb == "merge":
        await core.merging.merge(ana, one, other)
    else:
        await core.archiving.archive(ana, other)


async def lived(settings: Settings, acts: list[tuple[str, str]]) -> None:
    async with opened(settings) as node:
        people = (await person(node, "ana", is_admin=True), await person(node, "ben"))
        places = (await channel(node, *people), await channel(node, *people, name="other"))
        said: list[int] = []
        for verb, text in acts:
            with suppress(CrustError):  # what may not be done is not done
                await act(node, people, places, verb, text, said)


@given(acts=ACTS)
@tried(max_examples=15, deadline=None)
def test_what_goes_out_comes_in_and_goes_out_again(sqlite_in: Callable[[Path], Settings], acts: list[tuple[str, str]]) -> None:
    """The same lines, whatever people did; and every counter is right on both sides."""

    async def there_and_back(folder: Path) -> None:
        source, target = (sqlite_in(folder / name) for name in ("source", "target"))
        await lived(source, acts)
        lines = await exported(source)
        async with opened(target) as node:
            await imported(node, lines)
            assert await recounted(node, dry=True) == {}
        async with opened(source) as node:
            assert await recounted(node, dry=True) == {}
        assert without_header(await exported(target)) == without_header(lines)

    with tempfile.TemporaryDirectory() as name:
        asyncio.run(there_and_back(Path(name)))


def harmed(lines: list[bytes], data: st.DataObject) -> bytes:
    """A file with something wrong in it, or nearly so."""
    at = data.draw(st.integers(0, len(lines) - 1), "line")
    way = data.draw(st.sampled_from(["value", "byte", "double", "lose", "swap", "cut"]), "way")
    found = [*lines]
    if way == "value":
        record = json.loads(found[at])
        record[data.draw(st.sampled_from(sorted(record)), "field")] = data.draw(
            st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.lists(st.text(max_size=3), max_size=2), "value"
        )
        found[at] = json.dumps(record).encode() + b"\n"
    elif way == "byte":
        where = data.draw(st.integers(0, len(found[at]) - 1))
        found[at] = found[at][:where] + bytes([data.draw(st.integers(0, 255))]) + found[at][where + 1 :]
    elif way == "double":
        found.insert(at, found[at])
    elif way == "lose":
        del found[at]
    elif way == "swap":
        other = data.draw(st.integers(0, len(lines) - 1))
        found[at], found[other] = found[other], found[at]
    else:
        found = [*found[:at], found[at][: data.draw(st.integers(0, len(found[at])))]]
    return b"".join(found)


@given(data=st.data())
@tried(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_harmed_file_is_taken_or_refused(sqlite_in: Callable[[Path], Settings], folder: Path, data: st.DataObject) -> None:
    """Never an error of another kind, nor a counter that is wrong; the check refuses nothing that an import takes."""
    if not (folder / "lines").exists():
        source = sqlite_in(folder / "source")
        asyncio.run(a_life(source))
        (folder / "lines").write_bytes(asyncio.run(exported(source)))
    text = harmed((folder / "lines").read_bytes().splitlines(keepends=True), data)
    checked = refused = None
    try:
        list(importing.check(BytesIO(text)))
    except Invalid as error:
        checked = error.message

    async def taken() -> str | None:
        with tempfile.TemporaryDirectory() as name:
            async with opened(sqlite_in(Path(name) / "data")) as node:
                try:
                    await imported(node, text)
                except Invalid as error:
                    return error.message
                finally:
                    assert await recounted(node, dry=True) in ({}, {"mention": 1}), "a message may lack the mentions that were in the file"
        return None

    refused = asyncio.run(taken())
    assert refused is not None or checked is None
    assert "ine " in (refused or "Line ")
