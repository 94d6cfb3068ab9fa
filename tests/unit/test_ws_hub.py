"""The hub: who gets what, in which order, whatever happens around it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from crust.events.control import MarkMoved, PresenceChanged, SessionEnded, Typing
from crust.events.event import Event
from crust.events.objects import Presence
from crust.services.actor import Actor
from crust.ws.frame import Frame, Run
from crust.ws.hub import RING, Connection, Hub
from crust.ws.outbox import Item, Outbox, Snapshot
from crust.ws.protocol import Close

ANA, BOB, CEM = 1, 2, 3
HOME, ELSEWHERE = 100, 200
ROOM, OTHER = 10, 11


class Log:
    """Makes events with the next position."""

    def __init__(self) -> None:
        self.position = 0

    def event(self, type_: str, event: str, **fields: Any) -> Event:
        self.position += 1
        body = fields.pop("body", {})
        known: dict[str, Any] = {"organisation": HOME, "channel": 0, "recipient": 0, "object": 0} | fields
        return Event(
            position=self.position, id=self.position, visibility="public", type=type_, event=event, body=Raw(msgspec.json.encode(body)),
            origin=None, via=(), at=0, **known,
        )  # fmt: skip

    def message(self, channel: int = ROOM, text: str = "hi", object_: int = 50) -> Event:
        return self.event(
            "message", "created", channel=channel, object=object_,
            body={"id": str(object_), "contents": text, "mentions": [], "channels": [], "attachments": [{"name": text}]},
        )  # fmt: skip

    def member(self, event: str, user: int, channel: int = ROOM, role: str = "guest", **fields: int) -> Event:
        nothing = dict.fromkeys(("avatar", "origin", "suspended_at"))
        user_object = {"id": "1", "username": "u", "name": "u", "kind": "person", "created_at": "", **nothing}
        body = {"user": user_object, "user_id": str(user), "by": str(user), "role": role}
        return self.event("member", event, channel=channel, recipient=user, object=user, body=body, **fields)


def connection(user: int, session: int = 0) -> Connection:
    return Connection(Actor(user, f"u{user}", session or user * 1000, "client"), Outbox(256, 1 << 20))


def attached(hub: Hub, user: int, *channels: int, session: int = 0, role: str = "member") -> Connection:
    made = connection(user, session)
    hub.admit(made)
    assert hub.attach(made, hub.offset, channels, {HOME: role}) == []
    return made


def shown(items: list[Item]) -> list[str]:
    """Items in short: `message 7`, `channel 10`, or a control frame's type."""
    short = []
    for item in items:
        if isinstance(item, Snapshot):
            short.append(f"channel {item.channel_id}")
            continue
        for text in item.frames if isinstance(item, Run) else [item if isinstance(item, str) else item.frame]:
            frame = json.loads(text)
            short.append(f"{frame['type']} {frame['position']}" if "position" in frame else frame["type"])
    return short


def queued(made: Connection) -> list[str]:
    return shown(list(made.outbox._items))


def test_events_go_to_those_who_may_see_them() -> None:
    """A channel's to its members, a person's to them alone, an organisation's to its members without guests."""
    log, hub = Log(), Hub(0)
    ana, bob, guest = attached(hub, ANA, ROOM), attached(hub, BOB), attached(hub, CEM, ROOM, role="guest")
    hub.apply([log.message()])
    hub.apply([log.event("flag", "added", organisation=0, recipient=BOB)])
    hub.apply([log.event("team", "created")])
    hub.apply([log.event("team", "created", organisation=ELSEWHERE)])
    assert queued(ana) == ["message 1", "team 3"]
    assert queued(bob) == ["flag 2", "team 3"]
    assert queued(guest) == ["message 1"]


def test_membership_takes_effect_in_the_order_of_the_log() -> None:
    """Joining shows the channel, then its events; parted is the last that one sees of it."""
    log, hub = Log(), Hub(0)
    ana, bob = attached(hub, ANA, ROOM), attached(hub, BOB)
    for event in (log.message(), log.member("joined", BOB), log.message(), log.member("parted", BOB), log.message()):
        hub.apply([event])
    assert queued(bob) == ["channel 10", "member 2", "message 3", "member 4"]
    assert queued(ana) == ["message 1", "member 2", "message 3", "member 4", "message 5"]


