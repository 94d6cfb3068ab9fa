"""What an examination finds."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """One thing that was looked at. `note`: it works, but could be better. `fix`: what to do, where it is not good."""

    check: str
    state: Literal["good", "note", "wrong"]
    found: str
    fix: str = ""


def good(check: str, found: str) -> Finding:
    return Finding(check, "good", found)


def note(check: str, found: str, fix: str) -> Finding:
    return Finding(check, "note", found, fix)


def wrong(check: str, found: str, fix: str) -> Finding:
    return Finding(check, "wrong", found, fix)
