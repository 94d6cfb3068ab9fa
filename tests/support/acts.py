"""What people do, each act told to the oracle beside once the server has answered. People are numbers here, user ids in the oracle."""

from __future__ import annotations

from typing import Any

from tests.support.borders import ROLES, Answer, Borders
from tests.support.oracle import Channel, File, Message, Oracle, Organisation, Team


class Acts:
    """See the module."""

    b: Borders
    o: Oracle
    ids: list[int]

    async def make_place(self, name: str) -> None:
        place = await self.new_place(0)
        await self.b.told()
        for number, role in ROLES[name].items():
            await self.invite(0, place, number, role)
        await self.expel(0, place, 0)

    async def furnish(self, place: Organisation, owner: int, member: int, guest: int) -> None:
        """Let a place have a team, channels of each kind, and something said in them."""
        both, everybody = {self.me(owner), self.me(member)}, {self.me(owner), self.me(member), self.me(guest)}
        await self.make_team(owner, place, both)
        team, first = self.o.teams[-1], len(self.o.channels)
        for who, type_, its, members in [
            (member, "public", None, everybody), (member, "public", team, both), (owner, "public", team, set()),
            (member, "private", None, everybody), (owner, "private", team, both), (member, "private", None, set()),
            (owner, "direct", None, both), (guest, "direct", None, {self.me(member)}),
        ]:  # fmt: skip
            await self.make_channel(who, place, type_, its, members)
            await self.say(who, self.o.channels[-1], member, None)
        assert len(self.o.channels) == first + 8
        await self.b.told()

    # ---- drawing

    def me(self, number: int) -> int:
        return self.ids[number]

    def name(self) -> tuple[str, str]:
        """A name, and the word in it."""
        word = self.b.word()
        return f"name {word}", word

    async def ask(self, who: int, method: str, path: str, **params: Any) -> Answer:
        return await self.b.ask(who, method, path, **params)

    # ---- organisations

    async def new_place(self, who: int) -> Any:
        name, word = self.name()
        answer = await self.ask(who, "POST", "/organisation/edit", name=name)
        if answer.error is None:
            place = Organisation(answer.response["id"], {word}, {self.me(who): "owner"}, {word})
            self.o.places.append(place)
            return place
        return None

    async def invite(self, who: int, place: Organisation, whom: int, role: str) -> None:
        answer = await self.ask(who, "POST", "/organisation/invite", id=place.id, user_id=str(self.me(whom)), role=role)
        if answer.error is None:
            place.roles.setdefault(self.me(whom), role)

    async def role(self, who: int, place: Organisation, whom: int, role: str) -> None:
        answer = await self.ask(who, "POST", "/organisation/role", id=place.id, user_id=str(self.me(whom)), role=role)
        if answer.error is None:
            self.o.give_role(place, self.me(whom), role)

    async def expel(self, who: int, place: Organisation, whom: int) -> None:
        answer = await self.ask(who, "DELETE", "/organisation/expel", id=place.id, user_id=str(self.me(whom)))
        if answer.error is None:
            self.o.expel(place, self.me(whom))

    async def rename_place(self, who: int, place: Organisation) -> None:
        name, word = self.name()
        if (await self.ask(who, "POST", "/organisation/edit", id=place.id, name=name)).error is None:
            place.words = {word}
            place.told.add(word)

    async def end_place(self, who: int, place: Organisation, verb: str) -> None:
        method = "DELETE" if verb == "remove" else "POST"
        if (await self.ask(who, method, f"/organisation/{verb}", id=place.id)).error is None and verb == "remove":
            self.o.remove_place(place)

    # ---- teams

    async def make_team(self, who: int, place: Organisation, members: set[int]) -> None:
        name, word = self.name()
        answer = await self.ask(who, "POST", "/team/edit", name=name, organisation_id=place.id, members=sorted(members))
        if answer.error is None:
            self.o.teams.append(Team(answer.response["id"], place, {word}, members))
            place.told.add(word)

    async def change_team(self, who: int, team: Team, members: set[int]) -> None:
        name, word = self.name()
        if (await self.ask(who, "POST", "/team/edit", id=team.id, name=name, members=sorted(members))).error is None:
            team.words, team.members = {*team.words, word}, members
            team.place.told.add(word)

    async def end_team(self, who: int, team: Team, verb: str) -> None:
        answer = await self.ask(who, "DELETE" if verb == "remove" else "POST", f"/team/{verb}", id=team.id)
        if answer.error is None and verb == "remove":
            self.o.remove_team(team)

    async def merge_teams(self, who: int, into: Team, other: Team) -> None:
        if (await self.ask(who, "POST", "/team/merge", destination=into.id, source=other.id)).error is None:
            self.o.merge_teams(into, other)

    async def move_team(self, who: int, team: Team, place: Organisation) -> None:
        if (await self.ask(who, "POST", "/team/move", id=team.id, organisation_id=place.id)).error is None:
            self.o.move_team(team, place)

    # ---- channels

    async def learn(self, who: int, channel: Channel, *words: str) -> None:
        """Take note of what tells of the channel's changes: its CREATE, RENAME and TOPIC messages."""
        listed = await self.ask(who, "GET", "/message/read", channel_id=channel.id, limit=200)
        new = [each for each in listed.response if int(each["id"]) not in channel.messages]
        assert {each["contents"] for each in new} == set(words), (words, new)
        for each in new:
            assert each["type"] in ("CREATE", "RENAME", "TOPIC")
            self.add(channel, Message(int(each["id"]), self.me(who), set(words), each["contents"]))

    def add(self, channel: Channel, message: Message) -> None:
        channel.messages[message.id] = message
        channel.last = max(channel.last, message.id)
        self.o.messages.append(message)

    async def make_channel(self, who: int, place: Organisation, type_: str, team: Team | None, members: set[int]) -> None:
        name, word = self.name()
        others = sorted(members - {self.me(who)})[: 1 if type_ == "direct" else None]
        fields: dict[str, Any] = {"team_id": team.id} if team is not None and type_ != "direct" else {}
        answer = await self.ask(
            who, "POST", "/channel/edit", name=name, topic="", type=type_, organisation_id=place.id, members=others, **fields
        )
        if answer.error is not None or any(each.id == answer.response["id"] for each in self.o.channels):
            return
        channel = Channel(
            answer.response["id"], team.place if fields and team else place, type_, set(), {team} if fields and team else set()
        )
        self.o.channels.append(channel)
        if type_ != "direct":
            channel.words.add(word)
            await self.learn(who, channel, name)
        channel.marks = dict.fromkeys([self.me(who), *others], channel.last)
        channel.marks[self.me(who)] = 0
        channel.place.acts |= channel.words if type_ == "public" else set()

    async def change_channel(self, who: int, channel: Channel) -> None:
        (name, word), (topic, second) = self.name(), self.name()
        if (await self.ask(who, "POST", "/channel/edit", id=channel.id, name=name, topic=topic)).error is None:
            target = channel.there()
            assert target is not None
            target.words |= {word, second}
            target.place.acts |= target.words if target.type == "public" else set()
            await self.learn(who, target, name, topic)

    async def in_channel(self, who: int, channel: Channel, verb: str, whom: int) -> None:
        """Coming, going, archiving, removing."""
        more = {"user_id": str(self.me(whom))} if verb in ("invite", "kick") else {}
        answer = await self.ask(who, "DELETE" if verb == "remove" else "POST", f"/channel/{verb}", id=channel.id, **more)
        target = channel.there()
        if answer.error is not None:
            return
        assert target is not None
        assert self.o.sees_channel(self.me(who), target), f"{verb} in {channel.id} by {who}"
        match verb:
            case "join":
                target.marks.setdefault(self.me(who), target.last)
            case "invite":
                target.marks.setdefault(self.me(whom), target.last)
            case "part" | "kick":
                self.o.part(target, [self.me(who if verb == "part" else whom)])
            case "view":
                target.marks[self.me(who)] = target.last
            case "remove":
                target.removed = True

    async def place_channel(self, who: int, channel: Channel, team: Team | None, place: Organisation, verb: str) -> None:
        """To teams, from teams, to organisations."""
        if verb == "move" and (team is None or len(team.id) % 2):
            team, params = None, {"organisation_id": place.id}
        elif team is None:
            return
        else:
            params = {"team_id": team.id}
        target = channel.there()
        if (await self.ask(who, "POST", f"/channel/{verb}", id=channel.id, **params)).error is not None:
            return
        assert target is not None
        if verb == "share" and team is not None:
            target.teams = target.teams | {team}
        elif verb == "unshare":
            target.teams = {each for each in target.teams if each is not team}
        else:
            into = team.place if team is not None else place
            self.o.move(target, into, {team} if team is not None else (target.teams if into is target.place else set()))

    async def merge(self, who: int, into: Channel, other: Channel) -> None:
        first, second = into.there(), other.there()
        if (await self.ask(who, "POST", "/channel/merge", destination=into.id, source=other.id)).error is None:
            assert first is not None
            assert second is not None
            self.o.merge(first, second)

    # ---- messages

    async def say(self, who: int, channel: Channel, whom: int, reply_to: Message | None) -> None:
        word = self.b.word()
        text = f"text {word} @p{whom}"
        fields = {} if reply_to is None else {"reply_to": str(reply_to.id)}
        answer = await self.ask(who, "POST", "/message/edit", channel_id=channel.id, contents=text, **fields)
        target = channel.there()
        if answer.error is None:
            assert target is not None
            assert self.me(who) in target.marks
            calls = {self.me(whom)} & target.marks.keys() - {self.me(who)}
            self.add(target, Message(int(answer.response["id"]), self.me(who), {word}, text, calls=calls))

    async def with_message(self, who: int, message: Message, verb: str, whom: int) -> None:
        word = self.b.word()
        text = f"text {word} @p{whom}"
        channel = self.o.place_of(message)
        seen = channel is not None and self.o.sees_channel(self.me(who), channel)
        more = {"edit": {"contents": text}, "react": {"emoji": "+1"}, "unreact": {"emoji": "+1"}}.get(verb, {})
        answer = await self.ask(who, "DELETE" if verb == "remove" else "POST", f"/message/{verb}", id=str(message.id), **more)
        assert seen or (answer.error is not None and answer.error["code"] == "not_found"), (verb, answer)
        if answer.error is None and channel is not None:
            if verb == "remove":
                message.removed = True
            elif verb == "edit":
                message.words, message.text = {*message.words, word}, text
                message.calls = {self.me(whom)} & channel.marks.keys() - {message.author}

    async def send(self, who: int, channel: Channel) -> None:
        """A file, posted to a channel."""
        (name, word), body = self.name(), self.b.word()
        answer = await self.b.send(who, name, body, channel_id=channel.id)
        target = channel.there()
        if answer.error is None:
            assert target is not None
            assert self.me(who) in target.marks
            made = answer.response
            file = File(made["attachments"][0]["id"], word, body)
            self.add(target, Message(int(made["id"]), self.me(who), {word, body}, "", files=[file]))

    async def attach(self, who: int, message: Message) -> None:
        """One more file, on a message."""
        (name, word), body = self.name(), self.b.word()
        channel = self.o.place_of(message)
        answer = await self.b.send(who, name, body, message_id=str(message.id))
        if answer.error is None:
            assert channel is not None
            assert self.o.sees_channel(self.me(who), channel)
            message.files.append(File(answer.response["attachments"][-1]["id"], word, body))
            message.words |= {word, body}

    # ---- sockets and accounts
