"""Every table. Rows never leave `crust.services` and `crust.log`.

Ids of other rows stand without foreign keys: everything is written by one writer at a time, which checks what it refers to in the same
transaction, and what is removed leaves a tombstone, not a hole. Every column that is added later needs a `db_default`, or it cannot be
added to a table that has rows.
"""

from __future__ import annotations

from typing import ClassVar

from tortoise import fields
from tortoise.models import Model

from crust.models.fields import IdField, JsonField, TimeField


def text(length: int = 255, *, unique: bool = False) -> fields.CharField[str]:
    """Short text."""
    return fields.CharField(max_length=length, unique=unique)


def optional_text(length: int = 255, *, unique: bool = False) -> fields.CharField[str | None]:
    """Short text, or nothing."""
    return fields.CharField(max_length=length, null=True, unique=unique)


# ---- the log


class LogHead(Model):
    """The log's one row: whoever has it locked is the writer."""

    id = IdField(primary_key=True)
    epoch = text(32)
    position = fields.BigIntField()
    last_id = fields.BigIntField()

    class Meta:
        table = "log"


class LoggedEvent(Model):
    """An entry of the log; see `crust.events.event.Event`."""

    position = IdField(primary_key=True)
    id = fields.BigIntField()
    organisation = fields.BigIntField()
    channel = fields.BigIntField()
    recipient = fields.BigIntField()
    object = fields.BigIntField()
    visibility = text(8)
    type = text(16)
    event = text(16)
    body = fields.TextField()
    origin = optional_text()
    via = fields.TextField()
    at = TimeField()

    class Meta:
        table = "event"
        indexes: ClassVar = [("channel", "position"), ("recipient", "position"), ("object",)]


class Key(Model):
    """What an idempotency key has led to."""

    id = IdField(primary_key=True)
    scope = text(255)
    key = text(255)
    fingerprint = text(64)
    result = fields.BigIntField()

    class Meta:
        table = "key"
        unique_together: ClassVar = [("scope", "key")]


# ---- people


class Organisation(Model):
    """A top-level group of people and channels."""

    id = IdField(primary_key=True)
    name = text(100)
    name_key = text(200)
    created_at = TimeField()
    updated_at = TimeField()
    archived_at = TimeField(null=True)
    removed_at = TimeField(null=True)

    class Meta:
        table = "organisation"


class OrganisationMember(Model):
    """`role`: owner, admin, member or guest."""

    id = IdField(primary_key=True)
    organisation_id = fields.BigIntField()
    user_id = fields.BigIntField(db_index=True)
    role = text(8)
    joined_at = TimeField()

    class Meta:
        table = "organisation_member"
        unique_together: ClassVar = [("organisation_id", "user_id")]


class User(Model):
    """A person, bot or ghost. `*_key` columns hold what is compared: folded, so that look-alike spellings clash."""

    id = IdField(primary_key=True)
    username = text(64)
    username_key = text(128, unique=True)
    name = text(100)
    name_key = text(200)
    email = optional_text(254)
    email_key = optional_text(254, unique=True)
    avatar = optional_text()
    kind = text(8)
    origin = optional_text()
    password_hash = optional_text()
    is_admin = fields.BooleanField()
    organisation_id = fields.BigIntField()
    presence_status = text(16)
    presence_text = optional_text(200)
    presence_until = TimeField(null=True)
    created_at = TimeField()
    updated_at = TimeField()
    suspended_at = TimeField(null=True)

    class Meta:
        table = "user"


class Session(Model):
    """A signed-in client; `token_hash` is SHA-256 of the secret, which is stored nowhere.

    `kind`: session, or token, which was made by an operator, has a `name`, and ends only at `ends_at` or when it is revoked.
    """

    id = IdField(primary_key=True)
    token_hash = text(64, unique=True)
    user_id = fields.BigIntField(db_index=True)
    client_id = text(64)
    address = text(64)
    agent = text(255)
    created_at = TimeField()
    seen_at = TimeField()
    ends_at = TimeField()
    kind = fields.CharField(max_length=8, db_default="session")
    name = fields.CharField(max_length=100, db_default="")

    class Meta:
        table = "session"