def test_who_comes_in_gets_what_the_hub_has_applied_already() -> None:
    """Events between the position that was served and the hub's are given at once, none twice and none left out."""
    log, hub = Log(), Hub(0)
    for _ in range(5):
        hub.apply([log.message()])
    late = connection(ANA)
    items = hub.attach(late, 2, {ROOM}, {HOME: "member"})
    assert items is not None
    hub.apply([log.message()])
    assert shown(items) == ["message 3", "message 4", "message 5"]
    assert queued(late) == ["message 6"]


def test_who_was_served_beyond_the_hub_gets_only_what_is_new() -> None:
    """A connection's snapshot may be ahead of its node: what it has is not sent again."""
    log, hub = Log(), Hub(0)
    ahead = connection(ANA)
    assert hub.attach(ahead, 2, {ROOM}, {}) == []
    for _ in range(3):
        hub.apply([log.message()])
    assert queued(ahead) == ["message 3"]


def test_who_is_too_far_behind_reads_the_log_first() -> None:
    """Beyond what the hub remembers it does not guess."""
    log, hub = Log(), Hub(0)
    for _ in range(RING + 10):
        hub.apply([log.message()])
    assert hub.attach(connection(ANA), 5, {ROOM}, {}) is None
    assert hub.attach(connection(ANA), 10, {ROOM}, {}) is not None
    assert Hub(100).attach(connection(ANA), 50, set(), {}) is None, "a hub that has just started remembers nothing"


def test_membership_that_changed_on_the_way_in_is_applied() -> None:
    """The memberships were read at a position; what happened since is in the ring and counts."""
    log, hub = Log(), Hub(0)
    for event in (log.message(), log.member("joined", ANA), log.message(), log.member("parted", ANA, OTHER), log.message(OTHER)):
        hub.apply([event])
    made = connection(ANA)
    items = hub.attach(made, 1, {OTHER}, {})
    assert items is not None
    assert shown(items) == ["channel 10", "member 2", "message 3", "member 4"]
    hub.apply([log.message(OTHER)])
    hub.apply([log.message(ROOM)])
    assert queued(made) == ["message 7"]


@given(st.lists(st.sampled_from(["joined", "parted", "message", "attach", "detach"]), max_size=40))
def test_each_event_once_in_order_however_one_comes_and_goes(steps: list[str]) -> None:
    """Against a plain model: a socket that resumes where it left sees each event of its time as a member exactly once."""
    log, hub = Log(), Hub(0)
    member, place, live = False, 0, None
    got: list[int] = []
    expected: list[int] = []

    def take(items: list[Item]) -> None:
        got.extend(json.loads(item)["position"] for item in items if isinstance(item, str))

    for step in steps:
        if step in ("joined", "parted") and member != (step == "joined"):
            expected.append(log.position + 1)
            hub.apply([log.member(step, ANA)])
            member = step == "joined"
        elif step == "message":
            if member:
                expected.append(log.position + 1)
            hub.apply([log.message()])
        elif step == "attach" and live is None:
            live = connection(ANA)
            seen_at_place = membership_at(hub, place)
            items = hub.attach(live, place, {ROOM} if seen_at_place else set(), {})
            assert items is not None
            take(items)
        elif step == "detach" and live is not None:
            take(list(live.outbox._items))
            hub.detach(live)
            live, place = None, hub.offset
    if live is None:
        live = connection(ANA)
        take(hub.attach(live, place, {ROOM} if membership_at(hub, place) else set(), {}) or [])
    else:
        take(list(live.outbox._items))
    assert got == expected


def membership_at(hub: Hub, position: int) -> bool:
    """What the database would have said at a position."""
    member = False
    for sent in hub._ring:
        if sent.event.type == "member" and sent.event.position <= position:
            member = sent.event.event == "joined"
    return member


def test_a_removed_message_leaves_the_ring() -> None:
    """Whoever comes in later gets the event that made it without what it said."""
    log, hub = Log(), Hub(0)
    hub.apply([log.message(text="secret", object_=50)])
    hub.apply([log.event("message", "removed", channel=ROOM, object=50, body={"id": "50"})])
    items = hub.attach(connection(ANA), 0, {ROOM}, {})
    assert items is not None
    assert shown(items) == ["message 1", "message 2"]
    assert "secret" not in str(items) + str(hub._ring)


def test_ephemera_go_to_others_and_never_pile_up() -> None:
    """Typing to the channel's other members, presence to those who share one; of each only the latest; read marks to oneself."""
    hub = Hub(0)
    ana, bob, cem = attached(hub, ANA, ROOM), attached(hub, BOB, ROOM), attached(hub, CEM, OTHER)
    for state in ("start", "stop", "start"):
        hub.control(Typing(ROOM, ANA, state))
    hub.control(PresenceChanged(ANA, Presence(status="away"), (ROOM,)))
    hub.control(MarkMoved(ANA, ROOM, 3, 1, 50))
    assert queued(ana) == ["unread"]
    assert queued(bob) == ["typing", "presence"]
    assert queued(cem) == []


