"""Every error that a caller may see, HTTP and websocket alike; at the end, what a handler of events raises to say how it failed.

The tree is flat and closed: one class a code, as in the API's conventions. A service raises one of these; the API and the gateway
turn it into `{"error": {...}}` by `as_dict()` and never show any other exception's text.

    CrustError
    ├── BadRequest 400            the request as such cannot be read
    ├── Invalid 422               a named field is wrong or missing
    ├── Unauthenticated 401
    ├── Forbidden 403             one may see it, but not do this
    ├── NotFound 404              it is not there, or one may not see it
    ├── MethodNotAllowed 405
    ├── Conflict 409              a stale version, a name that is taken
    ├── IdempotencyMismatch 409   the key was used for another request
    ├── Gone 410                  archived, or removed since
    ├── TooLarge 413
    ├── RateLimited 429
    ├── Rejected 422              a plugin refused it; the reason is the message
    ├── Unavailable 503           the outcome is unknown or nothing was done; the same key makes a retry safe
    └── Internal 500
"""

from __future__ import annotations

from typing import Any, ClassVar


class CrustError(Exception):
    """The root. `message` is for people, `code` for programs.

    Args:
        message: one sentence that names what was wrong.
        field: the parameter that was wrong.
        retry_after: seconds after which a repeat makes sense.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    meaning: ClassVar[str] = ""  # of the code, for whoever writes a client

    def __init__(self, message: str, *, field: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after = retry_after

    def as_dict(self) -> dict[str, Any]:
        """The inside of `{"error": ...}`."""
        body: dict[str, Any] = {"message": self.message, "code": self.code}
        if self.field is not None:
            body["field"] = self.field
        if self.retry_after is not None:
            body["retry_after"] = round(self.retry_after, 3)
        return body


class BadRequest(CrustError):
    code, status = "bad_request", 400
    meaning = "The request as such cannot be read."


class Invalid(CrustError):
    code, status = "invalid", 422
    meaning = "A parameter, named in `field`, is wrong or missing."


class Unauthenticated(CrustError):
    code, status = "unauthenticated", 401
    meaning = "No session came with it, or one that has ended."


class Forbidden(CrustError):
    code, status = "forbidden", 403
    meaning = "One may see it, but not do this."


class NotFound(CrustError):
    code, status = "not_found", 404
    meaning = "It is not there, or one may not see it."


class MethodNotAllowed(CrustError):
    code, status = "method_not_allowed", 405
    meaning = "The path takes other methods; `Allow` says which."


class Conflict(CrustError):
    code, status = "conflict", 409
    meaning = "It contradicts what there is: a stale `version`, a name that is taken."


class IdempotencyMismatch(CrustError):
    code, status = "idempotency_mismatch", 409
    meaning = "The same idempotency key was used for another request; nothing was stored."


class Gone(CrustError):
    code, status = "gone", 410
    meaning = "It is archived, or was removed since."


class TooLarge(CrustError):
    code, status = "too_large", 413
    meaning = "The body, the file or the text is too long."


class RateLimited(CrustError):
    code, status = "rate_limited", 429
    meaning = "Too many requests; a repeat makes sense after `retry_after` seconds."


class Rejected(CrustError):
    code, status = "rejected", 422
    meaning = "A plugin refused it; the message is its reason."


class Unavailable(CrustError):
    code, status = "unavailable", 503
    meaning = "The outcome is unknown, or nothing was done; a repeat with the same key is safe."


class Internal(CrustError):
    code, status = "internal", 500
    meaning = "An error of the server, which its log has under `request_id`."


ERRORS: tuple[type[CrustError], ...] = (
    BadRequest, Invalid, Unauthenticated, Forbidden, NotFound, MethodNotAllowed, Conflict, IdempotencyMismatch, Gone, TooLarge, RateLimited,
    Rejected, Unavailable, Internal,
)  # fmt: skip
"""The closed list."""
CODES: dict[str, int] = {error.code: error.status for error in ERRORS}
"""Code → HTTP status."""


# ---- what handlers of events say; no caller sees these


class TargetError(Exception):
    """What a handler speaks to does not answer, or not now: the whole lane waits, and this event is tried again first.

    Args:
        reason: one sentence for operators, without secrets.
        retry_after: seconds after which the target wants to be asked again; left out, the schedule says.
    """

    def __init__(self, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class EventRefused(Exception):
    """This event cannot be delivered, now or ever: it is parked at once, and its lane goes on with the next.

    Args:
        reason: one sentence for operators, without secrets.
    """
