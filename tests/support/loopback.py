"""A bridge to a toy network, for tests: rooms, people, edits, reactions, failures. A file of a `plugins_dir`, and the network itself.

The network is `Network`, in memory, or served on a local TCP port (`python loopback.py PORT`), so that a bridge in another process speaks
to the same. It keeps what it was sent under ids of its own, and tells everybody who is connected of everything, their own echo included.
One JSON object a line:

    {"do": "say", "room": "#x", "who": "ana", "text": "hi", "key": "…", "reply_to": null}   → {"ids": ["m1", …]}
    {"do": "edit" | "remove" | "react" | "unreact" | "topic" | "join" | "part", …}            → {"ids": […]}
    {"do": "listen", "after": 0}                                                              → one line for each thing that has happened
    {"do": "all"}                                                                             → {"things": […]}
    {"do": "fail", "room": "#x", "how": "away" | "refuse" | "slow" | null}                    → {}
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from typing import Any, Literal

from pydantic import Field

from crust.plugin import (
    Bridge,
    Conflict,
    Crossings,
    EventRefused,
    Finding,
    Forbidden,
    Gone,
    Invalid,
    Link,
    NotFound,
    OutgoingEdit,
    OutgoingMembership,
    OutgoingMessage,
    OutgoingReaction,
    OutgoingRemoval,
    OutgoingTopic,
    OutgoingTyping,
    PluginConfig,
    RateLimited,
    Rejected,
    Remote,
    Sent,
    TargetError,
    Trust,
    hookimpl,
)

LINE_MAX = 200  # characters of a line of the toy network; longer texts become several
NOTHING: dict[str, Any] = {}


class Network:
    """What the toy network knows: everything that has happened, in order, each thing with its number."""

    def __init__(self) -> None:
        self.things: list[dict[str, Any]] = []
        self.failing: dict[str, str] = {}
        self.happened = asyncio.Event()

    def do(self, what: str, room: str, **values: Any) -> list[str]:
        """Let something happen; gives the ids of the messages that it made."""
        how = self.failing.get(room)
        if how == "away":
            raise TargetError(f"{room} does not answer")
        if how == "refuse":
            raise EventRefused(f"{room} takes nothing")
        texts = lines(values.pop("text")) if what == "say" else [values.pop("text", None)]
        ids = []
        for text in texts:
            number = len(self.things) + 1
            ids.append(f"m{number}")
            self.things.append({"number": number, "do": what, "room": room, "id": f"m{number}", "text": text, **values})
        before, self.happened = self.happened, asyncio.Event()
        before.set()
        return ids

    def said(self, room: str) -> list[str]:
        """What was said in a room, in short."""
        return [f"{each['who']}: {each['text']}" for each in self.things if each["do"] == "say" and each["room"] == room]


def remote_of(thing: dict[str, Any]) -> Remote:
    """Who has done something there."""
    id_ = thing.get("account") or thing["who"]
    return Remote(id=id_, name=thing["who"], account=thing.get("account"), handle=thing.get("handle"), avatar=thing.get("avatar"))


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    yield body


def lines(text: str) -> list[str]:
    """A text as the network takes it."""
    return [line[start : start + LINE_MAX] for line in text.split("\n") for start in range(0, max(1, len(line)), LINE_MAX)]


NETWORKS: dict[str, Network] = {}
"""Those of this process, by the name that a bridge's config gives in the place of an address."""


class Config(PluginConfig):
    """Where the network is."""

    address: str = Field(description="host:port of a served network, or the name of one in this process")
    network: str = Field(default="loop.example", description="What it is called")
    trust: Literal["verified", "unverified", "failed"] = Field(default="verified", description="What is said of everybody there")
    confirms: bool = Field(default=False, description="Whether it says later that something arrived")


