"""Who may do what: the one place that answers.

What somebody may not see is not found; what they may see but not change is forbidden; what is archived is gone for whoever would change it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from crust.errors import Forbidden, Gone, NotFound

FULL = frozenset({"owner", "admin", "member"})
"""Roles in an organisation that see its public channels; a guest sees what they were let into."""

ADMIN = frozenset({"owner", "admin"})


@dataclass(frozen=True, slots=True)
class Standing:
    """How somebody stands to a channel.

    `type` is the channel's; `organisation_role` and `channel_role` are None where they are no member; `own` tells whether the message in
    question is theirs.
    """

    type: str
    organisation_role: str | None
    channel_role: str | None
    archived: bool = False
    own: bool = False

    @property
    def member(self) -> bool:
        return self.channel_role is not None

    @property
    def full(self) -> bool:
        return self.organisation_role in FULL

    @property
    def manages(self) -> bool:
        """A channel's owners, and the organisation's admins: of public channels, and of private ones that they are in."""
        if self.type == "direct":
            return False
        return self.channel_role == "owner" or (self.organisation_role in ADMIN and (self.type == "public" or self.member))

    @property
    def sees(self) -> bool:
        return self.member or (self.type == "public" and self.full)


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may, what they are told otherwise, and whether it changes anything (then not while archived)."""

    allows: Callable[[Standing], bool]
    refusal: str
    changes: bool = True


RULES: dict[str, Rule] = {
    "read": Rule(lambda s: True, "", changes=False),
    "mark": Rule(lambda s: s.member, "Only members have a read mark in a channel: join it first.", changes=False),
    "flag": Rule(lambda s: True, "", changes=False),
    "join": Rule(lambda s: s.type == "public" and s.full, "This channel is joined by invitation."),
    "part": Rule(lambda s: s.type != "direct", "A direct channel cannot be left.", changes=False),
    "post": Rule(lambda s: s.member, "Only members post in a channel: join it first."),
    "type": Rule(lambda s: s.member, "Only members type in a channel: join it first."),
    "pin": Rule(lambda s: s.member and s.full, "Only the channel's members, guests aside, pin in it."),
    "react": Rule(lambda s: s.member and s.full, "Only the channel's members, guests aside, react in it."),
    "unreact": Rule(lambda s: s.member, "Only the channel's members react in it."),
    "unpin": Rule(lambda s: s.member and (s.own or s.manages), "Others' pins are removed by the channel's owners."),
    "change": Rule(
        lambda s: s.member and s.full and s.type != "direct", "Name and topic are changed by the channel's members, guests aside."
    ),
    "invite": Rule(lambda s: s.member and s.full and s.type != "direct", "Only the channel's members, guests aside, invite to it."),
    "kick": Rule(lambda s: s.manages, "Only the channel's owners and the organisation's admins may remove people from it."),
    "edit message": Rule(lambda s: s.member and s.own, "Only its author may edit a message."),
    "remove message": Rule(
        lambda s: s.own or s.manages, "Only its author, the channel's owners and the organisation's admins may remove a message."
    ),
}


def may(verb: str, standing: Standing) -> None:
    """Let through who may.

    Args:
        verb: a key of `RULES`.
        standing: how the one who asks stands to the channel.

    Raises:
        NotFound: they may not even see it.
        Forbidden: they may see it, but not do this.
        Gone: it is archived, and this would change it.
    """
    rule = RULES[verb]
    if not standing.sees:
        raise NotFound("There is no such channel.")
    if not rule.allows(standing):
        raise Forbidden(rule.refusal)
    if rule.changes and standing.archived:
        raise Gone("The channel is archived: it can be read, but not changed.")


def may_create_channel(organisation_role: str | None, type_: str) -> None:
    """Whether somebody with this role makes a channel of this type in an organisation.

    Raises:
        NotFound: they are not in it.
        Forbidden: a guest makes direct channels only.
    """
    if organisation_role is None:
        raise NotFound("There is no such organisation.")
    if organisation_role not in FULL and type_ != "direct":
        raise Forbidden("Guests make direct channels only.")
