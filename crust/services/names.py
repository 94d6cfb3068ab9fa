"""What names, topics and texts may look like, and how names are compared."""

from __future__ import annotations

import re
import unicodedata

from crust.errors import Invalid, TooLarge
from crust.strict_json import BAD_TEXT

USERNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,30}[A-Za-z0-9])?")
CLIENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,189}")  # RFC 5321 4.5.3.1: 64 octets before the @, 254 in all
NAME_MAX = 100
TOPIC_MAX = 1000
EMOJI_MAX = 64
FILE_NAME_MAX = 255  # characters: what most file systems take
SUFFIX_MAX = 16  # characters of a long name's end that say what the file is
COMPOSED = 4  # characters at most that NFC makes one of, in any living script

# Unicode TR 9: embeddings, overrides and isolates change how what stands beside them is read, with which one text can pose as another.
# The marks only give a direction of their own; sentences in Arabic and Hebrew need them, a name does not.
DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
MARKS = frozenset("\u061c\u200e\u200f")
UNSEEN = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters and symbols that are drawn as nothing
CONTROL = frozenset({"Cc", "Cs", "Zl", "Zp"})  # controls, halves of surrogate pairs, separators of lines
VISIBLE = frozenset("LNPS")  # letters, numbers, punctuation, symbols


def fold(text: str) -> str:
    """The form in which names are compared: compatibility forms and case do not count.

    What is given has a limit of length: with many accents on one letter this takes the square of it.
    """
    return unicodedata.normalize("NFKC", text).casefold()


def username(text: str) -> str:
    """A local person's handle: 1–32 of letters, digits, dot, hyphen, underscore; a letter or digit at both ends."""
    if not USERNAME.fullmatch(text):
        raise Invalid(
            "username must be 1 to 32 letters, digits, dots, hyphens or underscores, with a letter or digit at both ends.", field="username"
        )
    return text


def client_id(text: str) -> str:
    """The public id of an app instance."""
    if not CLIENT_ID.fullmatch(text):
        raise Invalid("client_id must be 1 to 64 letters, digits, dots, hyphens or underscores.", field="client_id")
    return text


def email(text: str) -> str:
    """An address, as written."""
    text = text.strip()
    if len(text) > 254 or not EMAIL.fullmatch(text) or not _plain(text, DIRECTIONS | MARKS):
        raise Invalid("email must be an address like ana@example.org.", field="email")
    return text


def display(text: str, field: str = "name") -> str:
    """A name for people: one line, 1–100 characters, something to see and nothing invisible that changes how it reads."""
    if len(text) > COMPOSED * NAME_MAX:  # before what takes the square of the length, with many accents on one letter
        raise Invalid(f"{field} must have at most {NAME_MAX} characters.", field=field)
    text = unicodedata.normalize("NFC", text).strip()
    if not any(unicodedata.category(character)[0] in VISIBLE and character not in UNSEEN for character in text):
        raise Invalid(f"{field} must not be empty.", field=field)
    if len(text) > NAME_MAX:
        raise Invalid(f"{field} must have at most {NAME_MAX} characters.", field=field)
    if not _plain(text, DIRECTIONS | MARKS):
        raise Invalid(f"{field} must be one line without control or direction characters.", field=field)
    return text


def topic(text: str) -> str:
    """What a channel is about: one line, may be empty."""
    return line(text, "topic", TOPIC_MAX)


def line(text: str, field: str, most: int) -> str:
    """One line that is shown among others, may be empty: what ends a line in it becomes a space, and it changes no other's direction."""
    text = " ".join(text.split())
    if len(text) > most:
        raise Invalid(f"{field} must have at most {most} characters.", field=field)
    if not _plain(text, DIRECTIONS):
        raise Invalid(f"{field} must be one line without control or direction characters.", field=field)
    return text


def emoji(text: str) -> str:
    """What people react with: an emoji, a :shortcode: or the like; 1–64 characters without a space, something to see among them."""
    text = text.strip()
    if not 1 <= len(text) <= EMOJI_MAX or any(character.isspace() for character in text) or not _plain(text, DIRECTIONS | MARKS):
        raise Invalid(f"emoji must be 1 to {EMOJI_MAX} characters without spaces.", field="emoji")
    if not any(unicodedata.category(character)[0] in VISIBLE and character not in UNSEEN for character in text):
        raise Invalid("emoji must be something to see.", field="emoji")
    return unicodedata.normalize("NFC", text)


def file(text: str) -> str:
    """What a file is called: of what its sender calls it the last part, without what cannot be seen or would change how it reads.

    A name that its sender's machine allowed is never refused.
    """
    text = unicodedata.normalize("NFC", text.replace("\\", "/").rpartition("/")[2][-COMPOSED * FILE_NAME_MAX :])
    seen = "".join(" " if unicodedata.category(each) in CONTROL else each for each in text if each not in DIRECTIONS | MARKS)
    seen = " ".join(seen.split())
    if len(seen) > FILE_NAME_MAX:
        stem, dot, suffix = seen.rpartition(".")
        suffix = (dot + suffix)[:SUFFIX_MAX] if stem else ""
        seen = seen[: FILE_NAME_MAX - len(suffix)] + suffix
    return seen if seen.strip(". ") else "file"


def plain(character: str) -> bool:
    """Whether a name may have this character."""
    return _plain(character, DIRECTIONS | MARKS)


def _plain(text: str, without: frozenset[str]) -> bool:
    return not any(character in without or unicodedata.category(character) in CONTROL for character in text)


def cleaned(text: str) -> str:
    """A text as every database takes it: NUL and halves of surrogate pairs become U+FFFD."""
    return BAD_TEXT.sub("\N{REPLACEMENT CHARACTER}", text)


def contents(text: str, limit: int) -> str:
    """A message's text: something in it, at most `limit` characters.

    Raises:
        Invalid: it is empty or blank.
        TooLarge: it is longer.
    """
    if not text.strip():
        raise Invalid("contents must not be empty.", field="contents")
    if len(text) > limit:
        raise TooLarge(f"contents must have at most {limit} characters; these are {len(text)}.", field="contents")
    return text
