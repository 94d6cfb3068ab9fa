"""A bridge in real processes that are killed in the middle of traffic both ways; and a program that has nothing but RabbitMQ."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from crust.torture.process import Process, crust
from tests.support.hosting import LOOPBACK, loopback
from tests.support.server import Server, call

pytestmark = pytest.mark.asyncio
ROOT = Path(__file__).parents[2]
CONFIG = """
plugins_dir = {folder}
[broker]
injects = ["{account} loop"]
[plugins.loop]
use = "loopback"
run_in = "{place}"
[plugins.loop.config]
address = "127.0.0.1:{port}"
[[plugins.loop.links]]
channel = "room"
room = "#x"
"""
LINES, KILLS = 60, 2
ACTS = ("edit", "react", "remove", "", "", "")  # what is done to a line after it was said, by its number; to the last one nothing
DONE_S = 90.0


class Town:
    """A server with a channel that is linked with a room of the toy network, and the process in which the bridge lives."""

    def __init__(self, server: Server, network: Any, served: asyncio.Server, room: str, ana: httpx.Client, home: Process) -> None:
        self.server, self.network, self.served, self.room, self.ana, self.home = server, network, served, room, ana, home

    async def say(self, text: str) -> str:
        """In the channel, until it is there; gives its id."""
        fields = {"channel_id": self.room, "contents": text, "client_msg_id": text}
        return str((await self.until_done("/message/edit", fields)).json()["response"]["id"])

    async def act(self, act: str, message: str, text: str) -> None:
        """Do something to a line, until it is done; what is removed already is."""
        fields = {"edit": {"contents": f"{text}!"}, "react": {"emoji": ":wave:"}, "remove": {}}[act]
        await self.until_done(f"/message/{act}", {"id": message, **fields})

    async def until_done(self, path: str, fields: dict[str, str]) -> httpx.Response:
        remove = path == "/message/remove"
        while True:
            try:
                asked = {"params": fields} if remove else {"data": fields}
                answer = await asyncio.to_thread(self.ana.request, "DELETE" if remove else "POST", path, **asked)  # type: ignore[arg-type]  # as httpx takes them
                if answer.status_code == 200 or (remove and answer.status_code == 404):
                    return answer
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)

    async def heard(self) -> list[str]:
        """What is in the channel, oldest first; with a wave after what was waved at."""
        found: list[str] = []
        before: dict[str, str] = {}
        while True:
            page: Any = await asyncio.to_thread(lambda: call(self.ana, "GET", "/message/read", channel_id=self.room, limit="100", **before))  # noqa: B023  # it is waited for
            if not page:
                return found
            waves = [" (waved at)" if each["reactions"] else "" for each in page]
            said = zip(page, waves, strict=True)
            found = [each["contents"] + wave for each, wave in said if each["type"] == "MESSAGE"] + found
            before = {"before": page[0]["id"]}

    @property
    def done(self) -> list[dict[str, Any]]:
        """What the bridge has done on the network."""
        return [each for each in self.network.things if each.get("by_bridge") and each.get("key")]

    def outward(self) -> list[str]:
        """What stands there by now of what was said here, as `heard` gives it; of a line that was said twice, the second time's."""
        texts: dict[str, str] = {}
        ids: dict[str, str] = {}
        for thing in self.done:
            targets = [id_ for id_ in (*thing.get("targets", ()), ids.get(thing.get("target_key") or "")) if id_ in texts]
            if thing["do"] == "say":
                texts[thing["id"]], ids[thing["key"]] = thing["text"], thing["id"]
            elif thing["do"] == "remove":
                ids = {key: id_ for key, id_ in ids.items() if id_ not in targets}
            else:
                texts |= {id_: thing["text"] if thing["do"] == "edit" else waved(texts[id_]) for id_ in targets}
        return [texts[id_] for id_ in ids.values()]


def waved(text: str) -> str:
    return text if text.endswith(" (waved at)") else f"{text} (waved at)"


def at_last(way: str) -> list[str]:
    """The lines of one way, as they stand when all is done."""
    lines = [(f"{way} {number}", ACTS[number % len(ACTS)]) for number in range(LINES)]
    return [{"edit": f"{line}!", "react": waved(line)}.get(act, line) for line, act in lines if act != "remove"]


async def until(true: Callable[[], Any], within: float = DONE_S) -> None:
    async with asyncio.timeout(within):
        while not true():
            await asyncio.sleep(0.1)


