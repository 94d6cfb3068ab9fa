"""What nodes tell each other beside the log: state where the last writer wins. May be lost, merged or repeated."""

from __future__ import annotations

from msgspec import Struct

from crust.events.objects import Presence


class Typing(Struct, frozen=True, tag="typing"):
    """`user_id` has started or stopped (`state`: start, stop) to type in a channel; goes to its other members.

    `via` is the link that it came over, if any.
    """

    channel_id: int
    user_id: int
    state: str
    via: str = ""


class PresenceChanged(Struct, frozen=True, tag="presence"):
    """`user_id` has another presence; goes to those who are with them in one of `channels`, which are all that they are in."""

    user_id: int
    presence: Presence
    channels: tuple[int, ...]


class MarkMoved(Struct, frozen=True, tag="mark"):
    """`user_id`'s read mark or count of mentions in a channel has moved; goes to their own sockets. Counts are absolute."""

    user_id: int
    channel_id: int
    unread: int
    mentions: int
    last_read_id: int


class SessionEnded(Struct, frozen=True, tag="session"):
    """A session (public id) was revoked: its sockets close at once, ahead of the log."""

    session_id: int


class Committed(Struct, frozen=True, tag="committed"):
    """The log has grown, up to `position` (0: by somebody who does not say): whoever relays it looks."""

    position: int = 0


class Reachable(Struct, frozen=True, tag="reachable"):
    """`user_id` has a socket on `node`, or none any more (after the grace); for nodes alone."""

    node: str
    user_id: int
    online: bool


class NodeOnline(Struct, frozen=True, tag="node"):
    """A node lives, and these are all who have a socket there; `asks`: it wants to know the same of the others."""

    node: str
    users: tuple[int, ...]
    asks: bool = False


class Connected(Struct, frozen=True, tag="connected"):
    """This node hears and is heard, for the first time or again; it tells itself alone."""


class Disconnected(Struct, frozen=True, tag="disconnected"):
    """This node hears the others no more, or is not heard; it tells itself alone."""


Control = Typing | PresenceChanged | MarkMoved | SessionEnded | Committed | Reachable | NodeOnline | Connected | Disconnected
