"""What a text is found by."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crust.words import WORD_MAX, Phrase, occurrences, phrase, placed_terms, terms


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The quick, brown FOX!", ["the", "quick", "brown", "fox"]),
        ("Größe café naïve ÅNGSTRÖM", ["grosse", "cafe", "naive", "angstrom"]),
        ("cafe\u0301 ﬁne ＡＢＣ１２", ["cafe", "fine", "abc12"]),
        ("Привет, ёжик Й", ["привет", "ежик", "и"]),
        ("ΟΔΟΣ οδός", ["οδοσ", "οδοσ"]),
        ("foo_bar don't a-b", ["foo", "bar", "don", "t", "a", "b"]),
        ("so\u00adft ze\u200bro", ["soft", "ze", "ro"]),
        ("東京都", ["東京", "京都", "都"]),
        ("東京tower2に", ["東京", "京", "tower2", "に"]),
        ("か\u3099き", ["がき", "き"]),
        ("\u1112\u1161\u11ab\u1100\u1173\u11af", ["한글", "글"]),
        ("हिन्दी עִבְרִית", ["हिन्दी", "עברית"]),
        ("กุกู", ["กุ", "ุก", "กู", "ู"]),
        ("🎉 ~~~ …", []),
    ],
)
def test_terms(text: str, found: list[str]) -> None:
    """Case, accents and ways of writing do not count; scripts without spaces give neighbours."""
    assert terms(text) == found


@given(st.text())
def test_terms_are_plain(text: str) -> None:
    """Terms are of bounded length and bear no space, no capital and no punctuation of ASCII."""
    for term in terms(text):
        assert 0 < len(term) <= WORD_MAX
        assert not any(character.isspace() or (character.isascii() and not character.isalnum()) for character in term)
        assert term.lower() == term or not term.isascii()


@given(st.text(alphabet=st.characters(max_codepoint=127)) | st.text(alphabet="aB1_- ", min_size=60, max_size=200))
def test_the_short_way_of_ascii_is_the_long_one(text: str) -> None:
    """ASCII gives what the folding of everything else gives."""
    assert terms(text) == [term.text for term in placed_terms(text)]


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_places_are_those_of_the_terms(text: str) -> None:
    """Terms with places are the same terms, in order, and each stands within the text."""
    placed = placed_terms(text)
    assert [term.text for term in placed] == terms(text)
    assert all(0 <= term.start < term.end <= len(text) for term in placed)
    assert [term.start for term in placed] == sorted(term.start for term in placed)


@given(st.text(min_size=1, max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_a_text_is_found_by_any_of_its_words(word: str, before: str, after: str) -> None:
    """Whatever stands around a phrase, the text in which it stands by itself has it."""
    wanted = phrase(word)
    if wanted is not None:
        assert list(occurrences(placed_terms(f"{before} {word} {after}"), wanted))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("foo-bar", Phrase(("foo", "bar"))),
        ("東京都", Phrase(("東京", "京都"))),
        ("東", Phrase(("東",), prefix=True)),
        ("a東", Phrase(("a", "東"), prefix=True)),
        ("東京a", Phrase(("東京", "京", "a"))),
        ("*&^", None),
    ],
)
def test_phrases(text: str, wanted: Phrase | None) -> None:
    """A run of a script without spaces is wanted as it is, whatever comes after it in what is found."""
    assert phrase(text) == wanted


def test_marks_without_end_take_no_time() -> None:
    """16,000 accents, or marks that make letters, in the worst order are folded in a few milliseconds."""
    for marks in ("\u0301\u0323", "\u3099\u094d", "\u0e38\u3099"):
        started = time.perf_counter()
        terms("a" + marks * 8000)
        assert time.perf_counter() - started < 0.5
