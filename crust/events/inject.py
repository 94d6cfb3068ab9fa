"""What programs send to `crust.v1.inject`, and what they are answered."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from crust.events.event import HOP

Id = Annotated[str, Meta(min_length=1, max_length=255)]
Hop = Annotated[str, Meta(pattern=f"^{HOP}$")]


class InjectAuthor(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who said it elsewhere. `id` is what stays the same of them, `name` what they are called; `account`: what they are signed in as."""

    id: Id
    name: Annotated[str, Meta(min_length=1, max_length=255)]
    handle: str | None = None
    account: str | None = None
    avatar: str | None = None


class Inject(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that somebody has done elsewhere, for the channel that its room is linked with.

    `source_id` is what the message is called there: posted again under the same one, it is not posted twice, and the answer is the same.
    With a higher `revision` it changes what it said. Of what came before, `edit` changes, `remove` takes back, and `react` and `unreact`
    put an `emoji` on it or take it away; each of these again is no error. `instance` is as which the account speaks, where it may as
    several. `verdict` is what is known of its author, `how` by what, `via` what it came through before.
    """

    room: Id
    author: InjectAuthor
    source_id: Annotated[str, Meta(min_length=1, max_length=1000)]
    action: Literal["post", "edit", "remove", "react", "unreact"] = "post"
    contents: str = ""
    emoji: Annotated[str, Meta(max_length=100)] = ""
    instance: str | None = None
    reply_to: str | None = None
    revision: Annotated[int, Meta(ge=0, le=2**53)] = 0
    verdict: Literal["verified", "unverified", "failed"] = "unverified"
    how: Annotated[str, Meta(max_length=100)] = ""
    via: Annotated[tuple[Hop, ...], Meta(max_length=20)] = ()


class InjectReply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of it, once it is committed. With `error` nothing was stored: its `code` and `message` are those of the API."""

    message_id: str | None = None
    state: Literal["posted", "edited", "duplicate", "own", "removed", "reacted", "unreacted"] | None = None
    error: dict[str, Any] | None = None
