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
    question is theirs. `team` tells whether the channel is open to the whole organisation, or belongs to a team that they are in; `frozen`
    whether the organisation is archived.
    """

    type: str
    organisation_role: str | None
    channel_role: str | None
    archived: bool = False
    own: bool = False
    team: bool = True
    frozen: bool = False

    @property
    def member(self) -> bool:
        return self.channel_role is not None

    @property
    def full(self) -> bool:
        return self.organisation_role in FULL

    @property
    def manages(self) -> bool:
        """A channel's owners, guests aside, and the organisation's admins: of public channels, and of private ones that they are in."""
        if self.type == "direct":
            return False
        return (self.channel_role == "owner" and self.full) or (self.organisation_role in ADMIN and (self.type == "public" or self.member))

    @property
    def sees(self) -> bool:
        """Members do; of public channels, the organisation's members too: of those that belong to teams, the teams' members and admins."""
        return self.member or (self.type == "public" and self.full and (self.team or self.organisation_role in ADMIN))


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may, what they are told otherwise, and whether it changes anything (then not while archived).

    What has to do with being archived itself (`lasts`) may be done while the channel is, but not while its organisation is.
    """

    allows: Callable[[Standing], bool]
    refusal: str
    changes: bool = True
    lasts: bool = False


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
    "unpin": Rule(
        lambda s: (s.member and s.own) or s.manages, "Others' pins are removed by the channel's owners and the organisation's admins."
    ),
    "change": Rule(
        lambda s: s.member and s.full and s.type != "direct", "Name and topic are changed by the channel's members, guests aside."
    ),
    "invite": Rule(lambda s: s.member and s.full and s.type != "direct", "Only the channel's members, guests aside, invite to it."),
    "kick": Rule(lambda s: s.manages, "Only the channel's owners and the organisation's admins may remove people from it."),
    "archive": Rule(lambda s: s.manages, "Only the channel's owners and the organisation's admins may archive it.", lasts=True),
    "remove": Rule(lambda s: s.manages, "Only the channel's owners and the organisation's admins may remove it.", lasts=True),
    "move": Rule(lambda s: s.manages, "Only the channel's owners and the organisation's admins may move it."),
    "merge": Rule(lambda s: s.manages, "Only the owners of both channels and the organisation's admins may merge them."),
    "share": Rule(lambda s: s.manages, "Only the channel's owners and the organisation's admins may share it with teams."),
    "bridge": Rule(lambda s: s.manages, "Only the channel's owners and the organisation's admins may link it with rooms elsewhere."),
    "unbridge": Rule(lambda s: s.manages, "Only the channel's owners and the organisation's admins may end its links.", changes=False),
    "mute": Rule(lambda s: s.member, "Only members mute a channel: join it first.", changes=False),
    "preview": Rule(lambda s: True, ""),
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
        raise NotFound("There is no such channel.", field="channel_id")
    if not rule.allows(standing):
        raise Forbidden(rule.refusal)
    if rule.changes and standing.frozen:
        raise Gone(FROZEN)
    if rule.changes and standing.archived and not rule.lasts:
        raise Gone("The channel is archived: it can be read, but not changed.")


# ---- organisations


TEAM_ARCHIVED = "The team is archived: it can be read, but not changed, and takes no more channels."
FROZEN = "The organisation is archived: it can be read, but nothing in it can be changed."


@dataclass(frozen=True, slots=True)
class Membership:
    """How somebody stands to an organisation; `role` is None where they are not in it, and where there is none.

    `administers` tells whether they administer the server: then they manage every organisation as an owner does, without seeing into its
    teams and channels.
    """

    role: str | None
    archived: bool = False
    administers: bool = False

    @property
    def power(self) -> str | None:
        """The role that counts where people and their roles are managed."""
        return "owner" if self.administers else self.role


@dataclass(frozen=True, slots=True)
class OrganisationRule:
    """Which roles may, what others are told, and whether it changes anything (then not while archived).

    What is `managing` the server's administrators may do, too, in it or not.
    """

    roles: frozenset[str]
    refusal: str
    changes: bool = True
    managing: bool = False

    def lets(self, membership: Membership) -> bool:
        return membership.role in self.roles or (self.managing and membership.administers)


