"""What filters are shown: what is about to happen, and what they may say of it. Ids are texts, as everywhere outside of the core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Reject:
    """It must not happen.

    Args:
        reason: one sentence, which whoever tried it is shown.
    """

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What all drafts have: where it is to happen, and who wants it."""

    organisation_id: str
    channel_id: str
    visibility: Literal["public", "private", "direct"]
    user_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDraft(Asked):
    """A message before it is posted. A filter may give back another with other `contents` (dataclasses.replace); nothing else counts."""

    contents: str
    reply_to: str | None = None
    file_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EditDraft(Asked):
    """A message before its contents are changed to these. A filter may give back another with other `contents`."""

    message_id: str
    contents: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteDraft(Asked):
    """A message before it is removed."""

    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadDraft(Asked):
    """A file, received but not yet stored, before it is put on a message."""

    name: str
    size: int
    media_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinDraft(Asked):
    """Somebody before they join a channel by themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInDraft:
    """Somebody whose password was right, before their session begins.

    Args:
        username: their handle.
        address: the network address that it comes from.
        client_id: the app, if it names itself.
    """

    user_id: str
    username: str
    address: str
    client_id: str | None
