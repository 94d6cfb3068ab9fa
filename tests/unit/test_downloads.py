"""What an answer with bytes says of them: a name that cannot break out of its header, and which bytes they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.http import parse_options_header

from crust.api.downloads import RangeNotSatisfiable, disposition, part

NAMES = st.text(st.characters(codec="utf-8"), max_size=300)


@given(name=NAMES, inline=st.booleans())
def test_any_name_is_one_header(name: str, inline: bool) -> None:
    """Whatever is in it: printable ASCII, one value, two parameters at most, and whoever knows RFC 8187 reads the same name."""
    header = disposition(name, inline=inline)
    assert header.isascii()
    assert header.isprintable()
    kind, parameters = parse_options_header(header)
    assert kind == ("inline" if inline else "attachment")
    assert set(parameters) == {"filename"}
    if not name.startswith(" ") and name.strip():
        assert parameters["filename"] == name


def test_a_name_is_said_twice_where_it_has_to_be() -> None:
    """In ASCII for old programs, in UTF-8 for the others."""
    assert disposition("plan.txt", inline=True) == 'inline; filename="plan.txt"'
    assert disposition('ä"\\.txt', inline=False) == "attachment; filename=\"___.txt\"; filename*=UTF-8''%C3%A4%22%5C.txt"


@given(start=st.integers(0, 300), end=st.integers(0, 300), size=st.integers(1, 200))
def test_a_range_is_what_it_says(start: int, end: int, size: int) -> None:
    """first-last, both included and cut at the end; from behind the end on there is nothing; backwards is no range."""
    asked = f"bytes={start}-{end}"
    if end < start:
        assert part(asked, None, '"e"', size) is None
    elif start >= size:
        with pytest.raises(RangeNotSatisfiable) as refused:
            part(asked, None, '"e"', size)
        assert (refused.value.status, refused.value.size) == (416, size)
    else:
        assert part(asked, None, '"e"', size) == (start, min(end + 1, size))


@given(asked=st.one_of(st.text(max_size=40), st.from_regex(r"bytes=[0-9 ,-]{0,20}", fullmatch=True)), size=st.integers(0, 10**12))
def test_any_range_is_within_the_bytes_or_refused(asked: str, size: int) -> None:
    """Whatever stands in the header."""
    try:
        wanted = part(asked, None, '"e"', size)
    except RangeNotSatisfiable:
        return
    assert wanted is None or 0 <= wanted[0] < wanted[1] <= size


@pytest.mark.parametrize(
    ("asked", "if_range", "expected"),
    [
        ("bytes=-5", None, (95, 100)), ("bytes=-500", None, (0, 100)), ("bytes=90-", None, (90, 100)), ("bytes=0-0", '"e"', (0, 1)),
        ("bytes=0-0", '"f"', None), ("bytes=0-0", 'W/"e"', None), ("bytes=0-0", "Tue, 24 Nov 2026 00:00:00 GMT", None),
        ("bytes=0-1,5-6", None, None), ("lines=0-1", None, None), (None, None, None),
    ],
)  # fmt: skip
def test_which_part_is_meant(asked: str | None, if_range: str | None, expected: tuple[int, int] | None) -> None:
    """The last so many, all from a place on; all where another version is known, where several are asked for, or other units."""
    assert part(asked, if_range, '"e"', 100) == expected
