"""wordfilter: keeps words out of messages."""

from __future__ import annotations

import time

import pytest
from crust_wordfilter import WordFilter
from crust_wordfilter.wordfilter import STAR, pattern_of

from crust.errors import Rejected
from crust.settings import Settings
from crust.testing import hosted, problems

WORDS = ["darn", "heck*", "*blast", "Ünfug"]


@pytest.mark.asyncio
async def test_it_blocks(settings: Settings) -> None:
    """New and edited messages, in every kind of channel, and nothing else."""
    async with hosted(WordFilter, config={"words": WORDS, "reason": "Not here."}, settings=settings) as host:
        ana, ben = host.user("ana"), host.user("ben")
        for where in ("#room", await host.channel("#private", type="private", members=[ana]), ben):
            with pytest.raises(Rejected, match=r"^Not here\.$"):
                await ana.says(where, "Oh DARN.")
        fine = await ana.says("#room", "darning is fine, and so is a check")
        with pytest.raises(Rejected):
            await ana.edits(fine, "darn")


@pytest.mark.asyncio
async def test_it_masks(settings: Settings) -> None:
    """Whole words, whatever their case, and nothing else."""
    async with hosted(WordFilter, config={"words": WORDS, "action": "mask"}, settings=settings) as host:
        masked = await host.user("ana").says("#room", "darn, what the heckling? a sandblast of ｄａｒｎ ünfug; darning")
        assert (masked.contents or "").replace(STAR, "*") == "****, what the ********? a ********* of **** *****; darning"


@pytest.mark.asyncio
async def test_what_is_no_such_word_stays_as_it_was_written(settings: Settings) -> None:
    """Fractions, ligatures, accents, code; and a text of the greatest length is as long as before."""
    async with hosted(WordFilter, config={"words": WORDS, "action": "mask"}, settings=settings) as host:
        ana, stars = host.user("ana"), STAR * 4
        masked = await ana.says("#room", "½ ﬁne cafe\u0301 `darn * 2` U\u0308nfug DARN")
        assert masked.contents == f"½ ﬁne cafe\u0301 `{stars} * 2` {STAR * 5} {stars}"
        assert len((await ana.says("#room", "darn " * 3199 + "darn")).contents or "") == 15_999


def test_a_long_message_takes_no_time() -> None:
    """Neither repeated letters nor near misses make it slow."""
    pattern = pattern_of([*WORDS, "a*", "*a*", "*aaab"])
    began = time.perf_counter()
    for text in ("a" * 40_000, "dar" * 13_000, "blas " * 8_000, "heck" * 10_000):
        pattern.sub("*", text)
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize("words", [[], [""], ["*"], ["a*b"], "darn"])
def test_words_that_are_none(words: object) -> None:
    """They are refused at start, by their place in the file."""
    assert problems(WordFilter, {"words": words})[0].startswith("plugins.wordfilter.config.words: ")
