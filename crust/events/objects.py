"""The objects of the API and of event bodies: what any permitted reader may see.

Ids are decimal strings (they pass 2^53), times RFC 3339 strings. What only one viewer may know (flagged, unread, an email address)
is never in these; the API adds it around them.
"""

from __future__ import annotations

from msgspec import Struct

IdText = str
"""An id as it is emitted: a decimal string."""

TimeText = str
"""RFC 3339, UTC, milliseconds: `2026-11-24T01:47:00.123Z`."""


class Presence(Struct, frozen=True, kw_only=True):
    """How reachable a person is. `status`: available, away, dnd or offline."""

    status: str
    text: str | None = None
    until: TimeText | None = None


class User(Struct, frozen=True, kw_only=True):
    """A person, bot or ghost as others see them."""

    id: IdText
    username: str
    name: str
    avatar: str | None
    kind: str
    origin: str | None
    created_at: TimeText
    suspended_at: TimeText | None


class Organisation(Struct, frozen=True, kw_only=True):
    """A top-level group; nothing is shared across its border."""

    id: IdText
    name: str
    created_at: TimeText
    updated_at: TimeText
    archived_at: TimeText | None


class OrganisationEdited(Organisation, frozen=True, kw_only=True):
    """An organisation after a change; `changed` names the fields that differ."""

    changed: list[str]


class Removed(Struct, frozen=True, kw_only=True):
    """That an organisation, team or channel is gone: which, and who did it, never what it was."""

    id: IdText
    by: IdText


class TeamHead(Struct, frozen=True, kw_only=True):
    """A team without those who are in it."""

    id: IdText
    organisation_id: IdText
    name: str
    created_at: TimeText
    updated_at: TimeText
    archived_at: TimeText | None


class Team(TeamHead, frozen=True, kw_only=True):
    """A group of people within an organisation; `members` are user ids. (Which channels it has, each sees for themselves.)"""

    members: list[IdText]


class TeamEdited(Team, frozen=True, kw_only=True):
    """A team after a change; `changed` names the fields that differ."""

    changed: list[str]


class TeamMerged(Team, frozen=True, kw_only=True):
    """The team that another one, `source_id`, was merged into."""

    source_id: IdText


class Bridged(Struct, frozen=True, kw_only=True):
    """A room elsewhere that a channel is linked with: what is said in one is said in the other.

    `direction`: both, in or out, as seen from here. `crossings` says of edit, remove, react, reply, thread, file, typing and formatting
    whether they cross natively (`native`), as well as it goes (`fallback`) or not (`dropped`); `characters`, `lines` and `file_bytes` are
    what the other side takes at most in one message, null where there is no limit.
    """

    link_id: IdText
    bridge: str
    network: str
    room: str
    direction: str
    crossings: dict[str, str]
    characters: int | None = None
    lines: int | None = None
    file_bytes: int | None = None


class Channel(Struct, frozen=True, kw_only=True):
    """A sequence of messages with a subject. `type`: public, private or direct."""

    id: IdText
    organisation_id: IdText
    team_ids: list[IdText]
    name: str
    topic: str
    type: str
    members_count: int
    last_message_id: IdText | None
    bridged: tuple[Bridged, ...]
    created_at: TimeText
    updated_at: TimeText
    archived_at: TimeText | None


class ChannelEdited(Channel, frozen=True, kw_only=True):
    """A channel after a change; `changed` names the fields that differ."""

    changed: list[str]


class ChannelLinked(Channel, frozen=True, kw_only=True):
    """A channel after it was linked with a room elsewhere, or that link (`link`) was changed or has ended; `by` is null for the server."""

    link: Bridged
    by: IdText | None
    reason: str | None = None


class ChannelMerged(Channel, frozen=True, kw_only=True):
    """The channel that another one, `source_id`, was merged into: that id is from now on read and written as this channel's."""

    source_id: IdText


class Member(Struct, frozen=True, kw_only=True):
    """Somebody's coming, going or new role; `by` is who did it."""

    user: User
    user_id: IdText
    by: IdText
    role: str | None
    channel_id: IdText | None = None
    organisation_id: IdText | None = None
    members_count: int | None = None


class Reaction(Struct, frozen=True, kw_only=True):
    """An emoji on a message: how many people have put it there, and the first 20 of them."""

    emoji: str
    count: int
    user_ids: tuple[IdText, ...]


class Reacted(Struct, frozen=True, kw_only=True):
    """`user_id` has put an emoji on a message, or taken it away; `count` is how many have it there now."""

    message_id: IdText
    user_id: IdText
    emoji: str
    count: int


class Attachment(Struct, frozen=True, kw_only=True):
    """A file on a message. `media_type` is what its bytes are; pictures have `width` and `height`, in pixels, and a path as `preview`."""

    id: IdText
    name: str
    size: int
    media_type: str
    width: int | None
    height: int | None
    preview: str | None


class Preview(Struct, frozen=True, kw_only=True):
    """What a link in a message leads to. `url` and `image` are http or https; what is not known is None."""

    url: str
    title: str | None = None
    description: str | None = None
    image: str | None = None


class Message(Struct, frozen=True, kw_only=True):
    """A message. `type`: CREATE, TOPIC, RENAME, MESSAGE or FILE; `replies` and `version` are absolute.

    `mentions` are the people that it calls, `channels` those that it names by `#name`.
    """

    id: IdText
    channel_id: IdText
    user_id: IdText
    type: str
    contents: str | None
    reply_to: IdText | None
    replies: int
    attachments: tuple[Attachment, ...]
    reactions: tuple[Reaction, ...]
    mentions: list[IdText]
    channels: list[IdText]
    preview: Preview | None
    pinned: bool
    client_msg_id: str | None
    origin: str | None
    version: int
    created_at: TimeText
    edited_at: TimeText | None


class MessageEdited(Message, frozen=True, kw_only=True):
    """A message after an edit; `changed` names the fields that differ."""

    changed: list[str]


class MessageRemoved(Struct, frozen=True, kw_only=True):
    """That a message is gone: ids and who did it, never what it said."""

    id: IdText
    channel_id: IdText
    user_id: IdText
    by: IdText


class Pin(Struct, frozen=True, kw_only=True):
    """A message was pinned or unpinned by `user_id`, for all in the channel."""

    message_id: IdText
    user_id: IdText


class Flag(Struct, frozen=True, kw_only=True):
    """A message was flagged or unflagged, for the recipient alone."""

    message_id: IdText


class InstanceState(Struct, frozen=True, kw_only=True):
    """How an instance of a plugin is now, and why, for the server's administrators."""

    instance: str
    state: str
    reason: str | None


class DeliveryChanged(Struct, frozen=True, kw_only=True):
    """How a message of the recipient's was carried over a link. `state` as in `GET /message/delivery`; `note` says what of it."""

    message_id: IdText
    link_id: IdText
    state: str
    note: str | None = None


class BridgeState(Struct, frozen=True, kw_only=True):
    """How a bridge is, for administrators; with `link_id`, how a link of its is: if something has to be done, for who made it, too."""

    instance: str
    state: str
    reason: str | None
    link_id: IdText | None = None


class SessionRevoked(Struct, frozen=True, kw_only=True):
    """A session of the recipient has ended; `id` is its public id."""

    id: IdText
