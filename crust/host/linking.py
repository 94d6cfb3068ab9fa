"""How links are made with a bridge: what it is to the services, what the settings wish, and `/bridge`, by which people make them."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Annotated, Any, Literal

from crust.errors import Conflict, CrustError, Invalid, NotFound
from crust.host.commands import Command, NewCommands
from crust.host.instance import visibilities
from crust.host.registration import Wanted
from crust.plugin import Bridge, Invocation
from crust.services import links
from crust.services.actor import Actor
from crust.services.core import Core
from crust.services.links import RoomLink, Wish
from crust.services.paging import Part
from crust.services.remotes import network_name
from crust.telemetry import get_logger

log = get_logger(__name__)

Direction = Literal["both", "in", "out"]
WAYS = {"both": "both ways", "in": "what is said there comes here", "out": "what is said here goes there"}
MOST = 100  # bridges that are listed


def bridge_of(wanted: Wanted, plugin: Bridge[Any], user_id: int, organisations: AbstractSet[int]) -> links.Bridge:
    """An instance as links can be made with it.

    Raises:
        Conflict: its network's name can be none, or its plugin fails on it.
    """
    try:
        network, crossings = network_name(str(plugin.network)), plugin.crossings.as_dict()
    except CrustError:
        raise
    except Exception as error:  # the boundary: a plugin's bug
        raise Conflict(f"what its network is called, or what crosses, cannot be had: {type(error).__name__}: {error}") from error

    def room(name: str) -> str:
        try:
            return str(plugin.room(name))
        except CrustError:
            raise
        except Exception as error:  # the boundary: a plugin's bug
            log.exception("a bridge failed on a room's name", plugin=wanted.name)
            raise Invalid(f"{wanted.name} fails on this room's name; the server's log has the reason.", field="room") from error

    return links.Bridge(
        name=wanted.name, network=network, user_id=user_id, organisations=organisations, crossings=crossings, room=room,
        sees=visibilities(wanted), sends="send_message" in wanted.hooks,
    )  # fmt: skip


def wishes(wanted: Wanted) -> list[tuple[str, Wish]]:
    """The links that the settings name for an instance, by their channels."""
    return [
        (each.channel, Wish(
            room=each.room, direction=each.direction, crosses=frozenset(each.crosses), relay_format=each.relay_format, trust=each.trust,
            title=each.title,
        ))
        for each in wanted.settings.links
    ]  # fmt: skip


async def unlinkable(core: Core, wanted: Wanted, plugin: Bridge[Any]) -> list[str]:
    """What of the links that the settings name for an instance cannot be, in words. Nothing is made, not even its bot."""
    place = f"plugins.{wanted.name}.links: "
    try:
        organisations = await core.bots.organisations(wanted.settings.organisations)
        bridge = bridge_of(wanted, plugin, 0, frozenset(organisations))
    except (NotFound, Conflict) as error:
        return [f"plugins.{wanted.name}: {error.message}"]
    return [place + problem for problem in (await core.configured.plan(bridge, wishes(wanted))).problems]


class LinkCommands:
    """`/bridge link|unlink|list|me`. Who may what is said by the services, as it is for the API's calls."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def commands(self) -> Sequence[Command]:
        """All of them, as the host offers them."""
        made = NewCommands()
        made.add("bridge link", self.link, help="Links this channel with a room elsewhere.")
        made.add("bridge unlink", self.unlink, help="Ends this channel's link with a room.")
        made.add("bridge list", self.list, help="Shows what this channel is linked with, and which bridges there are.")
        made.add("bridge me", self.me, help="Gives a code, by which a bridge knows that somebody there is you.")
        assert not made.problems, made.problems
        return [replace(each, kept=each.name != "bridge me") for each in made.commands]

    async def link(
        self,
        call: Invocation,
        bridge: Annotated[str, "The bridge, as /bridge list names it"],
        room: Annotated[str, "The room, as its network calls it"],
        direction: Annotated[Direction, "What is carried, as seen from here"] = "both",
    ) -> str:
        wish = Wish(room=room, direction=direction)
        made = await self._core.links.link(actor_of(call), int(call.channel.id), bridge, wish)
        return f"This channel is linked with {said(made)}."

    async def unlink(
        self,
        call: Invocation,
        bridge: Annotated[str, "The bridge, as /bridge list names it"],
        room: Annotated[str, "The room, as its network calls it"],
    ) -> str:
        there, name = await self._here(call), room.strip()
        own = [each for each in there if each.instance == bridge]
        compared = self._compared(bridge, name)
        found = [each for each in own if each.remote_room == compared] or [each for each in own if each.title == name]
        if len(found) > 1:
            raise Conflict(f"Several links of {bridge} are called {name}: name the room itself.", field="room")
        if not found:
            linked = "; ".join(f"{each.instance} {each.title or each.remote_room}" for each in there) or "nothing"
            raise NotFound(f"This channel is not linked with {room} of {bridge}; it is linked with: {linked}.", field="room")
        await self._core.links.unlink(actor_of(call), found[0].id)
        return f"The link with {found[0].title or found[0].remote_room} of {bridge} has ended."

    def _compared(self, bridge: str, name: str) -> str:
        """A room's name as its bridge compares it; as it was said where that can be none, or the bridge is at work no more."""
        known = self._core.links.bridges.get(bridge)
        try:
            return name if known is None else known.room(name)
        except CrustError:
            return name

    async def list(self, call: Invocation) -> str:
        linked = [f"- {said(each)}" for each in await self._here(call)]
        found = await self._core.links.search(actor_of(call), "", int(call.channel.id), Part(limit=MOST))
        there = [
            f"- {each.bridge} ({each.network})" + (f": {each.state}" + (f", {each.reason}" if each.reason else "") if each.state else "")
            for each in found
        ]
        return "\n".join([
            "This channel is linked with" if linked else "This channel is linked with nothing.", *linked,
            "Bridges:" if there else "There are no bridges for you here.", *there,
        ])  # fmt: skip

    async def me(self, call: Invocation, bridge: Annotated[str, "The bridge, as /bridge list names it"]) -> str:
        known = self._core.links.known(bridge)
        made = await self._core.ghosts.code(actor_of(call), known.name)
        return (
            f"Say `{made.code}` to the bot of {known.name} on {known.network}, where nobody else reads it, until {made.expires_at}:"
            " whoever says it there speaks here as you."
        )

    async def _here(self, call: Invocation) -> Sequence[RoomLink]:
        return await self._core.links.of_channel(int(call.channel.id))


def actor_of(call: Invocation) -> Actor:
    """Who runs a command."""
    return Actor(int(call.user.id), call.user.username, 0, "command")


def said(link: RoomLink) -> str:
    """A link in words, as everybody in its channel may know it."""
    return f"{link.title or link.remote_room} of {link.instance}, {WAYS[link.direction]}"
