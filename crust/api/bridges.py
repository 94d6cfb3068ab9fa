"""`/bridge/…`: links of channels with rooms elsewhere, and who one is there."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from crust.api.calls import Context, Page, Registry
from crust.api.fields import TheChannel
from crust.api.lists import Listed
from crust.api.params import Id
from crust.services.core import Core
from crust.services.links import FORMAT_MAX, ROOM_MAX, TITLE_MAX, Wish, viewed
from crust.services.views import IdentityCode, ViewedBridge, ViewedLink

TheBridge = Annotated[str, Meta(min_length=1, max_length=64, description="The bridge, by the name of its instance.")]
Crossing = Literal["files", "joins", "topics"]


class BridgeLink(Struct, kw_only=True):
    bridge: TheBridge
    channel_id: TheChannel
    room: Annotated[str, Meta(min_length=1, max_length=ROOM_MAX, description="The room, as its network calls it.")]
    direction: Annotated[Literal["both", "in", "out"], Meta(description="What is carried, as seen from here.")] = "both"
    crosses: Annotated[list[Crossing], Meta(max_length=3, description="What crosses beside messages; left out: all.")] | None = None
    relay_format: Annotated[
        str, Meta(max_length=FORMAT_MAX, description="How people are named in the room; empty: as the bridge does it.")
    ] = ""
    trust: Annotated[Literal["accept", "mark", "refuse"], Meta(description="What becomes of what a sender is not known to have sent.")] = (
        "accept"
    )
    title: Annotated[str, Meta(max_length=TITLE_MAX, description="What people are shown in the place of the room's name.")] = ""


class BridgeUnlink(Struct, kw_only=True):
    id: Annotated[Id, Meta(description="The link.")]


class BridgeSearch(Listed, kw_only=True):
    query: Annotated[str, Meta(max_length=ROOM_MAX, description="What the name of a bridge begins with.")] = ""
    channel_id: Annotated[Id | None, Meta(description="Only links of this channel are listed.")] = None


class BridgeName(Struct, kw_only=True):
    bridge: TheBridge


class BridgeCalls:
    """What the calls do, over the core."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def link(self, context: Context, params: BridgeLink) -> ViewedLink:
        """Link a room elsewhere with a channel; the same again changes what is to be different. A room is linked with one channel only."""
        wish = Wish(
            room=params.room, direction=params.direction, relay_format=params.relay_format, trust=params.trust, title=params.title,
            **({} if params.crosses is None else {"crosses": frozenset(params.crosses)}),
        )  # fmt: skip
        return viewed(await self._core.links.link(context.caller, params.channel_id, params.bridge, wish))

    async def unlink(self, context: Context, params: BridgeUnlink) -> None:
        """End a link: nothing crosses it any more."""
        await self._core.links.unlink(context.caller, params.id)

    async def search(self, context: Context, params: BridgeSearch) -> Page[ViewedBridge]:
        """The bridges at work in one's organisations, with those of their links that one may end."""
        found = await self._core.links.search(context.caller, params.query, params.channel_id, params.part)
        return Page.of(found, params.limit)

    async def code(self, context: Context, params: BridgeName) -> IdentityCode:
        """A code to say to a bridge's bot on its network, once: who says it there speaks here as the caller from then on."""
        return await self._core.ghosts.code(context.caller, self._core.links.known(params.bridge).name)

    async def forget(self, context: Context, params: BridgeName) -> None:
        """Let nobody on a bridge's network speak as the caller any more; again is no error."""
        await self._core.ghosts.forget(context.caller.user_id, self._core.links.known(params.bridge).name)


def register(registry: Registry, core: Core) -> None:
    """Add the calls to a registry."""
    calls = BridgeCalls(core)
    registry.add("POST", "/bridge/link", calls.link)
    registry.add("POST", "/bridge/unlink", calls.unlink)
    registry.add("DELETE", "/bridge/unlink", calls.unlink)
    registry.add("GET", "/bridge/search", calls.search)
    registry.add("POST", "/bridge/code", calls.code)
    registry.add("DELETE", "/bridge/identity", calls.forget)
