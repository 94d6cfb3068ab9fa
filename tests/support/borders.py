"""Twelve people of three organisations on a real node, with their sockets; all that anybody gets is searched for what is not theirs."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from crust.api.calls import Context, Registry
from crust.api.uploads import Upload
from crust.errors import CrustError
from crust.runtime import NOUNS, Faces, Node
from crust.services.actor import Actor
from crust.services.limits import TokenBuckets
from crust.ws.connection import Credentials, WebsocketConnection
from crust.ws.frame import Run, texts
from crust.ws.protocol import Close
from crust.ws.services import Services
from tests.support.files import read
from tests.support.oracle import Channel, File, Message, Oracle, Organisation

WORD = re.compile(r"w\d{5}q")
NOTHING = "4611686018427387904"  # an id that nothing has: its time is yet to come
SOON_S = 10.0
ROLES = {
    "Home": {0: "owner", 10: "member", 11: "guest"},
    "A": {1: "owner", 2: "admin", 3: "member", 4: "member", 5: "guest"},
    "B": {6: "owner", 7: "admin", 8: "member", 4: "member", 9: "guest"},
}  # fmt: skip
"""Who is where to begin with. Number 0 administers the server; number 4 is in two organisations."""


class Wire:
    """A socket without a network; `heard` is what came and was not looked at yet."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.heard: list[str] = []
        self.position: int | None = None
        self.pongs: set[str] = set()
        self.ready = False
        self.code: int | None = None

    async def receive(self) -> str | bytes:
        return await self.said.get()

    async def send(self, parts: Sequence[str | Run]) -> None:
        for text in texts(parts):
            self.heard.append(text)
            frame = json.loads(text)
            self.ready |= frame.get("type") == "ready"
            self.position = frame.get("position", self.position)
            self.position = frame["data"]["position"] if frame.get("type") == "hello" and self.position is None else self.position
            self.pongs.add(frame.get("reply_to", ""))

    async def close(self, code: int, reason: str) -> None:
        self.code = code

    def abort(self) -> None:
        self.code = 0

    def silence(self) -> float | None:
        return None


@dataclass
class Answer:
    """What a call gave: `error` is the inside of the envelope, or `body` was given."""

    body: bytes = b""
    error: dict[str, Any] | None = None

    @property
    def response(self) -> Any:
        return msgspec.json.decode(self.body)["response"]


