"""`/team/…`: groups of people within an organisation."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from crust.api.calls import Context, Page, Registry
from crust.api.fields import AlsoArchived, AtHome, Query, TheTeam, WithinOrganisation
from crust.api.lists import Listed
from crust.api.params import Id
from crust.services.core import Core
from crust.services.keys import request_key
from crust.services.names import NAME_MAX
from crust.services.views import MovedTeam, TeamPage, ViewedTeam


class TeamEdit(Struct, kw_only=True):
    id: Annotated[Id | None, Meta(description="The team to change; left out: make one.")] = None
    name: Annotated[str, Meta(description=f"What it is called, at most {NAME_MAX} characters.")]
    members: Annotated[list[Id], Meta(max_length=1000, description="User ids, all of them; left out: as they are.")] | None = None
    organisation_id: AtHome = None


class TeamId(Struct, kw_only=True):
    id: TheTeam


class TeamSearch(Listed, kw_only=True):
    query: Query = ""
    organisation_id: WithinOrganisation = None
    archived: AlsoArchived = False


class TeamMove(Struct, kw_only=True):
    id: TheTeam
    organisation_id: Annotated[Id, Meta(description="The organisation that it is to belong to.")]


class TeamMerge(Struct, kw_only=True):
    destination: Annotated[Id, Meta(description="The team that stays.")]
    source: Annotated[Id, Meta(description="The team whose members and channels it gets, and that is archived.")]


class TeamCalls:
    """The handlers."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def edit(self, context: Context, params: TeamEdit) -> ViewedTeam:
        """Make a team, or give one another name and other members."""
        if params.id is not None:
            return await self._core.teams.change(context.caller, params.id, params.name, params.members)
        key = request_key(context.caller.scope, context.idempotency_key, "team/edit", params.name, params.members, params.organisation_id)
        return await self._core.teams.create(context.caller, params.name, params.members or [], params.organisation_id, key)

    async def remove(self, context: Context, params: TeamId) -> None:
        """Take a team away; one that has channels of its own is refused."""
        await self._core.teams.remove(context.caller, params.id)

    async def read(self, context: Context, params: TeamId) -> TeamPage:
        """A team with its members, and those of its channels that one sees."""
        return await self._core.teams.read(context.caller, params.id)

    async def search(self, context: Context, params: TeamSearch) -> Page[ViewedTeam]:
        """The teams of one's organisations whose name, or one of its words, begins with `query`."""
        found = await self._core.teams.search(
            context.caller, params.query, organisation_id=params.organisation_id, archived=params.archived, part=params.part,
        )  # fmt: skip
        return Page.of(found, params.limit)

    async def archive(self, context: Context, params: TeamId) -> None:
        """Let a team not be changed any more, nor be given channels; again is no error."""
        await self._core.teams.archive(context.caller, params.id, archived=True)

    async def unarchive(self, context: Context, params: TeamId) -> None:
        """Let a team be changed again; again is no error."""
        await self._core.teams.archive(context.caller, params.id, archived=False)

    async def move(self, context: Context, params: TeamMove) -> MovedTeam:
        """Take a team to another organisation, its channels along; `left` names who is not in that."""
        return await self._core.moving.move_team(context.caller, params.id, params.organisation_id)

    async def merge(self, context: Context, params: TeamMerge) -> ViewedTeam:
        """Let a team have another one's members and channels too; the other is archived."""
        return await self._core.teams.merge(context.caller, params.destination, params.source)


def register(registry: Registry, core: Core) -> None:
    """Add the calls to a registry."""
    calls = TeamCalls(core)
    registry.add("POST", "/team/edit", calls.edit, creates=True)
    registry.add("DELETE", "/team/remove", calls.remove)
    registry.add("GET", "/team/read", calls.read)
    registry.add("GET", "/team/search", calls.search)
    registry.add("POST", "/team/archive", calls.archive)
    registry.add("POST", "/team/unarchive", calls.unarchive)
    registry.add("POST", "/team/move", calls.move)
    registry.add("POST", "/team/merge", calls.merge)
