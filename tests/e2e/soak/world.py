"""What the people of the trial know of the server: channels, and who sits in them.

Several people change things at once, so what somebody knows may be out of date when the server looks. A `Seat` tells whether it was: an
answer is held to the one right status while nobody was moving, and to the few possible ones otherwise.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.e2e.soak.ledger import Allowed, Said

RECENT = 300  # messages of a channel that people still talk about
LIVELY = 60  # newest channels that people still walk into


@dataclass(slots=True)
class Seat:
    """Whether somebody is in a channel; None: two changes crossed, so nobody knows."""

    inside: bool | None = False
    under_way: int = 0
    changes: int = 0

    @contextmanager
    def changing(self, becomes: bool) -> Iterator[list[bool]]:
        """A request that changes it is under way; put True into the list once it was granted."""
        granted: list[bool] = []
        self.under_way += 1
        self.changes += 1
        mark, alone = self.changes, self.under_way == 1
        try:
            yield granted
        finally:
            if not alone or self.changes != mark:
                self.inside = None
            elif granted:
                self.inside = becomes
            self.under_way -= 1
            self.changes += 1


@dataclass(slots=True, eq=False)
class Channel:
    """A channel. `steady`: nobody comes or goes there; the maker of a private one stays, so that it can be read at the end."""

    id: str
    type: str
    maker: str
    steady: bool = False
    maker_stays: bool = True
    seats: dict[str, Seat] = field(default_factory=dict)
    recent: deque[Said] = field(default_factory=lambda: deque(maxlen=RECENT))

    def seat(self, user_id: str) -> Seat:
        return self.seats.setdefault(user_id, Seat())

    def a_message(self, chance: random.Random) -> Said | None:
        """Any of the recent ones, removed ones among them."""
        return chance.choice(self.recent) if self.recent else None


class Look:
    """How somebody stood to a channel when they asked for something there."""

    def __init__(self, channel: Channel, user_id: str) -> None:
        self._channel, self._seat = channel, channel.seat(user_id)
        self._noted, self._moving = self._seat.changes, self._seat.under_way > 0

    @property
    def inside(self) -> bool | None:
        """None where it cannot be known."""
        certain = not self._moving and self._seat.changes == self._noted
        return self._seat.inside if certain else None

    def allowed(self, inside: Collection[int], public: Collection[int] = (403,), private: Collection[int] = (404,)) -> Allowed:
        """What the answer may be: to a member, to others where the channel is public, and where it is not."""
        outside = public if self._channel.type == "public" else private

        def now() -> set[int]:
            known = self.inside
            return {*inside, *outside} if known is None else set(inside if known else outside)

        return now


class World:
    """All channels that were made or found."""

    def __init__(self) -> None:
        self.channels: dict[str, Channel] = {}
        self.steady: list[Channel] = []
        self.lively: deque[Channel] = deque(maxlen=LIVELY)

    def known(self, channel_id: str, type_: str, maker: str, members: Collection[str], *, steady: bool = False) -> Channel:
        """A channel that somebody was given; of one that is known already only who is in it counts."""
        channel = self.channels.get(channel_id)
        if channel is None:
            channel = self.channels[channel_id] = Channel(channel_id, type_, maker, steady)
            (self.steady if steady else self.lively).append(channel)
            for user_id in members:
                channel.seat(user_id).inside = True
        return channel

    def a_seat(self, chance: random.Random, user_id: str) -> Channel:
        """A channel that somebody is in, as far as is known: mostly a steady one."""
        others = [channel for channel in self.lively if channel.seat(user_id).inside is not False]
        return chance.choice(others) if others and chance.random() < 0.4 else chance.choice(self.steady)

    def a_door(self, chance: random.Random) -> Channel | None:
        """Any channel that people come to and leave."""
        return chance.choice(self.lively) if self.lively else None

    def a_way_out(self, chance: random.Random, user_id: str) -> Channel | None:
        """A channel that somebody is in and may leave; preferably one that nobody goes to any more, so that they are not in ever more."""
        mine = [each for each in self.channels.values() if each.seat(user_id).inside and not each.steady and each.type != "direct"]
        free = [each for each in mine if each.maker != user_id or not each.maker_stays]
        old = [each for each in free if each not in self.lively]
        return chance.choice(old or free) if free else None
