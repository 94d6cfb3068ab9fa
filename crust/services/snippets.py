"""The part of a message that shows why it was found."""

from __future__ import annotations

from collections.abc import Sequence

from crust.words import Phrase, occurrences, placed_terms

START, END = "\ue000", "\ue001"  # around each match; taken out of what people wrote, so that nobody forges one
BEFORE, LENGTH = 60, 240  # characters before the first match, and in all
CUT = "…"


def snippet(contents: str, phrases: Sequence[Phrase]) -> str:
    """At most 240 characters around the first match, with every match in them between U+E000 and U+E001."""
    contents = contents.replace(START, "").replace(END, "")
    spans = joined([span for phrase in phrases for span in occurrences(placed_terms(contents), phrase)])
    start = word_start(contents, max(spans[0][0] - BEFORE, 0)) if spans else 0
    end = min(start + LENGTH, len(contents))
    parts, at = [CUT if start else ""], start
    for left, right in spans:
        if left < end:
            parts += [contents[at:left], START, contents[left : min(right, end)], END]
            at = min(right, end)
    return "".join([*parts, contents[at:end], CUT if end < len(contents) else ""])


def joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order, those that touch as one."""
    found: list[tuple[int, int]] = []
    for left, right in sorted(spans):
        if found and left <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], right))
        else:
            found.append((left, right))
    return found


def word_start(contents: str, at: int) -> int:
    """The beginning of the next word, if it is near."""
    if not at:
        return 0
    space = contents.find(" ", at, at + BEFORE // 3)
    return at if space < 0 else space + 1
