"""What an instance offers beside hearing and judging, as its `register_*` hooks say right after it was made; and making it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from crust.clock import SystemClock
from crust.host.commands import Command, NewCommands
from crust.host.consumer import Code, Running
from crust.host.context import InstanceContext
from crust.host.instance import takes
from crust.host.jobs import NewJobs, Planned
from crust.host.registration import Refused, Wanted
from crust.host.routes import NewRoutes, Route
from crust.host.subcommands import NewCli, Offered
from crust.plugin import Plugin
from crust.telemetry import get_logger


@dataclass(frozen=True, slots=True)
class Offers:
    """All of it."""

    commands: list[Command] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    jobs: list[Planned] = field(default_factory=list)
    subcommands: list[Offered] = field(default_factory=list)


def made(wanted: Wanted, context: Any) -> tuple[Plugin[Any], Offers]:
    """An instance's plugin, and what it offers.

    Raises:
        Unmade: it cannot be had.
    """
    problem = f"plugins.{wanted.name}: "
    try:
        with Running(Code(wanted.name, "__init__")):
            plugin = wanted.plugin(context)
    except (Exception, SystemExit) as error:  # the boundary: a plugin's bug
        raise Unmade(Refused(wanted.name, wanted.kind, (f"{problem}it cannot be made: {said(error)}",))) from error
    commands, routes, jobs, cli = NewCommands(), NewRoutes(), NewJobs(), NewCli()
    takers: dict[str, Any] = {"register_commands": commands, "register_routes": routes, "register_jobs": jobs, "register_cli": cli}
    problems: list[str] = []
    for hook, taker in takers.items():
        if hook in wanted.hooks:
            function: Callable[..., None] = getattr(plugin, hook)
            try:
                with Running(Code(wanted.name, hook)):
                    function(*[taker][: takes(function)])
            except (Exception, SystemExit) as error:  # noqa: BLE001  # the boundary: a plugin's bug
                problems.append(f"{hook}() raised {said(error)}")
            problems += taker.problems
    if problems:
        raise Unmade(Refused(wanted.name, wanted.kind, tuple(f"{problem}{each}" for each in problems)))
    return plugin, Offers(commands.commands, routes.routes, jobs.jobs, cli.subcommands)


def claimed(wanted: Wanted, taken: dict[str, str]) -> None:
    """Note the prefix that an instance's kind claims; `taken` has those of others.

    Raises:
        Unmade: another instance has it.
    """
    prefix = wanted.plugin.prefix if "register_routes" in wanted.hooks else ""
    if prefix and (owner := taken.setdefault(prefix, wanted.name)) != wanted.name:
        problem = f"plugins.{wanted.name}: {prefix} is claimed by {owner} already: only one of the two can be enabled"
        raise Unmade(Refused(wanted.name, wanted.kind, (problem,)))


class Unmade(Exception):
    """An instance that cannot be made, and why."""

    def __init__(self, refused: Refused) -> None:
        super().__init__("; ".join(refused.problems))
        self.refused = refused


def said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


# ---- without a database, to see what would be


class Hollow:
    """What stands for the core where there is none: whatever is asked of it raises."""

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError(f"{name} was asked for before anything is at work: __init__ and register_* do no I/O")


def rehearsed(wanted: Wanted) -> tuple[Plugin[Any], Offers]:
    """An instance as it would be, and what it would offer. Raises as `made` does."""
    hollow: Any = Hollow()
    context = InstanceContext(
        name=wanted.name, config=wanted.config, log=get_logger(f"plugin.{wanted.name}"), chat=hollow, store=hollow, files=hollow,
        http=hollow, tasks=hollow, clock=SystemClock(), bridge=hollow,
    )  # fmt: skip
    return made(wanted, context)


def unmakeable(wanted: list[Wanted]) -> Iterator[Refused]:
    """Those of these that cannot be made."""
    taken: dict[str, str] = {}
    for each in wanted:
        try:
            claimed(each, taken)
            rehearsed(each)
        except Unmade as error:
            yield error.refused