def reason(made: Connection) -> Close | None:
    return made.outbox.closing.code if made.outbox.closing else None


def test_an_ended_session_closes_its_own_sockets() -> None:
    """By the control message at once, by the log in any case; other sessions of the same person stay."""
    log, hub = Log(), Hub(0)
    one, two = attached(hub, ANA, session=7), attached(hub, ANA, session=8)
    hub.control(SessionEnded(7))
    assert (reason(one), reason(two)) == (Close.SESSION_ENDED, None)
    hub.apply([log.event("session", "revoked", organisation=0, recipient=ANA, object=8)])
    assert reason(two) == Close.SESSION_ENDED
    suspended = connection(BOB)
    hub.admit(suspended)  # still catching up
    hub.apply([log.event("user", "suspended", object=BOB)])
    assert reason(suspended) == Close.SESSION_ENDED


def test_nothing_is_kept_of_who_has_gone() -> None:
    """Detaching is told once, with the channels of the last socket, and leaves no trace."""
    hub = Hub(0)
    one, two = attached(hub, ANA, ROOM), attached(hub, ANA, ROOM)
    assert hub.detach(one) is None
    assert hub.detach(two) == frozenset({ROOM})
    assert hub.detach(two) is None
    assert not hub._people
    assert not hub._members
    assert not hub._connections


