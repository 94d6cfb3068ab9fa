"""wordfilter: keeps words out of messages."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from crust.errors import Rejected
from crust.host.registration import registered
from crust.runtime import opened
from crust.settings import Settings
from tests.support.hosting import hosted
from tests.support.people import channel, person, say
from tests.support.plugins import instance, with_plugins

FOLDER = Path(__file__).parents[2] / "plugins"
WORDS = ["darn", "heck*", "*blast", "Ünfug"]


@pytest.mark.asyncio
async def test_it_blocks_and_masks(settings: Settings) -> None:
    """New and edited messages, in every kind of channel: whole words whatever their case, and nothing else."""
    async with opened(settings) as node:
        ana, ben = await person(node, "ana", is_admin=True), await person(node, "ben")
        rooms = [await channel(node, ana), await channel(node, ana, type_="private"), await channel(node, ana, ben, type_="direct")]
    block = {"words": WORDS, "reason": "Not here."}
    async with hosted(settings, FOLDER, {"words": instance("wordfilter", config=block)}, running=False) as at:
        for room in rooms:
            with pytest.raises(Rejected, match=r"^Not here\.$"):
                await say(at.node, ana, room, "Oh DARN.")
        fine = await say(at.node, ana, rooms[0], "darning is fine, and so is a check")
        with pytest.raises(Rejected):
            await at.node.core.messages.edit(ana, int(fine.id), "darn", None)
    mask = {"words": WORDS, "action": "mask"}
    async with hosted(settings, FOLDER, {"words": instance("wordfilter", config=mask)}, running=False) as at:
        masked = await say(at.node, ana, rooms[0], "darn, what the heckling? a sandblast of ｄａｒｎ ünfug; darning")
        assert (masked.contents or "").replace("\\*", "*") == "****, what the ********? a ********* of **** *****; darning"


def test_a_long_message_takes_no_time() -> None:
    """Neither repeated letters nor near misses make it slow."""
    from crust_wordfilter.wordfilter import pattern_of

    pattern = pattern_of([*WORDS, "a*", "*a*", "*aaab"])
    began = time.perf_counter()
    for text in ("a" * 40_000, "dar" * 13_000, "blas " * 8_000, "heck" * 10_000):
        pattern.sub("*", text)
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize("words", [[], [""], ["*"], ["a*b"], "darn"])
def test_words_that_are_none(words: object) -> None:
    """They are refused at start, by their place in the file."""
    _, [refused] = registered(with_plugins(Settings(), FOLDER, it=instance("wordfilter", config={"words": words})))
    assert refused.problems[0].startswith("plugins.it.config.words: ")
