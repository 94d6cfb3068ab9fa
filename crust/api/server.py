"""`/server/…`: the server as a whole, for its administrators."""

from __future__ import annotations

from crust.api.calls import Context, Page, Registry
from crust.api.lists import Listed
from crust.services.core import Core
from crust.services.views import ViewedAct


class ServerCalls:
    """The handlers."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def audit(self, context: Context, params: Listed) -> Page[ViewedAct]:
        """Who administered the server and its accounts, newest first; for its administrators."""
        found = await self._core.audit.of_server(context.caller, params.part)
        return Page.of(found, params.limit)


def register(registry: Registry, core: Core) -> None:
    """Add the calls to a registry."""
    registry.add("GET", "/server/audit", ServerCalls(core).audit)
