"""Whom and which channels a text names."""

from __future__ import annotations

import time

import pytest

from crust.services.mentions import NAMED_MAX, named


def test_names_in_text_count_and_names_in_code_do_not() -> None:
    """Markdown decides what is code; addresses and paths are no names; each counts once, whatever its case."""
    text = "@Ana, **@bob** and @ana: `@cem` mail@dan.example http://host/@eve (@fay's)\n\n    @gus\n\n```\n@hal\n```\n> @ivy"
    assert named(text) == (("ana", "bob", "fay", "ivy"), ())
    assert named("nobody here") == ((), ())


def test_people_elsewhere_are_named_by_their_handles() -> None:
    """The network belongs to the name where it follows the colon at once; a colon at the end of a name is none."""
    assert named("@Ann:toy.example, @ben: hi @cem:").users == ("ann:toy.example", "ben", "cem")


def test_channels_are_named_like_people() -> None:
    """`#name` in text, of any script, but no heading, fragment, entity or number sign alone, and not in code."""
    text = (
        "#General, **#q.a-2** and #GENERAL: `#code` a#b http://host/#part &#35; # head\n## two\n(#allgemein-größe.) #会议 #\n\n    #block"
    )
    assert named(text).channels == ("general", "q.a-2", "allgemein-grösse", "会议")
    assert named(text).users == ()


def test_one_message_cannot_call_everybody() -> None:
    """At most fifty people are named by one message."""
    found = named(" ".join(f"@user{number} #room{number}" for number in range(200)))
    assert [len(each) for each in found] == [NAMED_MAX, NAMED_MAX]


@pytest.mark.parametrize("unit", ["[", "![", "[a](", "`", "`a``b```c", "\\", "\n", "> ", "```\n", "@a ", "#a ", "##", "*_"])
def test_no_text_keeps_the_server_busy(unit: str) -> None:
    """The longest message, of whatever brackets and quotes, is read in a fraction of what a commit takes together with its disk."""
    text = "@" + (unit * 16_000)[:15_999]

    def took() -> float:
        began = time.thread_time()
        named(text)
        return time.thread_time() - began

    assert min(took() for _ in range(3)) < 0.2
