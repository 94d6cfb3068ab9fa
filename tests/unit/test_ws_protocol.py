"""The websocket protocol without sockets."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from crust.errors import NotFound
from crust.events.event import Event
from crust.ws.frame import joined
from crust.ws.protocol import (
    VERBS,
    Close,
    Closing,
    Inbound,
    Refused,
    Request,
    error_frame,
    event_frame,
    reply_frame,
    resume_place,
)


def inbound(*, signed_in: bool = True) -> Inbound:
    return Inbound(frame_bytes=262_144, in_flight=3, unusable_frames=5, signed_in=signed_in)


@pytest.mark.parametrize(
    "text",
    [
        '{"id":"1","id":"2","type":"ping"}',
        '{"id":"1","type":"ping","data":{"a":"\\ud800"}}',
        "[" * 10_000,
        '{"a":' * 10_000,
        "\0",
        "",
        "nan",
    ],
)
def test_hostile_json_is_answered(text: str) -> None:
    """Duplicate keys, half characters, depth, NULs: never an exception."""
    assert isinstance(inbound().received(text), Refused | Request)


@pytest.mark.parametrize(
    ("text", "reply_to"),
    [
        ("not json", None),
        ("[]", None),
        ('{"id": 7, "type": "ping"}', None),
        ('{"id": "", "type": "ping"}', None),
        (json.dumps({"id": "x" * 65, "type": "ping"}), None),
        ('{"id": "a"}', "a"),
        ('{"id": "a", "type": "nonsense"}', "a"),
        ('{"id": "a", "type": "ping", "data": []}', "a"),
        ('{"id": "a", "type": "typing", "data": {"channel_id": "1", "state": "maybe"}}', "a"),
        ('{"id": "a", "type": "typing", "data": {"state": "start"}}', "a"),
    ],
)
def test_a_bad_frame_is_answered_under_its_id_if_that_is_usable(text: str, reply_to: str | None) -> None:
    """`reply_to` is there exactly when the client can recognise it."""
    answer = inbound().received(text)
    assert isinstance(answer, Refused)
    assert answer.reply_to == reply_to
    assert answer.error.code in ("bad_request", "invalid")


def test_an_id_is_not_used_twice_at_a_time_and_requests_are_limited() -> None:
    """Unanswered requests hold their ids and their places; an answer frees both."""
    protocol = inbound()
    first = protocol.received('{"id": "1", "type": "ping"}')
    assert isinstance(first, Request)
    again = protocol.received('{"id": "1", "type": "ping"}')
    assert isinstance(again, Refused)
    assert again.reply_to is None, "the id is the other request's"
    for number in (2, 3):
        assert isinstance(protocol.received(json.dumps({"id": str(number), "type": "ping"})), Request)
    full = protocol.received('{"id": "4", "type": "ping"}')
    assert isinstance(full, Refused)
    assert full.error.code == "rate_limited"
    protocol.answered(first)
    assert isinstance(protocol.received('{"id": "1", "type": "ping"}'), Request)


def test_nothing_but_login_before_the_login() -> None:
    """Every other verb is unauthenticated; afterwards login is an error of its own."""
    for verb in VERBS:
        protocol = inbound(signed_in=False)
        answer = protocol.received(json.dumps({"id": "1", "type": verb, "data": {"session_id": "x"}}))
        if verb == "login":
            assert isinstance(answer, Request)
            protocol.answered(answer)
        else:
            assert isinstance(answer, Refused)
            assert answer.error.code == "unauthenticated"
    protocol = inbound(signed_in=True)
    again = protocol.received('{"id": "1", "type": "login", "data": {"session_id": "x"}}')
    assert isinstance(again, Refused)
    assert again.error.code == "bad_request"


def test_patience_ends_before_the_login_too() -> None:
    """Who goes on asking without signing in is no better than who sends junk."""
    protocol = inbound(signed_in=False)
    answers = [protocol.received(json.dumps({"id": "1", "type": "ping"})) for _ in range(5)]
    assert [type(answer) for answer in answers] == [Refused] * 4 + [Closing]


def test_the_end_of_patience() -> None:
    """Binary frames at once, unusable frames in a row; a good one in between forgives; size counts in bytes."""
    assert inbound().received(b"x") == Closing(Close.PROTOCOL, "binary frames are not understood")
    protocol = inbound()
    for _ in range(3):
        answers = [protocol.received("no json") for _ in range(4)]
        assert all(isinstance(answer, Refused) for answer in answers)
        good = protocol.received('{"id": "1", "type": "ping"}')
        assert isinstance(good, Request)
        protocol.answered(good)
    ends = [protocol.received("no json") for _ in range(5)][-1]
    assert isinstance(ends, Closing)
    assert ends.code == Close.PROTOCOL
    for frame in ("x" * 262_145, "ж" * 131_073):
        too_big = inbound().received(frame)
        assert isinstance(too_big, Closing)
        assert too_big.code == Close.TOO_BIG


def test_frames_are_joined_from_their_encoded_texts() -> None:
    """A reply bears the envelope's own members, an event its upper-case name; joined frames are the same frames in order."""
    reply = reply_frame('a"b', b'{"response":{"id":"1"},"next":null}')
    assert json.loads(reply) == {"reply_to": 'a"b', "response": {"id": "1"}, "next": None}
    body = Raw(msgspec.json.encode({"contents": "“quoted”\n"}))
    event = Event(
        position=7, id=1, organisation=1, channel=2**62, recipient=0, object=1, visibility="public", type="message", event="created",
        body=body, origin=None, via=(), at=0,
    )  # fmt: skip
    frame = event_frame(event)
    assert json.loads(frame) == {
        "type": "message",
        "event": "CREATED",
        "position": 7,
        "channel_id": str(2**62),
        "data": {"contents": "“quoted”\n"},
    }
    assert json.loads(event_frame(msgspec.structs.replace(event, channel=0)))["channel_id"] is None
    assert json.loads(joined((reply, frame))) == [json.loads(reply), json.loads(frame)]
    assert joined((reply,)) == reply
    assert json.loads(error_frame(None, NotFound("no", field="x"))) == {"error": {"message": "no", "code": "not_found", "field": "x"}}


@given(st.text(max_size=40) | st.none())
def test_a_malformed_place_is_no_place(text: str | None) -> None:
    """Whatever stands in the address, it is an epoch and a position, or a fresh start."""
    place = resume_place(text)
    assert place is None or (place[0] != "" and 0 <= place[1] < 10**18)


def test_a_place_is_epoch_and_position() -> None:
    """As `hello` and the events give them."""
    assert resume_place("abc.4711") == ("abc", 4711)
    for text in ("abc", ".1", "abc.", "abc.-1", "abc.1e3", "abc.١", f"abc.{10**19}"):
        assert resume_place(text) is None
