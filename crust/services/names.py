"""What names, topics and texts may look like, and how names are compared."""

from __future__ import annotations

import re
import unicodedata

from crust.errors import Invalid, TooLarge

USERNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,30}[A-Za-z0-9])?")
EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,189}")  # RFC 5321 4.5.3.1: 64 octets before the @, 254 in all
NAME_MAX = 100
TOPIC_MAX = 1000

# Characters that change how their neighbours are read (Unicode TR 9 overrides and isolates), with which one name can pose as another.
BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def fold(text: str) -> str:
    """The form in which names are compared: compatibility forms and case do not count."""
    return unicodedata.normalize("NFKC", text).casefold()


def username(text: str) -> str:
    """A local person's handle: 1–32 of letters, digits, dot, hyphen, underscore; a letter or digit at both ends."""
    if not USERNAME.fullmatch(text):
        raise Invalid(
            "username must be 1 to 32 letters, digits, dots, hyphens or underscores, with a letter or digit at both ends.", field="username"
        )
    return text


def email(text: str) -> str:
    """An address, as written."""
    text = text.strip()
    if len(text) > 254 or not EMAIL.fullmatch(text):
        raise Invalid("email must be an address like ana@example.org.", field="email")
    return text


def display(text: str, field: str = "name") -> str:
    """A name for people: one line, 1–100 characters, nothing invisible that changes how it reads."""
    text = unicodedata.normalize("NFC", text).strip()
    if not text:
        raise Invalid(f"{field} must not be empty.", field=field)
    if len(text) > NAME_MAX:
        raise Invalid(f"{field} must have at most {NAME_MAX} characters.", field=field)
    if any(character in BIDI or unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in text):
        raise Invalid(f"{field} must be one line without control or direction characters.", field=field)
    return text


def topic(text: str) -> str:
    """What a channel is about: one line, may be empty."""
    text = " ".join(text.split())
    if len(text) > TOPIC_MAX:
        raise Invalid(f"topic must have at most {TOPIC_MAX} characters.", field="topic")
    return text


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
