"""A bridge's instance as the engine's consumer: as a plugin's, and beside that a lane for each of its links."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import msgspec
from msgspec import Struct

from crust.errors import CrustError, EventRefused
from crust.events.event import Event
from crust.host.bridging import link_of
from crust.host.carrying import Carrier
from crust.host.chat import Access, Calls, calls
from crust.host.checkpoints import Checkpoints
from crust.host.consumer import Delivery, Outcome, Over, Parked
from crust.host.hints import Hints, OnControl
from crust.host.instance import Glance, Instance, glance
from crust.host.linking import bridge_of, wishes
from crust.host.registration import Wanted
from crust.ids import MAX_ID
from crust.log import Way, coming
from crust.log.way import HOPS_MAX
from crust.plugin import Bridge, OutgoingTyping
from crust.services.core import Core
from crust.services.deliveries import LANE
from crust.services.links import RoomLink, via_of
from crust.telemetry import get_logger

log = get_logger(__name__)

LINKING = {("channel", "linked"): "link_opened", ("channel", "unlinked"): "link_closed"}
CARRIED = frozenset({
    ("message", "created"), ("message", "edited"), ("message", "removed"), ("reaction", "added"), ("reaction", "removed"),
    ("channel", "edited"), ("member", "joined"), ("member", "parted"),
})  # fmt: skip
MISSED = "The bridge to {network} was away for too long: what was said here meanwhile has not gone there, and does not."
SAID = frozenset({"MESSAGE", "FILE"})  # types of messages that people write; the others tell of what is carried otherwise


class Linked(Struct, frozen=True):
    """Of the body of an event about a link, which one it is."""

    link: Mapping[str, Any]


linked = msgspec.json.Decoder(Linked).decode


@dataclass(frozen=True, slots=True)
class Lane:
    """What a link is for the events after one position, up to another: of which channel, and whether anything goes out over it."""

    link_id: int
    channel_id: int
    after: int
    upto: int
    out: bool


def lanes_of(link: RoomLink) -> Iterator[Lane]:
    """What a link was, and is; whoever reads the log late reads of what was."""
    after = link.position
    for former in link.former:
        yield Lane(link.id, former.channel_id, after, former.until, former.out)
        after = former.until
    yield Lane(link.id, link.channel_id, after, MAX_ID, link.out)


class BridgeInstance(Instance):
    """See the module."""

    def __init__(self, wanted: Wanted, access: Access, core: Core, checkpoints: Checkpoints, on_control: OnControl) -> None:
        super().__init__(wanted, access, core)
        self._checkpoints, self._on_control = checkpoints, on_control
        self._lanes: dict[int, list[Lane]] = {}
        self._of_channel: dict[int, list[Lane]] = {}
        self._carrier = Carrier(self, core)

    # ---- where it is at work

    async def begin(self) -> None:
        """Let links be made with it, and make those that the settings name.

        Raises:
            Conflict: its network's name can be none.
        """
        assert isinstance(self.plugin, Bridge)
        bot = self.access.known()
        bridge = bridge_of(self.wanted, self.plugin, bot.actor.user_id, bot.organisations)
        self._core.links.bridges[self.name] = bridge
        self.problems = await self._core.configured.configure(bridge, wishes(self.wanted))
        for problem in self.problems:
            log.error("a link that the settings name cannot be", plugin=self.name, problem=problem)

    # ---- dispatch

    async def ready(self) -> None:
        self._know({each.id: list(lanes_of(each)) for each in await self._core.links.of_bridge(self.name)})

    async def missed(self, after: int, upto: int) -> None:
        bridge = self._core.links.bridges[self.name]
        for link in await self._core.links.of_bridge(self.name):
            if await self._goes_out_over(link):
                try:
                    await self._core.injects.say(bridge, link, MISSED.format(network=link.network))
                except CrustError as error:
                    log.warning("a channel could not be told", channel=link.channel_id, error=error.message)

    def _know(self, lanes: dict[int, list[Lane]]) -> None:
        self._lanes, self._of_channel = lanes, {}
        for lane in chain.from_iterable(lanes.values()):
            if lane.out:
                self._of_channel.setdefault(lane.channel_id, []).append(lane)

    def wants(self, event: Event) -> Sequence[str]:
        return [*super().wants(event), *(f"{LANE}{link_id}" for link_id in self._links(event))]

    def _links(self, event: Event) -> Iterator[int]:
        """The links over which an event goes, or which it is about."""
        if (event.type, event.event) in LINKING:
            link = linked(event.body).link
            if link["bridge"] == self.name:
                yield self._linked(event, int(link["link_id"]), out=link["direction"] != "in")
        elif (event.type, event.event) in CARRIED and event.channel and self._may_see(event):
            lanes = self._of_channel.get(event.channel, ())
            if lanes and self._goes_out(event, glance(event.body)):
                yield from (lane.link_id for lane in lanes if self._goes_over(event, lane))

    def _linked(self, event: Event, link_id: int, *, out: bool) -> int:
        """Know of a link what an event says of it; what is to come is said by events to come, even if it is known already."""
        if event.event == "unlinked":
            self._know({known: lanes for known, lanes in self._lanes.items() if known != link_id})
        else:
            before = [replace(each, upto=min(each.upto, event.position)) for each in self._lanes.get(link_id, ())]
            before = [each for each in before if each.after < each.upto]
            now = Lane(link_id, event.channel, event.position, MAX_ID, out)
            if before and (before[-1].channel_id, before[-1].out) == (now.channel_id, now.out):
                now = replace(before.pop(), upto=MAX_ID)
            self._know({**self._lanes, link_id: [*before, now]})
        return link_id

    def _goes_out(self, event: Event, seen: Glance) -> bool:
        if self._own(event, seen):
            return False
        if (event.type, event.event) == ("channel", "edited"):
            return "topic" in seen.changed
        return event.type != "message" or event.event == "removed" or seen.type in SAID

    def _goes_over(self, event: Event, lane: Lane) -> bool:
        """What came in over a link does not go out over it; over another one, of the same network even, it does."""
        return lane.after < event.position <= lane.upto and via_of(self.name, lane.link_id) not in event.via

    # ---- work

    async def still_allowed(self, delivery: Delivery) -> bool:
        if not delivery.lane.startswith(LANE):
            return await super().still_allowed(delivery)
        if (delivery.event.type, delivery.event.event) in LINKING:
            return True
        link = await self._core.links.ended(int(delivery.lane.removeprefix(LANE)))
        return link is not None and await self._goes_out_over(link)

    async def _goes_out_over(self, link: RoomLink) -> bool:
        """Whether anything may go out over a link, as things are now."""
        if link.ended_position is not None or link.direction == "in":
            return False
        return await self._core.links.still_holds(link) and await self._core.bots.sees(self.access.known(), link.channel_id)

    async def handle(self, delivery: Delivery) -> Outcome | None:
        if not delivery.lane.startswith(LANE):
            return await super().handle(delivery)
        event = delivery.event
        link = await self._core.links.ended(int(delivery.lane.removeprefix(LANE)))
        if link is None:
            return Outcome("withdrawn")
        if (hook := LINKING.get((event.type, event.event))) is not None:
            if hook in self.wanted.hooks:
                await self.call(hook, link_of(link))
            return None
        if len(event.via) >= HOPS_MAX:
            raise EventRefused(f"It has come through {len(event.via)} links already: this looks like a loop.")
        calls.set(Calls(str(event.id)))
        with coming(Way(via=tuple(event.via))):
            return await self._carrier.carry(delivery, link)

    # ---- hints

    async def listen(self) -> None:
        if "send_typing" in self.wanted.hooks:
            await Hints(self.name, self._over_links, self._typing).always(self._on_control)
        await super().listen()

    def _over_links(self, channel_id: int, via: str) -> Sequence[int]:
        lanes = self._of_channel.get(channel_id, ())
        return [lane.link_id for lane in lanes if lane.upto == MAX_ID and via_of(self.name, lane.link_id) != via]

    async def _typing(self, link_id: int, user_id: int, active: bool) -> None:
        link = await self._core.links.one(link_id)
        if link.crossings.get("typing", "dropped") != "dropped" and await self._goes_out_over(link):
            await self.call("send_typing", OutgoingTyping(link=link_of(link), author=await self._carrier.author(user_id), active=active))

    def over(self, over: Over) -> None:
        self._checkpoints.over(over)

    def parked(self, parked: Parked) -> None:
        super().parked(parked)
        if parked.position is None and parked.lane.startswith(LANE):
            self._checkpoints.given_up(int(parked.lane.removeprefix(LANE)), parked.reason)
