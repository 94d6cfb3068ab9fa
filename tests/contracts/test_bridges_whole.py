"""A bridge at work where things go wrong or cross: what it raises and gives, links that change, confirmations, echoes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crust.errors import EventRefused
from crust.settings import Settings
from tests.contracts.test_bridges_outward import Toy, toy_at
from tests.support.consumers import rows, states

pytestmark = pytest.mark.asyncio


def acting(toy: Toy, act: Callable[[str], Any]) -> None:
    """Let the bridge do something else first, by what is said; None: go on as always."""
    plugin = toy.at.plugin("toy")
    always = plugin._do

    async def do(what: str, link: Any, **values: Any) -> list[str]:
        if what == "say" and (given := act(values["text"])) is not None:
            return list(given)
        return list(await always(what, link, **values))

    plugin._do = do


# ---- what a bridge raises and gives


@pytest.mark.parametrize("text", ["no \udcff pe", "no \0 pe"])
async def test_words_that_cannot_be_stored_park_no_lane(settings: Settings, text: str) -> None:
    """What a bridge raises is kept as well as it can be; it is tried once, and its lane goes on."""
    tried = []

    def refuse(said: str) -> None:
        if said == "bad":
            tried.append(said)
            raise EventRefused(text)

    async with toy_at(settings) as toy:
        await toy.linked()
        acting(toy, refuse)
        bad = await toy.say("bad")
        await toy.say("good")
        [state] = await toy.delivery(bad)
        assert (state.state, state.note, tried) == ("parked", "no \ufffd pe", ["bad"])
        assert toy.network.said("#toy") == ["ana: good"]


@pytest.mark.parametrize("ids", [["m1", "a\0b"], ["\udcff"], ["x" * 501], [""]])
async def test_ids_that_can_be_none_are_parked(settings: Settings, ids: list[str]) -> None:
    """An id there that nothing can be called: said once, not again, none of the ids is kept, and its lane goes on."""
    async with toy_at(settings) as toy:
        await toy.linked()
        acting(toy, lambda said: ids if said == "bad" else None)
        bad = await toy.say("bad")
        await toy.say("good")
        [state] = await toy.delivery(bad)
        assert state.state == "parked"
        assert "It was sent, but" in (state.note or "")
        assert len(await toy.at.node.database.fetch("SELECT 1 FROM message_part")) == 1
        assert [(row["state"], row["attempts"]) for row in await rows(toy.at.node, "toy")][1:] == [("parked", 1), ("done", 1)]
        assert await states(toy.at.node, "toy") == ["done", "parked", "done"]