class Invitation(Model):
    """A link by which people come into an organisation; `token_hash` is SHA-256 of the secret in it.

    `organisation_id` is 0 for one that makes the first administrator of an empty server.
    """

    id = IdField(primary_key=True)
    token_hash = text(64, unique=True)
    organisation_id = fields.BigIntField(db_index=True)
    role = text(8)
    email = optional_text(254)
    uses_left = fields.IntField()
    invited_by = fields.BigIntField()
    created_at = TimeField()
    ends_at = TimeField()

    class Meta:
        table = "invitation"


class Audited(Model):
    """An administrative act. `user_id` is 0 for who sat at the server's command line; `organisation_id` 0 for what concerns the server."""

    id = IdField(primary_key=True)
    user_id = fields.BigIntField()
    username = text(64)
    client_id = text(64)
    address = text(64)
    act = text(64)
    organisation_id = fields.BigIntField()
    object = fields.BigIntField()
    details = fields.TextField()
    at = TimeField()

    class Meta:
        table = "audit"
        indexes: ClassVar = [("organisation_id", "id")]


# ---- teams


class Team(Model):
    """A group of people within an organisation, with channels of their own."""

    id = IdField(primary_key=True)
    organisation_id = fields.BigIntField(db_index=True)
    name = text(100)
    name_key = text(200)
    created_at = TimeField()
    updated_at = TimeField()
    archived_at = TimeField(null=True)
    removed_at = TimeField(null=True)

    class Meta:
        table = "team"


class TeamMember(Model):
    """Somebody of the organisation, guests aside, is in a team."""

    id = IdField(primary_key=True)
    team_id = fields.BigIntField()
    user_id = fields.BigIntField(db_index=True)

    class Meta:
        table = "team_member"
        unique_together: ClassVar = [("team_id", "user_id")]


class TeamChannel(Model):
    """A channel belongs to a team; written together with the channel's `team_ids`, see `crust.services.ties`."""

    id = IdField(primary_key=True)
    channel_id = fields.BigIntField()
    team_id = fields.BigIntField(db_index=True)

    class Meta:
        table = "team_channel"
        unique_together: ClassVar = [("channel_id", "team_id")]


# ---- channels


class Channel(Model):
    """A sequence of messages. `pair` is "low:high" of the two users of a direct channel.

    `team_ids` are those of its teams, with spaces between, and `bridged` what is shown of its links, as JSON, so that nobody who reads a
    channel has to look for them. `merged_into` is the channel as which this one's id is read and written since it was merged.
    """

    id = IdField(primary_key=True)
    organisation_id = fields.BigIntField(db_index=True)
    type = text(8)
    name = text(100)
    name_key = text(200)
    topic = fields.TextField()
    pair = optional_text(48, unique=True)
    members_count = fields.IntField()
    last_message_id = fields.BigIntField(null=True)
    team_ids = fields.TextField(db_default="")
    merged_into = fields.BigIntField(null=True)
    created_at = TimeField()
    updated_at = TimeField()
    archived_at = TimeField(null=True)
    removed_at = TimeField(null=True)
    bridged = fields.TextField(db_default="[]")

    class Meta:
        table = "channel"


class ChannelMember(Model):
    """`role`: owner or member. `last_read_id` is the read mark: all up to it is read."""

    id = IdField(primary_key=True)
    channel_id = fields.BigIntField()
    user_id = fields.BigIntField(db_index=True)
    role = text(8)
    joined_at = TimeField()
    last_read_id = fields.BigIntField()
    muted = fields.BooleanField(db_default=False)

    class Meta:
        table = "channel_member"
        unique_together: ClassVar = [("channel_id", "user_id")]


# ---- messages


