"""A node's fan-out: every event of the log to the sockets of those who may see it, encoded once.

No sockets in here. The hub applies events in the log's order, membership included, so who may see what is at every position what the
database said at that position. A connection that comes in is brought up to the hub's position from the last few hundred events, which
the hub keeps, or is told to read further from the log by itself first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from msgspec import Raw

from crust.events.control import Control, MarkMoved, PresenceChanged, SessionEnded, Typing
from crust.events.event import BROUGHT_INTO_VIEW, Event
from crust.events.objects import Member
from crust.services.actor import Actor
from crust.telemetry import Metrics
from crust.ws.frame import Frame, Run
from crust.ws.outbox import Item, Outbox, Snapshot
from crust.ws.pace import FanOutPace
from crust.ws.protocol import Close, Closing, control_frame, event_frame

RING = 256  # events kept for those who come in; as many as may wait for a live socket, so no more can be out of date when it reads them
BREATH = 64  # events that are applied before the writers get a turn: a group of 500 at once would fill every outbox


BEHIND_MAX_S = 2.0  # what another process wrote is seen within a second
RUN_MAX = 32_768  # characters after which a run of events is ended: it is handed to sockets as a whole


@dataclass(frozen=True, slots=True)
class Sent:
    """An event with its frame."""

    event: Event
    frame: Frame


@dataclass(eq=False, slots=True)
class Connection:
    """A socket as the hub knows it; it gets events above `after` only."""

    actor: Actor
    outbox: Outbox
    after: int = 0


@dataclass(eq=False, slots=True)
class Person:
    """Somebody with a socket on this node, and what they belong to at the hub's position."""

    channels: set[int]
    organisations: dict[int, str]
    connections: set[Connection] = field(default_factory=set)


