"""The websocket protocol, whatever comes: every frame is decided upon, and what is kept of a connection stays within its limits."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from crust.ws.protocol import ID_MAX, VERBS, Closing, Inbound, Refused, Request, error_frame

IN_FLIGHT = 3
FRAME_BYTES = 2048

any_texts = st.text(st.characters(exclude_categories=()), max_size=100)  # halves of surrogate pairs too
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_texts, inner, max_size=4),
    max_leaves=10,
)
FIELDS = ["channel_id", "state", "path", "method", "params", "batch", "session_id", "client_id"]
numbers = st.sampled_from(["1", "2", "3", "4", "\ud800", "\0", "x" * ID_MAX, "x" * (ID_MAX + 1)]) | json_values
built = st.builds(
    lambda number, verb, data: json.dumps({"id": number, "type": verb, "data": data}),
    numbers,
    st.sampled_from([*VERBS, "nonsense"]) | json_values,
    st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=4) | json_values,
)
usual = st.builds(lambda number: json.dumps({"id": number, "type": "ping"}), st.sampled_from("12345"))
pieces = st.lists(st.sampled_from(['"id"', '"type"', '"ping"', '"1"', ":", ",", "{", "}", "[", "]", "1e999", "NaN", '"\\udfff"', "\0"]))
frames = usual | built | any_texts | json_values.map(json.dumps) | pieces.map("".join) | st.binary(max_size=50) | st.just("[" * FRAME_BYTES)


def inbound(*, signed_in: bool = True, patience: int = 1000) -> Inbound:
    return Inbound(frame_bytes=FRAME_BYTES, in_flight=IN_FLIGHT, unusable_frames=patience, signed_in=signed_in)


@given(st.lists(frames, max_size=10), st.booleans())
def test_every_frame_gets_an_answer_and_none_an_exception(received: list[str | bytes], signed_in: bool) -> None:
    """It is a request, an error that can be sent, or the end; binary is always the end."""
    protocol = inbound(signed_in=signed_in)
    for each in received:
        answer = protocol.received(each)
        assert isinstance(answer, Request | Refused | Closing)
        if isinstance(answer, Refused):
            said = json.loads(error_frame(answer.reply_to, answer.error).encode())
            assert said["error"]["message"]
            assert said.get("reply_to") == answer.reply_to
        elif isinstance(answer, Request):
            assert signed_in != (answer.verb == "login")
            assert json.loads(each)["id"] == answer.id
            protocol.answered(answer)
        else:
            assert isinstance(each, bytes) or len(each.encode("utf-8", "surrogatepass")) > FRAME_BYTES
    assert not protocol.pending


@given(st.lists(usual | built | st.integers(0, IN_FLIGHT), max_size=40))
def test_what_is_pending_is_what_is_unanswered_and_never_too_much(steps: list[str | int]) -> None:
    """Frames, and answers to whichever request is under way: its id is nobody else's until then, and free again afterwards."""
    protocol = inbound()
    open_requests: list[Request] = []
    for step in steps:
        if isinstance(step, int):
            if step < len(open_requests):
                protocol.answered(open_requests.pop(step))
        elif isinstance(answer := protocol.received(step), Request):
            assert answer.id not in {each.id for each in open_requests}
            open_requests.append(answer)
        assert protocol.pending == {each.id for each in open_requests}
        assert len(protocol.pending) <= IN_FLIGHT
    for each in open_requests:
        protocol.answered(each)
    for number in "123":
        assert isinstance(protocol.received(json.dumps({"id": number, "type": "ping"})), Request)


@given(st.lists(frames.filter(lambda each: isinstance(each, str)), min_size=5, max_size=30))
def test_patience_ends_after_so_many_in_a_row_and_not_before(received: list[str]) -> None:
    """Five unusable frames close the connection, a usable one begins the count anew."""
    protocol = inbound(patience=5)
    unusable = 0
    for each in received:
        answer = protocol.received(each)
        if isinstance(answer, Request):
            protocol.answered(answer)
            unusable = 0
        elif isinstance(answer, Refused):
            unusable += answer.error.code in ("bad_request", "invalid")
            assert unusable < 5
        else:
            assert unusable == 4 or len(each.encode("utf-8", "surrogatepass")) > FRAME_BYTES
            return
