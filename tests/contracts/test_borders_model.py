"""Nobody comes upon what is not theirs to see, whatever happens: random acts of twelve people, each told to a plain oracle beside.

After every act somebody reads all that they can: lists, pages, counts, searches, errors. What they are shown must be what the oracle says,
and no word may reach anybody, by any answer or socket, that stands for something that they do not see.

CRUST_TEST_MODEL_RUNS=1000 make test TESTS=tests/contracts/test_borders_model.py      # the long run, with another seed each time
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from crust.runtime import Faces, opened
from crust.services.actor import Actor
from crust.settings import Limits, Settings
from tests.contracts.conftest import CHEAP
from tests.support.borders import ROLES, Answer, Borders, hidden, signed_in
from tests.support.oracle import Channel, Message, Oracle, Organisation, Team

RUNS = int(os.environ.get("CRUST_TEST_MODEL_RUNS", "0"))
SHRINK = "CRUST_TEST_MODEL_SHRINK" in os.environ  # a failure is made as short as can be, which takes minutes
USUAL_RUNS, STEPS = 12, 40
PEOPLE = 12
WHO = st.integers(0, PEOPLE - 1)
WHICH = st.integers(0, 9999)
TYPES = st.sampled_from(["public", "public", "private", "direct"])


def of(folder: Path) -> Settings:
    return Settings(data_dir=folder / "data", passwords=CHEAP, limits=Limits(enabled=False))


async def begun(folder: Path) -> list[tuple[Actor, str]]:
    """Twelve people on an empty server, with the secrets of their sessions."""
    async with opened(of(folder)) as node:
        people = []
        for number in range(PEOPLE):
            made = await node.core.accounts.add(f"p{number}", password=None, name=f"P w{number:05}q", is_admin=number == 0)
            people.append(await signed_in(node, Actor(int(made.id), f"p{number}", 0, "", number == 0)))
        return people


class Model(RuleBasedStateMachine):
    """See the module. What a rule aims at is drawn by number among all that there is, or was."""

    template: Path
    people: list[tuple[Actor, str]]

    def __init__(self) -> None:
        super().__init__()
        self._runner, self._stack = asyncio.Runner(), AsyncExitStack()
        self._folder = Path(tempfile.mkdtemp(prefix="crust-model-", dir=self.template))
        shutil.copytree(self.template / "empty", self._folder, dirs_exist_ok=True)
        try:
            self._runner.run(self._open())
        except BaseException:
            self._runner.run(self._stack.aclose())
            self._runner.close()
            raise

    async def _open(self) -> None:
        node = await self._stack.enter_async_context(opened(of(self._folder)))
        actors, secrets = [actor for actor, _ in self.people], [secret for _, secret in self.people]
        self.ids = [actor.user_id for actor in actors]
        oracle = Oracle({user_id: f"w{number:05}q" for number, user_id in enumerate(self.ids)})
        self.b = b = Borders(node, Faces(node, await node.log.head()), actors, secrets, oracle, count=PEOPLE)
        b.epoch = (await node.log.head()).epoch
        self.o = oracle
        home = Organisation((await b.ask(0, "GET", "/user/me")).response["organisation_id"], set())
        oracle.places.append(home)
        home.acts = set(oracle.people.values())  # everybody was made here
        home.roles = dict.fromkeys(self.ids, "member") | {self.me(0): "owner"}
        for name in ("A", "B"):
            await self._make_place(name)
        for number in range(1, 10):
            await self._expel(0, home, number)
        await self._role(0, home, 11, "guest")
        await b.told()
        for place, owner, member, guest in zip(oracle.places, (0, 1, 6), (10, 3, 8), (11, 5, 9), strict=True):
            await self._furnish(place, owner, member, guest)
        for number in range(PEOPLE):
            await b.connect(number)
        await b.told()

    async def _make_place(self, name: str) -> None:
        place = await self._new_place(0)
        await self.b.told()
        for number, role in ROLES[name].items():
            await self._invite(0, place, number, role)
        await self._expel(0, place, 0)

    async def _furnish(self, place: Organisation, owner: int, member: int, guest: int) -> None:
        """Let a place have a team, channels of each kind, and something said in them."""
        both, everybody = {self.me(owner), self.me(member)}, {self.me(owner), self.me(member), self.me(guest)}
        await self._make_team(owner, place, both)
        team, first = self.o.teams[-1], len(self.o.channels)
        for who, type_, its, members in [
            (member, "public", None, everybody), (member, "public", team, both), (owner, "public", team, set()),
            (member, "private", None, everybody), (owner, "private", team, both), (member, "private", None, set()),
            (owner, "direct", None, both), (guest, "direct", None, {self.me(member)}),
        ]:  # fmt: skip
            await self._make_channel(who, place, type_, its, members)
            await self._say(who, self.o.channels[-1], member, None)
        assert len(self.o.channels) == first + 8
        await self.b.told()

    def teardown(self) -> None:
        async def end() -> None:
            try:
                for number in range(PEOPLE):
                    if self.me(number) not in self.o.suspended:
                        await self.b.look(number)
            finally:
                await self.b.close()
                await self._stack.aclose()

        try:
            self._runner.run(end())
        finally:
            self._runner.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    # ---- drawing

    def me(self, number: int) -> int:
        return self.ids[number]

    def pick(self, things: list[Any], which: int) -> Any:
        return things[which % len(things)] if things else None

    def name(self) -> tuple[str, str]:
        """A name, and the word in it."""
        word = self.b.word()
        return f"name {word}", word

    def likely(self, who: int, people: Iterable[int]) -> int:
        """Somebody of these, mostly; else anybody."""
        able = [number for number, user_id in enumerate(self.ids) if user_id in set(people)]
        return who if who % 4 == 3 or not able else able[who % len(able)]

    def admin(self, who: int, place: Organisation) -> int:
        return self.likely(who, [each for each, role in place.roles.items() if role in ("owner", "admin")])

    def manager(self, who: int, channel: Channel) -> int:
        """Somebody who may be able to look after a channel."""
        admins = [each for each, role in channel.place.roles.items() if role in ("owner", "admin")] if channel.type == "public" else []
        return self.likely(who, [*channel.marks, *admins])

    def do(self, act: Any, who: int, look: int) -> None:
        """Carry out an act, unless who acts is suspended; then somebody looks at everything."""

        async def done() -> None:
            if self.me(who) not in self.o.suspended:
                await act
            else:
                act.close()
            await self.b.told()
            if self.me(look) not in self.o.suspended:
                await self.b.look(look)

        self._runner.run(done())

    async def ask(self, who: int, method: str, path: str, **params: Any) -> Answer:
        return await self.b.ask(who, method, path, **params)

    # ---- organisations

    async def _new_place(self, who: int) -> Any:
        name, word = self.name()
        answer = await self.ask(who, "POST", "/organisation/edit", name=name)
        if answer.error is None:
            place = Organisation(answer.response["id"], {word}, {self.me(who): "owner"}, {word})
            self.o.places.append(place)
            return place
        return None

    async def _invite(self, who: int, place: Organisation, whom: int, role: str) -> None:
        answer = await self.ask(who, "POST", "/organisation/invite", id=place.id, user_id=str(self.me(whom)), role=role)
        if answer.error is None:
            place.roles.setdefault(self.me(whom), role)

    async def _role(self, who: int, place: Organisation, whom: int, role: str) -> None:
        answer = await self.ask(who, "POST", "/organisation/role", id=place.id, user_id=str(self.me(whom)), role=role)
        if answer.error is None:
            self.o.give_role(place, self.me(whom), role)

    async def _expel(self, who: int, place: Organisation, whom: int) -> None:
        answer = await self.ask(who, "DELETE", "/organisation/expel", id=place.id, user_id=str(self.me(whom)))
        if answer.error is None:
            self.o.expel(place, self.me(whom))

    async def _rename_place(self, who: int, place: Organisation) -> None:
        name, word = self.name()
        if (await self.ask(who, "POST", "/organisation/edit", id=place.id, name=name)).error is None:
            place.words = {word}
            place.told.add(word)

    async def _end_place(self, who: int, place: Organisation, verb: str) -> None:
        method = "DELETE" if verb == "remove" else "POST"
        if (await self.ask(who, method, f"/organisation/{verb}", id=place.id)).error is None and verb == "remove":
            self.o.remove_place(place)

    @rule(who=WHO, which=WHICH, whom=WHO, role=st.sampled_from(["member", "guest", "admin", "owner"]), look=WHO)
    def people_come(self, who: int, which: int, whom: int, role: str, look: int) -> None:
        place = self.pick(self.o.places, which)
        who = self.admin(who, place)
        self.do(self._invite(who, place, whom, role), who, whom if which % 2 else look)

    @rule(who=WHO, which=WHICH, whom=WHO, role=st.sampled_from(["member", "guest", "admin", "owner"]), look=WHO)
    def roles_change(self, who: int, which: int, whom: int, role: str, look: int) -> None:
        place = self.pick(self.o.places, which)
        who, whom = self.admin(who, place), self.likely(whom, place.roles)
        self.do(self._role(who, place, whom, role), who, whom if which % 2 else look)

    @rule(who=WHO, which=WHICH, whom=WHO, look=WHO)
    def people_go(self, who: int, which: int, whom: int, look: int) -> None:
        place = self.pick(self.o.places, which)
        who, whom = self.admin(who, place), self.likely(whom, place.roles)
        self.do(self._expel(who, place, whom), who, whom if which % 2 else look)

    @rule(
        who=WHO,
        which=WHICH,
        look=WHO,
        verb=st.sampled_from(["archive", "unarchive", "unarchive", "unarchive", "rename", "rename", "rename", "remove"]),
    )
    def organisations_change(self, who: int, which: int, look: int, verb: str) -> None:
        place = self.pick(self.o.places, which)
        who = self.admin(who, place)
        self.do(self._rename_place(who, place) if verb == "rename" else self._end_place(who, place, verb), who, look)

    # ---- teams

    async def _make_team(self, who: int, place: Organisation, members: set[int]) -> None:
        name, word = self.name()
        answer = await self.ask(who, "POST", "/team/edit", name=name, organisation_id=place.id, members=sorted(members))
        if answer.error is None:
            self.o.teams.append(Team(answer.response["id"], place, {word}, members))
            place.told.add(word)

    async def _change_team(self, who: int, team: Team, members: set[int]) -> None:
        name, word = self.name()
        if (await self.ask(who, "POST", "/team/edit", id=team.id, name=name, members=sorted(members))).error is None:
            team.words, team.members = {*team.words, word}, members
            team.place.told.add(word)

    async def _end_team(self, who: int, team: Team, verb: str) -> None:
        answer = await self.ask(who, "DELETE" if verb == "remove" else "POST", f"/team/{verb}", id=team.id)
        if answer.error is None and verb == "remove":
            self.o.remove_team(team)

    async def _merge_teams(self, who: int, into: Team, other: Team) -> None:
        if (await self.ask(who, "POST", "/team/merge", destination=into.id, source=other.id)).error is None:
            self.o.merge_teams(into, other)

    async def _move_team(self, who: int, team: Team, place: Organisation) -> None:
        if (await self.ask(who, "POST", "/team/move", id=team.id, organisation_id=place.id)).error is None:
            self.o.move_team(team, place)

    def some_of(self, place: Organisation, which: int) -> set[int]:
        full = sorted(who for who, role in place.roles.items() if role != "guest")
        return {who for number, who in enumerate(full) if which >> number & 1}

    @rule(who=WHO, which=WHICH, members=WHICH, look=WHO)
    def teams_are_made(self, who: int, which: int, members: int, look: int) -> None:
        place = self.pick(self.o.places, which)
        who = self.admin(who, place)
        self.do(self._make_team(who, place, self.some_of(place, members)), who, look)

    @precondition(lambda self: self.o.teams)
    @rule(
        who=WHO,
        which=WHICH,
        other=WHICH,
        look=WHO,
        verb=st.sampled_from(["edit", "edit", "move", "merge", "archive", "unarchive", "remove"]),
    )
    def teams_change(self, who: int, which: int, other: int, look: int, verb: str) -> None:
        team = self.pick(self.o.teams, which)
        who = self.admin(who, team.place)
        match verb:
            case "edit":
                act = self._change_team(who, team, self.some_of(team.place, other))
            case "move":
                act = self._move_team(who, team, self.pick(self.o.places, other))
            case "merge":
                act = self._merge_teams(who, team, self.pick(self.o.teams, other))
            case _:
                act = self._end_team(who, team, verb)
        self.do(act, who, look)

    # ---- channels

    async def _learn(self, who: int, channel: Channel, *words: str) -> None:
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

    async def _make_channel(self, who: int, place: Organisation, type_: str, team: Team | None, members: set[int]) -> None:
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
            await self._learn(who, channel, name)
        channel.marks = dict.fromkeys([self.me(who), *others], channel.last)
        channel.marks[self.me(who)] = 0
        channel.place.acts |= channel.words if type_ == "public" else set()

    async def _change_channel(self, who: int, channel: Channel) -> None:
        (name, word), (topic, second) = self.name(), self.name()
        if (await self.ask(who, "POST", "/channel/edit", id=channel.id, name=name, topic=topic)).error is None:
            target = channel.there()
            assert target is not None
            target.words |= {word, second}
            target.place.acts |= target.words if target.type == "public" else set()
            await self._learn(who, target, name, topic)

    async def _in_channel(self, who: int, channel: Channel, verb: str, whom: int) -> None:
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

    async def _place_channel(self, who: int, channel: Channel, team: Team | None, place: Organisation, verb: str) -> None:
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

    async def _merge(self, who: int, into: Channel, other: Channel) -> None:
        first, second = into.there(), other.there()
        if (await self.ask(who, "POST", "/channel/merge", destination=into.id, source=other.id)).error is None:
            assert first is not None
            assert second is not None
            self.o.merge(first, second)

    @rule(who=WHO, which=WHICH, team=WHICH, members=WHICH, type_=TYPES, look=WHO)
    def channels_are_made(self, who: int, which: int, team: int, members: int, type_: str, look: int) -> None:
        place = self.pick(self.o.places, which)
        who = self.likely(who, place.roles)
        teams: list[Team | None] = [None, None, *(each for each in self.o.teams if each.place is place)]
        people = {each for number, each in enumerate(sorted(place.roles)) if members >> number & 1}
        self.do(self._make_channel(who, place, type_, self.pick(teams, team), people), who, look)

    @precondition(lambda self: self.o.channels)
    @rule(
        who=WHO, which=WHICH, whom=WHO, look=WHO,
        verb=st.sampled_from(["join", "join", "part", "invite", "invite", "kick", "view", "archive", "unarchive", "remove", "edit"]),
    )  # fmt: skip
    def people_use_channels(self, who: int, which: int, whom: int, look: int, verb: str) -> None:
        channel = self.pick(self.o.channels, which)
        who, whom = self.manager(who, channel), self.likely(whom, channel.place.roles)
        self.do(self._change_channel(who, channel) if verb == "edit" else self._in_channel(who, channel, verb, whom), who, look)

    @precondition(lambda self: self.o.channels)
    @rule(who=WHO, which=WHICH, team=WHICH, place=WHICH, other=WHICH, look=WHO, verb=st.sampled_from(["move", "share", "unshare", "merge"]))
    def channels_move(self, who: int, which: int, team: int, place: int, other: int, look: int, verb: str) -> None:
        channel = self.pick(self.o.channels, which)
        who = self.manager(who, channel)
        alike = [each for each in self.o.channels if (each.place, each.type) == (channel.place, channel.type)]
        if verb == "merge":
            self.do(self._merge(who, channel, self.pick(alike if other % 4 else self.o.channels, other)), who, look)
        else:
            self.do(self._place_channel(who, channel, self.pick(self.o.teams, team), self.pick(self.o.places, place), verb), who, look)

    # ---- messages

    async def _say(self, who: int, channel: Channel, whom: int, reply_to: Message | None) -> None:
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

    async def _with_message(self, who: int, message: Message, verb: str, whom: int) -> None:
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

    async def _look_for(self, who: int, message: Message) -> None:
        await self.b.look_for(who, message)

    @precondition(lambda self: self.o.channels)
    @rule(who=WHO, which=WHICH, whom=WHO, reply=WHICH, look=WHO)
    def people_talk(self, who: int, which: int, whom: int, reply: int, look: int) -> None:
        channel = self.pick(self.o.channels, which)
        who, whom = self.likely(who, channel.marks), self.likely(whom, channel.marks)
        replied = self.pick([None, None, *channel.living()], reply) if reply % 7 else self.pick(self.o.messages, reply)
        self.do(self._say(who, channel, whom, replied), who, look)

    @precondition(lambda self: self.o.messages)
    @rule(
        who=WHO, which=WHICH, whom=WHO, look=WHO, own=st.booleans(),
        verb=st.sampled_from(["edit", "edit", "remove", "pin", "unpin", "flag", "unflag", "react", "unreact"]),
    )  # fmt: skip
    def messages_change(self, who: int, which: int, whom: int, look: int, verb: str, *, own: bool) -> None:
        message = self.pick(self.o.messages, which)
        channel = self.o.place_of(message)
        who = self.likely(who, [message.author] if own else () if channel is None else channel.marks)
        self.do(self._with_message(who, message, verb, whom), who, look)

    @precondition(lambda self: self.o.messages)
    @rule(who=WHO, which=WHICH, look=WHO)
    def people_search(self, who: int, which: int, look: int) -> None:
        self.do(self._look_for(who, self.pick(self.o.messages, which)), who, look)

    @rule(who=WHO, which=WHICH)
    def people_try_what_they_do_not_see(self, who: int, which: int) -> None:
        async def tried() -> None:
            found = self.pick(hidden(self.o, self.me(who)), which)
            if found is not None:
                method, path, name, id_, more = found
                await self.b.same_error(who, method, path, name, id_, more)

        self.do(tried(), who, who)

    # ---- sockets and accounts

    @rule(who=WHO, resume=st.booleans())
    def sockets_come_back(self, who: int, *, resume: bool) -> None:
        self.do(self.b.connect(who, resume=resume), who, who)

    @rule(who=st.integers(1, PEOPLE - 1), look=WHO)
    def accounts_are_suspended_or_not(self, who: int, look: int) -> None:
        async def turned() -> None:
            name, me = f"p{who}", self.me(who)
            for place in self.o.places:  # it is an act, which names them
                place.acts |= {self.o.people[me]} if me in place.roles else set()
            if me in self.o.suspended:
                await self.b.node.core.profiles.unsuspend(name)
                self.o.suspended.discard(me)
                await self.b.let_in(who)
            else:
                await self.b.node.core.profiles.suspend(name)
                self.o.suspended.add(me)
                await self.b.cut_off(who)

        self.do(turned(), 0, look)


@pytest.mark.timeout(0 if RUNS else 300)
def test_nobody_comes_upon_what_is_not_theirs(tmp_path: Path) -> None:
    """In no answer, search, event, count or difference between errors."""
    Model.template = tmp_path
    (tmp_path / "empty").mkdir()
    Model.people = asyncio.run(begun(tmp_path / "empty"))
    run_state_machine_as_test(
        Model,
        settings=settings(
            max_examples=RUNS or USUAL_RUNS, stateful_step_count=STEPS, deadline=None, database=None, derandomize=not RUNS,
            suppress_health_check=list(HealthCheck), phases=[Phase.generate, *([Phase.shrink] if SHRINK else [])],
        ),
    )  # fmt: skip
