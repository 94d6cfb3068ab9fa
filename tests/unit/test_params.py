"""Parameters: every encoding of the same values is the same call, and whatever is wrong is named."""

from __future__ import annotations

from typing import Any

import pytest

from crust.api.params import collect, convert, from_body
from crust.errors import BadRequest, Invalid
from crust.ids import MAX_ID
from tests.support.parameters import FORM, JSON, MULTIPART, Everything, multipart


def converted(**raw: Any) -> Everything:
    return convert(Everything, {"contents": "x", **raw})


def refused(**raw: Any) -> str:
    """The message with which the only field given is refused."""
    with pytest.raises(Invalid) as error:
        converted(**raw)
    assert error.value.field == next(iter(raw))
    assert error.value.message.startswith(f"{error.value.field} ")
    return error.value.message


# ---- gathering


def test_the_body_wins_over_the_query() -> None:
    """A name that both have is the body's; the others add up, on every method."""
    assert collect(JSON, b"a=query&b=query", b'{"b": "body"}') == {"a": "query", "b": "body"}


def test_lists_are_repeated_or_in_brackets() -> None:
    """`a=1&a=2`, `a[]=1&a[]=2` and a mixture are lists; `a[]=1` is a list of one, and wins over the query's `a`."""
    for query in (b"a=1&a=2", b"a[]=1&a[]=2", b"a=1&a[]=2", b"a[]=1&a=2", b"a%5B%5D=1&a%5B%5D=2"):
        assert collect("", query, b"") == {"a": ["1", "2"]}
    assert collect(FORM, b"a=9", b"a[]=1") == {"a": ["1"]}


def test_files_are_no_parameters() -> None:
    """A part with a filename is left out, whatever it holds."""
    body = (
        b'--limit-XyZ\r\nContent-Disposition: form-data; name="upload"; filename="a"\r\n\r\n\xff\xfe\r\n'
        b'--limit-XyZ\r\nContent-Disposition: form-data; name="contents"\r\n\r\nhi\r\n--limit-XyZ--\r\n'
    )
    assert from_body(MULTIPART, body) == {"contents": "hi"}


@pytest.mark.parametrize(
    "content_type", ["application/json", "APPLICATION/JSON", "application/json;charset=latin-1", 'application/json; charset="utf-8"']
)
def test_json_with_any_charset_parameter(content_type: str) -> None:
    """JSON is UTF-8 whatever the parameter says."""
    assert from_body(content_type, '{"a": "é"}'.encode()) == {"a": "é"}


def test_a_body_of_nothing_has_no_type() -> None:
    """Clients send a Content-Type with an empty body; that is no error."""
    assert from_body("text/plain", b"") == from_body("application/json", b"") == {}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"a": '),
        ("application/json", b'["no", "object"]'),
        ("application/json", b'{"a": "\xff"}'),
        ("application/json", b'{"a": NaN}'),
        ("application/json", b"[" * 100_000),
        ("application/json", b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
        (FORM, b"a=%FF"),
        (FORM, b"a=\xff"),
        (FORM, b"&".join(b"a=1" for _ in range(1001))),
        ("multipart/form-data", b"--B\r\n"),
        (MULTIPART, b"--limit-XyZ\r\njunk"),
        (MULTIPART, multipart([("a", "1")] * 1001)),
        (MULTIPART, multipart([("a", "1")])[:-20]),
    ],
)
def test_a_body_that_cannot_be_read_is_a_bad_request(content_type: str, body: bytes) -> None:
    """Broken, too deep, with too many fields, cut off: 400, not a guess at what was meant."""
    with pytest.raises(BadRequest):
        from_body(content_type, body)


def test_a_key_that_comes_twice_is_named() -> None:
    """In a body, wherever in it, and in the JSON that a form bears."""
    with pytest.raises(BadRequest, match="'deep' comes twice") as error:
        from_body(JSON, b'{"unknown": [{"deep": 1, "deep": 2}]}')
    assert error.value.field == "deep"
    assert refused(options='{"a": 1, "a": 2}') == "options must be a JSON object, but the key 'a' comes twice in one object."


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, b'{"contents": "\\ud800"}'),
        (JSON, b'{"contents": "\xed\xa0\x80"}'),
        (FORM, b"contents=%ED%A0%80"),
        (FORM, b"contents=\xed\xa0\x80"),
        (MULTIPART, multipart([("contents", "\0")]).replace(b"\0", b"\xed\xa0\x80")),
    ],
)
def test_half_a_character_is_named_by_its_field(content_type: str, body: bytes) -> None:
    """In every encoding; it is text that cannot be stored, not a body that cannot be read."""
    with pytest.raises(Invalid) as error:
        convert(Everything, from_body(content_type, body))
    assert error.value.field == "contents"


@pytest.mark.parametrize("content_type", ["text/plain", "", "application/xml"])
def test_another_type_of_body_is_told_what_is_taken(content_type: str) -> None:
    """The error names the three types."""
    with pytest.raises(BadRequest, match="application/json, application/x-www-form-urlencoded, multipart/form-data"):
        from_body(content_type, b"hello")


# ---- converting


@pytest.mark.parametrize("value", [1, MAX_ID, "1", str(MAX_ID), "0000000000000000001"])
def test_ids_are_numbers_or_digits(value: int | str) -> None:
    """Up to 2^63 - 1, as a JSON number or as decimal digits."""
    assert converted(id=value).id == int(value)


