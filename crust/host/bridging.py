"""What a bridge has as `ctx.bridge`: what comes in, over the services that write it; see `crust.plugin.BridgeHost` for what is promised."""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, Sequence
from typing import Any

from crust.errors import Forbidden, NotFound
from crust.events.objects import User
from crust.host.chat import Access, number
from crust.host.checkpoints import Checkpoints
from crust.log import Way, coming
from crust.log.way import HOPS_MAX
from crust.plugin.bridge import UNVERIFIED, Crossings, Injected, Link, Outgoing, Remote, State, Trust
from crust.services import incoming, injects, remotes
from crust.services.core import Core
from crust.services.incoming import Incoming
from crust.services.links import RoomLink
from crust.services.names import cleaned

HOP = re.compile(r"[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?/[0-9]{1,19}")
UNREADABLE = "unreadable/0"
WITHDRAWN = (
    "Nothing comes in over this link now: whoever made it may not read its channel any more, or the bridge is not for its organisation."
)


class InstanceBridge:
    """See the module."""

    def __init__(self, access: Access, core: Core, checkpoints: Checkpoints) -> None:
        self._access, self._core, self._checkpoints = access, core, checkpoints

    # ---- links

    async def links(self) -> Sequence[Link]:
        return [link_of(each) for each in await self._core.links.of_bridge(self._access.name)]

    async def link(self, remote_room: str) -> Link | None:
        bridge = self._core.links.bridges.get(self._access.name)
        if bridge is None:
            raise NotFound(f"The bot of {self._access.name} is not there yet.")
        found = await self._core.links.of_room(self._access.name, bridge.room(remote_room))
        return None if found is None else link_of(found)

    async def cross(self, link: Link, crossings: Crossings) -> Link:
        return link_of(await self._core.links.cross(await self._living(link), crossings.as_dict()))

    async def _living(self, link: Link) -> RoomLink:
        return await self._core.links.one(number(link.id, "link"), self._access.name)

    # ---- what was said

    async def inject(
        self, link: Link, author: Remote, contents: str, source_id: str, *, reply_to: str | None = None, revision: int = 0,
        trust: Trust = UNVERIFIED, via: Sequence[str] = (),
    ) -> Injected:  # fmt: skip
        came = await self._incoming(link, author, trust, via)
        return injected(await self._core.injects.post(came, contents, source_id, reply_to=reply_to, revision=revision))

    async def inject_file(
        self, link: Link, author: Remote, name: str, chunks: AsyncIterable[bytes], source_id: str, *, contents: str = "",
        reply_to: str | None = None, trust: Trust = UNVERIFIED, via: Sequence[str] = (),
    ) -> Injected:  # fmt: skip
        came = await self._incoming(link, author, trust, via)
        if "files" not in came.link.crosses:
            raise Forbidden("Files don't cross this link.")
        async with self._core.files.receiving(chunks) as received:
            return injected(await self._core.injects.post(came, contents, source_id, reply_to=reply_to, received=received, file_name=name))

    async def edit(
        self, link: Link, author: Remote, source_id: str, contents: str, *, trust: Trust = UNVERIFIED, via: Sequence[str] = ()
    ) -> None:
        await self._core.injects.edit(await self._incoming(link, author, trust, via), source_id, contents)

    async def remove(self, link: Link, author: Remote, source_id: str, *, trust: Trust = UNVERIFIED, via: Sequence[str] = ()) -> None:
        await self._core.injects.remove(await self._incoming(link, author, trust, via), source_id)

    async def react(
        self, link: Link, author: Remote, source_id: str, emoji: str, *, trust: Trust = UNVERIFIED, via: Sequence[str] = ()
    ) -> None:
        await self._core.injects.react(await self._incoming(link, author, trust, via), source_id, emoji, added=True)

    async def unreact(
        self, link: Link, author: Remote, source_id: str, emoji: str, *, trust: Trust = UNVERIFIED, via: Sequence[str] = ()
    ) -> None:
        await self._core.injects.react(await self._incoming(link, author, trust, via), source_id, emoji, added=False)

    # ---- who is there

    async def joined(self, link: Link, author: Remote, *, trust: Trust = UNVERIFIED) -> None:
        await self._core.injects.join(await self._incoming(link, author, trust))

    async def parted(self, link: Link, author: Remote) -> None:
        await self._core.injects.part(await self._incoming(link, author, UNVERIFIED))

    async def topic(self, link: Link, author: Remote, topic: str, *, trust: Trust = UNVERIFIED, via: Sequence[str] = ()) -> None:
        await self._core.injects.topic(await self._incoming(link, author, trust, via), topic)

    async def typing(self, link: Link, author: Remote, *, active: bool = True, trust: Trust = UNVERIFIED) -> None:
        await self._core.injects.typing(await self._incoming(link, author, trust), "start" if active else "stop")

    async def present(self, link: Link) -> Sequence[str]:
        return await self._core.ghosts.present(await self._living(link))

    async def identify(self, author: Remote, code: str, *, trust: Trust = UNVERIFIED) -> User:
        self._access.need("bridge:ghosts")
        if trust.verdict != "verified":
            raise Forbidden(f"Only somebody whom the network vouches for can be a person here, and of {author.name!r:.60} nobody does.")
        person = await self._core.ghosts.identify(self._access.name, remote_of(author), code)
        return await self._core.members.user(person)

    async def _incoming(self, link: Link, author: Remote, trust: Trust, via: Sequence[str] = ()) -> Incoming:
        self._access.need("bridge:inject")
        self._access.need("bridge:ghosts")
        known, living = incoming.Trust(trust.verdict, trust.how), await self._living(link)
        if not await self._core.links.still_holds(living):
            raise Forbidden(WITHDRAWN)
        return Incoming(link=living, author=remote_of(author), trust=known, via=tuple(via))

    # ---- how it is

    async def gap(self, link: Link, text: str) -> None:
        self._access.need("bridge:inject")
        living, bridge = await self._living(link), self._core.links.bridges[self._access.name]
        with coming(Way(via=(living.via,), still=self._core.injects.still(living))):
            await self._core.injects.say(bridge, living, text)

    async def state(self, state: State, reason: str | None = None, *, link: Link | None = None) -> None:
        await self._checkpoints.state(state, reason and cleaned(reason), None if link is None else number(link.id, "link"))

    async def delivered(self, link: Link, remote_id: str) -> None:
        await self._confirmed(link, remote_id, "delivered", None)

    async def failed(self, link: Link, remote_id: str, reason: str) -> None:
        await self._confirmed(link, remote_id, "failed", cleaned(reason))

    async def _confirmed(self, link: Link, remote_id: str, state: str, note: str | None) -> None:
        await self._checkpoints.confirm((await self._living(link)).id, remote_id, state, note)

    # ---- loops

    def via_header(self, out: Outgoing) -> str:
        here = f"{self._core.settings.server_name}/{out.link.channel_id}"
        return ", ".join([*(hop if HOP.fullmatch(hop) else here for hop in out.via), here])

    def came_through(self, header: str) -> tuple[str, ...]:
        hops = [hop.strip() for hop in header.split(",") if hop.strip()]
        # More than are let through are as good as all of them; but our own have to be found among them.
        own = [hop for hop in hops if hop.startswith(f"{self._core.settings.server_name}/")]
        kept = dict.fromkeys([*own[-1:], *hops[: HOPS_MAX + 1]]) if len(hops) > HOPS_MAX else hops
        return tuple(hop if HOP.fullmatch(hop) else UNREADABLE for hop in kept)


class NoBridge:
    """What a plugin that is no bridge has in its place."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        raise AttributeError(f"ctx.bridge.{attribute}: {self._name} is no bridge; its class has to derive from crust.plugin.Bridge")


def link_of(link: RoomLink) -> Link:
    """A link as bridges have it."""
    return Link(
        id=str(link.id), remote_room=link.remote_room, channel_id=str(link.channel_id), organisation_id=str(link.organisation_id),
        direction=link.direction, crosses=link.crosses, relay_format=link.relay_format, trust=link.trust,  # type: ignore[arg-type]  # as checked
        crossings=Crossings(**link.crossings),  # type: ignore[arg-type]  # as it was made
    )  # fmt: skip


def remote_of(author: Remote) -> remotes.Remote:
    """Somebody elsewhere as the services have them."""
    return remotes.Remote(id=author.id, name=author.name, handle=author.handle, account=author.account, avatar=author.avatar)


def injected(came: injects.Injected) -> Injected:
    return Injected(None if came.message_id is None else str(came.message_id), came.state)
