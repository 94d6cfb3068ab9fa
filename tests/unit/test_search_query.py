"""What people type to find messages, and what they are shown of what was found."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crust.clock import rfc3339
from crust.ids import ID_COUNTER_BITS, ID_EPOCH_MS, MAX_ID
from crust.models.search_index import PINNED, WITH_FILE, Document, Match, SearchIndex
from crust.services.search_query import Named, parse
from crust.services.snippets import END, START, snippet
from crust.words import Phrase, occurrences, phrase, placed_terms

TEXT = st.text() | st.text(alphabet='ab :"-*^()東京:NEAR{}')


def test_words_phrases_and_negation() -> None:
    """Quotes keep words together, a hyphen in front refuses; inside a word it is none."""
    query = parse('Release "going out" -draft well-known -"not this"')
    assert query.wanted == [Phrase(("release",)), Phrase(("going", "out")), Phrase(("well", "known"))]
    assert query.unwanted == [Phrase(("draft",)), Phrase(("not", "this"))]


def test_operators() -> None:
    """Each is read whatever its case, with quotes and signs as people write them, and may be refused."""
    query = parse('FROM:@Ana -from:bob in:#general in:"My Room" has:file -is:pinned')
    assert query.people == [Named("ana", wanted=True), Named("bob", wanted=False)]
    assert query.channels == [Named("general", wanted=True), Named("my room", wanted=True)]
    assert (query.labels, query.without) == ([WITH_FILE], [PINNED])
    assert not query.wanted
    assert not query.unwanted


@pytest.mark.parametrize("text", ["has:cheese", "is:", "before:lunch", "before:2026-13-01", "after:99999999999999999999"])
def test_what_an_operator_does_not_know_is_just_words(text: str) -> None:
    """No operator takes a value that means nothing to it, and none refuses it."""
    query = parse(text)
    assert query.wanted == [phrase(text)]
    assert (query.before, query.after, query.labels) == (MAX_ID, 0, [])


def test_days_and_times_bound_ids() -> None:
    """Before a day is before its beginning, after it is after its end; UTC."""

    def time(number: int) -> str:
        return rfc3339((number >> ID_COUNTER_BITS) + ID_EPOCH_MS)

    query = parse("after:2026-11-20 before:2026-11-24")
    assert (time(query.after), time(query.after + 1)) == ("2026-11-20T23:59:59.999Z", "2026-11-21T00:00:00.000Z")
    assert (time(query.before - 1), time(query.before)) == ("2026-11-23T23:59:59.999Z", "2026-11-24T00:00:00.000Z")
    assert time(parse("before:2026-11-24T10:00:00+02:00").before) == "2026-11-24T08:00:00.000Z"
    assert parse("before:123456789012345678").before == 123456789012345678
    assert parse("before:0001-01-01").before == 0


@pytest.mark.parametrize(("text", "nothing"), [("", False), ("  ", False), ("*&^ !!", True), ("!! a", False), ("from:ana", False)])
def test_text_without_a_word_finds_nothing(text: str, nothing: bool) -> None:
    """And not everything, as no text does."""
    assert parse(text).nothing is nothing


@pytest.fixture(scope="module")
def fts() -> Iterator[sqlite3.Connection]:
    """An empty index."""
    connection = sqlite3.connect(":memory:")
    for statement in SearchIndex("sqlite").creation:
        connection.execute(statement)
    yield connection
    connection.close()


@given(text=TEXT, contents=TEXT)
def test_any_text_is_read_and_finds_no_more_than_its_words(fts: sqlite3.Connection, text: str, contents: str) -> None:
    """No text is an error of the index's own language; found is what has all wanted phrases and none of the unwanted, and nothing else."""
    index, query = SearchIndex("sqlite"), parse(text)
    write = index.adding([Document(id=1, channel_id=2, user_id=3, type="MESSAGE", text=contents)])
    sql, values = index.finding(Match(tuple(query.wanted), tuple(query.unwanted)), 0, MAX_ID, 10)
    fts.execute("DELETE FROM message_search")
    fts.executemany(write.sql.replace("$", "?"), write.rows)
    found = bool(fts.execute(sql.replace("$", "?"), values).fetchall())
    placed = placed_terms(contents)
    has = [bool(list(occurrences(placed, each))) for each in (*query.wanted, *query.unwanted)]
    assert found == (all(has[: len(query.wanted)]) and not any(has[len(query.wanted) :]))


@pytest.mark.parametrize(
    ("contents", "query", "shown"),
    [
        ("The Größe of it", "grosse", "The <Größe> of it"),
        ("東京都に住む", "京都", "東<京都>に住む"),
        ("東京都に住む", "住", "東京都に<住>む"),
        ("go out, going out", '"going out"', "go out, <going out>"),
        ("well-known", "known well", "<well>-<known>"),
        ("a \ue000forged\ue001 match", "match", "a forged <match>"),
        ("nothing of it", "", "nothing of it"),
        ("x" * 300, "", "x" * 240 + "…"),
        ("far " * 50 + "here it is", "here", "…" + "far " * 14 + "<here> it is"),
    ],
)
def test_snippets(contents: str, query: str, shown: str) -> None:
    """Every match is marked, as it was written; long texts are cut around the first, and nobody forges a mark."""
    assert snippet(contents, parse(query).wanted).replace(START, "<").replace(END, ">") == shown


@given(TEXT, TEXT)
def test_a_snippet_is_part_of_its_text(text: str, contents: str) -> None:
    """Whatever is looked for, what is shown without its marks stands in the text, and marks come in pairs."""
    shown = snippet(contents, parse(text).wanted)
    bare = shown.replace(START, "").replace(END, "")
    assert bare.strip("…") in contents.replace(START, "").replace(END, "")
    assert shown.count(START) == shown.count(END)
