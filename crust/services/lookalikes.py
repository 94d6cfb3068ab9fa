"""Names that people would take for each other: what is left of a text when what is overlooked in reading is left out.

A small part of Unicode TR 39: letters of other scripts that are drawn as Latin ones, digits that are read as letters, and nothing of
accents, case and separators.
"""

from __future__ import annotations

import unicodedata

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