@dataclass
class Borders:
    """See the module."""

    node: Node
    faces: Faces
    actors: list[Actor]
    secrets: list[str]
    oracle: Oracle
    wires: dict[int, Wire] = field(default_factory=dict)
    tasks: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    epoch: str = ""
    count: int = 0
    calls: int = 0
    may_know: dict[int, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        limiter = TokenBuckets.of(self.node.settings.limits, self.node.clock)
        self._registry = Registry(limiter)
        for noun in NOUNS:
            noun.register(self._registry, self.node.core)
        self._services = Services(self.node.settings, self.node.core, self.faces.hub, limiter, self._invoke)
        self._following = asyncio.create_task(self.faces.follow())

    async def _invoke(self, method: str, path: str, actor: Actor, params: Mapping[str, Any]) -> bytes:
        return await self._registry.frame(method, path, Context("r", client_id=actor.client_id, actor=actor), params)

    async def close(self) -> None:
        for task in [*self.tasks.values(), self._following]:
            task.cancel()
        await asyncio.gather(*self.tasks.values(), self._following, return_exceptions=True)

    # ---- words

    def word(self) -> str:
        """A new word, which stands for one secret."""
        self.count += 1
        return f"w{self.count:05}q"

    def search(self, who: int, text: str, allowed: set[str], where: str) -> None:
        """Look for words that are not meant for somebody."""
        leaked = set(WORD.findall(text)) - allowed
        assert not leaked, f"{self.actors[who].username} came upon {sorted(leaked)} by {where}: {text[:2000]}"

    # ---- calls

    async def ask(self, who: int, method: str, path: str, **params: Any) -> Answer:
        """Make a call; whatever comes of it is looked through when the act is told (`told`)."""
        self.calls += 1
        try:
            answer = Answer(await self._invoke(method, path, self.actors[who], params))
        except CrustError as error:
            answer = Answer(error=error.as_dict())
        return self._noted(who, path, answer)

    async def send(self, who: int, name: str, body: str, **where: str) -> Answer:
        """Send a file, as a body of its own."""

        async def chunks() -> AsyncIterator[bytes]:
            yield body.encode()

        return await self._over_http(
            who, "PUT", "/message/attach", Upload(None, {**where, "name": name}, chunks()), {**where, "name": name}
        )

    async def fetch(self, who: int, path: str, id_: str) -> Answer:
        """Read a file's bytes."""
        return await self._over_http(who, "GET", path, None, {"id": id_})

    async def _over_http(self, who: int, method: str, path: str, upload: Upload | None, params: dict[str, Any]) -> Answer:
        context = Context("r", client_id=self.actors[who].client_id, actor=self.actors[who], upload=upload)
        try:
            outcome = await self._registry.run(self._registry.find(method, path), context, params)
            answer = Answer(outcome.envelope if outcome.content is None else await read(outcome.content))
        except CrustError as error:
            answer = Answer(error=error.as_dict())
        return self._noted(who, path, answer)

    def _noted(self, who: int, path: str, answer: Answer) -> Answer:
        assert answer.error is None or answer.error["code"] not in ("internal", "unavailable"), answer
        self._heard.append((who, path, answer.body.decode() if answer.error is None else str(answer.error)))
        return answer

    _heard: list[tuple[int, str, str]] = field(default_factory=list)

    async def told(self) -> None:
        """An act is done, and the oracle knows of it: let all sockets be up to date, and look through all that anybody got."""
        before, self.may_know = self.may_know, {who: self.oracle.words(self.actors[who].user_id) for who in range(len(self.actors))}
        await self._up_to_date()
        for who, path, text in self._heard:
            self.search(who, text, self.may_know[who] | before.get(who, set()), path)
        self._heard.clear()
        for who, wire in self.wires.items():
            for text in wire.heard:
                self.search(who, text, self.may_know[who] | before.get(who, set()), "socket")
            wire.heard.clear()

    async def _up_to_date(self) -> None:
        await self.faces.hub.caught_up((await self.node.log.head()).position)
        self.calls += 1
        number = f"ping-{self.calls}"
        for wire in self.wires.values():
            wire.said.put_nowait(json.dumps({"id": number, "type": "ping", "data": {}}))
        async with asyncio.timeout(SOON_S):
            for who, wire in list(self.wires.items()):
                while number not in wire.pongs and not self.tasks[who].done():
                    await asyncio.sleep(0)

    # ---- sockets

    async def connect(self, who: int, *, resume: bool = False) -> None:
        """Open somebody's socket, anew or from where they were."""
        old = self.wires.get(who)
        await self.disconnect(who)
        place = (self.epoch, old.position) if resume and old is not None and old.position is not None else None
        wire = self.wires[who] = Wire()
        wire.position = place[1] if place else None
        credentials = Credentials(self.actors[who], self.secrets[who])
        self.tasks[who] = asyncio.create_task(WebsocketConnection(self._services, wire, credentials, place, lambda _: True).run())
        async with asyncio.timeout(SOON_S):
            while not wire.ready:
                assert not self.tasks[who].done(), (who, wire.code, wire.heard[-3:])
                await asyncio.sleep(0)

    async def disconnect(self, who: int) -> None:
        if task := self.tasks.pop(who, None):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self.wires.pop(who, None)

    async def let_in(self, who: int) -> None:
        """Give somebody another session, and a socket."""
        self.actors[who], self.secrets[who] = await signed_in(self.node, self.actors[who])
        await self.connect(who)

    async def cut_off(self, who: int) -> None:
        """Wait until the server has ended somebody's socket; from then on they hear nothing."""
        async with asyncio.timeout(SOON_S):
            while self.wires[who].code is None:
                await asyncio.sleep(0.001)
        assert self.wires[who].code == Close.SESSION_ENDED
        await self.disconnect(who)

    # ---- what is read

    async def look(self, who: int) -> None:
        """Everything that somebody can read, against what the oracle says that they see; nothing else, nothing less."""
        me, o = self.actors[who].user_id, self.oracle
        everywhere = {"everywhere": True} if me in o.administrators else {}
        assert await self._ids(who, "/organisation/search", **everywhere) == {each.id for each in o.places if o.sees_place(me, each)}
        people = await self._listed(who, "/user/search", **everywhere)
        assert {int(each["id"]) for each in people} == {other for other in o.people if o.sees_person(me, other)} - self._alone(me)
        await self._look_at_teams(who)
        found = {each["id"]: each for each in await self._listed(who, "/channel/search")}
        seen = [each for each in o.channels if o.sees_channel(me, each)]
        assert found.keys() == {each.id for each in seen}
        for channel in seen:
            assert (found[channel.id]["unread"], found[channel.id]["mentions"]) == o.unread(me, channel), found[channel.id]
            await self._look_into(who, channel)
        for place in o.places:
            await self._look_around(who, place)
        await self.told()

    def _alone(self, me: int) -> set[int]:
        """Who is in no organisation is not found, not even by themselves."""
        return {me} - self.oracle.administrators if not any(me in place.roles for place in self.oracle.places) else set()

    async def _listed(self, who: int, path: str, **params: Any) -> list[dict[str, Any]]:
        answer = await self.ask(who, "GET", path, limit=200, **({"archived": True} if "search" in path else {}), **params)
        assert answer.error is None, answer
        listed: list[dict[str, Any]] = answer.response
        return listed

    async def _ids(self, who: int, path: str, **params: Any) -> set[str]:
        return {each["id"] for each in await self._listed(who, path, **params)}

    async def _look_at_teams(self, who: int) -> None:
        me, o = self.actors[who].user_id, self.oracle
        found = {each["id"]: each for each in await self._listed(who, "/team/search")}
        seen = {each.id: each for each in o.teams if o.sees_team(me, each)}
        assert found.keys() == seen.keys()
        for id_, team in seen.items():
            assert set(map(int, found[id_]["members"])) == team.members
            assert set(found[id_]["channels"]) == {each.id for each in o.channels if team in each.teams and o.sees_channel(me, each)}

    async def _look_into(self, who: int, channel: Channel) -> None:
        listed = await self._listed(who, "/message/read", channel_id=channel.id)
        said = [(each["id"], each["contents"], [file["id"] for file in each["attachments"]]) for each in listed]
        assert said == [(str(each.id), each.text, [file.id for file in each.files]) for each in channel.living()][-200:]
        members = {int(id_) for id_ in await self._ids(who, "/channel/members", id=channel.id)}
        assert members == channel.marks.keys()
        page = (await self.ask(who, "GET", "/channel/read", id=channel.id)).response
        assert {int(each["id"]) for each in page["members"]} == members
        assert page["members_count"] == len(members)

    async def _look_around(self, who: int, place: Organisation) -> None:
        """The members of an organisation, and the record of its acts, for those who may read them."""
        me = self.actors[who].user_id
        members = await self.ask(who, "GET", "/organisation/members", id=place.id, limit=200)
        acts = await self.ask(who, "GET", "/organisation/audit", id=place.id, limit=200)
        assert (members.error is None) == self.oracle.sees_place(me, place)
        assert (acts.error is None) == self.oracle.administers(me, place)
        if members.error is None:
            assert {int(each["id"]): each["role"] for each in members.response} == place.roles

    async def look_for(self, who: int, message: Message) -> None:
        """A message by its id, its history, its thread, its files, and by what it says."""
        me, channel = self.actors[who].user_id, self.oracle.place_of(message)
        seen = channel is not None and self.oracle.sees_channel(me, channel)
        for path in ("read", "history", "thread"):
            answer = await self.ask(who, "GET", f"/message/{path}", id=str(message.id))
            assert (answer.error is None) == seen, (path, answer)
        assert seen or await self.same_error(who, "GET", "/message/read", "id", str(message.id), {})
        for word in sorted(message.words):
            found = (await self.ask(who, "GET", "/message/search", query=word)).response
            assert (str(message.id) in {each["id"] for each in found}) == (seen and word in message.found_by), (word, found)
        for file in message.files:
            await self._look_at_file(who, file, seen=seen)
        await self.told()

    async def _look_at_file(self, who: int, file: File, *, seen: bool) -> None:
        answer, shown = await self.fetch(who, "/file/read", file.id), await self.fetch(who, "/file/preview", file.id)
        assert (answer.body.decode() == file.body) if seen else (answer.error == (await self.fetch(who, "/file/read", NOTHING)).error), (
            answer
        )
        assert shown.error is not None, "there is none of a text"
        assert seen or shown.error == (await self.fetch(who, "/file/preview", NOTHING)).error, shown

    async def same_error(self, who: int, method: str, path: str, name: str, id_: str, more: Mapping[str, Any]) -> bool:
        """Whether what somebody does not see is refused in the very words for what is not there."""
        of_it = await self.ask(who, method, path, **{**more, name: id_})
        of_nothing = await self.ask(who, method, path, **{**more, name: NOTHING})
        assert of_it.error is not None, f"{path} of what {who} does not see: {of_it.body!r}"
        assert of_it.error == of_nothing.error, (path, of_it.error, of_nothing.error)
        return True


async def signed_in(node: Node, actor: Actor) -> tuple[Actor, str]:
    """Somebody with a new session, and its secret."""
    token = await node.core.tokens.create(actor.username)
    return replace(actor, session_id=token.id, client_id=token.client_id), token.secret


def hidden(oracle: Oracle, who: int) -> list[tuple[str, str, str, str, dict[str, Any]]]:
    """Calls aimed at what somebody does not see: method, path, name of the id's parameter, id, and the other parameters."""
    found: list[tuple[str, str, str, str, dict[str, Any]]] = []
    for channel in oracle.channels:
        if (target := channel.there()) is None or not oracle.sees_channel(who, target):
            found += [(method, path, name, channel.id, dict(more)) for method, path, name, more in OF_A_CHANNEL]
    for team in oracle.teams:
        if not oracle.sees_team(who, team):
            found += [(method, path, "id", team.id, {"name": "x"}) for method, path in OF_A_TEAM]
    for place in oracle.places:
        if not oracle.sees_place(who, place):
            found += [(method, path, "id", place.id, {"name": "x"}) for method, path in OF_A_PLACE]
    return found


OF_A_CHANNEL: list[tuple[str, str, str, dict[str, Any]]] = [
    ("GET", "/channel/read", "id", {}), ("GET", "/channel/members", "id", {}), ("POST", "/channel/join", "id", {}),
    ("POST", "/channel/part", "id", {}), ("POST", "/channel/view", "id", {}), ("POST", "/channel/archive", "id", {}),
    ("DELETE", "/channel/remove", "id", {}), ("GET", "/message/read", "channel_id", {}),
    ("POST", "/message/edit", "channel_id", {"contents": "x"}), ("POST", "/channel/edit", "id", {"name": "x", "topic": ""}),
]  # fmt: skip
OF_A_TEAM = [("GET", "/team/read"), ("POST", "/team/edit"), ("POST", "/team/archive"), ("DELETE", "/team/remove")]
OF_A_PLACE = [
    ("GET", "/organisation/read"), ("GET", "/organisation/members"), ("GET", "/organisation/audit"), ("POST", "/organisation/edit"),
    ("POST", "/organisation/archive"), ("DELETE", "/organisation/remove"),
]  # fmt: skip
