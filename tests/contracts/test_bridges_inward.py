"""What comes in over a link is believed as far as it can be, stored as it can be, and harms nobody here."""

from __future__ import annotations

import pytest

from crust.errors import Invalid
from crust.plugin import Remote, Trust
from crust.settings import Settings
from tests.contracts.test_bridges import ANN, SURE, toy_at

pytestmark = pytest.mark.asyncio

BAD = "a\0b\ud800c"  # what no database takes

# ---- what can be stored


async def test_what_no_database_takes_is_replaced_and_nothing_lost(settings: Settings) -> None:
    """NUL and halves of surrogate pairs become U+FFFD; what can be no id is known by nobody, as an answer, a room or a confirmation."""
    async with toy_at(settings) as toy:
        link = await toy.linked()
        author = Remote(id="1", name=BAD, handle=BAD, account=BAD * 100, avatar=BAD)
        await toy.bridge.inject(link, author, BAD, "m1", reply_to=BAD, trust=Trust("verified", BAD * 100))
        await toy.bridge.edit(link, author, "m1", f"{BAD}!", trust=SURE)
        await toy.bridge.topic(link, author, BAD, trust=SURE)
        await toy.bridge.gap(link, BAD)
        await toy.bridge.state("degraded", BAD)
        assert await toy.bridge.link(f"#{BAD}") is None
        assert await toy.node.core.injects.parts.found(int(link.id), BAD) is None
        assert await toy.texts() == ["a\ufffdb\ufffdc!", "a\ufffdb\ufffdc"]
        [part] = await toy.node.database.fetch("SELECT trust FROM message_part")
        assert part["trust"] == f"verified {BAD * 100}".replace("\0", "\ufffd").replace("\ud800", "\ufffd")[: len("verified ") + 100]


@pytest.mark.parametrize("hop", ["", "a b", "far.example/1\n", "\0", "\ud800", "x" * 281, "é"])
async def test_a_hop_that_can_be_none_is_refused(settings: Settings, hop: str) -> None:
    """By the name of its field, and nothing is stored: the events of what it did would bear it everywhere."""
    async with toy_at(settings) as toy:
        with pytest.raises(Invalid) as refused:
            await toy.bridge.inject(await toy.linked(), ANN, "hello", "m1", via=(hop,))
        assert refused.value.field == "via"
        assert await toy.texts() == []


async def test_ids_and_verdicts_that_can_be_none_are_named(settings: Settings) -> None:
    """Of a message, of whoever says, parts or identifies; a verdict that there is not."""
    async with toy_at(settings) as toy:
        link, bad = await toy.linked(), Remote(id=BAD, name="Ann")
        for call, field in (
            (toy.bridge.inject(link, bad, "hello", "m1"), "author"), (toy.bridge.parted(link, bad), "author"),
            (toy.bridge.identify(bad, BAD), "author"), (toy.bridge.remove(link, ANN, BAD), "source_id"),
            (toy.bridge.inject(link, ANN, "hello", "m1", trust=Trust("sure")), "trust"),  # type: ignore[arg-type]  # a bridge's bug
        ):  # fmt: skip
            with pytest.raises(Invalid) as refused:
                await call
            assert refused.value.field == field
        assert await toy.texts() == []