class Hub:
    """See the module.

    Args:
        after: the position to start from.
        crowd: with more members connected here, nobody in a channel is told who types or comes and goes: each of a thousand who come
            back after a restart would be told of every other one.
        metrics: where frames are counted.
    """

    def __init__(self, after: int, crowd: int = 200, metrics: Metrics | None = None) -> None:
        self._crowd = crowd
        self.offset = after
        self.pace = FanOutPace(after)
        self._advanced = asyncio.Event()
        self._frames_out = (metrics or Metrics()).frames_out
        self._ring: deque[Sent] = deque(maxlen=RING)
        self._people: dict[int, Person] = {}
        self._members: dict[int, set[int]] = {}
        self._connections: dict[int, set[Connection]] = {}

    async def run(self, batches: AsyncIterator[Sequence[Event]]) -> None:
        """Apply what the log says, for ever."""
        async for events in batches:
            for start in range(0, len(events), BREATH):
                with self.pace.handing_out():
                    self.apply(events[start : start + BREATH])
                    await asyncio.sleep(0)  # the sockets' writers, woken by now, come first
                self.pace.reached(self.offset)

    # ---- coming and going

    def admit(self, connection: Connection) -> None:
        """Know of a connection from its beginning, so that the end of its session reaches it while it is still catching up."""
        self._connections.setdefault(connection.actor.user_id, set()).add(connection)

    def attach(self, connection: Connection, after: int, channels: Iterable[int], organisations: Mapping[int, str]) -> list[Item] | None:
        """Let a connection take part from now on.

        Args:
            after: the position up to which it has been served.
            channels, organisations: what its person belongs to, as read from the database at `after` or later, but not later than
                what the hub has applied (`caught_up`): else it would be told of a channel before it is shown it.

        Returns:
            What it has to be sent first: events above `after` that the hub has applied already. None where those reach further back than
            the hub remembers: read the log up to a later position and ask again.
        """
        oldest = self._ring[0].event.position if self._ring else self.offset + 1
        if after + 1 < oldest and after < self.offset:
            return None
        user = connection.actor.user_id
        person = self._people.get(user) or Person(set(channels), dict(organisations))
        missed: list[Item] = []
        for sent in self._unseen(user, after):
            items = self._for(user, person, sent)
            if items:
                self._frames_out[sent.event.type] += 1
            missed += items
            if user not in self._people:
                self._change_membership(user, person, sent.event)
        connection.after = max(after, self.offset)
        self._register(user, person, connection)
        return missed

    def _unseen(self, user: int, after: int) -> list[Sent]:
        """What is remembered above a position, without what happened in a channel before its viewer joined it."""
        later = [sent for sent in self._ring if sent.event.position > after]
        own = [sent.event for sent in later if sent.event.type == "member" and sent.event.recipient == user]
        first = {event.channel: event for event in reversed(own)}
        joins = {channel: event.position for channel, event in first.items() if is_joining(event, user)}
        return [sent for sent in later if sent.event.position >= joins.get(sent.event.channel, 0)]

    async def caught_up(self, position: int) -> None:
        """Wait until everything up to a position was applied, within reason."""
        with suppress(TimeoutError):
            async with asyncio.timeout(BEHIND_MAX_S):
                while self.offset < position:
                    self._advanced.clear()
                    await self._advanced.wait()

    def _register(self, user: int, person: Person, connection: Connection) -> None:
        if user not in self._people:
            self._people[user] = person
            for channel in person.channels:
                self._members.setdefault(channel, set()).add(user)
        person.connections.add(connection)

    def detach(self, connection: Connection) -> frozenset[int] | None:
        """Forget a connection; of a person's last one on this node, gives the channels that they are in. Idempotent."""
        user = connection.actor.user_id
        known = self._connections.get(user, set())
        known.discard(connection)
        if not known:
            self._connections.pop(user, None)
        person = self._people.get(user)
        if person is None or connection not in person.connections:
            return None
        person.connections.discard(connection)
        if person.connections:
            return None
        del self._people[user]
        for channel in person.channels:
            self._leave(channel, user)
        return frozenset(person.channels)

    def _leave(self, channel: int, user: int) -> None:
        members = self._members.get(channel)
        if members is not None:
            members.discard(user)
            if not members:
                del self._members[channel]

    # ---- events

    def apply(self, events: Iterable[Event]) -> None:
        """The next events of the log: keep them, send them, and let them take effect."""
        run: list[Sent] = []
        size = 0
        for event in events:
            sent, talk = self._keep(event), is_talk(event)
            if run and not (talk and event.channel == run[0].event.channel and size < RUN_MAX):
                self._send_run(run)
                run, size = [], 0
            if talk:
                run.append(sent)
                size += len(sent.frame)
            else:
                self._send_to_audience(event, sent)
                self._take_effect(event)
        if run:
            self._send_run(run)
        self._advanced.set()

    def _keep(self, event: Event) -> Sent:
        if event.type == "message" and event.event == "removed":
            self._blank(event.object)
        sent = Sent(event, event_frame(event))
        self._ring.append(sent)
        self.offset = event.position
        return sent

    def _send_run(self, run: Sequence[Sent]) -> None:
        """To every member alike; who came in the middle is sent the rest."""
        first, last = run[0].event.position, run[-1].event.position
        whole = run[0].frame if len(run) == 1 else Run(sent.frame for sent in run)
        people, receivers = self._people, 0
        for user in self._members.get(run[0].event.channel, ()):
            connections = people[user].connections
            receivers += len(connections)
            for connection in connections:
                if connection.after < first:
                    connection.outbox.put(whole)
                elif connection.after < last:
                    for sent in run:
                        if sent.event.position > connection.after:
                            connection.outbox.put(sent.frame)
        for sent in run:
            self._frames_out[sent.event.type] += receivers

    def _send_to_audience(self, event: Event, sent: Sent) -> None:
        receivers = 0
        for user in self._audience(event):
            person = self._people.get(user)
            if person is not None:
                items = self._for(user, person, sent)
                receivers += len(person.connections) if items else 0
                for item in items:
                    self._send(person, event.position, item)
        self._frames_out[event.type] += receivers

    def _audience(self, event: Event) -> set[int]:
        """The connected people whom an event may concern; `_for` decides."""
        people = set(self._members.get(event.channel, ())) if event.channel else set()
        if event.recipient:
            people.add(event.recipient)
        if not event.channel and event.organisation:
            people.update(user for user, person in self._people.items() if event.organisation in person.organisations)
        return people

    def _for(self, user: int, person: Person, sent: Sent) -> list[Item]:
        """What somebody is sent of an event: nothing where they may not see it; the channel first where it comes into view."""
        event = sent.event
        if event.recipient == user:
            return [Snapshot(event.channel), sent.frame] if is_joining(event, user) else [sent.frame]
        if event.channel:
            if event.channel not in person.channels:
                return []
            shown_anew = event.type == "channel" and event.event in BROUGHT_INTO_VIEW
            return [sent.frame, Snapshot(event.channel)] if shown_anew else [sent.frame]
        if event.recipient and event.type != "member":
            return []
        return [sent.frame] if person.organisations.get(event.organisation, "guest") != "guest" else []

    def _send(self, person: Person, position: int, item: Item) -> None:
        for connection in person.connections:
            if position > connection.after:
                connection.outbox.put(item)

    def _take_effect(self, event: Event) -> None:
        if event.type == "member" and (person := self._people.get(event.recipient)):
            self._change_membership(event.recipient, person, event)
        elif event.type == "session" and event.event == "revoked":
            self._end_session(event.object, [event.recipient])
        elif event.type == "user" and event.event in ("suspended", "removed"):
            self._end(self._connections.get(event.object, ()), "the account is suspended")

    def _change_membership(self, user: int, person: Person, event: Event) -> None:
        """Apply a member event to somebody; on the people that are registered, also to the index by channel."""
        if event.type != "member" or event.recipient != user:
            return
        registered = self._people.get(user) is person
        if event.channel and event.event == "joined":
            person.channels.add(event.channel)
            if registered:
                self._members.setdefault(event.channel, set()).add(user)
        elif event.channel and event.event == "parted":
            person.channels.discard(event.channel)
            if registered:
                self._leave(event.channel, user)
        elif not event.channel and event.event == "parted":
            person.organisations.pop(event.organisation, None)
        elif not event.channel:
            person.organisations[event.organisation] = msgspec.json.decode(event.body, type=Member).role or "guest"

    def _end_session(self, session_id: int, users: Iterable[int]) -> None:
        connections = [each for user in users for each in self._connections.get(user, ()) if each.actor.session_id == session_id]
        self._end(connections, "the session has ended")

    def _end(self, connections: Iterable[Connection], reason: str) -> None:
        for connection in list(connections):
            connection.outbox.close(Closing(Close.SESSION_ENDED, reason))

    def _blank(self, message_id: int) -> None:
        """Take what a removed message said out of the ring."""
        for at, sent in enumerate(self._ring):
            if sent.event.type == "message" and sent.event.object == message_id:
                known = msgspec.json.decode(sent.event.body)
                body = {**known, **BLANK} if "contents" in known else known
                event = msgspec.structs.replace(sent.event, body=Raw(msgspec.json.encode(body)))
                self._ring[at] = replace(sent, event=event, frame=event_frame(event))

    # ---- what is not in the log

    def control(self, message: Control) -> None:
        """A control message of any node."""
        if isinstance(message, Typing):
            self._typing(message)
        elif isinstance(message, PresenceChanged):
            self._presence(message)
        elif isinstance(message, MarkMoved):
            self._mark(message)
        elif isinstance(message, SessionEnded):
            self._end_session(message.session_id, list(self._connections))

    def _typing(self, message: Typing) -> None:
        data = {"channel_id": str(message.channel_id), "user_id": str(message.user_id), "state": message.state}
        key = ("typing", message.channel_id, message.user_id)
        self._send_ephemeral(self._company(message.user_id, [message.channel_id]), key, control_frame("typing", data))

    def _presence(self, message: PresenceChanged) -> None:
        others = self._company(message.user_id, message.channels)
        data = {"user_id": str(message.user_id), **msgspec.structs.asdict(message.presence)}
        self._send_ephemeral(others, ("presence", message.user_id), control_frame("presence", data))

    def _company(self, user: int, channels: Iterable[int]) -> set[int]:
        """The others in these channels, crowds left out."""
        members = (self._members.get(channel, set()) for channel in channels)
        return {other for each in members if len(each) <= self._crowd for other in each} - {user}

    def _send_ephemeral(self, users: Iterable[int], key: tuple[object, ...], frame: str) -> None:
        connections = [connection for user in users for connection in self._people[user].connections]
        self._frames_out[str(key[0])] += len(connections)
        for connection in connections:
            connection.outbox.put_ephemeral(key, frame)

    def _mark(self, message: MarkMoved) -> None:
        person = self._people.get(message.user_id)
        if person is None:
            return
        data = {
            "channel_id": str(message.channel_id),
            "unread": message.unread,
            "mentions": message.mentions,
            "last_read_id": str(message.last_read_id),
        }
        frame = control_frame("unread", data)
        self._frames_out["unread"] += len(person.connections)
        for connection in person.connections:
            connection.outbox.put(frame)


BLANK: dict[str, Any] = {"contents": None, "mentions": [], "channels": [], "attachments": [], "preview": None}
"""What was said, of a message that was taken back."""


def is_talk(event: Event) -> bool:
    """Whether it goes to a channel's members alike and changes nobody's view of it, as nearly everything does."""
    return event.channel != 0 and event.recipient == 0 and event.type != "channel"


def is_joining(event: Event, user: int) -> bool:
    """Whether somebody comes into a channel by it."""
    return event.recipient == user and event.type == "member" and event.event == "joined" and event.channel != 0
