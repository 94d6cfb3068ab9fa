"""Counting anew what is stored although it follows from other rows, some rows in one change, beside a running server.

What people have not read is not stored: it is counted, from their read marks, whenever somebody asks. What it is counted with is looked at
here: the rows of mentions, and marks beyond the newest id that was ever made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

from crust.operations.noting import RECOUNTED, note
from crust.operations.parts import PARTS, Difference, differences
from crust.operations.progress import Step
from crust.services.core import Core

SHOWN = 20  # differences of each part that are kept to be shown


class Recount:
    """See the module. `looked` and `wrong` count rows by part; `shown` holds the first differences of each.

    Args:
        dry: only look.
    """

    def __init__(self, core: Core, *, dry: bool) -> None:
        self._core, self._dry = core, dry
        self.looked: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.shown: list[Difference] = []

    async def run(self) -> AsyncIterator[Step]:
        """Count everything; tells, now and then, where it is."""
        database = self._core.database
        if not self._dry:
            await note(self._core.log, RECOUNTED)
        for part in PARTS:
            async for count, found in differences(database, part):
                self._note(part.name, count, found)
                if found and not self._dry:
                    async with self._core.log.change() as change:
                        await part.mend(database, change, [each.id for each in found])
                yield Step(part.name, self.looked[part.name])

    def _note(self, name: str, count: int, found: list[Difference]) -> None:
        self.looked[name] += count
        self.shown += found[: max(0, SHOWN - self.wrong[name])]
        self.wrong[name] += len(found)
