"""Names that people would take for each other: what is left of a text when what is overlooked in reading is left out.

A small part of Unicode TR 39: letters of other scripts that are drawn as Latin ones, digits that are read as letters, and nothing of
accents, case and separators. No ghost has such a name in common with anybody here: it is shown with its network's.
"""

from __future__ import annotations

import unicodedata

from crust.log import Change, NewEvent
from crust.models.database import Database
from crust.services import names
from crust.services.members import Members

CYRILLIC = dict(zip("аеіјоԛѕԝхуրһӏгкмтвнԁԍп", "aeijoqswxyphlrkmtbhdgn", strict=True))
GREEK = dict(zip("αβγεηικνορτυχωϲ", "abyenlkvoptuxwc", strict=True))
OTHERS = {"ı": "i", "ł": "l", "ø": "o", "đ": "d", "ħ": "h", "ß": "ss", "æ": "ae", "œ": "oe", "þ": "p", "р": "p", "с": "c", "ѵ": "v"}
LIKE = str.maketrans({**CYRILLIC, **GREEK, **OTHERS})
READ_AS = (("0", "o"), ("1", "l"), ("i", "l"), ("|", "l"), ("!", "l"), ("5", "s"), ("rn", "m"), ("vv", "w"))  # in this order
SEPARATORS = " .-_"
LONGEST = 400  # characters of a name that are looked at; with many accents on one letter this takes the square of it


def skeleton(text: str) -> str:
    """What two names have in common if one can be taken for the other; empty where there is nothing to see."""
    split = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text[:LONGEST]).casefold()).translate(LIKE)
    bare = "".join(each for each in split if unicodedata.category(each) not in ("Mn", "Me", "Cf") and each not in SEPARATORS)
    for seen, read in READ_AS:
        bare = bare.replace(seen, read)
    return bare


def in_sql(column: str) -> str:
    """The same of a column that holds folded text, as far as a database can: digits and separators."""
    for separator in SEPARATORS:
        column = f"replace({column}, '{separator}', '')"
    for seen, read in READ_AS:
        column = f"replace({column}, '{seen}', '{read}')"
    return column


ALIKE = f"""
SELECT 1 FROM "user" u WHERE u.kind <> 'ghost' AND ({in_sql("u.username_key")} = $1 OR {in_sql("u.name_key")} = $1
OR u.name_key = $2) LIMIT 1
"""


class Lookalikes:
    """Keeps ghosts from being taken for people here."""

    def __init__(self, database: Database, members: Members) -> None:
        self._database, self._members = database, members

    async def shown(self, name: str, network: str) -> str:
        """The name that a ghost is shown by: with the network's where it could be taken for somebody's here."""
        alike = await self._database.fetch(ALIKE, skeleton(name), names.fold(name))
        return with_network(name, network) if alike else name

    async def give_way(self, change: Change, *taken: str) -> None:
        """Inside a change: rename the ghosts that could be taken for whoever has these names from now on."""
        d, alike = self._database, {skeleton(name) for name in taken} - {""}
        sql = (
            'SELECT u.id, u.name, u.origin FROM ghost g JOIN "user" u ON u.id = g.user_id'
            f" WHERE g.skeleton IN {d.any_of(1, 'text')} AND u.name = g.name ORDER BY u.id"
        )
        for row in await d.fetch(sql, d.as_list(sorted(alike))):
            await self.rename(change, row["id"], with_network(row["name"], row["origin"]))

    async def rename(self, change: Change, user_id: int, shown: str) -> None:
        """Inside a change: show a ghost by another name, and tell of how it is now."""
        sql = 'UPDATE "user" SET name = $1, name_key = $2, updated_at = $3 WHERE id = $4'
        await self._database.execute(sql, shown, names.fold(shown), change.now, user_id)
        body = await self._members.user(user_id)
        for row in await self._database.fetch("SELECT organisation_id FROM organisation_member WHERE user_id = $1", user_id):
            change.record(NewEvent(type="user", event="edited", body=body, organisation=row["organisation_id"], object=user_id))


def with_network(name: str, network: str) -> str:
    """A name that shows where its bearer is."""
    ending = f" ({network})"
    return f"{name[: names.NAME_MAX - len(ending)]}{ending}"
