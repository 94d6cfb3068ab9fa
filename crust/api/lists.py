"""What every call takes that gives a list."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from crust.api.params import Id
from crust.services.paging import Part

Limit = Annotated[int, Meta(ge=1, le=200, description="How many at most.")]
After = Annotated[Id | None, Meta(description="Only what has a greater id; alone, what comes next to it, the oldest first.")]
Before = Annotated[Id | None, Meta(description="Only what has a smaller id; alone, what comes next to it, the newest first.")]


class Listed(Struct, kw_only=True):
    """A part of a list. `next` is then what to pass as `after` for more; where the newest came first, as `before`."""

    after: After = None
    before: Before = None
    limit: Limit = 50

    @property
    def part(self) -> Part:
        """What is asked for, and one more, by which `Page.of` sees whether there is more."""
        return Part(after=self.after, before=self.before, limit=self.limit + 1)