@asynccontextmanager
async def town(folder: Path, environment: dict[str, str]) -> AsyncIterator[Town]:
    network, place = loopback().Network(), "worker" if environment else "any"
    served = await loopback().served(network, 0)
    port = served.sockets[0].getsockname()[1]
    (folder / "plugins").mkdir()
    shutil.copy(LOOPBACK, folder / "plugins")
    account = urlsplit(environment.get("CRUST_BROKER_URL", "")).username or "guest"
    config = CONFIG.format(folder=json.dumps(str(folder / "plugins")), account=account, place=place, port=port)
    server = Server(folder, environment)
    server.add_user("ana", "--admin")
    home = Process("home", [], server.environment, folder)
    try:
        await asyncio.to_thread(server.start)
        ana = server.sign_in("ana")
        made: Any = call(ana, "POST", "/channel/edit", name="room", topic="", type="public")
        (folder / "config.toml").write_text(config)
        server.kill()
        if environment:  # the bridge lives in a worker, and whatever it does leaves the server alone
            await asyncio.to_thread(server.start)
            home.command = crust("--worker", "--hasty", module="crust.torture.node")
        else:
            home.command = crust("--hasty", "--port", str(server.port), module="crust.torture.node")
        home.start()
        await until(server.ready)
        await until(lambda: '"connected"' in home.log())
        yield Town(server, network, served, str(made["id"]), ana, home)
    except BaseException:
        print(home.log(), server.log()[-4000:], network.things)
        raise
    finally:
        home.kill()
        server.close()
        served.close()
        for _ in range(3):  # whoever listened and is gone is noticed when something is told
            network.do("say", "#end", who="nobody", text="the end")
            await asyncio.sleep(0.1)


async def traffic(at: Town) -> None:
    """Lines both ways, and what is done to them; and twice in the middle of that the bridge's process is killed."""

    async def outward() -> None:
        for number in range(LINES):
            message = await at.say(f"out {number}")
            if act := ACTS[number % len(ACTS)]:
                await at.act(act, message, f"out {number}")
            await asyncio.sleep(0.03)

    async def inward() -> None:
        for number in range(LINES):
            [id_] = at.network.do("say", "#x", who="joe", text=f"in {number}")
            if act := ACTS[number % len(ACTS)]:
                text = {"edit": f"in {number}!", "react": ":wave:"}.get(act)
                at.network.do(act, "#x", who="joe", target=id_, text=text)
            await asyncio.sleep(0.06)

    async def killing() -> None:
        for _ in range(KILLS):
            await asyncio.sleep(1.5)
            at.home.kill()
            at.home.start()

    await asyncio.gather(outward(), inward(), killing())


@pytest.mark.timeout(240)
@pytest.mark.parametrize("place", ["serve", pytest.param("worker", marks=[pytest.mark.postgres, pytest.mark.rabbit])])
async def test_nothing_is_lost_when_a_bridge_is_killed(place: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Inward everything is there once, in order; outward everything, at most once more a crash. So are edits, removals and reactions."""
    environment = {}
    if place == "worker":
        urls = {"CRUST_DATABASE_URL": "postgres_url", "CRUST_BROKER_URL": "rabbit_url"}
        environment = {name: str(request.getfixturevalue(fixture)) for name, fixture in urls.items()}
    async with town(tmp_path, environment) as at:
        await traffic(at)
        ins, outs = at_last("in"), at_last("out")
        async with asyncio.timeout(DONE_S):
            while [text for text in await at.heard() if text.startswith("in ")][-1:] != ins[-1:]:
                await asyncio.sleep(0.3)
        await until(lambda: outs[-1] in at.outward())
        heard = await at.heard()
        assert [text for text in heard if text.startswith("in ")] == ins, "once, and in order"
        assert [text for text in heard if text.startswith("out ")] == outs
        assert at.outward() == outs, "all, in order, and what was done to it found it"
        assert sum(count - 1 for count in Counter(each["key"] for each in at.done).values()) <= KILLS, "one more for each crash, at most"
        await an_operator_looks(at)
        if place == "worker":
            await a_program_speaks(at, environment["CRUST_BROKER_URL"])


async def an_operator_looks(at: Town) -> None:
    """How the bridge and its link are, and that the network can be reached; and, once it is away, what to change."""
    bridge, link = json.loads((await command(at, "bridges", "status", "--json")).stdout)
    assert (bridge["bridge"], bridge["state"], bridge["link"]) == ("loop", "connected", None)
    assert (link["room"], link["channel"], link["waiting"], link["parked"], link["lag_s"]) == ("#x", "#room", 0, 0, None)
    shown = (await asyncio.to_thread(httpx.get, f"{at.server.url}/metrics")).text
    assert 'crust_bridge_state{bridge="loop",link="",state="connected"} 1.0' in shown
    good = await command(at, "bridges", "check", "loop", "--json")
    [finding] = json.loads(good.stdout)
    assert (good.returncode, finding["good"], finding["what"]) == (0, True, "connecting")
    at.served.close()
    bad = await command(at, "bridges", "check", "loop")
    assert bad.returncode == 1
    assert "start the network, or correct the address" in bad.stdout
    assert (await command(at, "bridges", "check", "nobody")).returncode == 1


async def command(at: Town, *words: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(at.server.run, *words)


async def a_program_speaks(at: Town, url: str) -> None:
    """The example: answered with the id of its message, also when nobody is there to read it at first; and refused where it may not."""
    at.home.kill()
    asking = asyncio.create_task(example(url, "#x", "Gate", "from afar"))
    await asyncio.sleep(1)
    at.home.start()
    done = await asking
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert answer["state"] in ("posted", "duplicate")
    assert (await at.heard()).count("from afar") == 1
    refused = await example(url, "#elsewhere", "Gate", "nobody hears this")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["error"]["code"] == "not_found"
    parked = json.loads(at.server.run("parked", "list", "--json").stdout)
    assert [(row["consumer"], row["error"].partition(":")[0]) for row in parked] == [("inject", "not_found")]


async def example(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "examples" / "inject.py"), url, *arguments]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=120, check=False)
