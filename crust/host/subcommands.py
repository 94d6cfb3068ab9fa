"""The subcommands of an instance, as its plugin offers them."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Any, get_type_hints

from crust.host.signatures import Untyped
from crust.plugin.cli import Subcommand

NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True)
class Offered:
    """A subcommand."""

    name: str
    subcommand: Subcommand
    help: str


class NewCli:
    """See `crust.plugin.Cli`. What is wrong is gathered in `problems`."""

    def __init__(self) -> None:
        self.subcommands: list[Offered] = []
        self.problems: list[str] = []

    def add(self, name: Any, subcommand: Any, *, help: Any = "") -> None:
        try:
            self.subcommands.append(self._made(name, subcommand, help))
        except Untyped as error:
            self.problems.append(f"the subcommand {name!r}: {error}")

    def _made(self, name: Any, subcommand: Any, help_: Any) -> Offered:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise Untyped("its name has to begin with a small letter, and have small letters, digits and -, 32 at most")
        if any(each.name == name for each in self.subcommands):
            raise Untyped("it is there twice: give one of the two another name")
        if not inspect.iscoroutinefunction(subcommand):
            raise Untyped("it has to be an `async def` method")
        if not isinstance(help_, str) or not help_.strip():
            raise Untyped("help has to say in one sentence what it does")
        try:
            hints = get_type_hints(subcommand)
        except (NameError, TypeError, ValueError, AttributeError) as error:
            raise Untyped(f"its annotations cannot be read: {error}") from None
        if bare := [each for each in inspect.signature(subcommand).parameters if each not in hints]:
            raise Untyped(f"{bare[0]} has no type: annotate it")
        return Offered(name, subcommand, help_)