class Loopback(Bridge[Config]):
    """Carries messages between channels and rooms of the toy network."""

    api = 1
    capabilities = frozenset({"read:public", "read:private", "bridge:inject", "bridge:ghosts", "file:read"})
    crossings = Crossings(
        edit="native", remove="native", react="native", reply="native", thread="fallback", typing="native", characters=LINE_MAX
    )

    @property
    def network(self) -> str:
        return self.ctx.config.network

    def room(self, name: str) -> str:
        if not name.startswith("#"):
            raise Invalid("A room of the toy network begins with #.", field="room")
        return name.lower()

    async def check(self) -> list[Finding]:
        address = self.ctx.config.address
        try:
            things = (await answered(address, {"do": "all"}))["things"]
        except TargetError as error:
            return [Finding(what="connecting", good=False, found=str(error), change="start the network, or correct the address")]
        return [Finding(what="connecting", good=True, found=f"{len(things)} things have happened at {address}")]

    # ---- in

    @hookimpl
    async def run(self) -> None:
        """Listen, from where it stood before; what cannot be posted is left out, with a word."""
        place = self.ctx.store.collection("place")
        document = await place.get("read")
        after = int(document.body["after"]) if document else 0
        await self.ctx.bridge.state("connecting")
        async with contextlib.aclosing(self._things(after)) as things:
            async for thing in things:
                if not thing:
                    await self.ctx.bridge.state("connected")
                    continue
                if not thing.get("by_bridge"):
                    try:
                        await self.happened(thing)
                    except (Conflict, Forbidden, Gone, Invalid, NotFound, RateLimited, Rejected) as error:
                        self.ctx.log.warning("left out", thing=thing["id"], error=error.message)
                await place.put("read", {"after": thing["number"]})

    async def happened(self, thing: dict[str, Any]) -> None:
        """Something has happened on the network: bring it in."""
        bridge, link = self.ctx.bridge, await self.ctx.bridge.link(thing["room"])
        who, trust = remote_of(thing), Trust(thing.get("trust") or self.ctx.config.trust, "toy")
        if thing["do"] == "say" and str(thing["text"]).startswith("!me "):
            await bridge.identify(who, str(thing["text"]).removeprefix("!me "), trust=trust)
            return
        if link is None:
            return
        match thing["do"]:
            case "say" if "file" in thing:
                bytes_ = _chunks(thing["bytes"].encode())
                await bridge.inject_file(link, who, thing["file"], bytes_, thing["id"], contents=thing["text"], trust=trust)
            case "say":
                said = {"reply_to": thing.get("reply_to"), "revision": thing.get("revision", 0)}
                via = bridge.came_through(thing.get("via") or "")
                await bridge.inject(link, who, thing["text"], thing.get("target", thing["id"]), **said, trust=trust, via=via)
            case "edit":
                await bridge.edit(link, who, thing["target"], thing["text"], trust=trust)
            case "remove":
                await bridge.remove(link, who, thing["target"], trust=trust)
            case "react":
                await bridge.react(link, who, thing["target"], thing["text"], trust=trust)
            case "unreact":
                await bridge.unreact(link, who, thing["target"], thing["text"], trust=trust)
            case "topic":
                await bridge.topic(link, who, thing["text"], trust=trust)
            case "typing":
                await bridge.typing(link, who, trust=trust)
            case "join":
                await bridge.joined(link, who, trust=trust)
            case "part":
                await bridge.parted(link, who)
            case _:
                await self._network_says(thing, link)

    async def _network_says(self, thing: dict[str, Any], link: Link) -> None:
        """What is nobody's doing: what became of what was sent, what the room can, and how it is."""
        bridge = self.ctx.bridge
        match thing["do"]:
            case "arrived":
                await bridge.delivered(link, thing["target"])
            case "failed":
                await bridge.failed(link, thing["target"], thing["text"])
            case "gap":
                await bridge.gap(link, thing["text"])
            case "can":
                await bridge.cross(link, Crossings(**thing["can"]))
            case "state":
                await bridge.state(thing["state"], thing["text"], link=link)

    async def _things(self, after: int) -> Any:
        """Everything that happens, from a number on; something empty, once it is connected."""
        network = NETWORKS.get(self.ctx.config.address)
        if network is None:
            async for thing in listened(self.ctx.config.address, after):
                yield thing
            return
        yield NOTHING
        while True:
            happened = network.happened
            for thing in network.things[after:]:
                after = thing["number"]
                yield thing
            await happened.wait()

    # ---- out

    async def _do(self, what: str, link: Link, **values: Any) -> list[str]:
        values = {"by_bridge": self.ctx.name, **values}
        network = NETWORKS.get(self.ctx.config.address)
        if network is None:
            return await asked(self.ctx.config.address, {"do": what, "room": link.remote_room, **values})
        if network.failing.get(link.remote_room) == "slow":
            await asyncio.sleep(0.2)
        return network.do(what, link.remote_room, **values)

    @hookimpl
    async def send_message(self, out: OutgoingMessage) -> Sent:
        via = self.ctx.bridge.via_header(out)
        who = (out.link.relay_format or "{name}").replace("{name}", out.author.name)
        values: dict[str, Any] = {"key": out.key, "reply_to": out.reply_to.last if out.reply_to else None, "via": via}
        values |= {"avatar": out.author.avatar, "handle": out.author.username}
        values["files"] = {each.name: (await self.ctx.files.read(each.id)).decode() for each in out.files}
        ids = await self._do("say", out.link, who=who, text=out.contents, **values)
        if self.ctx.config.confirms:
            self.ctx.tasks.start(self.ctx.bridge.delivered(out.link, ids[0]), name="a confirmation")
        return Sent(ids, fallback=f"sent as {len(ids)} lines" if len(ids) > 1 else None)

    @hookimpl
    async def send_edit(self, out: OutgoingEdit) -> Sent:
        await self._do("edit", out.link, who=out.author.name, text=out.contents, targets=list(out.target.parts), key=out.key)
        return Sent()

    @hookimpl
    async def send_removal(self, out: OutgoingRemoval) -> Sent:
        values = {"targets": list(out.target.parts), "target_key": out.target.key}
        await self._do("remove", out.link, who=out.author.name, key=out.key, **values)
        return Sent()

    @hookimpl
    async def send_reaction(self, out: OutgoingReaction) -> Sent:
        what = "react" if out.added else "unreact"
        await self._do(what, out.link, who=out.author.name, text=out.emoji, targets=list(out.target.parts), key=out.key)
        return Sent()

    @hookimpl
    async def send_membership(self, out: OutgoingMembership) -> Sent:
        await self._do("join" if out.joined else "part", out.link, who=out.author.name, key=out.key)
        return Sent()

    @hookimpl
    async def send_topic(self, out: OutgoingTopic) -> Sent:
        await self._do("topic", out.link, who=out.author.name, text=out.topic, key=out.key)
        return Sent()

    @hookimpl
    async def send_typing(self, out: OutgoingTyping) -> None:
        await self._do("typing" if out.active else "paused", out.link, who=out.author.name)

    @hookimpl
    async def link_opened(self, link: Link) -> None:
        await self._do("enter", link, who=self.ctx.name)

    @hookimpl
    async def link_closed(self, link: Link) -> None:
        await self._do("leave", link, who=self.ctx.name)


