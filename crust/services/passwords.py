"""Passwords: argon2id (RFC 9106), off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from crust import settings
from crust.errors import Invalid

T = TypeVar("T")

MAX_LENGTH = 1024  # a longer one only costs time to hash


class Passwords:
    """Hashes and checks, two at a time at most: each takes tens of milliseconds and tens of MiB.

    Args:
        settings: cost, and the least length.
    """

    def __init__(self, settings: settings.Passwords) -> None:
        self._settings = settings
        self._hasher = PasswordHasher(settings.time_cost, settings.memory_kib, settings.parallelism)
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="argon2")
        self._nobodys: str | None = None

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def check_rules(self, password: str) -> None:
        """
        Raises:
            Invalid: too short or too long.
        """
        if not self._settings.min_length <= len(password) <= MAX_LENGTH:
            raise Invalid(f"password must have {self._settings.min_length} to {MAX_LENGTH} characters.", field="password")

    async def hash(self, password: str) -> str:
        """The hash to store, with its parameters in it."""
        return await self._run(self._hasher.hash, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether it is right. Takes as long where there is nothing to compare with, so that nobody learns who exists."""
        if stored is None:
            self._nobodys = self._nobodys or await self.hash("nobody's password")
            await self._run(self._verify, self._nobodys, password)
            return False
        return await self._run(self._verify, stored, password)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password[: MAX_LENGTH + 1])
        except (VerificationError, InvalidHashError):
            return False

    def outdated(self, stored: str) -> bool:
        """Whether it was hashed at another cost than today's."""
        return self._hasher.check_needs_rehash(stored)

    async def _run(self, function: Callable[..., T], *values: str) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *values)
