"""Rows as the objects of the API: what the shared ones look like, and what one viewer sees around them.

A viewer's own fields (flagged, unread, mentions, email) are in the `Own*` and `Viewed*` classes only, which no event bears.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from crust.clock import rfc3339, rfc3339_or_none
from crust.events import objects
from crust.events.objects import IdText, Presence, TimeText
from crust.models.database import Row
from crust.models.fields import decode_json


class ViewedUser(objects.User, frozen=True, kw_only=True):
    """A user with their presence of this moment; `email` is there for oneself alone."""

    presence: Presence
    email: str | None = None
    is_admin: bool | None = None
    organisation_id: IdText | None = None
    duplicate: bool | msgspec.UnsetType = msgspec.UNSET


class ViewedMember(Struct, frozen=True, kw_only=True):
    """A member of a channel; `id` is the user's."""

    id: IdText
    user: ViewedUser
    role: str
    joined_at: TimeText


class ViewedReaction(objects.Reaction, frozen=True, kw_only=True):
    """An emoji on a message, and whether it is there from the viewer too."""

    mine: bool


class ViewedMessage(objects.Message, frozen=True, kw_only=True):
    """A message, and whether the viewer flagged it. `duplicate`: the request was a repeat, and this is what came of the first."""

    reactions: tuple[ViewedReaction, ...]
    flagged: bool = False
    duplicate: bool | msgspec.UnsetType = msgspec.UNSET


class FoundMessage(ViewedMessage, frozen=True, kw_only=True):
    """A message that was searched for. `snippet`: the part of it that matched, with the matches between U+E000 and U+E001."""

    snippet: str


class FormerVersion(Struct, frozen=True, kw_only=True):
    """What a message said from `created_at` until its next edit."""

    id: IdText
    version: int
    contents: str
    created_at: TimeText


class Delivery(Struct, frozen=True, kw_only=True):
    """How a message was carried to a room elsewhere, `room`, over the link `link_id`.

    `state`: waiting; sent; delivered, as the network has confirmed; fallback: sent in another form (`note` says which); parked: it is tried
    no more (`note` says why); failed: the network refused it afterwards; uncertain: it may have been sent; withdrawn, skipped: it was not.
    """

    id: IdText
    link_id: IdText
    bridge: str
    room: str
    state: str
    note: str | None
    updated_at: TimeText


class ViewedLink(objects.Bridged, frozen=True, kw_only=True):
    """A link, for those who may end it. `made_by` is null where the settings name it (`configured`): then it ends with the settings."""

    id: IdText
    channel_id: IdText
    title: str
    crosses: list[str]
    relay_format: str
    trust: str
    configured: bool
    made_by: IdText | None


class ViewedBridge(Struct, frozen=True, kw_only=True):
    """A bridge at work; `id` is its bot's. `state` is what it says of itself, null before it does; `links` are those one may end.

    `crossings`, `characters`, `lines` and `file_bytes` are those of a new link, as in a channel's `bridged`.
    """

    id: IdText
    bridge: str
    network: str
    state: str | None
    reason: str | None
    crossings: dict[str, str]
    characters: int | None
    lines: int | None
    file_bytes: int | None
    links: list[ViewedLink]


class IdentityCode(Struct, frozen=True, kw_only=True):
    """What to say to a bridge's bot, by which it is known there who one is here; once, until `expires_at`."""

    bridge: str
    code: str
    expires_at: TimeText


class ViewedChannel(objects.Channel, frozen=True, kw_only=True):
    """A channel, and what is new in it for the viewer (0 for those who are no members); counted to 1,000."""

    unread: int = 0
    mentions: int = 0
    muted: bool = False
    last_read_id: IdText | None = None
    duplicate: bool | msgspec.UnsetType = msgspec.UNSET


class ChannelPage(ViewedChannel, frozen=True, kw_only=True):
    """A channel with its first members and its pins."""

    members: list[ViewedMember]
    pins: list[ViewedMessage]


class ChannelFrame(ViewedChannel, frozen=True, kw_only=True):
    """What the websocket tells of a channel when it comes into view."""

    members: list[msgspec.Raw]
    messages: list[ViewedMessage]
    has_more: bool


class MovedChannel(ViewedChannel, frozen=True, kw_only=True):
    """A channel after a move; `left`: the users who are not in its new organisation, and so no longer in it."""

    left: list[IdText]


class ViewedOrganisation(objects.Organisation, frozen=True, kw_only=True):
    """An organisation, and the viewer's role in it: None for an administrator of the server who is not in it."""

    role: str | None
    duplicate: bool | msgspec.UnsetType = msgspec.UNSET


class ViewedInvitation(Struct, frozen=True, kw_only=True):
    """A link that brings people into an organisation, without its secret."""

    id: IdText
    organisation_id: IdText
    role: str
    email: str | None
    uses_left: int
    invited_by: IdText
    created_at: TimeText
    expires_at: TimeText


class MadeInvitation(ViewedInvitation, frozen=True, kw_only=True):
    """A new one: `url` is what to send, and is shown this once."""

    url: str
    duplicate: bool | msgspec.UnsetType = msgspec.UNSET


class ViewedAct(Struct, frozen=True, kw_only=True):
    """An administrative act. `user_id` is null where it was no user; `username` then says who it was."""

    id: IdText
    user_id: IdText | None
    username: str
    client_id: str
    address: str
    act: str
    organisation_id: IdText | None
    object: IdText | None
    details: dict[str, Any]
    at: TimeText


class ViewedTeam(objects.Team, frozen=True, kw_only=True):
    """A team; `channels` are those of its channels that the viewer sees."""

    channels: list[IdText]
    duplicate: bool | msgspec.UnsetType = msgspec.UNSET


