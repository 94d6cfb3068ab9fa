"""What came in over a link: who has done it, what is known of that, and whether it may come in at all."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, get_args

from crust.errors import Forbidden, Gone, Invalid, Rejected, Unavailable
from crust.events.event import HOP, HOP_MAX
from crust.log import Lease
from crust.log.leases import held
from crust.log.way import HOPS_MAX
from crust.models.database import Database
from crust.services.links import Links, RoomLink
from crust.services.names import cleaned
from crust.services.remotes import Remote

Verdict = Literal["verified", "unverified", "failed"]
HOW_MAX = 100  # characters
IS_HOP = re.compile(HOP)
MARK = "\N{WARNING SIGN} unverified: "  # before what somebody said of whom it is not known that it was they


@dataclass(frozen=True, slots=True)
class Trust:
    """What is known of who sent something: that it was they, nothing, or that it was not; and how, such as by `dmarc`."""

    verdict: Verdict = "unverified"
    how: str = ""

    def __str__(self) -> str:
        return f"{self.verdict} {self.how}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """Something that came in, as all kinds of it have it.

    Args:
        link: by which it came.
        author: who has done it.
        trust: what is known of that.
        via: what it came through before, as far as that is known.
    """

    link: RoomLink
    author: Remote
    trust: Trust = Trust()
    via: tuple[str, ...] = ()

    @property
    def verified(self) -> bool:
        """Whether the network vouches for who has done it."""
        return self.trust.verdict == "verified"

    @property
    def refused(self) -> bool:
        """Whether the link takes nothing of which so little is known."""
        return self.link.trust == "refuse" and not self.verified


@dataclass(frozen=True, slots=True)
class Still:
    """Asked inside a change: whether what came in by a link may be written still. `lease` is that of whoever brings it in, if any."""

    database: Database
    links: Links
    link: RoomLink
    lease: Lease | None

    async def __call__(self) -> None:
        """Raises NotFound where the link has ended meanwhile, and Unavailable where all is to be looked at anew."""
        if self.lease is not None and not await held(self.database, self.lease):
            raise Unavailable(f"{self.lease.name} is another process' by now: it brings in what comes.", retry_after=1)
        now, before = await self.links.one(self.link.id), self.link
        if (now.channel_id, now.organisation_id, now.direction) != (before.channel_id, before.organisation_id, before.direction):
            raise Unavailable("The link has been changed meanwhile; the same again is safe.", retry_after=1)


def let_in(coming_in: Incoming) -> Incoming:
    """The same with what is stored of it as it can be stored, if it may come in.

    Raises:
        Invalid: a verdict or a hop can be none.
        Forbidden: the link lets nothing in, or nobody of whom is known so little.
        Gone: the link has ended.
        Rejected: it has come through too many links.
    """
    link, trust = coming_in.link, coming_in.trust
    if trust.verdict not in get_args(Verdict):
        raise Invalid(f"What is known of who sent it is one of {', '.join(get_args(Verdict))}, not {trust.verdict!r:.40}.", field="trust")
    for hop in coming_in.via:
        if not IS_HOP.fullmatch(hop):
            raise Invalid(
                f"What it came through is named by 1 to {HOP_MAX} visible ASCII characters each; {hop!r:.60} is not.", field="via"
            )
    if link.direction == "out":
        raise Forbidden("This link lets nothing in: its direction is out.")
    if link.ended_position is not None:
        raise Gone("This link has ended.")
    if len(coming_in.via) >= HOPS_MAX:
        raise Rejected(f"It has come through {len(coming_in.via)} links already: this looks like a loop.")
    if coming_in.refused:
        raise Forbidden(f"This link takes nothing of which it is not known who sent it: {trust}.")
    return replace(coming_in, trust=replace(trust, how=cleaned(trust.how)[:HOW_MAX]))


def not_forged(coming_in: Incoming) -> None:
    """Raises Forbidden for what they are known not to have done, where it cannot be marked as that."""
    if coming_in.trust.verdict == "failed":
        raise Forbidden(f"It is known that they did not do this, so nothing is changed by it: {coming_in.trust}.")


def marked(coming_in: Incoming, contents: str) -> str:
    """What was said, as it is posted: marked, where they are known not to have said it, or the link says so and it is not known."""
    unsure = coming_in.trust.verdict == "failed" or (coming_in.link.trust == "mark" and not coming_in.verified)
    return f"{MARK if unsure else ''}{cleaned(contents)}"
