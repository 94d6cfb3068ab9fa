"""Who asks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """A signed-in caller, as its session proves it.

    `session_id` is the session's public id (never the secret); `client_id` the app instance that the session is bound to.
    """

    user_id: int
    username: str
    session_id: int
    client_id: str
    is_admin: bool = False

    @property
    def scope(self) -> str:
        """The scope of this caller's idempotency keys: user and client."""
        return f"user:{self.user_id}:{self.client_id}"