class Message(Model):
    """A message, or the tombstone of one (`removed_at` set, contents empty). `replies` counts the living answers.

    `attachments` is what is shown of its files, as JSON, so that nobody who reads a message has to look for them; `channels` are the ids of
    those that it names; `preview`, as JSON too, is what a link in it leads to.
    """

    id = IdField(primary_key=True)
    channel_id = fields.BigIntField()
    user_id = fields.BigIntField()
    type = text(8)
    contents = fields.TextField()
    reply_to = fields.BigIntField(null=True, db_index=True)
    replies = fields.IntField()
    mentions = JsonField()
    pinned_by = fields.BigIntField(null=True)
    client_msg_id = optional_text(64)
    origin = optional_text()
    version = fields.IntField()
    created_at = TimeField()
    edited_at = TimeField(null=True)
    removed_at = TimeField(null=True)
    reactions = fields.IntField(db_default=0)
    attachments = fields.TextField(db_default="[]")
    channels = fields.TextField(db_default="[]")
    preview = fields.TextField(null=True)

    class Meta:
        table = "message"
        # Whoever counts what is unread in a few hundred channels reads this index alone.
        indexes: ClassVar = [("channel_id", "id", "user_id", "removed_at")]


class MessageVersion(Model):
    """What a message said before an edit."""

    id = IdField(primary_key=True)
    message_id = fields.BigIntField()
    version = fields.IntField()
    contents = fields.TextField()
    at = TimeField()

    class Meta:
        table = "message_version"
        unique_together: ClassVar = [("message_id", "version")]


class Flag(Model):
    """A message that a person wants to find again; nobody else knows."""

    id = IdField(primary_key=True)
    user_id = fields.BigIntField()
    message_id = fields.BigIntField()
    at = TimeField()

    class Meta:
        table = "flag"
        unique_together: ClassVar = [("user_id", "message_id")]


class Reaction(Model):
    """A person's emoji on a message, for all to see. `Message.reactions` counts them, so that messages without any need no look here."""

    id = IdField(primary_key=True)
    message_id = fields.BigIntField()
    emoji = text(64)
    user_id = fields.BigIntField()
    at = TimeField()

    class Meta:
        table = "reaction"
        unique_together: ClassVar = [("message_id", "emoji", "user_id")]


class File(Model):
    """A file on a message; its bytes lie in the storage under `key`, those of its previews under keys that begin with it.

    Without a message it is its user's avatar.
    """

    id = IdField(primary_key=True)
    message_id = fields.BigIntField(null=True, db_index=True)
    user_id = fields.BigIntField()
    name = text(255)
    size = fields.BigIntField()
    media_type = text(100)
    sha256 = text(64)
    key = text(64, unique=True)
    width = fields.IntField(null=True)
    height = fields.IntField(null=True)
    created_at = TimeField()

    class Meta:
        table = "file"


class Mention(Model):
    """A message names a person; read with their mark to count what is new."""

    id = IdField(primary_key=True)
    user_id = fields.BigIntField()
    channel_id = fields.BigIntField()
    message_id = fields.BigIntField(db_index=True)

    class Meta:
        table = "mention"
        indexes: ClassVar = [("user_id", "channel_id", "message_id")]


# ---- the server itself


class Secret(Model):
    """A key of the server's own, in hexadecimal digits. It is in backups, and in nothing that is exported."""

    name = fields.CharField(max_length=64, primary_key=True)
    value = text(255)

    class Meta:
        table = "secret"


# ---- who reads the log, and who does what only one may do


class Lease(Model):
    """That one process alone does something, until a time by the database's clock; see `crust.log.leases`."""

    name = fields.CharField(max_length=255, primary_key=True)
    owner = text(64)
    generation = fields.BigIntField()
    until = TimeField()
    since = TimeField()

    class Meta:
        table = "lease"


class Consumer(Model):
    """A reader of the log that outlives its process, and the position up to which it has dealt with everything."""

    name = fields.CharField(max_length=255, primary_key=True)
    position = fields.BigIntField()
    at = TimeField()

    class Meta:
        table = "consumer"


# What is delivered to whom (`delivery`, `lane`) and what plugins keep (`document`, `document_field`) have keys of several columns, which no
# model can have: migration 0010_delivery makes them, and `crust.host` reads and writes them. So do the tables of bridges (`room_link`,
# `ghost`, `identity_code`, `message_part`: 0012_bridges; `kicked`: 0014_what_comes_in); `crust.services` reads and writes them.


# The docstrings are for readers of this file. As table comments they would be part of the schema, and each correction a migration.
for _model in list(Model.__subclasses__()):
    if _model.__module__ == __name__:
        _model._meta.table_description = ""
