"""Subcommands: what operators ask of an instance on the command line, as `crust plugins run <instance> <name> …`.

@hookimpl
def register_cli(self, cli: Cli) -> None:
    cli.add("purge", self.purge, help="Forget reminders of long ago.")

async def purge(self, days: int = 30, *, dry: bool = False) -> str:
    ...
    return f"{count} were forgotten"
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

Subcommand = Callable[..., Coroutine[Any, Any, Any]]
"""`async def subcommand(…)`: what it gives is printed."""


class Cli(Protocol):
    """Takes the subcommands of an instance."""

    def add(self, name: str, subcommand: Subcommand, *, help: str) -> None:
        """Offer a subcommand.

        It runs in a process of its own beside the servers, with the instance's `ctx`, and without its lease: neither `startup` nor
        handlers run there. Each call of `ctx.chat` counts, unless it is given a key.

        Args:
            name: small letters, digits and -.
            subcommand: an async method; its annotated arguments are the command's, those that are given by name alone its options.
            help: one sentence that says what it does.
        """
        ...
