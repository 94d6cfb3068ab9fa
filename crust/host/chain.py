"""The chain of filters: asks every instance that implements one, in order, before something happens; each within its time.

Filters run in the process that is asked to do something, outside of any transaction. One that raises, or takes too long, has a bug: then
`on_error` of its instance decides, and after five such failures in a row it is not asked for half a minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, TypeVar

from crust.clock import Clock
from crust.errors import Rejected
from crust.host.bounded import Late, ended, started
from crust.host.consumer import Code
from crust.plugin import DeleteDraft, EditDraft, JoinDraft, MessageDraft, Reject, SignInDraft, UploadDraft
from crust.plugin.drafts import Asked
from crust.services.actor import Actor
from crust.services.filters import Where
from crust.telemetry import Metrics, get_logger

log = get_logger(__name__)

FILTER_S = 1.0  # for one: somebody waits for their message
CHAIN_S = 2.0  # for all of them
FAILURES = 5  # in a row, after which one is left alone
OPEN_S = 30.0  # for so long
REASON_MAX = 500  # characters of a reason that people are shown

Filter = Callable[..., Coroutine[Any, Any, Any]]
D = TypeVar("D", bound=Asked | SignInDraft)


@dataclass(slots=True)
class Link:
    """An instance as the chain sees it.

    `filters` are its own by name, called with the draft or, where they take none, without. `organisations` are those that it is at work
    in, None until it is known which they are. `bot` is its user, about whom it is not asked; until it has one, `on_error` holds there.
    """

    name: str
    on_error: str
    visibilities: frozenset[str]
    filters: Mapping[str, Filter]
    organisations: frozenset[str] | None = None
    bot: str = ""
    failures: int = field(default=0, init=False)
    closed_at: float = field(default=0.0, init=False)

    def concerns(self, draft: Asked | SignInDraft) -> bool:
        if isinstance(draft, SignInDraft):
            return True
        there = self.organisations is None or draft.organisation_id in self.organisations
        return there and draft.visibility in self.visibilities and draft.user_id != self.bot

    def begun(self, draft: Asked | SignInDraft) -> bool:
        """Whether it can judge: in its organisations it begins when it has its bot."""
        return bool(self.bot) or isinstance(draft, SignInDraft)


class FilterChain:
    """What the services ask. Empty when made."""

    def __init__(self, clock: Clock, seconds: float = FILTER_S, seconds_together: float = CHAIN_S) -> None:
        self._clock, self._seconds, self._together = clock, seconds, seconds_together
        self._links: dict[str, list[tuple[Link, Filter]]] = {}
        self.wanted: frozenset[str] = frozenset()
        self.counted_in(Metrics())

    def counted_in(self, metrics: Metrics) -> None:
        """Count in these what filters do."""
        self._calls, self._took = metrics.filter_calls, metrics.filter_seconds
        metrics.filters_closed.read = self._closed

    def _closed(self) -> dict[str, float]:
        now = self._clock.monotonic()
        return {link.name: float(now < link.closed_at) for links in self._links.values() for link, _ in links}

    def install(self, links: Sequence[tuple[str, Link]]) -> None:
        """Ask these: (hook, link) in the order in which they are asked."""
        self._links = {}
        for hook, link in links:
            self._links.setdefault(hook, []).append((link, link.filters[hook]))
        self.wanted = frozenset(hook.removeprefix("filter_") for hook in self._links)

    # ---- what services call

    async def message_post(self, actor: Actor, where: Where, contents: str, reply_to: int | None, file_name: str | None) -> str:
        reply = None if reply_to is None else str(reply_to)
        draft = MessageDraft(**asked(actor, where), contents=contents, reply_to=reply, file_name=file_name)
        return (await self._run("filter_message_post", draft)).contents

    async def message_edit(self, actor: Actor, where: Where, message_id: int, contents: str) -> str:
        draft = EditDraft(**asked(actor, where), message_id=str(message_id), contents=contents)
        return (await self._run("filter_message_edit", draft)).contents

    async def message_delete(self, actor: Actor, where: Where, message_id: int) -> None:
        await self._run("filter_message_delete", DeleteDraft(**asked(actor, where), message_id=str(message_id)))

    async def upload(self, actor: Actor, where: Where, name: str, size: int, media_type: str) -> None:
        await self._run("filter_upload", UploadDraft(**asked(actor, where), name=name, size=size, media_type=media_type))

    async def channel_join(self, actor: Actor, where: Where) -> None:
        await self._run("filter_channel_join", JoinDraft(**asked(actor, where)))

    async def sign_in(self, user_id: int, username: str, address: str, client_id: str | None) -> None:
        draft = SignInDraft(user_id=str(user_id), username=username, address=address, client_id=client_id)
        await self._run("filter_sign_in", draft)

    # ---- asking

    async def _run(self, hook: str, draft: D) -> D:
        end = asyncio.get_running_loop().time() + self._together
        for link, filter_ in self._links.get(hook, ()):
            if link.concerns(draft):
                draft = await self._ask(link, hook, filter_, draft, end)
        return draft

    async def _ask(self, link: Link, hook: str, filter_: Filter, draft: D, end: float) -> D:
        """The draft as one filter leaves it."""
        left = end - asyncio.get_running_loop().time()
        if left <= 0 or self._clock.monotonic() < link.closed_at or not link.begun(draft):  # those before took the chain's time; it rests
            self._calls[link.name, hook, "closed"] += 1
            return undecided(link, draft)
        began, seconds = perf_counter(), min(self._seconds, left)
        try:
            said = checked(draft, await ended(started(filter_(draft), Code(link.name, hook)), seconds, patient=False))
            if perf_counter() - began > seconds:
                raise Late  # it kept the loop, so that no timer could end it
        except (Exception, SystemExit) as error:  # noqa: BLE001  # the boundary: a plugin's bug is nobody else's
            return self._failed(link, hook, draft, error)
        finally:
            self._took.observe((link.name, hook), perf_counter() - began)
        link.failures = 0
        self._calls[link.name, hook, "rejected" if isinstance(said, Reject) else "passed"] += 1
        if isinstance(said, Reject):
            raise Rejected(said.reason[:REASON_MAX])
        return said

    def _failed(self, link: Link, hook: str, draft: D, error: BaseException) -> D:
        link.failures += 1
        self._calls[link.name, hook, "failed"] += 1
        trace = None if isinstance(error, Late) else error  # of one that takes too long it tells nothing, and takes time itself
        log.warning("a filter failed", plugin=link.name, hook=hook, in_a_row=link.failures, on_error=link.on_error, exc_info=trace)
        if link.failures >= FAILURES:
            link.closed_at = self._clock.monotonic() + OPEN_S
            link.failures = FAILURES - 1  # one more failure after that time, and it is left alone again
            log.error("a filter is not asked for a while", plugin=link.name, hook=hook, seconds=OPEN_S, on_error=link.on_error)
        return undecided(link, draft)


def asked(actor: Actor, where: Where) -> dict[str, Any]:
    """What all drafts have."""
    return {
        "organisation_id": str(where.organisation_id), "channel_id": str(where.channel_id), "visibility": where.visibility,
        "user_id": str(actor.user_id),
    }  # fmt: skip


def checked(draft: D, said: object) -> D | Reject:
    """What a filter has said, as far as it counts.

    Raises:
        TypeError: it is none of what a filter may say.
    """
    if said is None:
        return draft
    if isinstance(said, Reject):
        return said
    if type(said) is not type(draft) or not hasattr(said, "contents"):
        raise TypeError(f"a filter gives a draft of the kind that it got, where that has contents, Reject or None; not {said!r:.80}")
    changed: Any = {"contents": str(said.contents)}
    return replace(draft, **changed)


def undecided(link: Link, draft: D) -> D:
    """What becomes of a draft that a filter cannot judge."""
    if link.on_error == "reject":
        raise Rejected(f"This has to be checked by {link.name}, which is not possible now: try again later.", retry_after=OPEN_S)
    return draft
