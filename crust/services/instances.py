"""What administrators of the server are told of instances of plugins and bridges."""

from __future__ import annotations

from crust.events import objects
from crust.log import Log, NewEvent
from crust.models.database import Database

WHO = 'SELECT id FROM "user" WHERE (is_admin OR id = $1) AND suspended_at IS NULL ORDER BY id'


class Instances:
    """See the module."""

    def __init__(self, database: Database, log: Log) -> None:
        self._database, self._log = database, log

    async def tell(self, instance: str, state: str, reason: str | None) -> None:
        """Tell that an instance has another state."""
        await self._tell("plugin", objects.InstanceState(instance=instance, state=state, reason=reason))

    async def tell_of_bridge(self, instance: str, state: str, reason: str | None, link_id: int | None, maker: int = 0) -> None:
        """Tell what a bridge says of itself, or of one of its links; of that `maker`, who has made it, may be told, too."""
        link = None if link_id is None else str(link_id)
        body = objects.BridgeState(instance=instance, state=state, reason=reason, link_id=link)
        await self._tell("bridge", body, link_id or 0, maker)

    async def _tell(self, type_: str, body: objects.InstanceState | objects.BridgeState, object_: int = 0, maker: int = 0) -> None:
        """An event for each of them, as no organisation is to know."""
        async with self._log.change() as change:
            for row in await self._database.fetch(WHO, maker):
                change.record(NewEvent(type=type_, event="state", body=body, recipient=row["id"], object=object_))
