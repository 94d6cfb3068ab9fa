"""What was done, what came of it, and what must be nothing at the end: the faults."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

SHOWN = 40  # faults that are told in words; the rest only counts

FAULTS = (
    "unexpected status",
    "unanswered request",
    "wrong answer",
    "message lost",
    "message doubled",
    "message out of order",
    "message not as last changed",
    "removed message still there",
    "message from nowhere",
    "event twice",
    "event out of order",
    "event missing",
    "event too many",
    "event without the right to it",
    "stream unlike the history",
    "fresh start instead of a resume",
    "unexpected close",
    "dead socket kept",
    "error in the server's log",
    "descriptors left open",
    "memory grows",
    "trial failed",
)

Allowed = Collection[int] | Callable[[], Collection[int]]
"""Statuses that an answer may have; asked for once the answer is there, when it is known what others did meanwhile."""


class Answer(NamedTuple):
    """What came of a request, whichever way it went. `body` is the whole envelope."""

    status: int
    body: dict[str, Any]

    @property
    def response(self) -> Any:
        return self.body.get("response")


@dataclass(slots=True)
class Said:
    """An acknowledged message as it must be found. `removed`: somebody has begun to take it back; `gone`: that was acknowledged."""

    id: int
    author: str
    channel_id: str
    token: str
    contents: str
    version: int = 1
    removed: bool = False
    gone: bool = False

    def there(self, usual: Allowed, *, gone: Collection[int] = (404,)) -> Allowed:
        """What a request about it may be answered, given what the same may be while it is there."""
        was_gone = self.gone

        def now() -> set[int]:
            return set(gone) if was_gone else {*chosen(usual), *(gone if self.removed else ())}

        return now


def chosen(allowed: Allowed) -> set[int]:
    return set(allowed() if callable(allowed) else allowed)


def token_of(message: Mapping[str, Any]) -> str:
    """The word by which a message is known; empty where it says nothing."""
    return str(message["contents"]).partition(" ")[0]


@dataclass
class Ledger:
    """Everything that is counted."""

    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    actions: Counter[str] = field(default_factory=Counter)
    said: dict[int, Said] = field(default_factory=dict)
    by_channel: dict[str, list[Said]] = field(default_factory=lambda: defaultdict(list))
    removals: int = 0
    edits: int = 0
    repeats: int = 0
    opened: int = 0
    resumes: int = 0
    fresh: int = 0
    closes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(FAULTS, 0)))
    details: list[str] = field(default_factory=list)

    def fault(self, kind: str, detail: str, count: int = 1) -> None:
        """Something is not as it must be."""
        assert kind in FAULTS, kind
        self.faults[kind] += count
        if len(self.details) < SHOWN:
            self.details.append(f"{kind}: {detail}")

    def answered(self, way: str, what: str, answer: Answer, allowed: Allowed) -> Answer:
        """Note an answer; its status must be among the allowed ones, and is never a failure of the server."""
        self.statuses[way][answer.status] += 1
        expected = chosen(allowed)
        if answer.status not in expected:
            self.fault("unexpected status", f"{way} {what}: {answer.status}, not {sorted(expected)}: {str(answer.body)[:300]}")
        return answer

    def acknowledged(self, author: str, channel_id: str, token: str, message: Mapping[str, Any]) -> Said:
        """Note a message that was stored, by the server's word."""
        said = Said(int(message["id"]), author, channel_id, token, message["contents"])
        self.said[said.id] = said
        self.by_channel[channel_id].append(said)
        return said

    # ---- the end

    def compare(self, channel_id: str, found: Iterable[Mapping[str, Any]]) -> None:
        """A channel's whole history must be what was acknowledged in it, each once, as last changed."""
        stored = {int(message["id"]): message for message in found if message["type"] == "MESSAGE"}
        mine = self.by_channel[channel_id]
        for said in mine:
            self._compare_one(said, stored.get(said.id))
        tokens = Counter(map(token_of, stored.values()))
        for token, count in tokens.items():
            if token and count > 1:
                self.fault("message doubled", f"{token} in channel {channel_id}", count - 1)
        known = {said.token for said in mine}
        for message_id, message in stored.items():
            if message_id not in self.said and token_of(message) not in known:
                self.fault("message from nowhere", f"{message_id} in channel {channel_id}: {message['contents'][:60]}")
        self._compare_order(mine)

    def _compare_one(self, said: Said, message: Mapping[str, Any] | None) -> None:
        if message is None:
            if not said.removed:
                self.fault("message lost", f"{said.token} ({said.id}) in channel {said.channel_id}")
        elif said.removed:
            self.fault("removed message still there", f"{said.token} ({said.id}) in channel {said.channel_id}")
        elif (message["contents"], message["version"]) != (said.contents, said.version):
            self.fault("message not as last changed", f"{said.token} is at version {message['version']}, not {said.version}")

    def _compare_order(self, mine: Iterable[Said]) -> None:
        """Ids are the order of a channel; each author's must rise as they were acknowledged to them."""
        by_author: dict[str, list[int]] = defaultdict(list)
        for said in mine:
            by_author[said.author].append(said.id)
        for author, ids in by_author.items():
            wrong = sum(a >= b for a, b in itertools.pairwise(ids))
            if wrong:
                self.fault("message out of order", f"of {author}", wrong)
