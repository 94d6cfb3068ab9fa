"""Documents of instances: what is kept, found, and never lost or mixed up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from crust.errors import Conflict, Invalid
from crust.host.consumer import outside
from crust.host.held import Held
from crust.host.store import Store, sortable
from crust.host.sweeping import sweep
from tests.support.consumers import Place

pytestmark = pytest.mark.asyncio
FIELDS = {"polls": ("channel", "due", "open"), "notes": ()}


def store_of(place: Place, instance: str = "echo", fields: Mapping[str, Sequence[str]] = FIELDS, held: Held | None = None) -> Store:
    return Store(place.node.database, place.clock, instance, fields, 100_000, held)


async def stored(place: Place) -> dict[str, Any]:
    """What another process sees."""
    return {document.key: document.body for document in await store_of(place).collection("polls").find(limit=1000)}


async def test_what_is_put_is_there(place: Place) -> None:
    """As it was, whatever it says; put again, the new one; deleted, nothing. Instances and collections share nothing."""
    polls = store_of(place).collection("polls")
    body = {"question": 'Zoë 🦀 \x01 \\ "?" \0', "many": [1, None, True, {"a": 2**60}], "": 1.5}
    first = await polls.put("1", body)
    found = await polls.get("1")
    assert found is not None
    assert (found.body, found.version, found.expires_at) == (body, first.version, None)
    again = await polls.put("1", {"question": "else"})
    assert again.version != first.version
    assert await stored(place) == {"1": {"question": "else"}}
    for other in (store_of(place, "other").collection("polls"), store_of(place).collection("notes")):
        assert await other.get("1") is None
        await other.put("1", {"other": 1})
    assert await polls.delete("1")
    assert not await polls.delete("1")
    assert await polls.get("1") is None
    assert await store_of(place, "other").collection("polls").get("1") is not None


async def test_compare_and_set(place: Place) -> None:
    """Of many who change the same version at once, one does; a version that was once is never again."""
    polls = store_of(place).collection("polls")
    first = await polls.cas("1", None, {"n": 1})
    with pytest.raises(Conflict):
        await polls.cas("1", None, {"n": 1})
    tries = await asyncio.gather(*(polls.cas("1", first.version, {"n": n}) for n in range(10)), return_exceptions=True)
    assert sum(not isinstance(each, BaseException) for each in tries) == 1
    assert all(isinstance(each, Conflict) for each in tries if isinstance(each, BaseException))
    await polls.delete("1")
    await polls.put("1", {"n": 1})
    with pytest.raises(Conflict):
        await polls.cas("1", first.version, {"n": 2})


async def test_a_transaction_is_all_or_nothing(place: Place) -> None:
    """Within it its own writes are read; others see them at its end, together, or never."""
    store = store_of(place)
    polls = store.collection("polls")
    await polls.put("old", {"due": 1})
    async with store.transaction():
        await polls.put("new", {"due": 2})
        assert await polls.delete("old")
        assert await polls.get("old") is None
        assert [document.key for document in await polls.find(order="due")] == ["new"]
        assert await asyncio.get_running_loop().create_task(stored(place), context=outside()) == {"old": {"due": 1}}
    assert await stored(place) == {"new": {"due": 2}}
    with pytest.raises(RuntimeError, match="never mind"):
        async with store.transaction():
            await polls.put("newer", {})
            raise RuntimeError("never mind")
    assert await stored(place) == {"new": {"due": 2}}


async def test_a_transaction_whose_grounds_have_changed_is_refused(place: Place) -> None:
    """Whatever it has read counts: documents, ones that were not there, ones that were found."""
    store = store_of(place)
    polls = store.collection("polls")
    await polls.put("1", {"due": 1})

    async def elsewhere(key: str) -> None:
        await asyncio.get_running_loop().create_task(store_of(place).collection("polls").put(key, {"due": 9}), context=outside())

    for read, changed in (("1", "1"), ("missing", "missing"), (None, "1")):
        with pytest.raises(Conflict):
            async with store.transaction():
                _ = await polls.get(read) if read else await polls.find({"due": (None, 100)})
                await polls.put("2", {})
                await elsewhere(changed)
    assert await polls.get("2") is None
    async with store.transaction():
        await polls.put("1", {"blind": True})
        await elsewhere("1")
    found = await polls.get("1")
    assert found is not None
    assert found.body == {"blind": True}, "what was not read may be anything"


async def test_what_expires_is_gone(place: Place) -> None:
    """At once for whoever reads, later from the table; its key is free again, and one that was put anew stays."""
    polls = store_of(place).collection("polls")
    await polls.put("1", {"due": 1}, ttl=60)
    await polls.put("2", {"due": 1}, ttl=60)
    place.clock.advance(59)
    assert len(await polls.find({"due": 1})) == 2
    place.clock.advance(1)
    assert (await polls.get("1"), await polls.find({"due": 1})) == (None, [])
    await polls.cas("2", None, {"due": 2})
    assert await sweep(place.node.database, place.clock.now(), 30) == {"documents": 1}
    assert await stored(place) == {"2": {"due": 2}}
    assert await place.node.database.fetch("SELECT 1 FROM document_field WHERE key = '1'") == []


@pytest.mark.parametrize("held", [False, True])
async def test_documents_are_found_by_their_fields(place: Place, held: bool) -> None:
    """By value and range, in order, either way, a number at most; the same while they are held back."""
    polls = store_of(place, held=Held("echo") if held else None).collection("polls")
    for n in range(20):
        await polls.put(f"k{n:02}", {"channel": f"room {n % 3}", "due": n * 7 % 20 - 10, "open": n % 2 == 0, "else": n})
    await polls.put("bare", {"due": None})

    async def keys(where: dict[str, Any], **how: Any) -> list[str]:
        return [document.key for document in await polls.find(where, **how)]

    assert await keys({"channel": "room 1", "open": True}) == ["k04", "k10", "k16"]
    assert await keys({"channel": "room 9"}) == []
    assert await keys({"due": (-10, -8)}, order="due") == ["k00", "k03", "k06"]
    assert await keys({"due": (8, None)}, order="due", descending=True) == ["k17", "k14"]
    assert await keys({"due": (None, -9)}) == ["k00", "k03"]
    assert await keys({}, order="due", limit=2) == ["k00", "k03"]
    assert await keys({}, limit=2) == ["bare", "k00"]
    assert len(await keys({}, order="due")) == 20
    assert await keys({"due": -10, "open": (False, True)}) == ["k00"]
    with pytest.raises(Invalid, match="declare"):
        await polls.find({"else": 1})


async def test_what_is_held_back_hides_what_is_stored(place: Place) -> None:
    """Documents that are changed or removed within a handler are found as it has left them."""
    polls = store_of(place).collection("polls")
    for n in range(6):
        await polls.put(str(n), {"due": n})
    inside = store_of(place, held=Held("echo")).collection("polls")
    await inside.delete("0")
    await inside.put("1", {"due": 10})
    await inside.put("new", {"due": 3})
    found = [(document.key, document.body["due"]) for document in await inside.find({"due": (0, 5)}, order="due", limit=3)]
    assert found == [("2", 2), ("3", 3), ("new", 3)]
    assert len(await stored(place)) == 6


async def test_fields_that_are_declared_later(place: Place) -> None:
    """After a reindex what was there before is found too, and by nothing that is declared no more."""
    fields: dict[str, Sequence[str]] = {"polls": ("due",)}
    store = store_of(place, fields=fields)
    await store.reindex()
    for n in range(3):
        await store.collection("polls").put(str(n), {"due": n, "open": True})
    more = store_of(place, fields={"polls": ("open",)})
    assert await more.collection("polls").find({"open": True}) == []
    await more.reindex()
    assert len(await more.collection("polls").find({"open": True})) == 3
    await more.reindex()
    assert {row["field"] for row in await place.node.database.fetch("SELECT DISTINCT field FROM document_field")} == {"open"}


@pytest.mark.parametrize(
    ("key", "body"),
    [
        ("", {}), ("x" * 256, {}), ("a\0b", {}), ("\ud800", {}), ("1", []), ("1", {"x": "y" * 100_001}), ("1", {"x": "é" * 60_000}),
        ("1", {"x": object()}), ("1", {"due": 1.5}), ("1", {"due": 2**63}), ("1", {"due": "x" * 256}), ("1", {"due": [1]}),
    ],
)  # fmt: skip
async def test_what_cannot_be_kept_is_refused(place: Place, key: str, body: Any) -> None:
    """With a word why, and nothing is written."""
    with pytest.raises(Invalid):
        await store_of(place).collection("polls").put(key, body)
    assert await stored(place) == {}


async def test_names_of_collections(place: Place) -> None:
    """None can be the store's own."""
    for name in ("", "_declared", "Polls", "x" * 65):
        with pytest.raises(Invalid):
            store_of(place).collection(name)


async def test_the_order_in_the_index_is_that_of_the_values() -> None:
    """Numbers by size, texts by code points, false before true."""
    for values in ([-(2**63), -10, -9, -1, 0, 1, 9, 10, 2**63 - 1], ["", "A", "a", "aa", "b", "é", "￿", "🦀"], [False, True]):
        texts = [sortable(value) for value in values]
        assert texts == sorted(texts, key=str.encode)