@pytest.mark.parametrize(
    "value",
    ["12x", "-1", "+1", "1_000", " 1", "1 ", "1.0", "1e3", "0x1f", "١٢", "１", "0", 0, -1, MAX_ID + 1, str(MAX_ID + 1), 10**30, "9" * 5000,
     1.0, True, False, [1], {"a": 1}, "null"],
)  # fmt: skip
def test_what_is_no_id_is_refused_and_told(value: Any) -> None:
    """No floats, booleans, signs, underscores, spaces, other scripts' digits, nothing out of range."""
    assert refused(id=value) == "id must be an id: a whole number, as digits."


@pytest.mark.parametrize("value", ["true", "1", "on", "yes", "TRUE", True, 1])
@pytest.mark.parametrize("name", ["archived", "pinned"])
def test_true(name: str, value: Any) -> None:
    """As forms, checkboxes and JSON say it."""
    assert getattr(converted(**{name: value}), name) is True


@pytest.mark.parametrize("value", ["false", "0", "off", "no", "No", False, 0])
@pytest.mark.parametrize("name", ["archived", "pinned"])
def test_false(name: str, value: Any) -> None:
    """As forms, checkboxes and JSON say it."""
    assert getattr(converted(**{name: value}), name) is False


@pytest.mark.parametrize("value", ["maybe", 2, "2", 1.0, [], {}])
def test_neither_true_nor_false(value: Any) -> None:
    """Nothing else has a truth."""
    assert refused(archived=value) == "archived must be true or false."


@pytest.mark.parametrize("value", [["a"], {"a": "b"}, 5, 1.5, True])
def test_text_is_text(value: Any) -> None:
    """A list, an object or a number for a text is refused, not made into one."""
    assert refused(contents=value) == "contents must be text."


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_text_that_cannot_be_stored_is_refused(value: str) -> None:
    """NUL and lone surrogates, in texts, in lists of them and inside objects."""
    assert refused(contents=value).startswith("contents must be text, but has NUL")
    refused(tags=["fine", value])
    refused(options={"deep": [{"er": value}]})
    refused(options={value: 1})


def test_constraints_are_enforced_and_told() -> None:
    """What a field's Meta says holds, and the error says it."""
    for value in ("0", "201", 0, 201, "many"):
        assert refused(limit=value) == "limit must be a whole number from 1 to 200."
    assert refused(name="abcdef") == "name must be text of 1 to 5 characters."
    assert refused(name="") == "name must be text of 1 to 5 characters."
    assert refused(key="A") == "key must be text like ^[a-z]+$."
    assert refused(ratio="1.5") == "ratio must be a number from 0 to 1."
    assert refused(type="secret") == "type must be one of private, public."
    assert refused(members=["1"] * 6) == "members must be a list of at most 5, each an id: a whole number, as digits."
    assert refused(members=["1", "x"]).endswith("each an id: a whole number, as digits.")
    assert refused(options="[1]") == refused(options="{") == "options must be a JSON object."


def test_what_is_missing_is_named() -> None:
    """Left out, or null."""
    for raw in ({}, {"contents": None}):
        with pytest.raises(Invalid) as error:
            convert(Everything, raw)
        assert error.value.field == "contents"
        assert error.value.message == "contents is required: text."


def test_empty_counts_as_left_out_but_for_text() -> None:
    """A form's empty field is no value, unless it is a text; null is no value either."""
    names = ("id", "members", "limit", "archived", "pinned", "type", "options")
    assert converted(**dict.fromkeys(names, "")) == converted(**dict.fromkeys(names)) == Everything(contents="x")
    assert converted(contents="").contents == ""
    assert converted(avatar="").avatar == ""


def test_lists_of_one_and_of_none() -> None:
    """One value is a list of one; `members[]=` and `[]` are the empty list, which is not the same as none given."""
    assert converted(members="7").members == converted(members=7).members == [7]
    assert converted(**collect("", b"members[]=", b"")).members == converted(members=[]).members == []
    assert converted(tags=["", "5"]).tags == ["", "5"]


def test_a_form_may_bear_a_list_as_json() -> None:
    """`members=["1","2"]`, in query, form and multipart; an array within it, or what is no JSON, is refused."""
    for raw in (collect("", b"members=%5B%221%22,2%5D", b""), collect(FORM, b"", b'members=["1",2]')):
        assert converted(**raw).members == [1, 2]
    assert converted(**collect(MULTIPART, b"", multipart([("members", '["1"]')]))).members == [1]
    assert converted(members="[]").members == []
    for wrong in ("[1", "[[1]]", "[x]", '["1","2",]', "[1][2]", "[" * 5000, '{"a": 1}', ["[1]"], '[{"a": 1}]', "[1,1,1,1,1,1]"):
        assert refused(members=wrong) == "members must be a list of at most 5, each an id: a whole number, as digits."


def test_a_text_that_looks_like_a_list_is_a_text() -> None:
    """In a list of texts."""
    assert converted(tags='["a","b"]').tags == ['["a","b"]']


def test_unknown_parameters_are_ignored() -> None:
    """A newer client's parameter is no error."""
    assert converted(nonsense=["what", {}]) == Everything(contents="x")


def test_defaults_are_not_shared() -> None:
    """A list that nobody gave belongs to one call."""
    converted().tags.append("mine")
    assert converted().tags == []
