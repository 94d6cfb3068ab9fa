"""What the commands share: the --config option, and a core to work with."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from crust.errors import Invalid
from crust.log.audit import COMMAND_LINE, asked_by
from crust.runtime import Node, opened
from crust.settings import Settings, load
from crust.telemetry import configure

Config = Annotated[Path | None, Parameter(help="The TOML file; else $CRUST_CONFIG, else ./config.toml if it is there.")]
Json = Annotated[bool, Parameter(help="Print JSON.", negative="")]
PasswordStdin = Annotated[bool, Parameter(help="Read the password from standard input instead of asking.", negative="")]


@asynccontextmanager
async def core(config: Path | None) -> AsyncIterator[Node]:
    """A migrated database and the services over it, beside a running server if there is one."""
    settings = configured(config)
    async with opened(settings) as node:
        yield node


def configured(config: Path | None) -> Settings:
    """The settings, with logs of what goes wrong alone: a command says the rest itself. From here on, it is the command line that asks."""
    asked_by.set(COMMAND_LINE)
    settings = load(config)
    configure("warning", settings.log.format)
    return settings


def read_password(*, from_stdin: bool) -> str:
    """A new password: one line of standard input, or asked for twice on the terminal."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise Invalid("There is no terminal to ask for the password on: use --password-stdin.")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != password:
        raise Invalid("The two differ; nothing was changed.")
    return password


def print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False))


def print_rows(rows: list[dict[str, Any]], columns: list[str], *, json: bool) -> None:
    """A list as a command gives it: all of it as JSON, or these columns for people."""
    if json:
        print_json(rows)
    else:
        print_table(rows, columns)


def print_table(rows: list[dict[str, Any]], columns: list[str]) -> None:
    """Columns side by side, for people."""
    texts = [[name.upper() for name in columns], *([_cell(row[name]) for name in columns] for row in rows)]
    widths = [max(len(line[at]) for line in texts) for at in range(len(columns))]
    for line in texts:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)
