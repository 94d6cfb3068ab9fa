"""Tortoise's asyncpg client with one cure: a transaction that cannot begin gives its connection back to the pool.

(As shipped, each failure to begin, say while PostgreSQL restarts, would take one connection out of the pool for good.) The module's name
must contain "asyncpg": the migration executor picks its schema editor by that.
"""

from __future__ import annotations

from typing import Any

from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import TransactionalDBClient, TransactionContext, TransactionContextPooled
from tortoise.connection import get_connections


class PooledContext(TransactionContextPooled):
    """Opens a transaction, and holds nothing when it cannot."""

    async def __aenter__(self) -> TransactionalDBClient:
        await self.ensure_connection()
        pool = self.client._parent._pool
        self.client._connection = await pool.acquire()
        try:
            await self.client.begin()
        except BaseException:
            await pool.release(self.client._connection)
            raise
        self.token = get_connections().set(self.connection_name, self.client)
        return self.client


class PooledClient(AsyncpgDBClient):
    """A pool of connections."""

    def _in_transaction(self) -> TransactionContext:
        return PooledContext(TransactionWrapper(self), self._pool_init_lock)


client_class: type[Any] = PooledClient
