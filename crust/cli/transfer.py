"""`crust export`, `crust import`: everything that people share, as JSON Lines, out of one server and into another."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

from cyclopts import Parameter

from crust.cli.common import Config, Json, configured, core, print_json
from crust.cli.progress import progress
from crust.operations import importing
from crust.operations.exporting import RECORDS, written
from crust.operations.exporting import export as exported
from crust.operations.progress import Step

File = Annotated[Path, Parameter(help="The file; - for standard output or input.", allow_leading_hyphen=True)]
STANDARD = Path("-")


async def export(
    file: File = STANDARD,
    *,
    passwords: Annotated[bool, Parameter(help="Also the hashes of people's passwords.", negative="")] = False,
    files: Annotated[Path | None, Parameter(help="Copy the bytes of people's files into this folder.")] = None,
    config: Config = None,
) -> None:
    """Write everything that people share, as it is now, one record a line. The server may run meanwhile."""
    settings = configured(config)
    if settings.sqlite_path is None or settings.sqlite_path.exists():
        async with core(config) as node:
            await node.core.erasing.run()  # what was removed is not written out
    count = 0
    with output(file) as out:
        async for step in exported(settings, out, passwords=passwords, files=files):
            progress(step)
            if step.what == RECORDS and step.done is not None:
                count = step.done
    progress.end()
    print(f"{count} records", file=sys.stderr)


async def import_(
    file: File = STANDARD,
    *,
    check: Annotated[bool, Parameter(help="Only look whether every line is as it must be.", negative="")] = False,
    map_users: Annotated[
        bool, Parameter(help="Take people for those who have the same email address here; else they are refused.", negative="")
    ] = False,
    files: Annotated[Path | None, Parameter(help="The folder that the bytes of people's files were copied into.")] = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Take in what was exported, into an empty server or one that has a part of it already; again is no harm."""
    with source(file) as lines:
        total = importing.total(lines)
        if check:
            for count in importing.check(lines):
                progress(Step(RECORDS, count, total))
            made, kept = Counter[str](), Counter[str]()
        else:
            async with core(config) as node:
                work = importing.Import(node.core, map_users=map_users)
                async for count in work.run(lines):
                    progress(Step(RECORDS, count, total))
                if files is not None:
                    async for step in work.files(node.settings, files):
                        progress(step)
            made, kept = work.made, work.kept
    progress.end()
    if json:
        print_json({"made": +made, "kept": +kept})
    else:
        print("the file is as it must be" if check else f"{made.total()} records are new, {kept.total()} were there")


@contextmanager
def output(file: Path) -> Iterator[BinaryIO]:
    if file == STANDARD:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with written(file) as out:
            yield out


@contextmanager
def source(file: Path) -> Iterator[BinaryIO]:
    if file == STANDARD:
        yield sys.stdin.buffer
    else:
        with file.open("rb") as lines:
            yield lines
