"""The catalogue: every event that there is, and what its body is."""

from __future__ import annotations

from msgspec import Struct

from crust.events import objects

CATALOGUE: dict[tuple[str, str], type[Struct]] = {
    ("bridge", "state"): objects.BridgeState,
    ("channel", "archived"): objects.ChannelEdited,
    ("channel", "created"): objects.Channel,
    ("channel", "edited"): objects.ChannelEdited,
    ("channel", "linked"): objects.ChannelLinked,
    ("channel", "merged"): objects.ChannelMerged,
    ("channel", "moved"): objects.ChannelEdited,
    ("channel", "removed"): objects.Removed,
    ("channel", "shared"): objects.ChannelEdited,
    ("channel", "unarchived"): objects.ChannelEdited,
    ("channel", "unlinked"): objects.ChannelLinked,
    ("channel", "unshared"): objects.ChannelEdited,
    ("delivery", "changed"): objects.DeliveryChanged,
    ("flag", "added"): objects.Flag,
    ("flag", "removed"): objects.Flag,
    ("member", "joined"): objects.Member,
    ("member", "parted"): objects.Member,
    ("member", "role"): objects.Member,
    ("message", "created"): objects.Message,
    ("message", "edited"): objects.MessageEdited,
    ("message", "removed"): objects.MessageRemoved,
    ("organisation", "archived"): objects.OrganisationEdited,
    ("organisation", "created"): objects.Organisation,
    ("organisation", "edited"): objects.OrganisationEdited,
    ("organisation", "removed"): objects.Removed,
    ("organisation", "unarchived"): objects.OrganisationEdited,
    ("pin", "added"): objects.Pin,
    ("pin", "removed"): objects.Pin,
    ("plugin", "state"): objects.InstanceState,
    ("reaction", "added"): objects.Reacted,
    ("reaction", "removed"): objects.Reacted,
    ("session", "revoked"): objects.SessionRevoked,
    ("team", "archived"): objects.TeamEdited,
    ("team", "created"): objects.Team,
    ("team", "edited"): objects.TeamEdited,
    ("team", "merged"): objects.TeamMerged,
    ("team", "moved"): objects.TeamEdited,
    ("team", "removed"): objects.Removed,
    ("team", "unarchived"): objects.TeamEdited,
    ("user", "created"): objects.User,
    ("user", "edited"): objects.User,
    ("user", "suspended"): objects.User,
}
"""(type, event) → body. An event that is not in here cannot be recorded."""
