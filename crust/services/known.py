"""What a node knows without asking the database: who holds which session, and who may post where.

Everything here was read from the database once and is dropped in the order of the log: `observe` is given every event, of this process
as soon as it is committed, of others as the log tells of them. Whoever writes may trust it only where `position` is the log's own, as
read inside the change (`exact`): then nothing has happened that is not in here. Sessions are looked up outside of changes, so the end of
one in another process counts as soon as its control message or the log's event has come, within a second or so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crust.events.control import Control, SessionEnded
from crust.events.event import Event
from crust.log import Change
from crust.models.database import Row

SESSIONS_MAX = 50_000  # about 50 MB; with more, all are forgotten and found again one by one
CHANNELS_MAX = 10_000
TALK = frozenset({"message", "reaction", "pin", "flag"})  # events after which everybody may do what they could before


class Known:
    """See the module.

    Args:
        position: up to which the database has been seen.
    """

    def __init__(self, position: int) -> None:
        self.position = position
        self.follows = False  # whether events of other processes are observed too; without that, no session is kept
        self._changes = 0
        self._sessions: dict[str, dict[str, Any]] = {}
        self._hashes: dict[int, str] = {}
        self._places: dict[int, Row] = {}
        self._posters: dict[int, set[int]] = {}

    # ---- the log

    def committed(self, events: Sequence[Event]) -> None:
        """Take note of what this process has just committed; where another one's events come first, `observe` will have to."""
        if events[0].position == self.position + 1:
            self.observe(events)

    def observe(self, events: Sequence[Event]) -> None:
        """Take note of events, in the log's order; those seen before are passed over, and after a hole nothing counts any more."""
        for event in events:
            if event.position <= self.position:
                continue
            if event.position != self.position + 1:
                self.forget()
            self.position = event.position
            if event.type not in TALK:
                self._take_effect(event)

    def _take_effect(self, event: Event) -> None:
        if event.type == "session":
            self.forget_session(event.object)
        elif event.type == "channel" and event.event in ("created", "edited"):
            self._places.pop(event.channel, None)
            self._posters.pop(event.channel, None)
        elif event.type == "user" and event.event in ("created", "edited"):
            pass  # a new name or address, or that somebody may come back, ends nothing
        elif event.type == "member" and event.channel:
            self._posters.get(event.channel, set()).discard(event.object)
        else:
            self.forget()

    def forget(self) -> None:
        """Know nothing."""
        self._changes += 1
        for each in (self._sessions, self._hashes, self._places, self._posters):
            each.clear()

    # ---- sessions

    @property
    def changes(self) -> int:
        """Rises whenever sessions may have ended; read it before asking the database, and hand it to `keep_session`."""
        return self._changes

    def session(self, token_hash: str) -> dict[str, Any] | None:
        """The session with this hash, if it is known."""
        return self._sessions.get(token_hash)

    def keep_session(self, token_hash: str, row: Row, changes: int) -> None:
        """Know a session that was read, unless something has ended sessions since `changes`."""
        if self.follows and changes == self._changes:
            if len(self._sessions) >= SESSIONS_MAX:
                self._sessions.clear()
                self._hashes.clear()
            self._sessions[token_hash] = dict(row)
            self._hashes[row["id"]] = token_hash

    def forget_session(self, session_id: int) -> None:
        """It has ended."""
        self._changes += 1
        token_hash = self._hashes.pop(session_id, None)
        if token_hash is not None:
            del self._sessions[token_hash]

    def control(self, message: Control) -> None:
        """Take note of a control message, which may be faster than the log."""
        if isinstance(message, SessionEnded):
            self.forget_session(message.session_id)

    def saw_session(self, session_id: int, at: int) -> None:
        """It was used, at this time in milliseconds since 1970."""
        token_hash = self._hashes.get(session_id)
        if token_hash is not None:
            self._sessions[token_hash]["seen_at"] = at

    # ---- who may post where

    def exact(self, change: Change) -> bool:
        """Whether this is the state that the change sees."""
        return change.position == self.position

    def place(self, channel_id: int) -> Row | None:
        """A channel that is not archived, if it is known: id, organisation and type."""
        return self._places.get(channel_id)

    def posts_in(self, channel_id: int, user_id: int) -> bool:
        """Whether it is known that somebody may post in a channel that is known."""
        return user_id in self._posters.get(channel_id, ())

    def keep(self, places: Mapping[int, Row], posters: set[tuple[int, int]]) -> None:
        """Know what was read in a change that sees this state: channels, and (channel, user) pairs of those who may post there."""
        if len(self._places) + len(places) > CHANNELS_MAX:
            self._places.clear()
            self._posters.clear()
        self._places.update({number: row for number, row in places.items() if row["archived_at"] is None})
        for channel_id, user_id in posters:
            if channel_id in self._places:
                self._posters.setdefault(channel_id, set()).add(user_id)
