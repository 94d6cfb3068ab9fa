"""Counting anew."""

from __future__ import annotations

from crust.operations.recount import Recount
from crust.runtime import Node


async def recounted(node: Node, *, dry: bool = False) -> dict[str, int]:
    """What differed, by part."""
    work = Recount(node.core, dry=dry)
    async for _ in work.run():
        pass
    return dict(+work.wrong)
