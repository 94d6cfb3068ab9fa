"""Whom a text names."""

from __future__ import annotations

import time

import pytest

from crust.services.mentions import NAMED_MAX, named


def test_names_in_text_count_and_names_in_code_do_not() -> None:
    """Markdown decides what is code; addresses and paths are no names; each counts once, whatever its case."""
    text = "@Ana, **@bob** and @ana: `@cem` mail@dan.example http://host/@eve (@fay's)\n\n    @gus\n\n```\n@hal\n```\n> @ivy"
    assert named(text) == ("ana", "bob", "fay", "ivy")
    assert named("nobody here") == ()


def test_one_message_cannot_call_everybody() -> None:
    """At most fifty people are named by one message."""
    assert len(named(" ".join(f"@user{number}" for number in range(200)))) == NAMED_MAX


@pytest.mark.parametrize("unit", ["[", "![", "[a](", "`", "`a``b```c", "\\", "\n", "> ", "```\n", "@a ", "*_"])
def test_no_text_keeps_the_server_busy(unit: str) -> None:
    """The longest message, of whatever brackets and quotes, is read in a fraction of what a commit takes together with its disk."""
    text = "@" + (unit * 16_000)[:15_999]
    began = time.process_time()
    named(text)
    assert time.process_time() - began < 0.2
