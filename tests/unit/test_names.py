"""Names, topics and times that people give."""

from __future__ import annotations

import time

import pytest

from crust.clock import rfc3339
from crust.errors import Invalid
from crust.services import names
from crust.services.times import milliseconds


@pytest.mark.parametrize(
    "name", ["Ana", "ана", "👩‍👩‍👧", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "O'Brien", "#1", "می‌خواهم"]
)
def test_names_in_every_script(name: str) -> None:
    """Joiners, without which Persian and families of emoji cannot be written, included."""
    assert names.display(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "  ", "\u200b", "\u200d\ufe0f", "\u3164", "\u2800 \u115f", "a\nb", "a\u2028b", "a\x07", "a\ud800", "x" * 101,
     *(f"nimda{character}" for character in "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")],
)  # fmt: skip
def test_a_name_is_one_visible_line_that_reads_as_it_is_written(name: str) -> None:
    """Nothing to see, more than a line, too much of it, or a direction of its own: refused, and the field is named."""
    with pytest.raises(Invalid) as error:
        names.display(name, "title")
    assert error.value.field == "title"


def test_a_topic_leaves_its_neighbours_alone() -> None:
    """White space becomes a space; marks that Hebrew and Arabic need stay; what would turn round the text beside it is refused."""
    assert names.topic(" one\n two\u2028three ") == "one two three"
    assert names.topic("שלום\u200f!") == "שלום\u200f!"
    for topic in ("x\u202e", "\u2067x", "x\x07", "\ud800", "x" * 1001):
        with pytest.raises(Invalid) as error:
            names.topic(topic)
        assert error.value.field == "topic"


@pytest.mark.parametrize("email", ["a\u202e@example.org", "a\ud800@example.org", "a\x7f@example.org", "a\u200e@example.org"])
def test_an_address_reads_as_it_is_written(email: str) -> None:
    """The same holds for what mail is sent to."""
    with pytest.raises(Invalid):
        names.email(email)


def test_a_long_name_is_refused_before_it_costs_time() -> None:
    """Many accents on one letter take the square of their number to put in order."""
    began = time.perf_counter()
    with pytest.raises(Invalid):
        names.display("a" + "\u0315\u0300" * 100_000)
    assert time.perf_counter() - began < 1
    assert names.display("\u1100\u1161\u11a8" * 100) == "각" * 100, "what is short once it is composed is not long"


def test_times_are_those_that_can_be_said_again() -> None:
    """From 1970 to 9999, to the millisecond, whatever the offset."""
    for text, said in [
        ("2026-11-24T01:47:00Z", "2026-11-24T01:47:00.000Z"),
        ("2026-11-24T03:47:00.1239+02:00", "2026-11-24T01:47:00.123Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999Z"),
    ]:
        assert rfc3339(milliseconds(text, "until")) == said
    for text in ("", "tomorrow", "2026-11-24", "2026-11-24T01:47:00", "0001-01-01T00:00:00+23:59", "1969-12-31T23:59:59Z",
                 "9999-12-31T23:59:59-23:59"):  # fmt: skip
        with pytest.raises(Invalid) as error:
            milliseconds(text, "until")
        assert error.value.field == "until"
