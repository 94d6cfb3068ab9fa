"""Parts of lists: of all lists the same parameters, the same order and the same SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from crust.ids import MAX_ID


class Numbered(Protocol):
    """What lists consist of."""

    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=Numbered)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a list: the first `limit` things with ids in (after, before), from the end that `newest_first` says.

    A bound that stands alone is what the part begins next to: so a list is walked forward by `after`, and backward by `before`.
    """

    after: int | None = None
    before: int | None = None
    limit: int = 50

    def newest_first(self, *, usually: bool = False) -> bool:
        """In which order it comes.

        Args:
            usually: that of the list, for where there is no bound, or are both.
        """
        return usually if (self.after is None) == (self.before is None) else self.before is not None

    def cut(self, column: str, number: int, *, newest_first: bool = False) -> str:
        """What stands behind the last condition of a statement, in which `values` are the parameters from `number` on.

        Args:
            column: the ids.
            newest_first: the order of the list.
        """
        way = "DESC" if self.newest_first(usually=newest_first) else "ASC"
        return f"{column} > ${number} AND {column} < ${number + 1} ORDER BY {column} {way} LIMIT ${number + 2}"

    def of(self, things: Sequence[T]) -> list[T]:
        """That part of a list which lies in memory, in the order of its ids."""
        after, before, limit = self.values
        within = [each for each in things if after < int(each.id) < before]
        return (within[::-1] if self.newest_first() else within)[:limit]

    @property
    def values(self) -> tuple[int, int, int]:
        """The parameters of `cut`."""
        return self.after or 0, self.before or MAX_ID, self.limit


WHOLE = Part(limit=MAX_ID)
"""All of it."""
