"""Who may see what, as api.md says it, kept in dictionaries beside the real thing: simple enough to be checked by eye."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

FULL, ADMIN = {"owner", "admin", "member"}, {"owner", "admin"}


@dataclass(eq=False)
class Organisation:
    """`told`: words of names that its members, guests aside, were told of in its events at any time; `acts`: those that are in the record
    of its acts, for its admins."""

    id: str
    words: set[str]
    roles: dict[int, str] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    acts: set[str] = field(default_factory=set)
    removed: bool = False


@dataclass(eq=False)
class Team:
    id: str
    place: Organisation
    words: set[str]
    members: set[int]
    removed: bool = False


@dataclass(eq=False)
class File:
    """A word in its name, and one that is all its bytes."""

    id: str
    name: str
    body: str


@dataclass(eq=False)
class Message:
    """`words`: of all its versions and files; `calls`: whom it mentions, and who has not parted since."""

    id: int
    author: int
    words: set[str]
    text: str
    reply_to: int | None = None
    calls: set[int] = field(default_factory=set)
    files: list[File] = field(default_factory=list)
    removed: bool = False

    @property
    def found_by(self) -> str:
        """What a search looks into."""
        return " ".join([self.text, *(file.name for file in self.files)])


@dataclass(eq=False)
class Channel:
    """`words`: of all its names and topics; `marks`: up to where its members have read it; `last`: the newest id that was ever in it."""

    id: str
    place: Organisation
    type: str
    words: set[str]
    teams: set[Team]
    marks: dict[int, int] = field(default_factory=dict)
    messages: dict[int, Message] = field(default_factory=dict)
    last: int = 0
    removed: bool = False
    merged: Channel | None = None

    def there(self) -> Channel | None:
        """The channel as which it is read and written, if it is there."""
        target = self
        while target.merged is not None:
            target = target.merged
        return None if target.removed else target

    def living(self) -> list[Message]:
        return [message for _, message in sorted(self.messages.items()) if not message.removed]


@dataclass
class Oracle:
    """Everything that there is, or was. People are user ids."""

    people: dict[int, str]  # the word in their name
    administrators: set[int]  # of the server
    places: list[Organisation] = field(default_factory=list)
    teams: list[Team] = field(default_factory=list)
    channels: list[Channel] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    suspended: set[int] = field(default_factory=set)

    # ---- who sees what

    def sees_place(self, who: int, place: Organisation) -> bool:
        return not place.removed and (who in place.roles or who in self.administrators)

    def administers(self, who: int, place: Organisation) -> bool:
        return not place.removed and (place.roles.get(who) in ADMIN or who in self.administrators)

    def sees_team(self, who: int, team: Team) -> bool:
        return not team.removed and team.place.roles.get(who) in FULL

    def sees_channel(self, who: int, channel: Channel) -> bool:
        """Members; of public ones also the organisation's admins, and its members, where it has no teams or one that they are in."""
        if channel.removed or channel.merged is not None:
            return False
        role = channel.place.roles.get(who)
        among = not channel.teams or any(who in team.members for team in channel.teams)
        return who in channel.marks or (channel.type == "public" and (role in ADMIN or (role == "member" and among)))

    def sees_person(self, who: int, other: int) -> bool:
        return (
            who == other
            or who in self.administrators
            or any({who, other} <= place.roles.keys() for place in self.places if not place.removed)
        )

    def place_of(self, message: Message) -> Channel | None:
        """Where a message is, if it is there."""
        return next((each for each in self.channels if message.id in each.messages and not each.removed and not message.removed), None)

    def unread(self, who: int, channel: Channel) -> tuple[int, int]:
        """How many messages, and how many mentions; nothing for who is not in it."""
        if who not in channel.marks:
            return 0, 0
        later = [message for message in channel.living() if message.id > channel.marks[who]]
        return sum(message.author != who for message in later), sum(who in message.calls for message in later)

    def words(self, who: int) -> set[str]:
        """All words that somebody may come upon now."""
        found = {word for other, word in self.people.items() if self.sees_person(who, other)}
        for place in self.places:
            found |= place.words if self.sees_place(who, place) else set()
            found |= place.told if place.roles.get(who) in FULL or self.administers(who, place) else set()
            found |= place.acts if self.administers(who, place) else set()
        for channel in self.channels:
            if self.sees_channel(who, channel):
                found |= channel.words.union(*(message.words for message in channel.living()))
        return found

    # ---- what happens

    def part(self, channel: Channel, people: Iterable[int]) -> None:
        for who in list(people):
            channel.marks.pop(who, None)
            for message in channel.messages.values():
                message.calls.discard(who)

    def here(self, place: Organisation) -> Iterator[Channel]:
        yield from (channel for channel in self.channels if channel.place is place and not channel.removed)

    def expel(self, place: Organisation, who: int) -> None:
        for channel in self.here(place):
            self.part(channel, [who])
        self.give_role(place, who, "guest")
        del place.roles[who]

    def give_role(self, place: Organisation, who: int, role: str) -> None:
        place.roles[who] = role
        if role == "guest":
            for team in self.teams:
                if team.place is place:
                    team.members.discard(who)

    def remove_place(self, place: Organisation) -> None:
        for channel in self.here(place):
            channel.removed = True
        for team in self.teams:
            team.removed |= team.place is place
        place.removed = True
        place.roles.clear()

    def remove_team(self, team: Team) -> None:
        team.removed = True
        for channel in self.channels:
            channel.teams.discard(team)

    def move(self, channel: Channel, place: Organisation, teams: set[Team]) -> None:
        if channel.place is not place:
            self.part(channel, [who for who in channel.marks if who not in place.roles])
        channel.place, channel.teams = place, teams
        place.acts |= channel.words if channel.type == "public" else set()

    def move_team(self, team: Team, place: Organisation) -> None:
        team.place, team.members = place, {who for who in team.members if place.roles.get(who) in FULL}
        place.told |= team.words
        for channel in self.channels:
            if team in channel.teams and not channel.removed:
                self.move(channel, place, {team})

    def merge_teams(self, into: Team, other: Team) -> None:
        into.members |= other.members
        other.members = set()
        for channel in self.channels:
            if other in channel.teams:
                channel.teams = channel.teams - {other} | {into}

    def merge(self, into: Channel, other: Channel) -> None:
        """Unread in either is unread in the one, with what was said since in the other; who was in one alone has read the other."""
        first = {who: self._first_unread(who, [into, other]) for who in {*into.marks, *other.marks}}
        into.messages |= other.messages
        into.words |= other.words
        into.last = max(into.messages, default=0)
        into.marks = {who: into.last if id_ is None else id_ - 1 for who, id_ in first.items()}
        other.messages, other.marks, other.teams, other.merged = {}, {}, set(), into

    def _first_unread(self, who: int, channels: list[Channel]) -> int | None:
        later = [
            message.id
            for channel in channels if who in channel.marks
            for message in channel.living() if message.id > channel.marks[who] and message.author != who
        ]  # fmt: skip
        return min(later, default=None)
