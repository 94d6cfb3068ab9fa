"""Somebody elsewhere, and what of them is stored here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from crust.errors import Conflict, Invalid
from crust.services import names

REMOTE_MAX = 255  # characters of an id of somebody elsewhere
NETWORK = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,29}[a-z0-9])?")
AVATAR_MAX = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """Somebody elsewhere.

    Args:
        id: what the network knows them by, and what stays the same: an account, an address, nick and server.
        name: what people call them there.
        handle: what theirs here is made of; left out, the name.
        account: what they are signed in as there, if that is known.
        avatar: an https address of their picture.
    """

    id: str
    name: str
    handle: str | None = None
    account: str | None = None
    avatar: str | None = None


def checked(remote: Remote) -> Remote:
    """Somebody elsewhere as they are stored. Whatever they are called there is made into a name here.

    Raises:
        Invalid: their id can be none.
    """
    if not 1 <= len(remote.id) <= REMOTE_MAX or not remote.id.isprintable():
        raise Invalid(
            f"The id of somebody elsewhere has 1 to {REMOTE_MAX} printable characters; {remote.id!r:.60} has not.", field="author"
        )
    return Remote(
        id=remote.id, name=shown_name(remote.name) or shown_name(remote.id) or "Somebody", handle=remote.handle,
        account=remote.account and names.cleaned(remote.account)[:REMOTE_MAX], avatar=safe_avatar(remote.avatar),
    )  # fmt: skip


def shown_name(text: str) -> str:
    """What people elsewhere call themselves, without what a name here must not have; empty where nothing is left."""
    kept = "".join(each for each in text[: names.COMPOSED * names.NAME_MAX] if names.plain(each))
    try:
        return names.display(" ".join(kept.split())[: names.NAME_MAX])
    except Invalid:
        return ""


def safe_avatar(url: str | None) -> str | None:
    """A picture's address, if clients can load it."""
    if url is None or len(url) > AVATAR_MAX or not url.isascii() or not url.isprintable():
        return None
    return url if urlsplit(url).scheme == "https" else None


def profile(remote: Remote) -> tuple[str, str | None, str | None]:
    """What of somebody follows them here: name, avatar, account."""
    return remote.name, remote.avatar, remote.account


def client_of(instance: str) -> str:
    """The client that a bridge's people write with."""
    return f"bridge-{instance}"[:64]


def network_name(text: str) -> str:
    """A network's name, as it stands in handles and badges.

    Raises:
        Conflict: it can be none.
    """
    if not NETWORK.fullmatch(text):
        raise Conflict(f"{text!r:.60} can be no network's name: it has 1 to 31 small letters, digits, dots and hyphens.")
    return text
