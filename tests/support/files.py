"""What a node has stored, as its disk has it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from crust.runtime import Node
from crust.services.actor import Actor
from crust.services.files import Content

LONG_AGO = 1_000_000_000  # seconds since 1970


async def read(content: Content) -> bytes:
    return b"".join([chunk async for chunk in content.read(0, content.size)])


async def read_by(node: Node, who: Actor, file_id: str) -> bytes:
    return await read(await node.core.files.read(who, int(file_id)))


def kept(node: Node) -> list[Path]:
    """Every file on the disk."""
    return sorted(path for path in node.settings.effective_files_dir.rglob("*") if path.is_file())


def age(node: Node, which: Callable[[Path], bool] = lambda path: True) -> None:
    """Let files be from long ago."""
    for path in filter(which, kept(node)):
        os.utime(path, (LONG_AGO, LONG_AGO))
