"""The websocket protocol without sockets: frames in, decisions out.

Everything here is plain data and plain functions, so that it is tested by itself; `crust.ws.connection` does the waiting and sending.
Frames, verbs and close codes are those of the protocol's description in the README.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Annotated, Any, Literal, TypeGuard

import msgspec
from msgspec import Meta, Raw, Struct

from crust import strict_json
from crust.errors import BadRequest, CrustError, Invalid, RateLimited, Unauthenticated
from crust.events.event import Event
from crust.strict_json import BAD_TEXT, WHY_BAD, BadJson
from crust.ws.frame import Frame

ID_MAX = 64
OK = b'{"success":{"message":"OK"}}'  # the envelope of what has nothing to give
Id = Annotated[int, Meta(ge=1, le=2**63 - 1)]


class Close(IntEnum):
    """Why a connection is closed; 4000–4999 are an application's own (RFC 6455 7.4.2)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    TOO_BIG = 1009
    INTERNAL = 1011
    PROTOCOL = 4000
    SESSION_ENDED = 4001
    FORBIDDEN = 4003
    SLOW = 4008
    SILENT = 4009
    TOO_MANY = 4010
    RATE = 4029


# ---- what a client may ask


class Login(Struct, forbid_unknown_fields=False):
    session_id: Annotated[str, Meta(description="The Session ID, or an API token.")]
    client_id: Annotated[str | None, Meta(description="The Client ID that the session belongs to.")] = None


class Typing(Struct):
    channel_id: Annotated[Id, Meta(description="The channel.")]
    state: Annotated[Literal["start", "stop"], Meta(description="Whether one types, or has stopped.")]


class Call(Struct):
    method: Annotated[Literal["GET", "POST", "PUT", "DELETE"], Meta(description="The call's method.")]
    path: Annotated[str, Meta(description="The call's path, such as `/channel/read`.")]
    params: Annotated[dict[str, Any], Meta(description="The call's parameters.")] = {}


class Options(Struct):
    batch: Annotated[bool, Meta(description="Whether frames may come joined.")] = False


class Nothing(Struct):
    pass


class Numbered(Struct):
    """A frame of which only the id is looked at."""

    id: str


class Fields(dict[str, Any]):
    """The data of a verb that an API call checks."""


VERBS: dict[str, type[Struct] | type[Fields]] = {
    "login": Login,
    "join": Fields,
    "part": Fields,
    "message": Fields,
    "typing": Typing,
    "presence": Fields,
    "call": Call,
    "read": Fields,
    "options": Options,
    "ping": Nothing,
    "quit": Nothing,
}


@dataclass(frozen=True, slots=True)
class Request:
    """A frame that can be acted upon. `data` is a struct of this module, or `Fields`."""

    id: str
    verb: str
    data: Any


@dataclass(frozen=True, slots=True)
class Refused:
    """A frame that gets an error at once; `reply_to` is None where it had no usable id."""

    reply_to: str | None
    error: CrustError


@dataclass(frozen=True, slots=True)
class Closing:
    """The connection ends."""

    code: Close
    reason: str


