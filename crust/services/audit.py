"""The record of administrative acts, as it is read. It is written by `crust.log.change`."""

from __future__ import annotations

import msgspec

from crust.clock import rfc3339
from crust.models.database import Database, Row
from crust.services import names
from crust.services.actor import Actor
from crust.services.members import Members
from crust.services.paging import Part
from crust.services.rights import may_administer, may_in_organisation
from crust.services.views import ViewedAct

ON_ACCOUNTS = "act LIKE 'user %'"  # each of them once without an organisation, and once for each that it concerns
ACTS = "SELECT id, user_id, username, client_id, address, act, organisation_id, object, details, at FROM audit WHERE"


class Audit:
    """See the module. Everything is given newest first."""

    def __init__(self, database: Database, members: Members) -> None:
        self._database, self._members = database, members

    async def of_organisation(self, actor: Actor, organisation_id: int, part: Part) -> list[ViewedAct]:
        """What was done in an organisation, for its owners and admins.

        Raises:
            NotFound, Forbidden: as in `rights.may_in_organisation`.
        """
        may_in_organisation("audit", await self._members.membership(actor.user_id, organisation_id))
        sql = f"{ACTS} organisation_id = $1 AND {part.cut('id', 2, newest_first=True)}"
        return list(map(viewed, await self._database.fetch(sql, organisation_id, *part.values)))

    async def of_server(self, actor: Actor, part: Part) -> list[ViewedAct]:
        """What was done to the server and to accounts, for the server's administrators.

        Raises:
            Forbidden: the caller is none.
        """
        may_administer(is_admin=actor.is_admin)
        sql = f"{ACTS} organisation_id = 0 AND {part.cut('id', 1, newest_first=True)}"
        return list(map(viewed, await self._database.fetch(sql, *part.values)))

    async def all(self, *, username: str | None, since: int, limit: int) -> list[ViewedAct]:
        """Everything, each act once, for operators. `since`: in milliseconds since 1970; `username`: only theirs."""
        once = f"NOT (organisation_id <> 0 AND {ON_ACCOUNTS})"
        sql = f"{ACTS} {once} AND at >= $1 AND ($2 = '' OR lower(username) = $2) ORDER BY id DESC LIMIT $3"
        wanted = "" if username is None else names.fold(username)
        return list(map(viewed, await self._database.fetch(sql, since, wanted, limit)))


def viewed(row: Row) -> ViewedAct:
    return ViewedAct(
        id=str(row["id"]), user_id=str(row["user_id"]) if row["user_id"] else None, username=row["username"], client_id=row["client_id"],
        address=row["address"], act=row["act"], organisation_id=str(row["organisation_id"]) if row["organisation_id"] else None,
        object=str(row["object"]) if row["object"] else None, details=msgspec.json.decode(row["details"]), at=rfc3339(row["at"]),
    )  # fmt: skip
