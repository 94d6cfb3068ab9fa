"""JSON from outside: nothing in it is lost or guessed."""

from __future__ import annotations

import time

import pytest

from crust.strict_json import BadJson, read, read_bytes


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"a": 1, "a": 1}', "a"),
        ('{"a": 1, "b": {"c": 1, "d": 2, "c": 3}}', "c"),
        ('[{"a": [{"\\u0062": 1, "b": 2}]}]', "b"),
        ('{"": 1, "": 2}', ""),
        ('{"\\ud800": 1, "\\ud800": 2}', "?"),
        (f'{{"{"x" * 1000}": 1, "{"x" * 1000}": 2}}', "x" * 64),
    ],
)
def test_a_key_that_comes_twice_is_named(text: str, key: str) -> None:
    """At any depth, however it is spelled; the name can be sent, and is not the whole of what came."""
    with pytest.raises(BadJson, match="comes twice in one object") as error:
        read(text)
    assert error.value.key == key


def test_the_same_key_in_two_objects_is_none_that_comes_twice() -> None:
    """Each object has its own."""
    assert read('[{"a": 1}, {"a": {"a": 2}}]') == [{"a": 1}, {"a": {"a": 2}}]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("NaN", "no number"),
        ("[-Infinity]", "no number"),
        ("1e999", "too large"),
        ("9" * 5000, "too many digits"),
        ("[" * 10_000, "too deeply"),
        ('{"a":' * 10_000, "too deeply"),
        ("", "Expecting value"),
        ("1 2", "Extra data"),
        ("01", "Extra data"),
        ("[1,]", "Expecting value|trailing comma"),
        ("\ufeff{}", "Expecting value"),
        ('"\n"', "control character"),
        ("{'a': 1}", "property name"),
    ],
)
def test_what_is_no_json_is_told_why(text: str, reason: str) -> None:
    """In words that say nothing of Python's insides."""
    with pytest.raises(BadJson, match=reason) as error:
        read(text)
    assert error.value.key is None
    assert "sys." not in str(error.value)


def test_bytes_are_utf_8() -> None:
    """Half of a surrogate pair is let through for whoever checks the fields; anything else that is no UTF-8 is refused."""
    assert read_bytes('{"a": "é"}'.encode()) == {"a": "é"}
    assert read_bytes(b'"\xed\xa0\x80"') == read('"\\ud800"') == "\ud800"
    for data in (b'"\xff"', '{"a": 1}'.encode("utf-16"), b'"\xc0\x80"'):
        with pytest.raises(BadJson):
            read_bytes(data)


def test_a_hundred_thousand_keys_take_no_time() -> None:
    """To find the one that comes twice takes no longer than to read them."""
    many = ",".join(f'"{number}":0' for number in range(100_000))
    began = time.perf_counter()
    with pytest.raises(BadJson, match="'99999' comes twice"):
        read(f'{{{many},"99999":0}}')
    assert time.perf_counter() - began < 2