def test_a_full_outbox_is_a_slow_client_and_ephemera_leave_room() -> None:
    """256 frames or 1 MiB: closed 4008, at once; from half full nothing ephemeral is taken."""
    for frames, text in ((256, "x"), (4, "x" * 300_000)):
        outbox = Outbox(256, 1 << 20)
        for _ in range(frames // 2):
            outbox.put(text)
        outbox.put_ephemeral("key", "typing")
        assert not outbox._ephemeral
        for _ in range(frames // 2):
            outbox.put(text)
        outbox.put(text)
        assert outbox.closing is not None
        assert outbox.closing.code == Close.SLOW
        assert not outbox._items, "what waited is let go: the client gets it again when it resumes"


def test_what_is_said_together_goes_out_as_a_run_up_to_what_changes_the_view() -> None:
    """Neighbours of one channel are one item, the same for all; a member's coming and going and another channel end it, in order."""
    hub, log = Hub(0), Log()
    ana, bob = attached(hub, ANA, ROOM), attached(hub, BOB, ROOM)
    hub.apply([log.message(), log.message(), log.member("parted", BOB), log.message(), log.message()])
    assert queued(ana) == ["message 1", "message 2", "member 3", "message 4", "message 5"]
    assert queued(bob) == ["message 1", "message 2", "member 3"]
    assert [type(item) for item in ana.outbox._items] == [Run, Frame, Run]
    assert ana.outbox._items[0] is bob.outbox._items[0]


def test_who_comes_in_within_a_run_is_sent_its_rest() -> None:
    """A socket that was served up to a position gets what lies above it, whatever it was sent with."""
    hub, log = Hub(0), Log()
    ana = attached(hub, ANA, ROOM)
    ana.after = 2
    hub.apply([log.message() for _ in range(4)])
    assert queued(ana) == ["message 3", "message 4"]


def test_in_a_crowd_nobody_is_told_who_types_or_comes() -> None:
    """What may be lost costs each for each; where many listen it is left out, and messages are not."""
    hub, log = Hub(0, crowd=2), Log()
    ana, bob, cem = attached(hub, ANA, ROOM, OTHER), attached(hub, BOB, ROOM, OTHER), attached(hub, CEM, ROOM)
    for message in (Typing(ROOM, ANA, "start"), Typing(OTHER, ANA, "start"), PresenceChanged(ANA, Presence(status="away"), (ROOM, OTHER))):
        hub.control(message)
    hub.apply([log.message()])
    assert queued(bob) == ["typing", "presence", "message 1"]
    assert queued(cem) == ["message 1"]
    assert queued(ana) == ["message 1"]


def test_nothing_of_a_channel_comes_before_the_frame_that_shows_it() -> None:
    """A socket that opens while its person is let into a channel is not told what happened there before."""
    hub, log = Hub(0), Log()
    attached(hub, ANA, ROOM)
    hub.apply([log.message(OTHER), log.member("joined", BOB, OTHER), log.message(OTHER), log.message()])
    bob = connection(BOB)
    missed = hub.attach(bob, 0, {OTHER}, {HOME: "member"})  # as the database had it after all of that
    assert shown(missed or []) == [f"channel {OTHER}", "member 2", "message 3"]
    another = connection(BOB, 7)
    assert shown(hub.attach(another, 0, {OTHER}, {HOME: "member"}) or []) == [f"channel {OTHER}", "member 2", "message 3"]


def test_what_happens_to_an_organisation_is_told_to_its_members() -> None:
    """Not to guests, nor to those of another one; whoever comes in or becomes a member is, from then on."""
    log, hub = Log(), Hub(0)
    ana, guest, stranger = attached(hub, ANA), attached(hub, BOB, role="guest"), connection(CEM)
    hub.admit(stranger)
    assert hub.attach(stranger, 0, (), {ELSEWHERE: "owner"}) == []
    for type_, event in (("organisation", "edited"), ("team", "created"), ("team", "merged"), ("organisation", "archived")):
        hub.apply([log.event(type_, event)])
    hub.apply([log.member("role", BOB, 0, role="member"), log.event("team", "edited")])
    hub.apply([log.member("joined", CEM, 0, role="member"), log.event("team", "archived")])
    assert queued(ana) == ["organisation 1", "team 2", "team 3", "organisation 4", "member 5", "team 6", "member 7", "team 8"]
    assert queued(guest) == ["member 5", "team 6", "member 7", "team 8"]
    assert queued(stranger) == ["member 7", "team 8"]


def test_the_end_of_an_organisation_is_the_last_that_is_told_of_it() -> None:
    """Each hears that it was removed and that they parted from it; nobody hears of it after that."""
    log, hub = Log(), Hub(0)
    ana, bob = attached(hub, ANA, ROOM), attached(hub, BOB)
    hub.apply([log.event("channel", "removed", channel=ROOM), log.member("parted", ANA)])
    hub.apply([log.event("organisation", "removed"), log.member("parted", ANA, 0), log.member("parted", BOB, 0)])
    hub.apply([log.event("team", "created"), log.message()])
    assert queued(ana) == ["channel 1", "member 2", "organisation 3", "member 4"]
    assert queued(bob) == ["organisation 3", "member 4", "member 5"]


def test_nothing_of_a_channel_that_moved_away_is_told_to_who_could_not_come_along() -> None:
    """They hear that they parted, of the old organisation; those who stay are shown the channel anew, in the new one."""
    log, hub = Log(), Hub(0)
    ana, bob = attached(hub, ANA, ROOM), connection(BOB)
    assert hub.attach(bob, 0, {ROOM}, {HOME: "member", ELSEWHERE: "member"}) == []
    hub.apply([log.member("parted", ANA), log.event("channel", "moved", channel=ROOM, organisation=ELSEWHERE)])
    hub.apply([log.event("message", "created", channel=ROOM, organisation=ELSEWHERE)])
    hub.apply([log.event("team", "removed"), log.event("team", "moved", organisation=ELSEWHERE)])
    assert queued(ana) == ["member 1", "team 4"]
    assert queued(bob) == ["member 1", "channel 2", "channel 10", "message 3", "team 4", "team 5"]


def test_a_merge_shows_the_destination_anew_and_ends_the_source() -> None:
    """To those who come over, first by their joining; who was only in the destination hears nothing of the source's end."""
    log, hub = Log(), Hub(0)
    ana, bob = attached(hub, ANA, ROOM), attached(hub, BOB, OTHER)
    hub.apply([log.member("joined", BOB), log.event("channel", "merged", channel=ROOM), log.member("parted", BOB, OTHER)])
    hub.apply([log.message(), log.message(OTHER)])
    assert queued(ana) == ["member 1", "channel 2", "channel 10", "message 4"]
    assert queued(bob) == ["channel 10", "member 1", "channel 2", "channel 10", "member 3", "message 4"]


def test_teams_and_shares_change_nobodys_channels() -> None:
    """A channel that is archived, shared or given to a team stays with its members, and only what comes into view is shown anew."""
    log, hub = Log(), Hub(0)
    ana, bob = attached(hub, ANA, ROOM), attached(hub, BOB)
    for event in ("archived", "unarchived", "shared", "unshared", "edited"):
        hub.apply([log.event("channel", event, channel=ROOM)])
    assert queued(ana) == ["channel 1", "channel 2", "channel 10", "channel 3", "channel 4", "channel 5"]
    assert queued(bob) == []
