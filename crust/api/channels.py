"""`/channel/…`: sequences of messages with a subject."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from crust.api.calls import Context, Page, Registry
from crust.api.fields import AlsoArchived, AtHome, Query, TheChannel, ThePerson, TheTeam, WithinOrganisation, WithinTeam
from crust.api.lists import Listed
from crust.api.params import Id
from crust.services.core import Core
from crust.services.keys import request_key
from crust.services.names import NAME_MAX
from crust.services.views import ChannelPage, MovedChannel, ViewedChannel, ViewedMember

Type = Literal["public", "private", "direct"]


class ChannelEdit(Struct, kw_only=True):
    id: Annotated[Id | None, Meta(description="The channel to change; left out: make one.")] = None
    name: Annotated[str, Meta(description=f"What it is called, at most {NAME_MAX} characters; a direct one has none, so empty.")]
    topic: Annotated[str, Meta(description="What it is about; may be empty.")]
    type: Annotated[Type | None, Meta(description="Who sees it, when making one; left out: public. It stays as it is.")] = None
    organisation_id: AtHome = None
    team_id: Annotated[Id | None, Meta(description="The team that it belongs to, when making one.")] = None
    members: Annotated[list[Id], Meta(max_length=1000, description="User ids, when making one; a direct one has exactly one.")] | None = (
        None
    )


class ChannelId(Struct, kw_only=True):
    id: TheChannel


class ChannelUser(Struct, kw_only=True):
    id: TheChannel
    user_id: ThePerson


class ChannelTeam(Struct, kw_only=True):
    id: TheChannel
    team_id: TheTeam


class ChannelMove(Struct, kw_only=True):
    id: TheChannel
    team_id: Annotated[Id | None, Meta(description="The team that it is to belong to, alone; required without organisation_id.")] = None
    organisation_id: Annotated[Id | None, Meta(description="The organisation that it is to belong to; required without team_id.")] = None


class ChannelMerge(Struct, kw_only=True):
    destination: Annotated[Id, Meta(description="The channel that stays.")]
    source: Annotated[Id, Meta(description="The channel whose messages and members it gets, and that is archived.")]


class ChannelMute(Struct, kw_only=True):
    id: TheChannel
    muted: Annotated[bool, Meta(description="false: no longer.")] = True


class ChannelSearch(Listed, kw_only=True):
    query: Query = ""
    team_id: WithinTeam = None
    organisation_id: WithinOrganisation = None
    type: Annotated[Type | None, Meta(description="Only those of this type.")] = None
    archived: AlsoArchived = False


class ChannelMembers(Listed, kw_only=True):
    id: TheChannel


class ChannelView(Struct, kw_only=True):
    id: TheChannel
    message_id: Annotated[Id | None, Meta(description="Up to which all is read; left out: everything.")] = None


class ChannelCalls:
    """The handlers."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def edit(self, context: Context, params: ChannelEdit) -> ViewedChannel:
        """Make a channel, or give one another name or topic.

        What changed is told in the channel by a CREATE, RENAME or TOPIC message. Making a direct channel that exists returns it. With `id`,
        all but name and topic may be left out; where it is not what is already, it is refused: other calls change it.
        """
        if params.id is not None:
            return await self._core.channels.change(
                context.caller, params.id, name=params.name, topic=params.topic, type_=params.type,
                organisation_id=params.organisation_id, team_id=params.team_id, members=params.members,
            )  # fmt: skip
        members = params.members or []
        key = request_key(
            context.caller.scope, context.idempotency_key,
            "channel/edit", params.name, params.topic, params.type, params.organisation_id, members,
            *([] if params.team_id is None else [params.team_id]),
        )  # fmt: skip
        return await self._core.channels.create(
            context.caller, name=params.name, topic=params.topic, type_=params.type or "public",
            organisation_id=params.organisation_id, team_id=params.team_id, members=members, key=key,
        )  # fmt: skip

    async def read(self, context: Context, params: ChannelId) -> ChannelPage:
        """A channel with its first 100 members, its pins, and what is unread."""
        return await self._core.channel_page(context.caller, params.id)

    async def search(self, context: Context, params: ChannelSearch) -> Page[ViewedChannel]:
        """The channels that one may see and whose name, or one of its words, begins with `query`."""
        found = await self._core.channels.search(
            context.caller, params.query, organisation_id=params.organisation_id, team_id=params.team_id, type_=params.type,
            archived=params.archived, part=params.part,
        )  # fmt: skip
        return Page.of(found, params.limit)

    async def archive(self, context: Context, params: ChannelId) -> None:
        """Let a channel be read, but not changed any more; again is no error."""
        await self._core.archiving.archive(context.caller, params.id)

    async def unarchive(self, context: Context, params: ChannelId) -> None:
        """Let a channel be changed again; again is no error."""
        await self._core.archiving.unarchive(context.caller, params.id)

    async def remove(self, context: Context, params: ChannelId) -> None:
        """Take a channel away with all that was said in it."""
        await self._core.archiving.remove(context.caller, params.id)

    async def move(self, context: Context, params: ChannelMove) -> MovedChannel:
        """Give a channel to a team, or to another organisation; `left` names the members who are not in that."""
        return await self._core.moving.move(context.caller, params.id, team_id=params.team_id, organisation_id=params.organisation_id)

    async def merge(self, context: Context, params: ChannelMerge) -> ViewedChannel:
        """Let a channel have another one's messages and members; the other's id is from then on read and written as this one's."""
        return await self._core.merging.merge(context.caller, params.destination, params.source)

    async def share(self, context: Context, params: ChannelTeam) -> ViewedChannel:
        """Let a team's channel belong to a further team; again is no error."""
        return await self._core.moving.share(context.caller, params.id, params.team_id)

    async def unshare(self, context: Context, params: ChannelTeam) -> ViewedChannel:
        """Let a channel not belong to a team any more; again is no error. Without a team it is public to the whole organisation."""
        return await self._core.moving.unshare(context.caller, params.id, params.team_id)

    async def mute(self, context: Context, params: ChannelMute) -> None:
        """Say that one does not want to be called by a channel's messages; again is no error."""
        await self._core.marks.mute(context.caller, params.id, muted=params.muted)

    async def join(self, context: Context, params: ChannelId) -> ViewedChannel:
        """Join a public channel; again is no error."""
        return await self._core.channels.join(context.caller, params.id)

    async def part(self, context: Context, params: ChannelId) -> None:
        """Leave a channel; again is no error."""
        await self._core.channels.part(context.caller, params.id)

    async def invite(self, context: Context, params: ChannelUser) -> None:
        """Bring somebody of the organisation into a channel that one is in."""
        await self._core.channels.invite(context.caller, params.id, params.user_id)

    async def kick(self, context: Context, params: ChannelUser) -> None:
        """Remove somebody from a channel."""
        await self._core.channels.kick(context.caller, params.id, params.user_id)

    async def members(self, context: Context, params: ChannelMembers) -> Page[ViewedMember]:
        """Who is in a channel, by user id."""
        found = await self._core.channels.members(context.caller, params.id, params.part)
        return Page.of(found, params.limit)

    async def view(self, context: Context, params: ChannelView) -> None:
        """Say up to where one has read a channel."""
        await self._core.marks.move(context.caller, params.id, params.message_id)


def register(registry: Registry, core: Core) -> None:
    """Add the calls to a registry."""
    calls = ChannelCalls(core)
    registry.add("POST", "/channel/edit", calls.edit, creates=True)
    registry.add("GET", "/channel/read", calls.read)
    registry.add("GET", "/channel/search", calls.search)
    registry.add("POST", "/channel/archive", calls.archive)
    registry.add("POST", "/channel/unarchive", calls.unarchive)
    registry.add("DELETE", "/channel/remove", calls.remove)
    registry.add("POST", "/channel/move", calls.move)
    registry.add("POST", "/channel/merge", calls.merge)
    registry.add("POST", "/channel/share", calls.share)
    registry.add("POST", "/channel/unshare", calls.unshare)
    registry.add("POST", "/channel/mute", calls.mute)
    registry.add("POST", "/channel/join", calls.join)
    registry.add("POST", "/channel/part", calls.part)
    registry.add("POST", "/channel/invite", calls.invite)
    registry.add("POST", "/channel/kick", calls.kick)
    registry.add("GET", "/channel/members", calls.members)
    registry.add("POST", "/channel/view", calls.view)
