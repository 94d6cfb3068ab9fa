"""Ids: unsigned 63-bit numbers that sort by time, and the secrets that are no ids at all.

An id is the milliseconds since 2026 shifted by 20 bits, plus a counter. It is made inside the change that writes it and is greater
than every id before, whatever the clock does: the counter simply goes on where the clock steps back or stands still. 43 bits of
milliseconds last until the year 2304.
"""

from __future__ import annotations

import hashlib
import secrets

ID_EPOCH_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
ID_COUNTER_BITS = 20  # a million ids a millisecond before the counter borrows from the next one
MAX_ID = 2**63 - 1


def next_id(last_id: int, now_ms: int) -> int:
    """The id after `last_id` at the time `now_ms`."""
    return max(last_id + 1, (now_ms - ID_EPOCH_MS) << ID_COUNTER_BITS)


def new_secret() -> str:
    """256 random bits, base64url without padding: 43 characters."""
    return secrets.token_urlsafe(32)


def hash_secret(secret: str) -> str:
    """How a secret of full entropy is stored: SHA-256, hex. (Passwords go through argon2 instead.)"""
    return hashlib.sha256(secret.encode()).hexdigest()
