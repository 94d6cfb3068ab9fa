"""Arguments of commands: what a method's annotations ask for, and what a line gives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crust.host.arguments import UNITS, Reading, Unfit, Wrong, read
from crust.host.commands import NewCommands
from crust.host.signatures import Untyped, arguments_of
from crust.plugin import Channel, Invocation, Rest, User

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ANA = User(id="1", username="ana", name="Ana", avatar=None, kind="person", origin=None, created_at="", suspended_at=None)
GENERAL = Channel(
    id="2", organisation_id="3", team_ids=[], name="general", topic="", type="public", members_count=1, last_message_id=None, bridged=(),
    created_at="", updated_at="", archived_at=None,
)  # fmt: skip


async def user(name: str) -> User:
    if name != "ana":
        raise Unfit("there is nobody of that name here")
    return ANA


async def channel(name: str) -> Channel:
    if name != "general":
        raise Unfit("there is no channel of that name")
    return GENERAL


def values(function: Callable[..., Any], line: str) -> list[Any]:
    """What a line gives a function."""
    return asyncio.run(read(line, arguments_of(function), Reading(NOW, user, channel)))


async def everything(call: Invocation, word: str, number: int, ratio: float, sure: bool, how: Literal["up", "down"]) -> None: ...
async def people(call: Invocation, who: Literal["me"] | User, where: Channel | None = None) -> None: ...
async def remind(call: Invocation, when: datetime, what: Annotated[Rest, "What of"]) -> None: ...
async def wait(call: Invocation, how_long: timedelta = timedelta(hours=1)) -> None: ...
async def poll(call: Invocation, question: str, *choices: str) -> None: ...


@pytest.mark.parametrize(
    ("function", "line", "wanted"),
    [
        (everything, "a 1 2.5 yes UP", ["a", 1, 2.5, True, "up"]),
        (everything, '"a b" -7 3 off down', ["a b", -7, 3.0, False, "down"]),
        (everything, "“typographic ones” 0 0 1 up", ["typographic ones", 0, 0.0, True, "up"]),
        (everything, r'"a \" and a \\" 0 0 no up', ['a " and a \\', 0, 0.0, False, "up"]),
        (people, "me", ["me"]),
        (people, "@ana #general", [ANA, GENERAL]),
        (people, "ana general", [ANA, GENERAL]),
        (remind, 'in 2h  stand "up\n now', [NOW + timedelta(hours=2), 'stand "up\n now']),
        (remind, "90 minutes tea", [NOW + timedelta(minutes=90), "tea"]),
        (remind, "at 14:30 tea", [NOW.replace(hour=14, minute=30), "tea"]),
        (remind, "9:00 tea", [NOW.replace(hour=9) + timedelta(days=1), "tea"]),
        (remind, "tomorrow at 9:00 tea", [NOW.replace(hour=9) + timedelta(days=1), "tea"]),
        (remind, "tomorrow tea at 5", [datetime(2026, 11, 25, tzinfo=UTC), "tea at 5"]),
        (remind, "on 2026-12-24 18:00 tea", [datetime(2026, 12, 24, 18, tzinfo=UTC), "tea"]),
        (remind, "2026-12-24T18:00+01:00 tea", [datetime(2026, 12, 24, 17, tzinfo=UTC), "tea"]),
        (wait, "", []),
        (wait, "1h30m", [timedelta(minutes=90)]),
        (wait, "in 2 weeks", [timedelta(weeks=2)]),
        (poll, '"What for lunch?" soup "two eggs" tea', ["What for lunch?", "soup", "two eggs", "tea"]),
        (poll, "Lunch?", ["Lunch?"]),
    ],
)
def test_what_fits(function: Callable[..., Any], line: str, wanted: list[Any]) -> None:
    """Every type, the ways in which people write it, quotes, and what may be left out."""
    assert values(function, line) == wanted


@pytest.mark.parametrize(
    ("function", "line", "wrong"),
    [
        (everything, "a", "number is missing: a whole number"),
        (everything, "a b", "number has to be a whole number, not 'b'"),
        (everything, "a 1 x", "ratio has to be a number, not 'x'"),
        (everything, "a 1 1 perhaps", "sure has to be yes or no, not 'perhaps'"),
        (everything, "a 1 1 yes left", "how has to be up or down, not 'left'"),
        (everything, "a 1 1 yes up more", "there is more than it takes: 'more'"),
        (everything, '"a 1', "word has to be text, not '\"a' (the quotes do not end)"),
        (everything, "a ١ 1 yes up", "number has to be a whole number, not '١'"),
        (everything, "a " + "9" * 30, "number has to be a whole number"),
        (people, "@ben", "who has to be me or somebody, such as @ana, not '@ben' (there is nobody of that name here)"),
        (people, "me #other", "where has to be a channel, such as #general, not '#other' (there is no channel of that name)"),
        (remind, "soon tea", "when has to be a time"),
        (remind, "2026-13-01 tea", "when has to be a time"),
        (remind, "in 2h", "what is missing: text"),
        (wait, "0s", "how_long has to be a duration"),
        (wait, "99999999w", "(from a second to ten years)"),
        (wait, "3x", "how_long has to be a duration"),
        (wait, "in", "how_long has to be a duration"),
    ],
)
def test_what_does_not(function: Callable[..., Any], line: str, wrong: str) -> None:
    """The argument is named, with what it has to be and what stands there."""
    with pytest.raises(Wrong) as caught:
        values(function, line)
    assert wrong in str(caught.value)


def quoted(word: str) -> str:
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(st.lists(st.text(max_size=20), max_size=6))
def test_every_text_can_be_quoted(words: list[str]) -> None:
    """Whatever a word has in it comes out of quotes as it went in."""
    assert values(poll, " ".join(map(quoted, ["q", *words]))) == ["q", *words]


@given(st.text(max_size=60), st.sampled_from([everything, people, remind, wait, poll]))
def test_no_line_does_harm(line: str, function: Callable[..., Any]) -> None:
    """Whatever is written either fits or is said to be wrong."""
    said = ""
    try:
        values(function, line)
    except Wrong as wrong:
        said = str(wrong)
    assert len(said) < 400


@given(st.text(alphabet='0123456789:-T+Zinatomrwhsd “”"\\. @#', max_size=40))
def test_no_time_does_harm(line: str) -> None:
    """The same for what looks like times, durations and quotes."""
    try:
        [when, _] = values(remind, line)
    except Wrong:
        return
    assert when.tzinfo is not None


@given(st.lists(st.tuples(st.integers(1, 50), st.sampled_from(sorted(UNITS))), min_size=1, max_size=3))
def test_durations_add_up(parts: list[tuple[int, str]]) -> None:
    """Parts in any unit, one after the other."""
    line = "in " + "".join(f"{number}{unit}" for number, unit in parts)
    assert values(wait, line) == [timedelta(seconds=sum(number * UNITS[unit] for number, unit in parts))]


def test_how_it_is_written() -> None:
    """The usage shows what has to be given, what may be, what takes all that is left, and the words of a choice."""
    made = NewCommands()
    for name, function in (("all", everything), ("people", people), ("remind", remind), ("wait", wait), ("poll now", poll)):
        made.add(name, function, help="Does it.")
    assert made.problems == []
    assert [command.usage(command.name) for command in made.commands] == [
        "/all <word> <number> <ratio> <sure> <up|down>",
        "/people <who> [where]",
        "/remind <when> <what…>",
        "/wait [how_long]",
        "/poll now <question> [choices…]",
    ]
    assert made.commands[2].arguments[1].help == "What of"


async def untyped(call, x) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001  # that is what it is about
async def foreign(call: Invocation, x: bytes) -> None: ...
async def named(call: Invocation, *, x: str) -> None: ...
async def after_rest(call: Invocation, x: Rest, y: str) -> None: ...
async def after_default(call: Invocation, x: str = "", *, y: int = 0) -> None: ...
async def spaced(call: Invocation, x: Literal["a b"]) -> None: ...
async def rests(call: Invocation, *x: Rest) -> None: ...
async def bare() -> None: ...
def plain(call: Invocation) -> None: ...


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (untyped, "x has no type: annotate it with one of str, int"),
        (foreign, "x cannot be bytes: it may be one of str"),
        (named, "x is given by name alone"),
        (after_rest, "x takes all that is left, so nothing can come after it"),
        (after_default, "y is given by name alone"),
        (spaced, "x cannot be 'a b': a choice is among words"),
        (rests, "x cannot be Rest and several words"),
        (bare, "it has to take what it is called about as its first argument"),
    ],
)
def test_what_cannot_be_asked_for(function: Callable[..., Any], problem: str) -> None:
    """It is refused where it is offered, with what to do."""
    with pytest.raises(Untyped, match=r".") as caught:
        arguments_of(function)
    assert problem in str(caught.value)


def test_what_cannot_be_offered() -> None:
    """A bad name, one that is there twice, no help, a plain function: each is named, and none hides another."""
    made = NewCommands()
    made.add("Bad name!", poll, help="x")
    made.add("poll", poll, help="x")
    made.add("poll", poll, help="x")
    made.add("silent", poll, help="")
    made.add("plain", plain, help="x")
    made.add("untyped", untyped, help="x")
    assert [command.name for command in made.commands] == ["poll"]
    assert [problem.partition(":")[0] for problem in made.problems] == [
        "the command 'Bad name!'", "the command 'poll'", "the command 'silent'", "the command 'plain'", "the command 'untyped'",
    ]  # fmt: skip
    assert "it has to be an `async def` method" not in made.problems[0]
    assert "its handler has to be an `async def` method" in made.problems[3]
