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
from tests.support.acts import Acts
from tests.support.borders import Borders, hidden, signed_in
from tests.support.oracle import Channel, Oracle, Organisation, Team

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


class Model(Acts, RuleBasedStateMachine):
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
        oracle = Oracle({user_id: f"w{number:05}q" for number, user_id in enumerate(self.ids)}, {self.me(0)})
        self.b = b = Borders(node, Faces(node, await node.log.head()), actors, secrets, oracle, count=PEOPLE)
        b.epoch = (await node.log.head()).epoch
        self.o = oracle
        home = Organisation((await b.ask(0, "GET", "/user/me")).response["organisation_id"], set())
        oracle.places.append(home)
        home.acts = set(oracle.people.values())  # everybody was made here
        home.roles = dict.fromkeys(self.ids, "member") | {self.me(0): "owner"}
        for name in ("A", "B"):
            await self.make_place(name)
        for number in range(1, 10):
            await self.expel(0, home, number)
        await self.role(0, home, 11, "guest")
        await b.told()
        for place, owner, member, guest in zip(oracle.places, (0, 1, 6), (10, 3, 8), (11, 5, 9), strict=True):
            await self.furnish(place, owner, member, guest)
        for number in range(PEOPLE):
            await b.connect(number)
        await b.told()

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

    def pick(self, things: list[Any], which: int) -> Any:
        return things[which % len(things)] if things else None

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

    # ---- organisations

    @rule(who=WHO, which=WHICH, whom=WHO, role=st.sampled_from(["member", "guest", "admin", "owner"]), look=WHO)
    def people_come(self, who: int, which: int, whom: int, role: str, look: int) -> None:
        place = self.pick(self.o.places, which)
        who = self.admin(who, place)
        self.do(self.invite(who, place, whom, role), who, whom if which % 2 else look)

    @rule(who=WHO, which=WHICH, whom=WHO, role=st.sampled_from(["member", "guest", "admin", "owner"]), look=WHO)
    def roles_change(self, who: int, which: int, whom: int, role: str, look: int) -> None:
        place = self.pick(self.o.places, which)
        who, whom = self.admin(who, place), self.likely(whom, place.roles)
        self.do(self.role(who, place, whom, role), who, whom if which % 2 else look)

    @rule(who=WHO, which=WHICH, whom=WHO, look=WHO)
    def people_go(self, who: int, which: int, whom: int, look: int) -> None:
        place = self.pick(self.o.places, which)
        who, whom = self.admin(who, place), self.likely(whom, place.roles)
        self.do(self.expel(who, place, whom), who, whom if which % 2 else look)

    @rule(
        who=WHO,
        which=WHICH,
        look=WHO,
        verb=st.sampled_from(["archive", "unarchive", "unarchive", "unarchive", "rename", "rename", "rename", "remove"]),
    )
    def organisations_change(self, who: int, which: int, look: int, verb: str) -> None:
        place = self.pick(self.o.places, which)
        who = self.admin(who, place)
        self.do(self.rename_place(who, place) if verb == "rename" else self.end_place(who, place, verb), who, look)

    # ---- teams

    def some_of(self, place: Organisation, which: int) -> set[int]:
        full = sorted(who for who, role in place.roles.items() if role != "guest")
        return {who for number, who in enumerate(full) if which >> number & 1}

    @rule(who=WHO, which=WHICH, members=WHICH, look=WHO)
    def teams_are_made(self, who: int, which: int, members: int, look: int) -> None:
        place = self.pick(self.o.places, which)
        who = self.admin(who, place)
        self.do(self.make_team(who, place, self.some_of(place, members)), who, look)

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
                act = self.change_team(who, team, self.some_of(team.place, other))
            case "move":
                act = self.move_team(who, team, self.pick(self.o.places, other))
            case "merge":
                act = self.merge_teams(who, team, self.pick(self.o.teams, other))
            case _:
                act = self.end_team(who, team, verb)
        self.do(act, who, look)

    # ---- channels

    @rule(who=WHO, which=WHICH, team=WHICH, members=WHICH, type_=TYPES, look=WHO)
    def channels_are_made(self, who: int, which: int, team: int, members: int, type_: str, look: int) -> None:
        place = self.pick(self.o.places, which)
        who = self.likely(who, place.roles)
        teams: list[Team | None] = [None, None, *(each for each in self.o.teams if each.place is place)]
        people = {each for number, each in enumerate(sorted(place.roles)) if members >> number & 1}
        self.do(self.make_channel(who, place, type_, self.pick(teams, team), people), who, look)

    @precondition(lambda self: self.o.channels)
    @rule(
        who=WHO, which=WHICH, whom=WHO, look=WHO,
        verb=st.sampled_from(["join", "join", "part", "invite", "invite", "kick", "view", "archive", "unarchive", "remove", "edit"]),
    )  # fmt: skip
    def people_use_channels(self, who: int, which: int, whom: int, look: int, verb: str) -> None:
        channel = self.pick(self.o.channels, which)
        who, whom = self.manager(who, channel), self.likely(whom, channel.place.roles)
        self.do(self.change_channel(who, channel) if verb == "edit" else self.in_channel(who, channel, verb, whom), who, look)

    @precondition(lambda self: self.o.channels)
    @rule(who=WHO, which=WHICH, team=WHICH, place=WHICH, other=WHICH, look=WHO, verb=st.sampled_from(["move", "share", "unshare", "merge"]))
    def channels_move(self, who: int, which: int, team: int, place: int, other: int, look: int, verb: str) -> None:
        channel = self.pick(self.o.channels, which)
        who = self.manager(who, channel)
        alike = [each for each in self.o.channels if (each.place, each.type) == (channel.place, channel.type)]
        if verb == "merge":
            self.do(self.merge(who, channel, self.pick(alike if other % 4 else self.o.channels, other)), who, look)
        else:
            self.do(self.place_channel(who, channel, self.pick(self.o.teams, team), self.pick(self.o.places, place), verb), who, look)

    # ---- messages

    @precondition(lambda self: self.o.channels)
    @rule(who=WHO, which=WHICH, whom=WHO, reply=WHICH, look=WHO)
    def people_talk(self, who: int, which: int, whom: int, reply: int, look: int) -> None:
        channel = self.pick(self.o.channels, which)
        who, whom = self.likely(who, channel.marks), self.likely(whom, channel.marks)
        replied = self.pick([None, None, *channel.living()], reply) if reply % 7 else self.pick(self.o.messages, reply)
        self.do(self.say(who, channel, whom, replied), who, look)

    @precondition(lambda self: self.o.messages)
    @rule(
        who=WHO, which=WHICH, whom=WHO, look=WHO, own=st.booleans(),
        verb=st.sampled_from(["edit", "edit", "remove", "pin", "unpin", "flag", "unflag", "react", "unreact"]),
    )  # fmt: skip
    def messages_change(self, who: int, which: int, whom: int, look: int, verb: str, *, own: bool) -> None:
        message = self.pick(self.o.messages, which)
        channel = self.o.place_of(message)
        who = self.likely(who, [message.author] if own else () if channel is None else channel.marks)
        self.do(self.with_message(who, message, verb, whom), who, look)

    @precondition(lambda self: self.o.channels)
    @rule(who=WHO, which=WHICH, look=WHO)
    def people_send_files(self, who: int, which: int, look: int) -> None:
        channel = self.pick(self.o.channels, which)
        self.do(self.send(self.likely(who, channel.marks), channel), who, look)

    @precondition(lambda self: self.o.messages)
    @rule(who=WHO, which=WHICH, look=WHO)
    def files_are_attached(self, who: int, which: int, look: int) -> None:
        message = self.pick(self.o.messages, which)
        who = self.likely(who, [message.author])
        self.do(self.attach(who, message), who, look)

    @precondition(lambda self: any(each.files for each in self.o.messages))
    @rule(who=WHO, which=WHICH, look=WHO)
    def people_look_for_files(self, who: int, which: int, look: int) -> None:
        self.do(self.b.look_for(who, self.pick([each for each in self.o.messages if each.files], which)), who, look)

    @precondition(lambda self: self.o.messages)
    @rule(who=WHO, which=WHICH, look=WHO)
    def people_search(self, who: int, which: int, look: int) -> None:
        self.do(self.b.look_for(who, self.pick(self.o.messages, which)), who, look)

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
