"""`/server/…`: the server as a whole, for its administrators."""

from __future__ import annotations

from msgspec import Struct

from crust.api.calls import Context, Page, Registry
from crust.api.fields import Before, Limit
from crust.services.core import Core
from crust.services.views import ViewedAct


class ServerAudit(Struct, kw_only=True):
    before: Before = None
    limit: Limit = 50


class ServerCalls:
    """The handlers."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def audit(self, context: Context, params: ServerAudit) -> Page[ViewedAct]:
        """Who administered the server and its accounts, newest first; for its administrators. `next` is what to pass as `before`."""
        found = await self._core.audit.of_server(context.caller, params.before, params.limit + 1)
        return Page.of(found, params.limit)


def register(registry: Registry, core: Core) -> None:
    """Add the calls to a registry."""
    registry.add("GET", "/server/audit", ServerCalls(core).audit)
