"""Every hook that there is, called by what it is for: a new one fails here until it is, too."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from crust.host.registration import HOOKS
from crust.plugin import CAPABILITIES, Crossings, Happened, hooks
from crust.testing import Host, Instance, hosted
from tests.support.asking import ask, registry

CALLED: dict[str, tuple[Any, ...]] = {}
ENDS = {"run": "await asyncio.Event().wait()", "send_message": "return Sent(['there'])"}
PASSWORD = "correct horse battery"


def source() -> str:
    """A bridge that implements all of them, and notes what each is called with."""
    lines = ["class Everything(Bridge[PluginConfig]):", "    api = 1"]
    for name, spec in HOOKS.items():
        argument = ", ".join(list(inspect.signature(spec).parameters)[1:])
        colour = "async def" if inspect.iscoroutinefunction(spec) else "def"
        lines += [
            "    @hookimpl",
            f"    {colour} {name}(self, {argument}):",
            f"        CALLED.setdefault({name!r}, ({argument},))".replace("(,)", "()"),
        ]
        lines += [f"        {ENDS[name]}"] if name in ENDS else []
    return "\n".join(lines)


def everything() -> Any:
    made: dict[str, Any] = {"CALLED": CALLED}
    exec(f"import asyncio\nfrom crust.plugin import Bridge, PluginConfig, Sent, hookimpl\n{source()}", made)  # noqa: S102  # of our own specifications
    made["Everything"].capabilities = frozenset(CAPABILITIES)
    made["Everything"].crossings = Crossings(edit="native", remove="native", react="native", reply="native", file="native", typing="native")
    return made["Everything"]


async def happens(host: Host) -> None:
    """Everything that there is a hook for."""
    calls, owner, ben = registry(host.node), host.user("owner"), host.user("ben")

    async def do(method: str, path: str, **params: Any) -> Any:
        answer = await ask(calls, calls.find(method, path), await owner.actor(), params)
        assert "error" not in answer, (path, answer)
        await host.settle()
        return answer.get("response")

    room, other = await host.channel("#room"), await host.channel("#other")
    await ben.joins(room)
    await host.bot().joins(room)
    link = await do("POST", "/bridge/link", bridge="everything", channel_id=room.id, room="#there")
    await host.node.core.typing(await ben.actor(), int(room.id), "start")
    message = await ben.says(room, "hello")
    await host.settle()  # what goes out late says what it says then, and no edit follows
    await ben.edits(message, "hello all")
    await ben.reacts(message, "👍")
    await ben.unreacts(message, "👍")
    await ben.uploads(room, "a.txt", b"a")
    await host.settle()
    await ben.removes(message)
    await ben.leaves(room)
    await do("POST", "/channel/edit", id=room.id, name="room", topic="Another")
    await do("DELETE", "/bridge/unlink", id=link["id"])
    await do("POST", "/channel/archive", id=room.id)
    await do("POST", "/channel/unarchive", id=room.id)
    bot = await host.bot().id()
    one, two = [(await do("POST", "/team/edit", name=name, members=[bot]))["id"] for name in ("one", "two")]
    await do("POST", "/channel/move", id=room.id, team_id=one)
    await do("POST", "/channel/share", id=room.id, team_id=two)
    await do("POST", "/channel/unshare", id=room.id, team_id=two)
    await host.bot().joins(other)
    last = await host.channel("#last")
    await host.bot().joins(last)
    await do("POST", "/channel/merge", destination=other.id, source=last.id)
    await do("DELETE", "/channel/remove", id=other.id)
    await do("POST", "/organisation/role", id=room.organisation_id, user_id=await ben.id(), role="admin")
    eve = await host.node.core.accounts.add("eve", password=PASSWORD)
    await do("POST", "/user/login", username="eve", password=PASSWORD)
    await do("POST", "/user/edit", name="Owner")
    await do("POST", "/user/suspend", id=eve.id)


@pytest.mark.asyncio
async def test_every_hook_is_called() -> None:
    """With what its specification says; in a server like any other."""
    CALLED.clear()
    async with hosted(Instance(everything(), name="everything")) as host:
        await happens(host)
        async with asyncio.timeout(10):
            while not {"health", "send_typing"} <= CALLED.keys():  # which nothing waits for
                await asyncio.sleep(0.02)
    assert HOOKS.keys() - CALLED.keys() == set()
    for name, given in CALLED.items():
        hints = get_type_hints(HOOKS[name], {**vars(hooks), "Any": Any})
        wanted = [hint for argument, hint in hints.items() if argument != "return"]
        assert len(given) == len(wanted), name
        for value, hint in zip(given, wanted, strict=True):
            if get_origin(hint) is Happened:
                assert isinstance(value, Happened)
                [body] = get_args(hint)
                assert body is Any or isinstance(value.body, body), (name, value.body)
            elif not name.startswith("register_"):  # those take what a Protocol describes
                assert isinstance(value, hint), (name, value)
