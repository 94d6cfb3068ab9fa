"""Keeps words out of messages: refuses them, or masks the words."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Literal, TypeVar

from pydantic import Field, field_validator

from crust.plugin import Context, EditDraft, MessageDraft, Plugin, PluginConfig, Reject, hookimpl

STAR = "\N{ASTERISK OPERATOR}"  # one character, and nothing to markdown, in code or outside
PIECE = re.compile(r"[\s\S][\u0300-\u036f]*")  # a letter with its accents
D = TypeVar("D", MessageDraft, EditDraft)


class Config(PluginConfig):
    """Which words, and what becomes of messages with them."""

    words: list[str] = Field(description="The words, whole ones, whatever their case; * at an end stands for any letters")
    action: Literal["block", "mask"] = Field("block", description="block: refuse the message; mask: put stars in the word's place")
    reason: str = Field("This message has a word in it that is not used here.", description="What the author of a refused message is told")

    @field_validator("words")
    @classmethod
    def _are_words(cls, words: list[str]) -> list[str]:
        if not words:
            raise ValueError("should name a word at least")
        if wrong := [word for word in words if not word.strip("*").strip() or "*" in word.strip("*")]:
            raise ValueError(f"{wrong[0]!r} is no word: * stands at its ends alone")
        return words


class WordFilter(Plugin[Config]):
    """Keeps words out of messages, new and edited ones, in every kind of channel of its organisations."""

    api = 1
    capabilities = frozenset({"read:public", "read:private", "read:direct"})

    def __init__(self, ctx: Context[Config]) -> None:
        super().__init__(ctx)
        self._pattern = pattern_of(ctx.config.words)

    @hookimpl
    async def filter_message_post(self, draft: MessageDraft) -> MessageDraft | Reject | None:
        """New messages."""
        return self._judge(draft)

    @hookimpl
    async def filter_message_edit(self, draft: EditDraft) -> EditDraft | Reject | None:
        """Edited ones."""
        return self._judge(draft)

    def _judge(self, draft: D) -> D | Reject | None:
        text = Text(draft.contents)
        found = [match.span() for match in self._pattern.finditer(text.plain)]
        if not found:
            return None
        if self.ctx.config.action == "block":
            return Reject(self.ctx.config.reason)
        return replace(draft, contents=text.masked(found))


class Text:
    """A text, and what it is without the likes of full-width letters: `plain`. What stands where in one is known in the other."""

    def __init__(self, text: str) -> None:
        self._pieces = PIECE.findall(text)
        plain = [unicodedata.normalize("NFKC", piece) for piece in self._pieces]
        self._ends = list(accumulate(map(len, plain)))
        self.plain = "".join(plain)

    def masked(self, spans: Sequence[tuple[int, int]]) -> str:
        """The text with a star for each of the letters that stand in these places of `plain`; all else is as it was written."""
        pieces = list(self._pieces)
        for start, end in spans:
            for place in range(bisect_right(self._ends, start), bisect_left(self._ends, end) + 1):
                pieces[place] = STAR
        return "".join(pieces)


def pattern_of(words: list[str]) -> re.Pattern[str]:
    """Finds any of the words. Its time grows with the text's length alone: there is nothing in it to go back to."""
    parts = sorted((part_of(unicodedata.normalize("NFKC", word.strip())) for word in words), key=len, reverse=True)
    return re.compile("|".join(parts), re.IGNORECASE)


def part_of(word: str) -> str:
    """One word; whole, but for the ends that have a star."""
    before, after = (r"(?<!\w)\w*" if word.startswith("*") else r"(?<!\w)"), (r"\w*" if word.endswith("*") else r"(?!\w)")
    return before + re.escape(word.strip("*").strip()) + after
