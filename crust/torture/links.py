"""Faults of the network between the parts: each kind of weather on each link; and of sockets in numbers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from crust.torture.faults import Deed, Need, fault
from crust.torture.listeners import Deaf
from crust.torture.proxy import Weather
from crust.torture.stage import LinkName, Stage
from crust.torture.wire import PATIENCE_S

LINKS: Mapping[LinkName, tuple[str, tuple[Need, ...]]] = {
    "broker": ("RabbitMQ", ("broker",)),
    "database": ("PostgreSQL", ("postgres",)),
    "clients": ("clients", ()),
}
SILENT_S: Mapping[LinkName, float] = {
    "broker": 20.0,  # a publish is given up after 10 s, a connection without heartbeats after about 18
    "database": 12.0,  # a statement is given up after 6 s
    "clients": PATIENCE_S,
}
"""The least for which nothing passes: until whoever waits has given up, however short the trial."""
LASTS_S = 20.0
RESETS_S = (0.5, 3.0)  # between two resets
DEAF_S = 60.0  # twice what a socket may take for one frame, as settings come
DEAF = 5  # one of so many sockets reads nothing
LONG = " " + 8000 * "x"  # enough, at two messages a second, to fill in seconds what the kernel takes in for who reads nothing

WEATHERS: Mapping[str, tuple[str, Callable[[Stage], Weather]]] = {
    "delay": ("everything is 100 to 300 ms late", lambda stage: Weather(delay_s=stage.chance.uniform(0.1, 0.3))),
    "blackhole": ("nothing passes, and nobody is told", lambda stage: Weather(silent=True)),
    "cut": ("connections are reset after 10 to 60 kB, each again", lambda stage: Weather(cut_after=(10_000, 60_000))),
    "slices": ("at most 7 bytes pass at once", lambda stage: Weather(slice_bytes=7)),
}


def under(link: LinkName, made: Callable[[Stage], Weather]) -> Deed:
    """What brings such weather upon a link."""

    async def deed(stage: Stage) -> str:
        weather = made(stage)
        before = sum(proxy.resets for proxy in stage.links[link])
        with stage.weather(link, weather):
            await stage.hold(LASTS_S, at_least=SILENT_S[link] if weather.silent else 0.0)
        ended = sum(proxy.resets for proxy in stage.links[link]) - before
        return f"{ended} connections ended"

    return deed


def resetting(link: LinkName) -> Deed:
    """What resets a link's connections, all at once, again and again."""

    async def deed(stage: Stage) -> str:
        loop = asyncio.get_running_loop()
        until, count = loop.time() + stage.lasting(LASTS_S), 0
        while loop.time() < until or not count:
            count += stage.reset(link)
            await asyncio.sleep(stage.chance.uniform(*RESETS_S))
        return f"{count} connections reset"

    return deed


def register() -> None:
    """Every weather on every link."""
    for link, (name, needs) in LINKS.items():
        for kind, (about, made) in WEATHERS.items():
            deed = under(link, made)
            deed.__doc__ = f"between nodes and {name}: {about}, for 20 s"
            fault(f"{link}-{kind}", *needs)(deed)
        deed = resetting(link)
        deed.__doc__ = f"between nodes and {name}: all connections are reset at once, again and again for 20 s"
        fault(f"{link}-reset", *needs)(deed)


register()


# ---- sockets in numbers


@fault("storm")
async def storm(stage: Stage) -> str:
    """a crowd of sockets is reset at once, and all come back"""
    await stage.listen(stage.plan.crowd)
    return f"{stage.reset('clients')} sockets"


@fault("deaf")
async def deaf(stage: Stage) -> str:
    """a fifth of a crowd of sockets reads nothing of long messages, for 60 s: in full they have to be given up"""
    for author in stage.authors:
        author.tail = lambda: LONG
    deaf = [Deaf(stage.accounts[-1], stage.chance.choice(stage.nodes).port) for _ in range(stage.plan.crowd // DEAF)]
    try:
        await stage.listen(stage.plan.crowd - len(deaf))
        before, resumes = await _given_up(stage), stage.resumes
        await asyncio.gather(*(each.open() for each in deaf))
        await stage.hold(DEAF_S)
        others = stage.resumes - resumes
        given_up = await _given_up(stage) - before - others
    finally:
        for each in deaf:
            each.close()
        for author in stage.authors:
            author.tail = str
    stage.wrongs.note("given up though reading", f"{others} sockets", others)
    if stage.plan.scale >= 1:
        stage.wrongs.note("served though deaf", f"{len(deaf) - given_up} sockets after {DEAF_S:g} s", max(0, len(deaf) - given_up))
    return f"{len(deaf)} of {stage.plan.crowd}; {given_up} were closed as too slow"


async def _given_up(stage: Stage) -> int:
    """How many sockets the nodes have closed for reading too slowly: what is sent in farewell waits behind what they do not read."""
    return sum([int(await node.metric('crust_websocket_closes_total{code="4008"}')) for node in stage.nodes])
