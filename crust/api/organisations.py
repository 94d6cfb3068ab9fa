"""`/organisation/…`: top-level groups of people, teams and channels."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from crust.api.calls import Context, Page, Registry
from crust.api.fields import AlsoArchived, Invited, Query, TheOrganisation, ThePerson
from crust.api.lists import Listed
from crust.api.params import Id
from crust.errors import Invalid
from crust.services.core import Core
from crust.services.keys import request_key
from crust.services.names import NAME_MAX
from crust.services.views import MadeInvitation, ViewedAct, ViewedInvitation, ViewedMember, ViewedOrganisation

Role = Literal["owner", "admin", "member", "guest"]


class OrganisationEdit(Struct, kw_only=True):
    id: Annotated[Id | None, Meta(description="The organisation to rename; left out: make one.")] = None
    name: Annotated[str, Meta(description=f"What it is called, at most {NAME_MAX} characters.")]


class OrganisationId(Struct, kw_only=True):
    id: TheOrganisation


class OrganisationSearch(Listed, kw_only=True):
    query: Query = ""
    everywhere: Annotated[bool, Meta(description="Also those that one is not in; for the server's administrators.")] = False
    archived: AlsoArchived = False


class OrganisationInvite(Struct, kw_only=True):
    id: TheOrganisation
    user_id: Annotated[Id | None, Meta(description="Who; or their address; or neither, for a link that whoever has it comes in by.")] = None
    email: Annotated[str, Meta(max_length=254, description="Somebody's address, instead of user_id.")] | None = None
    role: Annotated[Role, Meta(description="The role that whoever comes in has.")] = "member"
    uses: Annotated[int, Meta(ge=1, le=1000, description="How many may come in by a link; by one for an address, one.")] = 1


class OrganisationPart(Listed, kw_only=True):
    id: TheOrganisation


class InvitationId(Struct, kw_only=True):
    id: Annotated[Id, Meta(description="The invitation's.")]


class InvitationAccept(Struct, kw_only=True):
    invitation: Invited


class OrganisationRole(Struct, kw_only=True):
    id: TheOrganisation
    user_id: ThePerson
    role: Annotated[Role, Meta(description="The role that they are to have.")]


class OrganisationUser(Struct, kw_only=True):
    id: TheOrganisation
    user_id: ThePerson


class OrganisationCalls:
    """The handlers."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def edit(self, context: Context, params: OrganisationEdit) -> ViewedOrganisation:
        """Make an organisation, which one then owns, or rename one."""
        if params.id is not None:
            return await self._core.organisations.rename(context.caller, params.id, params.name)
        key = request_key(context.caller.scope, context.idempotency_key, "organisation/edit", params.name)
        return await self._core.organisations.create(context.caller, params.name, key)

    async def remove(self, context: Context, params: OrganisationId) -> None:
        """Take an organisation away with all that is in it."""
        await self._core.organisations.remove(context.caller, params.id)

    async def read(self, context: Context, params: OrganisationId) -> ViewedOrganisation:
        """An organisation that one is in."""
        return await self._core.organisations.read(context.caller, params.id)

    async def search(self, context: Context, params: OrganisationSearch) -> Page[ViewedOrganisation]:
        """The organisations that one is in and whose name, or one of its words, begins with `query`."""
        found = await self._core.organisations.search(
            context.caller, params.query, archived=params.archived, part=params.part, everywhere=params.everywhere
        )
        return Page.of(found, params.limit)

    async def archive(self, context: Context, params: OrganisationId) -> None:
        """Let nothing in an organisation be changed any more; it can still be read. Again is no error."""
        await self._core.organisations.archive(context.caller, params.id, archived=True)

    async def unarchive(self, context: Context, params: OrganisationId) -> None:
        """Let an organisation be changed again; again is no error."""
        await self._core.organisations.archive(context.caller, params.id, archived=False)

    async def members(self, context: Context, params: OrganisationPart) -> Page[ViewedMember]:
        """Who is in an organisation, by user id."""
        found = await self._core.organisations.members(context.caller, params.id, params.part)
        return Page.of(found, params.limit)

    async def invite(self, context: Context, params: OrganisationInvite) -> MadeInvitation | None:
        """Bring somebody whom one knows from another organisation into this one; who is in it stays as they are.

        For any other address, and for nobody in particular, a link is made, which is what to send them: who opens it comes in, with a new
        account or their own. With Idempotency-Key a repeat gives the same invitation, with `duplicate` and another link: the one before is
        over.
        """
        if params.user_id is not None and params.email is not None:
            raise Invalid("Only one of user_id and email is taken.", field="user_id")
        who = {"user_id": params.user_id, "email": params.email}
        key = request_key(context.caller.scope, context.idempotency_key, "organisation/invite", params.id, who, params.role, params.uses)
        if (again := await self._core.invitations.again(context.caller, params.id, params.role, key)) is not None:
            return again.invitation
        known = None if params.email is None else await self._core.organisations.known(context.caller, user_id=None, email=params.email)
        if params.user_id is None and known is None:
            return await self._core.invitations.make(
                context.caller, params.id, role=params.role, email=params.email, uses=params.uses, key=key
            )
        await self._core.organisations.invite(
            context.caller, params.id, user_id=params.user_id, email=params.email, role=params.role, key=key
        )
        return None

    async def invitations(self, context: Context, params: OrganisationPart) -> Page[ViewedInvitation]:
        """An organisation's links that still hold, without their secrets."""
        found = await self._core.invitations.all(context.caller, params.id, params.part)
        return Page.of(found, params.limit)

    async def revoke(self, context: Context, params: InvitationId) -> None:
        """Take a link back."""
        await self._core.invitations.revoke(context.caller, params.id)

    async def accept(self, context: Context, params: InvitationAccept) -> ViewedOrganisation:
        """Come into an organisation by a link; gives the organisation."""
        organisation_id = await self._core.invitations.accept(context.caller, params.invitation)
        return await self._core.organisations.read(context.caller, organisation_id)

    async def audit(self, context: Context, params: OrganisationPart) -> Page[ViewedAct]:
        """Who administered an organisation, newest first; for its owners and admins."""
        found = await self._core.audit.of_organisation(context.caller, params.id, params.part)
        return Page.of(found, params.limit)

    async def role(self, context: Context, params: OrganisationRole) -> None:
        """Give somebody in an organisation another role; again is no error."""
        await self._core.organisations.give_role(context.caller, params.id, params.user_id, params.role)

    async def expel(self, context: Context, params: OrganisationUser) -> None:
        """Remove somebody from an organisation, its teams and all its channels; with one's own user_id, leave it."""
        await self._core.organisations.expel(context.caller, params.id, params.user_id)


def register(registry: Registry, core: Core) -> None:
    """Add the calls to a registry."""
    calls = OrganisationCalls(core)
    registry.add("POST", "/organisation/edit", calls.edit, creates=True)
    registry.add("DELETE", "/organisation/remove", calls.remove)
    registry.add("GET", "/organisation/read", calls.read)
    registry.add("GET", "/organisation/search", calls.search)
    registry.add("POST", "/organisation/archive", calls.archive)
    registry.add("POST", "/organisation/unarchive", calls.unarchive)
    registry.add("GET", "/organisation/members", calls.members)
    registry.add("POST", "/organisation/invite", calls.invite, creates=True)
    registry.add("GET", "/organisation/invitations", calls.invitations)
    registry.add("DELETE", "/organisation/invitation", calls.revoke)
    registry.add("POST", "/organisation/accept", calls.accept)
    registry.add("GET", "/organisation/audit", calls.audit)
    registry.add("POST", "/organisation/role", calls.role)
    registry.add("DELETE", "/organisation/expel", calls.expel)
