"""Parameters: every encoding of the same values is the same call, and whatever is wrong is named."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Meta, Struct, UnsetType

from crust.api.params import Id, collect, convert, from_body
from crust.errors import BadRequest, Invalid
from crust.ids import MAX_ID

Limit = Annotated[int, Meta(ge=1, le=200, description="How many at most.")]
FORM, JSON, MULTIPART = "application/x-www-form-urlencoded", "application/json; charset=utf-8", "multipart/form-data; boundary=limit-XyZ"


class Everything(Struct, kw_only=True):
    """One field of each kind."""

    contents: str
    id: Annotated[Id | None, Meta(description="Which.")] = None
    members: Annotated[list[Id], Meta(max_length=5)] | None = None
    tags: list[str] = []
    limit: Limit = 50
    ratio: Annotated[float, Meta(ge=0, le=1)] = 0.5
    archived: bool = False
    pinned: bool | None = None
    type: Literal["public", "private"] | None = None
    name: Annotated[str, Meta(min_length=1, max_length=5)] | None = None
    key: Annotated[str, Meta(pattern="^[a-z]+$")] | None = None
    options: dict[str, Any] | None = None
    avatar: str | UnsetType | None = UNSET


def converted(**raw: Any) -> Everything:
    return convert(Everything, {"contents": "x", **raw})


def refused(**raw: Any) -> str:
    """The message with which the only field given is refused."""
    with pytest.raises(Invalid) as error:
        converted(**raw)
    assert error.value.field == next(iter(raw))
    assert error.value.message.startswith(f"{error.value.field} ")
    return error.value.message


def multipart(fields: list[tuple[str, str]]) -> bytes:
    parts = [
        b'--limit-XyZ\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value.encode())
        for name, value in fields
    ]
    return b"".join([*parts, b"--limit-XyZ--\r\n"])


# ---- the same values in every encoding

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
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


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(Everything.__struct_fields__), json_values))
def test_junk_is_refused_or_taken_never_a_crash(raw: dict[str, Any]) -> None:
    """Whatever a frame or a JSON body says, the answer is parameters or an error of ours that names a field."""
    try:
        convert(Everything, raw)
    except Invalid as error:
        field = error.field
    else:
        field = "contents"
    assert field in Everything.__struct_fields__


@given(
    st.sampled_from(
        ["", "application/json", FORM, MULTIPART, "multipart/form-data", "multipart/form-data; boundary=é", "text/plain", "\0;;=", ";"]
    ),
    st.binary(max_size=200),
    st.one_of(st.binary(max_size=200), st.binary(max_size=100).map(lambda junk: b"--limit-XyZ\r\n" + junk + b"\r\n--limit-XyZ--\r\n")),
)
def test_unreadable_bytes_are_a_bad_request(content_type: str, query: bytes, body: bytes) -> None:
    """Any bytes as query and body are read, or refused with an error of ours."""
    with suppress(BadRequest, Invalid):
        convert(Everything, collect(content_type, query, body))


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


def test_unknown_parameters_are_ignored() -> None:
    """A newer client's parameter is no error."""
    assert converted(nonsense=["what", {}]) == Everything(contents="x")


def test_defaults_are_not_shared() -> None:
    """A list that nobody gave belongs to one call."""
    converted().tags.append("mine")
    assert converted().tags == []
