"""The catalogue: every event that there is, and what its body is."""

from __future__ import annotations

from msgspec import Struct

from crust.events import objects

CATALOGUE: dict[tuple[str, str], type[Struct]] = {
    ("channel", "created"): objects.Channel,
    ("channel", "edited"): objects.ChannelEdited,
    ("flag", "added"): objects.Flag,
    ("flag", "removed"): objects.Flag,
    ("member", "joined"): objects.Member,
    ("member", "parted"): objects.Member,
    ("member", "role"): objects.Member,
    ("message", "created"): objects.Message,
    ("message", "edited"): objects.MessageEdited,
    ("message", "removed"): objects.MessageRemoved,
    ("pin", "added"): objects.Pin,
    ("pin", "removed"): objects.Pin,
    ("reaction", "added"): objects.Reacted,
    ("reaction", "removed"): objects.Reacted,
    ("session", "revoked"): objects.SessionRevoked,
    ("user", "created"): objects.User,
    ("user", "edited"): objects.User,
    ("user", "suspended"): objects.User,
}
"""(type, event) → body. An event that is not in here cannot be recorded."""