@dataclass(slots=True)
class Inbound:
    """One connection's inbound half: what each frame means, and when there were too many bad ones.

    Args:
        frame_bytes: the longest frame, in bytes of UTF-8.
        in_flight: the most requests at a time.
        unusable_frames: that many in a row end the connection.
    """

    frame_bytes: int
    in_flight: int
    unusable_frames: int
    signed_in: bool = False
    pending: set[str] = field(default_factory=set)
    unusable: int = 0

    def received(self, frame: str | bytes) -> Request | Refused | Closing:
        """What to do about a frame."""
        if isinstance(frame, bytes):
            return Closing(Close.PROTOCOL, "binary frames are not understood")
        if len(frame) > self.frame_bytes or len(frame.encode("utf-8", "surrogatepass")) > self.frame_bytes:
            return Closing(Close.TOO_BIG, f"a frame has at most {self.frame_bytes} bytes")
        answer = self._parsed(frame)
        if isinstance(answer, Request):
            self.unusable = 0
            self.pending.add(answer.id)
            return answer
        if isinstance(answer.error, BadRequest | Invalid | Unauthenticated):
            self.unusable += 1
            if self.unusable >= self.unusable_frames:
                return Closing(Close.PROTOCOL, f"{self.unusable} unusable frames in a row")
        return answer

    def answered(self, request: Request) -> None:
        """A request has had its reply."""
        self.pending.discard(request.id)

    def _parsed(self, frame: str) -> Request | Refused:
        try:
            value = strict_json.read(frame)
        except BadJson as error:
            number = self._usable(frame) if error.key not in (None, "id") else None
            return Refused(number, BadRequest(f"A frame must be a JSON object: {error}.", field=error.key))
        if not isinstance(value, dict):
            return Refused(None, BadRequest("A frame must be a JSON object."))
        number = value.get("id")
        if not is_id(number):
            return Refused(None, BadRequest(f"A frame needs an id: text of 1 to {ID_MAX} characters.", field="id"))
        if number in self.pending:
            return Refused(None, BadRequest("This id is in use by a request that is not answered yet."))
        try:
            return self._request(number, value.get("type"), value.get("data", {}))
        except CrustError as error:
            return Refused(number, error)

    def _usable(self, frame: str) -> str | None:
        """The id of a frame in which another key comes twice, if an error can be sent under it."""
        try:
            number = msgspec.json.decode(frame, type=Numbered).id
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return None
        return number if is_id(number) and number not in self.pending else None

    def _request(self, number: str, verb: object, data: object) -> Request:
        if not isinstance(verb, str) or verb not in VERBS:
            raise BadRequest(f"type must be one of {', '.join(VERBS)}.", field="type")
        if not isinstance(data, dict):
            raise BadRequest("data must be an object.", field="data")
        if self.signed_in == (verb == "login"):
            raise BadRequest("This connection is signed in already.") if self.signed_in else Unauthenticated("Sign in first, with login.")
        if len(self.pending) >= self.in_flight:
            raise RateLimited(f"At most {self.in_flight} requests may be unanswered at a time.", retry_after=1)
        return Request(number, verb, checked(verb, data))


def is_id(value: object) -> TypeGuard[str]:
    """Whether it can be a frame's id, and be said back."""
    return isinstance(value, str) and 1 <= len(value) <= ID_MAX and not BAD_TEXT.search(value)


def checked(verb: str, data: dict[str, Any]) -> Any:
    """The data of a verb as its type.

    Raises:
        Invalid: a field is wrong or missing; it is named.
    """
    kind = VERBS[verb]
    if not issubclass(kind, Struct):
        return Fields(data)
    for name in kind.__struct_fields__:
        if isinstance(data.get(name), str) and BAD_TEXT.search(data[name]):
            raise Invalid(f"{verb}: {name} {WHY_BAD}.", field=name)
    try:
        return msgspec.convert(data, kind, strict=False)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).replace("`", "").partition(" - at $.")
        name = path or reason.rpartition("field ")[2]
        raise Invalid(f"{verb}: {reason}" + (f" (at {path})." if path else "."), field=name) from None
    except RecursionError:
        raise Invalid(f"{verb}: the data is nested too deeply.", field="data") from None


# ---- what a server says


def encoded(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def control_frame(type_: str, data: Any) -> Frame:
    """A frame without a position."""
    return Frame(encoded({"type": type_, "data": data}))


def event_frame(event: Event) -> Frame:
    """An event as every receiver gets it; made once."""
    channel = f'"{event.channel}"' if event.channel else "null"
    head = f'{{"type":"{event.type}","event":"{event.event.upper()}","position":{event.position},"channel_id":{channel}'
    return Frame(f'{head},"data":{bytes(event.body).decode()}}}')


def channel_frame(snapshot: Raw) -> str:
    """A channel as it comes into view, for one viewer."""
    return f'{{"type":"channel","data":{bytes(snapshot).decode()}}}'


def reply_frame(reply_to: str, envelope: bytes | Raw) -> str:
    """A reply with the members of an API envelope, `{"response": …}` or `{"success": …}`."""
    return f'{{"reply_to":{encoded(reply_to)},{bytes(envelope).decode()[1:]}'


def error_frame(reply_to: str | None, error: CrustError) -> str:
    """An error as a reply, or by itself where there is nothing to reply to."""
    body = {"error": error.as_dict()}
    return encoded(body if reply_to is None else {"reply_to": reply_to, **body})


def resume_place(text: str | None) -> tuple[str, int] | None:
    """Epoch and position of `?resume=<epoch>.<position>`; None where there is none, or it is malformed."""
    epoch, dot, position = (text or "").rpartition(".")
    if not dot or not epoch or not position.isascii() or not position.isdigit() or len(position) > 18:
        return None
    return epoch, int(position)