class MovedTeam(ViewedTeam, frozen=True, kw_only=True):
    """A team after a move; `left`: the users who are not in its new organisation, and so no longer in the team or its channels."""

    left: list[IdText]


class TeamPage(objects.TeamHead, frozen=True, kw_only=True):
    """A team with its members."""

    members: list[ViewedUser]
    channels: list[IdText]


class SessionView(Struct, frozen=True, kw_only=True):
    """A signed-in client; `current`: the one that asks. `kind`: session, or token, which an operator made and which may have no end."""

    id: IdText
    client_id: str
    address: str
    agent: str
    created_at: TimeText
    seen_at: TimeText
    expires_at: TimeText | None
    current: bool
    kind: str
    name: str


ATTACHMENTS = msgspec.json.Decoder(tuple[objects.Attachment, ...])
BRIDGED = msgspec.json.Decoder(tuple[objects.Bridged, ...])
PREVIEW = msgspec.json.Decoder(objects.Preview)
NO_ATTACHMENTS: tuple[objects.Attachment, ...] = ()
USER_COLUMNS = "u.id, u.username, u.name, u.avatar, u.kind, u.origin, u.created_at, u.suspended_at"
PRESENCE_COLUMNS = "u.presence_status, u.presence_text, u.presence_until"
CHANNEL_COLUMNS = (
    "c.id, c.organisation_id, c.team_ids, c.type, c.name, c.topic, c.members_count, c.last_message_id, c.created_at, c.updated_at, "
    "c.archived_at, c.bridged"
)
ORGANISATION_COLUMNS = "g.id, g.name, g.created_at, g.updated_at, g.archived_at"
TEAM_COLUMNS = "t.id, t.organisation_id, t.name, t.created_at, t.updated_at, t.archived_at"
MESSAGE_COLUMNS = (
    "x.id, x.channel_id, x.user_id, x.type, x.contents, x.reply_to, x.replies, x.mentions, x.pinned_by, x.client_msg_id, x.origin, "
    "x.version, x.created_at, x.edited_at, x.reactions, x.attachments, x.channels, x.preview"
)


def user(row: Row) -> objects.User:
    return objects.User(
        id=str(row["id"]),
        username=row["username"],
        name=row["name"],
        avatar=row["avatar"],
        kind=row["kind"],
        origin=row["origin"],
        created_at=rfc3339(row["created_at"]),
        suspended_at=rfc3339_or_none(row["suspended_at"]),
    )


def viewed_user(row: Row, presence: Presence) -> ViewedUser:
    return ViewedUser(**msgspec.structs.asdict(user(row)), presence=presence)


def id_or_none(value: int | None) -> IdText | None:
    return None if value is None else str(value)


def organisation(row: Row) -> objects.Organisation:
    return objects.Organisation(
        id=str(row["id"]),
        name=row["name"],
        created_at=rfc3339(row["created_at"]),
        updated_at=rfc3339(row["updated_at"]),
        archived_at=rfc3339_or_none(row["archived_at"]),
    )


def team_head(row: Row) -> objects.TeamHead:
    return objects.TeamHead(
        id=str(row["id"]),
        organisation_id=str(row["organisation_id"]),
        name=row["name"],
        created_at=rfc3339(row["created_at"]),
        updated_at=rfc3339(row["updated_at"]),
        archived_at=rfc3339_or_none(row["archived_at"]),
    )


def channel(row: Row) -> objects.Channel:
    return objects.Channel(
        id=str(row["id"]),
        organisation_id=str(row["organisation_id"]),
        team_ids=row["team_ids"].split(),
        name=row["name"],
        topic=row["topic"],
        type=row["type"],
        members_count=row["members_count"],
        last_message_id=id_or_none(row["last_message_id"]),
        bridged=bridged(row),
        created_at=rfc3339(row["created_at"]),
        updated_at=rfc3339(row["updated_at"]),
        archived_at=rfc3339_or_none(row["archived_at"]),
    )


def bridged(row: Row) -> tuple[objects.Bridged, ...]:
    return () if row["bridged"] == "[]" else BRIDGED.decode(row["bridged"])


def attachments(row: Row) -> tuple[objects.Attachment, ...]:
    return NO_ATTACHMENTS if row["attachments"] == "[]" else ATTACHMENTS.decode(row["attachments"])


def message(row: Row, reactions: Sequence[objects.Reaction] = ()) -> objects.Message:
    return objects.Message(
        id=str(row["id"]),
        channel_id=str(row["channel_id"]),
        user_id=str(row["user_id"]),
        type=row["type"],
        contents=row["contents"],
        reply_to=id_or_none(row["reply_to"]),
        replies=row["replies"],
        attachments=attachments(row),
        reactions=tuple(reactions),
        mentions=decode_json(row["mentions"]),
        channels=[] if row["channels"] == "[]" else decode_json(row["channels"]),
        preview=None if row["preview"] is None else PREVIEW.decode(row["preview"]),
        pinned=row["pinned_by"] is not None,
        client_msg_id=row["client_msg_id"],
        origin=row["origin"],
        version=row["version"],
        created_at=rfc3339(row["created_at"]),
        edited_at=rfc3339_or_none(row["edited_at"]),
    )


def viewed_message(
    shared: objects.Message, reactions: Sequence[ViewedReaction] = (), *, flagged: bool = False, duplicate: bool = False
) -> ViewedMessage:
    fields = {name: getattr(shared, name) for name in objects.Message.__struct_fields__} | {"reactions": tuple(reactions)}
    return ViewedMessage(**fields, flagged=flagged, duplicate=duplicate or msgspec.UNSET)
