"""What administrators of the server are told of instances of plugins and bridges."""

from __future__ import annotations

from crust.events import objects
from crust.log import Log, NewEvent
from crust.models.database import Database

ADMINISTRATORS = 'SELECT id FROM "user" WHERE is_admin AND suspended_at IS NULL ORDER BY id'


class Instances:
    """See the module."""

    def __init__(self, database: Database, log: Log) -> None:
        self._database, self._log = database, log

    async def tell(self, instance: str, state: str, reason: str | None) -> None:
        """Tell that an instance has another state: an event for each administrator, as no organisation is to know."""
        body = objects.InstanceState(instance=instance, state=state, reason=reason)
        async with self._log.change() as change:
            for row in await self._database.fetch(ADMINISTRATORS):
                change.record(NewEvent(type="plugin", event="state", body=body, recipient=row["id"]))