EVERYBODY = FULL | {"guest"}
OWNER = frozenset({"owner"})
ORGANISATION_RULES: dict[str, OrganisationRule] = {
    "read": OrganisationRule(EVERYBODY, "", changes=False, managing=True),
    "leave": OrganisationRule(EVERYBODY, "", changes=False),
    "rename": OrganisationRule(ADMIN, "An organisation is renamed by its owners and admins.", managing=True),
    "invite": OrganisationRule(ADMIN, "An organisation's owners and admins bring people into it.", managing=True),
    "invitations": OrganisationRule(
        ADMIN, "An organisation's owners and admins see and take back its invitations.", changes=False, managing=True
    ),
    "audit": OrganisationRule(ADMIN, "An organisation's owners and admins see who administered it.", changes=False, managing=True),
    "role": OrganisationRule(ADMIN, "An organisation's owners and admins give roles.", managing=True),
    "expel": OrganisationRule(ADMIN, "An organisation's owners and admins remove people from it.", managing=True),
    "archive": OrganisationRule(OWNER, "Only its owners archive an organisation.", changes=False, managing=True),
    "remove": OrganisationRule(OWNER, "Only its owners remove an organisation.", changes=False, managing=True),
    "make channels": OrganisationRule(FULL, "Guests make direct channels only."),
    "make direct channels": OrganisationRule(EVERYBODY, ""),
    "teams": OrganisationRule(ADMIN, "An organisation's owners and admins look after its teams."),
}


def may_in_organisation(verb: str, membership: Membership) -> None:
    """Let through who may do something in, or with, an organisation.

    Args:
        verb: a key of `ORGANISATION_RULES`.
        membership: how the one who asks stands to it.

    Raises:
        NotFound: they are not in it.
        Forbidden: they are, but may not do this.
        Gone: it is archived, and this would change it.
    """
    rule = ORGANISATION_RULES[verb]
    if membership.role is None and not rule.lets(membership):
        raise NotFound("There is no such organisation.", field="organisation_id")
    if not rule.lets(membership):
        raise Forbidden(rule.refusal)
    if rule.changes and membership.archived:
        raise Gone(FROZEN)


def may_administer(*, is_admin: bool) -> None:
    """Whether somebody administers the server.

    Raises:
        Forbidden: they do not.
    """
    if not is_admin:
        raise Forbidden("This is for the server's administrators.")


def may_make_organisations(*, is_admin: bool, everybody: bool) -> None:
    """Whether somebody makes organisations: the server's administrators do, everybody where the settings say so.

    Raises:
        Forbidden: not here.
    """
    if not (is_admin or everybody):
        raise Forbidden("Organisations are made by the server's administrators.")


def may_give_role(own: str | None, before: str | None, after: str | None) -> None:
    """Whether somebody with the role `own`, who may give roles, may make `after` of `before` (None: no member).

    Raises:
        Forbidden: only owners make owners, and change or remove them.
    """
    if "owner" in (before, after) and own != "owner":
        raise Forbidden("Only owners make owners, and change or remove them.")


def sees_teams(membership: Membership) -> bool:
    """An organisation's teams are there for its members, guests aside."""
    return membership.role in FULL


def may_change_team(membership: Membership, *, archived: bool, lasts: bool = False) -> None:
    """Whether somebody may change a team that they see; `lasts`: by archiving, unarchiving or removing it.

    Raises:
        Forbidden: that is for the organisation's admins.
        Gone: it or its organisation is archived.
    """
    may_in_organisation("teams", membership)
    if archived and not lasts:
        raise Gone(TEAM_ARCHIVED)


def may_use_team(membership: Membership, *, member: bool, archived: bool = False) -> None:
    """Whether somebody may give a channel to a team that they see: its members may, and the organisation's admins.

    Raises:
        Forbidden: they may not.
        Gone: it or its organisation is archived.
    """
    may_in_organisation("make channels", membership)
    if not member and membership.role not in ADMIN:
        raise Forbidden("Only a team's members and the organisation's admins give it channels.")
    if archived:
        raise Gone(TEAM_ARCHIVED)
