"""What a node knows by heart, and when it forgets."""

from __future__ import annotations

from typing import Any, cast

import pytest
from msgspec import Raw

from crust.events.control import SessionEnded
from crust.events.event import Event
from crust.log import Change
from crust.services.known import Known

CHANNEL, ANA, BOB = 10, 1, 2


def event(position: int, type_: str, event: str = "", **fields: Any) -> Event:
    known: dict[str, Any] = {"organisation": 1, "channel": 0, "recipient": 0, "object": 0} | fields
    return Event(
        position=position, id=position, visibility="none", type=type_, event=event, body=Raw(b"{}"), origin=None, via=(), at=0, **known
    )  # fmt: skip


def knowing() -> Known:
    """Of Ana's session, and that she and Bob may post in the channel; seen up to 5."""
    known = Known(5)
    known.follows = True
    known.keep_session("hash", {"id": 7, "user_id": ANA}, known.changes)
    known.keep({CHANNEL: {"id": CHANNEL, "archived_at": None}}, {(CHANNEL, ANA), (CHANNEL, BOB)})
    return known


def at(position: int) -> Change:
    """A change that sees the log at this position."""
    return Change("e", position, 0, 0, cast("Any", None))


def test_talk_changes_nothing_of_what_is_known() -> None:
    """Messages, pins and the like move the position alone."""
    known = knowing()
    known.observe([event(6, "message", "created", channel=CHANNEL), event(7, "pin", "added", channel=CHANNEL)])
    assert known.session("hash")
    assert known.posts_in(CHANNEL, ANA)
    assert known.exact(at(7))


@pytest.mark.parametrize(
    ("happens", "session", "ana", "bob"),
    [
        (event(6, "session", "revoked", recipient=ANA, object=7), False, True, True),
        (event(6, "session", "revoked", recipient=ANA, object=8), True, True, True),
        (event(6, "member", "parted", channel=CHANNEL, recipient=BOB, object=BOB), True, True, False),
        (event(6, "member", "parted", channel=CHANNEL + 1, recipient=BOB, object=BOB), True, True, True),
        (event(6, "channel", "edited", channel=CHANNEL), True, False, False),
        (event(6, "channel", "archived", channel=CHANNEL), False, False, False),
        (event(6, "channel", "removed", channel=CHANNEL), False, False, False),
        (event(6, "channel", "moved", channel=CHANNEL), False, False, False),
        (event(6, "channel", "merged", channel=CHANNEL + 1), False, False, False),
        (event(6, "organisation", "archived"), False, False, False),
        (event(6, "organisation", "removed"), False, False, False),
        (event(6, "team", "edited"), False, False, False),
        (event(6, "member", "role", recipient=BOB, object=BOB), False, False, False),
        (event(6, "user", "suspended", object=BOB), False, False, False),
        (event(6, "user", "edited", object=BOB), True, True, True),
        (event(6, "user", "created", object=BOB), True, True, True),
        (event(7, "message", "created", channel=CHANNEL), False, False, False),
    ],
)
def test_what_may_have_changed_is_forgotten(happens: Event, session: bool, ana: bool, bob: bool) -> None:
    """A session that ended, a membership, a channel; after anything rarer, or a hole in the log, everything."""
    known = knowing()
    known.observe([happens])
    assert (known.session("hash") is not None, known.posts_in(CHANNEL, ANA), known.posts_in(CHANNEL, BOB)) == (session, ana, bob)
    assert known.position == happens.position


def test_what_this_process_commits_waits_for_what_others_did_before() -> None:
    """Until the log's reader has come that far, nothing is exact, and nothing is forgotten for nothing."""
    known = knowing()
    known.committed([event(7, "message", "created", channel=CHANNEL)])
    assert known.position == 5
    assert not known.exact(at(7))
    known.observe([event(6, "session", "revoked", object=7), event(7, "message", "created", channel=CHANNEL)])
    assert known.exact(at(7))
    assert known.session("hash") is None
    assert known.posts_in(CHANNEL, ANA)
    known.observe([event(6, "user", "suspended")])
    assert known.posts_in(CHANNEL, ANA), "seen before"


def test_a_session_that_may_have_ended_while_it_was_read_is_not_kept() -> None:
    """Nor one in a process that does not follow the log."""
    known = knowing()
    changes = known.changes
    known.observe([event(6, "session", "revoked", object=9)])
    known.keep_session("other", {"id": 9}, changes)
    assert known.session("other") is None
    known.follows = False
    known.keep_session("other", {"id": 9}, known.changes)
    assert known.session("other") is None


def test_archived_channels_are_not_known() -> None:
    """Nobody posts there."""
    known = Known(1)
    known.keep({CHANNEL: {"id": CHANNEL, "archived_at": 5}}, {(CHANNEL, ANA)})
    assert known.place(CHANNEL) is None
    assert not known.posts_in(CHANNEL, ANA)


def test_a_session_that_another_node_ends_is_out_at_once() -> None:
    """The control message counts, though the log's event is yet to come; what was read before it is not kept after it."""
    known = Known(0)
    known.follows = True
    changes = known.changes
    known.keep_session("hash", {"id": 5, "seen_at": 0}, changes)
    known.control(SessionEnded(5))
    assert known.session("hash") is None
    known.keep_session("hash", {"id": 5, "seen_at": 0}, changes)
    assert known.session("hash") is None
