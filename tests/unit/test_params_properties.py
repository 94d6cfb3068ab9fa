"""Parameters, whatever comes: values survive every encoding, and anything else is an error of ours that can be sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crust import strict_json
from crust.api.params import collect, convert
from crust.errors import BadRequest, CrustError, Invalid
from crust.ids import MAX_ID
from tests.support.parameters import FORM, JSON, MULTIPART, Everything, multipart

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
any_texts = st.text(st.characters(exclude_categories=()), max_size=30)  # halves of surrogate pairs too
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_texts, inner, max_size=4),
    max_leaves=10,
)
values = st.fixed_dictionaries(
    {"contents": texts},
    optional={
        "id": st.integers(1, MAX_ID),
        "members": st.lists(st.integers(1, MAX_ID), min_size=1, max_size=5),
        "tags": st.lists(texts, min_size=1, max_size=5),
        "limit": st.integers(1, 200),
        "archived": st.booleans(),
        "type": st.sampled_from(["public", "private"]),
        "name": st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=5),
        "options": st.dictionaries(texts, st.one_of(texts, st.integers(-5, 5), st.none(), st.lists(texts))),
    },
)


def pairs(fields: dict[str, Any], *, brackets: bool) -> list[tuple[str, str]]:
    """The fields as a form says them."""
    found: list[tuple[str, str]] = []
    for name, value in fields.items():
        if isinstance(value, list):
            listed = brackets or len(value) == 1
            found += [(f"{name}[]" if listed else name, str(item)) for item in value]
        elif isinstance(value, bool):
            found.append((name, "on" if value else "off"))
        else:
            found.append((name, json.dumps(value) if isinstance(value, dict) else str(value)))
    return found


def settled(read: Callable[[], Any]) -> CrustError | None:
    """The error of ours with which it is refused, if it is; it can be sent, and names a field of the call's if it names one."""
    try:
        read()
    except (BadRequest, Invalid) as refused:
        error = refused
    else:
        return None
    assert msgspec.json.decode(msgspec.json.encode(error.as_dict()))["message"]
    return error


@given(values, st.booleans())
def test_every_encoding_of_the_same_values_is_the_same(fields: dict[str, Any], brackets: bool) -> None:
    """Query, urlencoded form, multipart form, JSON with numbers and JSON with strings give equal parameters."""
    form = pairs(fields, brackets=brackets)
    as_text = {name: str(value) if isinstance(value, int) else value for name, value in fields.items()}
    ways = [
        collect("", urlencode(form).encode(), b""),
        collect(FORM, b"", urlencode(form).encode()),
        collect(MULTIPART, b"", multipart(form)),
        collect(JSON, b"", json.dumps(fields).encode()),
        collect(JSON, b"", json.dumps(fields, ensure_ascii=False).encode()),
        collect(JSON, b"", json.dumps(as_text).encode()),
    ]
    expected = Everything(**fields)
    assert [convert(Everything, raw) for raw in ways] == [expected] * len(ways)


@given(st.dictionaries(st.sampled_from(Everything.__struct_fields__), json_values))
def test_junk_is_refused_or_taken_never_a_crash(raw: dict[str, Any]) -> None:
    """Whatever a frame or a JSON body says, the answer is parameters or an error of ours that names a field."""
    error = settled(lambda: convert(Everything, raw))
    assert error is None or error.field in Everything.__struct_fields__


content_types = st.sampled_from(
    [
        "", JSON, FORM, MULTIPART, "application/json", "multipart/form-data", "multipart/form-data; boundary=é", "text/plain", "\0;;=", ";",
        'multipart/form-data; boundary="', "multipart/form-data; boundary*=utf-8''limit-XyZ", "application/json; charset=utf-16",
    ]
) | st.text(st.characters(max_codepoint=255), max_size=60)  # fmt: skip
form_junk = st.lists(
    st.sampled_from([b"contents", b"=", b"&", b"%", b"%00", b"%ED%A0%80", b"%FF", b"[]", b";", b"id", b"9" * 30, b"\xed\xa0\x80"])
)
json_junk = st.lists(
    st.sampled_from(["{", "}", "[", "]", ",", ":", '"contents"', '"\\ud800"', "1", "-", "1e999", "NaN", "null", " ", "\ufeff", "9" * 5000])
)
part_junk = st.lists(
    st.sampled_from(
        [
            b"--limit-XyZ", b"\r\n", b"--", b'Content-Disposition: form-data; name="contents"', b"Content-Disposition: x", b"\0", b"\xff",
            b":",
            b"Content-Disposition: form-data; name*=utf-8''%FF", b'; filename="a"', b"Content-Type: text/plain; charset=\xff", b"x",
        ]
    )
)  # fmt: skip
bodies = st.one_of(
    st.binary(max_size=200),
    st.binary(max_size=100).map(lambda junk: b"--limit-XyZ\r\n" + junk + b"\r\n--limit-XyZ--\r\n"),
    form_junk.map(b"".join),
    json_junk.map(lambda parts: "".join(parts).encode()),
    part_junk.map(b"".join),
    json_values.map(lambda value: json.dumps(value).encode()),
    json_values.map(lambda value: json.dumps({"contents": "x", "options": value}, ensure_ascii=False).encode("utf-8", "surrogatepass")),
)


@given(content_types, st.binary(max_size=200) | form_junk.map(b"".join), bodies)
def test_any_bytes_are_read_or_refused(content_type: str, query: bytes, body: bytes) -> None:
    """As query and body, of whatever type: parameters, or an error of ours that can be sent."""
    settled(lambda: convert(Everything, collect(content_type, query, body)))


keys = st.sampled_from(["contents", "id", "a", "", "\ud800", "é"])
members = st.recursive(
    st.sampled_from(["1", '"x"', "null", "[]"]),
    lambda inner: st.lists(st.tuples(keys, inner), max_size=4).map(
        lambda found: "{" + ",".join(f"{json.dumps(key)}: {value}" for key, value in found) + "}"
    ),
    max_leaves=8,
)


def repeated(found: list[tuple[str, Any]]) -> bool:
    """Whether a key comes twice in an object, or in one within it; objects are lists of pairs."""
    names = [name for name, _ in found]
    return len(set(names)) < len(names) or any(isinstance(value, list) and repeated(value) for _, value in found)


@given(members)
def test_a_key_that_comes_twice_is_refused_and_nothing_else_is(text: str) -> None:
    """At any depth; what is not refused is what the standard library reads."""
    twice = text.startswith("{") and repeated(json.loads(text, object_pairs_hook=list))
    if not twice:
        assert strict_json.read(text) == json.loads(text)
        return
    with pytest.raises(strict_json.BadJson, match="comes twice") as error:
        strict_json.read(text)
    assert error.value.key is not None
    assert json.dumps(error.value.key).isascii()
    msgspec.json.encode(error.value.key)
