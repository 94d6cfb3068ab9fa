"""What a method of a plugin wants to be given, as its annotations say. Commands and subcommands are made of it."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from crust.plugin import Channel, Rest, User

KINDS: dict[Any, str] = {
    str: "text", int: "a whole number", float: "a number", bool: "yes or no", User: "somebody, such as @ana",
    Channel: "a channel, such as #general", timedelta: "a duration, such as 2h or 1h30m",
    datetime: "a time, such as 'in 2h', 14:30, 'tomorrow 9:00' or 2026-11-24 (UTC)", Rest: "text",
}  # fmt: skip
"""What an argument may be, and how people are told."""
NAMES = "str, int, float, bool, Literal, User, Channel, timedelta, datetime, Rest"


class Untyped(ValueError):
    """A method whose arguments cannot be told from its annotations; the text says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument. `kinds` are tried in order: keys of `KINDS`, or tuples of the words of a choice.

    `several`: it takes all words that are left; `help` is what its annotation says that it is for.
    """

    name: str
    kinds: tuple[Any, ...]
    required: bool = True
    several: bool = False
    help: str = ""

    @property
    def rest(self) -> bool:
        return Rest in self.kinds

    @property
    def choices(self) -> tuple[str, ...]:
        return tuple(str(word) for kind in self.kinds if isinstance(kind, tuple) for word in kind)

    @property
    def expected(self) -> str:
        """What may stand there, in words."""
        return " or ".join(" or ".join(map(str, kind)) if isinstance(kind, tuple) else KINDS[kind] for kind in self.kinds)

    @property
    def usage(self) -> str:
        """How it is written: `<when>`, `[what…]`, or the words themselves where there is nothing else."""
        only = len(self.choices) and all(isinstance(kind, tuple) for kind in self.kinds)
        text = "|".join(self.choices) if only else self.name
        text += "…" if self.several or self.rest else ""
        if only and self.required and len(self.choices) == 1:
            return text
        return f"<{text}>" if self.required and not self.several else f"[{text}]"


def arguments_of(function: Callable[..., Any]) -> tuple[Argument, ...]:
    """The arguments of a bound method, after the first, which is what it is called about.

    Raises:
        Untyped: one of them cannot be asked for.
    """
    try:
        signature, hints = inspect.signature(function), get_type_hints(function, include_extras=True)
    except (NameError, TypeError, ValueError, AttributeError) as error:
        raise Untyped(f"its annotations cannot be read: {error}") from None
    parameters = list(signature.parameters.values())
    if not parameters or parameters[0].kind not in (parameters[0].POSITIONAL_ONLY, parameters[0].POSITIONAL_OR_KEYWORD):
        raise Untyped("it has to take what it is called about as its first argument")
    found = tuple(_argument(each, hints) for each in parameters[1:])
    for before, after in pairwise(found):
        if before.rest or before.several:
            raise Untyped(f"{before.name} takes all that is left, so nothing can come after it")
        if after.required and not before.required:
            raise Untyped(f"{after.name} has to be given, so {before.name} before it cannot be left out")
    return found


def _argument(parameter: inspect.Parameter, hints: dict[str, Any]) -> Argument:
    name = parameter.name
    if parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD):
        raise Untyped(f"{name} is given by name alone, which is not possible here: take it by its place")
    if name not in hints:
        raise Untyped(f"{name} has no type: annotate it with one of {NAMES}")
    kinds, help_ = _kinds(name, hints[name])
    several = parameter.kind is parameter.VAR_POSITIONAL
    if several and Rest in kinds:
        raise Untyped(f"{name} cannot be Rest and several words: take one of the two")
    return Argument(name, kinds, parameter.default is parameter.empty and not several, several, help_)


def _kinds(name: str, hint: Any) -> tuple[tuple[Any, ...], str]:
    help_ = ""
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
        help_ = next((note for note in notes if isinstance(note, str)), "")
    kinds = tuple(_flat(name, hint))
    if not kinds:
        raise Untyped(f"{name} is never anything")
    return kinds, help_


def _flat(name: str, hint: Any) -> Iterator[Any]:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        for each in get_args(hint):
            if each is not type(None):  # that it may be left out, its default says
                yield from _flat(name, each)
    elif origin is Literal:
        words = get_args(hint)
        if wrong := [word for word in words if not isinstance(word, str) or not word or word.split() != [word]]:
            raise Untyped(f"{name} cannot be {wrong[0]!r}: a choice is among words")
        yield words
    elif hint in KINDS:
        yield hint
    else:
        raise Untyped(f"{name} cannot be {getattr(hint, '__name__', hint)}: it may be one of {NAMES}")
