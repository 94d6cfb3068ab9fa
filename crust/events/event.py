"""An entry of the event log."""

from __future__ import annotations

from msgspec import Raw, Struct

BROUGHT_INTO_VIEW = ("moved", "unarchived", "merged")
"""What happens to a channel after which its members are shown it anew."""

HOP_MAX = 280  # characters of what names such a link
HOP = f"[!-~]{{1,{HOP_MAX}}}"
"""What names a link that something came through: its server and channel (`irc.example.org/1`), or one of this server's links (`irc#1`)."""


class Event(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """What was changed, who may know, and where it stands in the one order of all changes.

    `position` is contiguous and rises in the order of commits. A 0 means "none" in `organisation`, `channel`, `recipient` and `object`.

    Who it goes to follows from these fields alone: with a `channel`, its members; with a `recipient`, that person (both: both); with
    neither, the organisation's members, guests left out. (An organisation's own `member` events go to its members and the recipient.)
    `object` is the id of what changed, by which a removal finds what to blank.
    `via` lists the links that it came through, `origin` the network it was first said on (None: here).
    """

    position: int
    id: int
    organisation: int
    channel: int
    recipient: int
    object: int
    visibility: str
    type: str
    event: str
    body: Raw
    origin: str | None
    via: tuple[str, ...]
    at: int
