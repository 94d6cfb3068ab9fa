"""RabbitMQ's management API, as far as `crust broker` needs it."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import aiohttp
from yarl import URL

from crust.settings import Settings

BESIDE = 10_000  # the management API's port above AMQP's, as RabbitMQ has it by default
TIMEOUT_S = 15.0


class ManagementError(Exception):
    """RabbitMQ, or its management API, cannot be used, or refused; the text says why."""


class Management:
    """The API, for the vhost of `broker_url`. Use it as an asynchronous context manager."""

    def __init__(self, settings: Settings) -> None:
        parts = urlsplit(settings.broker_url)
        self.vhost = unquote(parts.path.removeprefix("/")) or "/"
        self.account = unquote(parts.username or "")
        port = (parts.port or (5671 if parts.scheme == "amqps" else 5672)) + BESIDE
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        self.url = settings.broker.management_url or f"{'https' if parts.scheme == 'amqps' else 'http'}://{host}:{port}"
        headers = {"Authorization": aiohttp.encode_basic_auth(self.account, unquote(parts.password or ""), encoding="utf-8")}
        self._session = aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))

    async def __aenter__(self) -> Management:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._session.close()

    async def get(self, *path: str) -> Any:
        """What is there; None if nothing is.

        Raises:
            ManagementError: it cannot be reached, or does not let this account in.
        """
        return await self._call("GET", path, None)

    async def put(self, *path: str, body: Mapping[str, Any]) -> None:
        """Make something as `body` describes it. Raises as `get` does."""
        await self._call("PUT", path, body)

    async def post(self, *path: str, body: Mapping[str, Any]) -> None:
        """Do something. Raises as `get` does."""
        await self._call("POST", path, body)

    async def delete(self, *path: str, if_empty: bool = False) -> None:
        """Remove something; with `if_empty`, a queue in which nothing waits. Raises as `get` does."""
        await self._call("DELETE", path, None, "?if-empty=true" if if_empty else "")

    async def _call(self, method: str, path: tuple[str, ...], body: Mapping[str, Any] | None, query: str = "") -> Any:
        where = "/".join([f"{self.url}/api", *(quote(part, safe="") for part in path)]) + query
        try:
            async with self._session.request(method, URL(where, encoded=True), json=body) as answer:
                if answer.status == 404:
                    return None
                if answer.status >= 400:
                    raise ManagementError(f"{method} {'/'.join(path)}: {answer.status} {(await answer.text())[:300]}")
                return await answer.json(content_type=None) if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise ManagementError(
                f"the management API at {self.url} does not answer as it should ({reason}); is its plugin enabled?"
            ) from None
