"""Words: what a text is found by. The same for every database, because it is done here and not there.

Case, accents and compatibility forms do not count. Where a script puts no spaces between words (Chinese, Japanese, Thai and their like;
Korean, whose words bear their particles), every two neighbours are a term, and the last one by itself: so a run is found by any part of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

WORD_MAX = 64  # characters; what is longer is cut into several terms that follow each other
KNOWN_MAX = 20_000  # characters whose folding is kept: more than any language uses
KEPT_MARKS = range(1, 10)  # combining classes of marks that make another letter (nukta, dakuten, virama)
VOWEL_MARKS = range(40, 200)  # those of vowels and tones that are written as marks (Thai, Lao, Tibetan, Telugu)
# Kana, Han, Hangul; Thai, Lao, Myanmar, Khmer.
DENSE = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3031-\u3035\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
RUN = re.compile(f"([{DENSE}]+)|[^ {DENSE}]{{1,{WORD_MAX}}}")
ASCII_WORD = re.compile(f"[a-z0-9]{{1,{WORD_MAX}}}")


class Term(NamedTuple):
    """A term, and where it stands; `dense`: in a script without spaces, where it is one or two characters."""

    text: str
    start: int
    end: int
    dense: bool


class Phrase(NamedTuple):
    """Terms that follow each other; with `prefix` the last one is only how a term begins."""

    terms: tuple[str, ...]
    prefix: bool = False


class Folding(dict[int, str]):
    """What each character becomes: letters, digits and some marks stay, accents vanish, all else is a space."""

    def __missing__(self, code: int) -> str:
        text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", chr(code)).casefold())
        folded = unicodedata.normalize("NFC", "".join(map(letter, text)))
        if len(self) < KNOWN_MAX:
            self[code] = folded
        return folded


def letter(character: str) -> str:
    """A decomposed, folded character as a part of a word."""
    category, marks = unicodedata.category(character), unicodedata.combining(character)
    if category[0] in "LN":
        return character
    if category in ("Mn", "Mc") and (not marks or marks in KEPT_MARKS or marks in VOWEL_MARKS):
        return "" if 0xFE00 <= ord(character) <= 0xFE0F else character  # selectors of a glyph's variant are no letters
    return "" if category[0] == "M" or (category == "Cf" and character != "\u200b") else " "


FOLDING = Folding()


def terms(text: str) -> list[str]:
    """The terms of a text, in order."""
    if text.isascii():  # nearly every message in many a place, and then four times as fast
        return ASCII_WORD.findall(text.lower())
    return [term.text for term in cut(text.translate(FOLDING))]


def placed_terms(text: str) -> list[Term]:
    """The same, with the places of their characters in the text as it was given."""
    pieces = [FOLDING[ord(character)] for character in text]
    origin = [at for at, piece in enumerate(pieces) for _ in piece]
    return [term._replace(start=origin[term.start], end=origin[term.end - 1] + 1) for term in cut("".join(pieces))]


def phrase(text: str) -> Phrase | None:
    """What a text has to be looked for as: its terms, one after the other. None where it bears no word."""
    found = list(cut(text.translate(FOLDING)))
    if not found:
        return None
    *before, last = found
    prefix = False
    if last.dense and len(last.text) == 1:  # the run may go on, in what is looked for
        if before and before[-1].dense and before[-1].end == last.end:
            found = before
        else:
            prefix = True
    return Phrase(tuple(term.text for term in found), prefix)


def cut(folded: str) -> Iterator[Term]:
    """The terms of a folded text."""
    for match in RUN.finditer(folded):
        start, end = match.span()
        composed = compose(match[0])
        if match[1] is None:
            yield Term(composed, start, end, dense=False)
        elif len(composed) != end - start:  # composed differently than it was written: the places are those of the whole
            yield from (Term(composed[at : at + 2], start, end, dense=True) for at in range(len(composed)))
        else:
            for at in range(len(composed)):
                yield Term(composed[at : at + 2], start + at, min(start + at + 2, end), dense=True)


def compose(run: str) -> str:
    """Letters and their marks as one character where there is one. In pieces: marks without end would take the square of the length."""
    if run.isascii():
        return run
    return "".join(unicodedata.normalize("NFC", run[at : at + WORD_MAX]) for at in range(0, len(run), WORD_MAX))


def occurrences(placed: list[Term], wanted: Phrase) -> Iterator[tuple[int, int]]:
    """Where a phrase stands among the terms of a text, as (start, end) in the text."""
    length, (*before, last) = len(wanted.terms), wanted.terms
    for at in range(len(placed) - length + 1):
        final = placed[at + length - 1]
        if (final.text.startswith(last) if wanted.prefix else final.text == last) and all(
            placed[at + nth].text == term for nth, term in enumerate(before)
        ):
            end = final.end - 1 if wanted.prefix and len(final.text) > len(last) else final.end
            yield placed[at].start, max(end, placed[at].start + 1)