# ---- the network over TCP


async def asked(address: str, what: dict[str, Any]) -> list[str]:
    """Let something happen on a served network."""
    answer = await answered(address, what)
    if answer.get("error") == "refused":
        raise EventRefused(answer["reason"])
    if "error" in answer:
        raise TargetError(answer["reason"])
    ids: list[str] = answer.get("ids", [])
    return ids


async def answered(address: str, what: dict[str, Any]) -> dict[str, Any]:
    """One question to a served network, and its answer."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(host, int(port), limit=2**24)
            try:
                writer.write(json.dumps(what).encode() + b"\n")
                answer: dict[str, Any] = json.loads(await reader.readline())
                return answer
            finally:
                writer.close()
    except (OSError, ValueError) as error:
        raise TargetError(f"the network at {address} does not answer: {error}") from error


async def listened(address: str, after: int) -> Any:
    """Everything that happens on a served network; something empty, once it is connected."""
    host, _, port = address.rpartition(":")
    try:
        reader, writer = await asyncio.open_connection(host, int(port), limit=2**24)
        try:
            writer.write(json.dumps({"do": "listen", "after": after}).encode() + b"\n")
            yield NOTHING
            while line := await reader.readline():
                yield json.loads(line)
        finally:
            writer.close()
    except OSError as error:
        raise TargetError(f"the network at {address} does not answer: {error}") from error
    raise TargetError(f"the network at {address} has hung up")


async def served(network: Network, port: int) -> asyncio.Server:
    """Serve a network on a local port (0: a free one)."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError):
                while line := await reader.readline():
                    await _answer(network, json.loads(line), writer)
        finally:
            writer.close()

    return await asyncio.start_server(connected, "127.0.0.1", port, limit=2**24)


async def _answer(network: Network, asks: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    what = asks.pop("do")
    if what == "listen":
        after = int(asks["after"])
        while True:
            happened = network.happened
            for thing in network.things[after:]:
                after = thing["number"]
                writer.write(json.dumps(thing).encode() + b"\n")
            await writer.drain()
            await happened.wait()
    if what == "all":
        answer: dict[str, Any] = {"things": network.things}
    elif what == "fail":
        network.failing[asks["room"]] = asks["how"] or ""
        answer = {}
    else:
        try:
            if network.failing.get(asks["room"]) == "slow":
                await asyncio.sleep(0.2)
            answer = {"ids": network.do(what, asks.pop("room"), **asks)}
        except TargetError as error:
            answer = {"error": "away", "reason": str(error)}
        except EventRefused as error:
            answer = {"error": "refused", "reason": str(error)}
    writer.write(json.dumps(answer).encode() + b"\n")
    await writer.drain()


async def serve(port: int) -> None:
    """Serve a network until it is killed; says on which port."""
    server = await served(Network(), port)
    print(server.sockets[0].getsockname()[1], flush=True)  # for whoever has started it
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
