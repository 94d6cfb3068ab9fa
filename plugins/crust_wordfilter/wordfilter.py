"""Keeps words out of messages: refuses them, or masks the words."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from typing import Literal, TypeVar

from pydantic import Field, field_validator

from crust.plugin import Context, EditDraft, MessageDraft, Plugin, PluginConfig, Reject, hookimpl

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
        text = unicodedata.normalize("NFKC", draft.contents)  # full-width letters and the like are the same words
        if not self._pattern.search(text):
            return None
        if self.ctx.config.action == "block":
            return Reject(self.ctx.config.reason)
        return replace(draft, contents=self._pattern.sub(lambda found: "\\*" * len(found[0]), text))


def pattern_of(words: list[str]) -> re.Pattern[str]:
    """Finds any of the words. Its time grows with the text's length alone: there is nothing in it to go back to."""
    parts = sorted((part_of(unicodedata.normalize("NFKC", word.strip())) for word in words), key=len, reverse=True)
    return re.compile("|".join(parts), re.IGNORECASE)


def part_of(word: str) -> str:
    """One word; whole, but for the ends that have a star."""
    before, after = (r"(?<!\w)\w*" if word.startswith("*") else r"(?<!\w)"), (r"\w*" if word.endswith("*") else r"(?!\w)")
    return before + re.escape(word.strip("*").strip()) + after
