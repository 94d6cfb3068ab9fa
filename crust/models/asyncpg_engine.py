"""Tortoise's asyncpg client with two cures for connections that fail, and one for those that are well.

- A transaction that cannot begin gives its connection back to the pool. (As shipped, each failure to begin, say while PostgreSQL restarts,
  would take one connection out of the pool for good.)
- Whatever a connection is waited for ends in time; one that did not answer is dropped, not used again. What fails then takes no
  other error's place, and least of all that of a cancellation, which would then be lost.
- A connection goes back to the pool as it is. Nobody here changes a session, so there is nothing to reset, which would be a second way to
  the server and back after every statement.

The module's name must contain "asyncpg": the migration executor picks its schema editor by that.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Any, cast

import asyncpg
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import PoolConnectionWrapper, TransactionalDBClient, TransactionContext, TransactionContextPooled
from tortoise.connection import get_connections

ACQUIRE_S = 10.0  # for a connection of the pool, a new one if need be
END_S = 5.0  # for a commit or rollback, and for the connection to be fit for the next


class Unchanged(asyncpg.Connection):
    """A connection whose session nobody changes. (A transaction that was left open is rolled back all the same.)"""

    def get_reset_query(self) -> str:
        return ""


class PooledContext(TransactionContextPooled):
    """Opens a transaction, and holds nothing when it cannot."""

    async def __aenter__(self) -> TransactionalDBClient:
        await self.ensure_connection()
        self.client._connection = await self.client._parent._pool.acquire(timeout=ACQUIRE_S)
        try:
            await self.client.begin()
        except BaseException:
            await self._give_back()
            raise
        self.token = get_connections().set(self.connection_name, self.client)
        return self.client

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            async with asyncio.timeout(END_S if kind is not None else cast("PooledClient", self.client._parent).commit_s):
                if kind is None:
                    await self.client.commit()
                else:
                    await self.client.rollback()
        except Exception as failed:
            if isinstance(failed, TimeoutError) or kind is not None:
                self.client._connection.terminate()
            if kind is None:
                raise
        finally:
            get_connections().reset(self.token)
            await self._give_back()

    async def _give_back(self) -> None:
        await given_back(self.client._parent._pool, self.client._connection)


class PooledConnection(PoolConnectionWrapper[Any]):
    """A connection for one statement."""

    async def __aenter__(self) -> Any:
        await self.ensure_connection()
        self.connection = await self.client._pool.acquire(timeout=ACQUIRE_S)
        return self.connection

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await given_back(self.client._pool, self.connection)


async def given_back(pool: Any, connection: Any) -> None:
    """The pool itself drops a connection that cannot be made fit again; that it could not be is nobody's failure."""
    try:
        await pool.release(connection, timeout=END_S)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        with suppress(asyncpg.InterfaceError):  # the pool has
            connection.terminate()


class PooledClient(AsyncpgDBClient):
    """A pool of connections."""

    connection_class = Unchanged  # type: ignore[assignment]  # the same, of rows of any class

    @property
    def commit_s(self) -> float | None:
        """Within which a commit has to be done; None where statements have no limit either."""
        return END_S if "command_timeout" in self.extra else None

    def acquire_connection(self) -> PooledConnection:
        return PooledConnection(self, self._pool_init_lock)

    def _in_transaction(self) -> TransactionContext:
        return PooledContext(TransactionWrapper(self), self._pool_init_lock)


client_class: type[Any] = PooledClient
