"""Faults of processes: killed, frozen, with a wrong clock."""

from __future__ import annotations

import asyncio
import json

from crust.broker.relay import NAME as RELAY
from crust.torture.faults import TAKEN_S, faketime, fault
from crust.torture.stage import Stage
from crust.torture.wire import PATIENCE_S

DOWN_S = 2.0  # for which a killed process stays away
FROZEN_S, UNTRUSTED_S = 60.0, 20.0
CLOCK_S, STEP_S = 3600, 2.0
STEPS = 3  # at least: a clock goes back, too


@fault("kill-node", within_s=TAKEN_S)
async def kill_node(stage: Stage) -> str:
    """kill -9 of a node"""
    node = stage.chance.choice(stage.nodes)
    node.process.kill()
    await stage.hold(stage.chance.uniform(0, DOWN_S))
    await node.start()
    return node.name


@fault("kill-relay", "broker", within_s=TAKEN_S)
async def kill_relay(stage: Stage) -> str:
    """kill -9 of the node that holds the relay's lease; another takes it 20 to 30 s later"""
    node = await stage.relay()
    node.process.kill()
    await stage.hold(stage.chance.uniform(0, DOWN_S))
    await node.start()
    return f"{node.name}, which was the relay"


@fault("kill-reader", "broker")
async def kill_reader(stage: Stage) -> str:
    """kill -9 of another program that reads crust.v1.events, three times"""
    assert stage.reader is not None
    for _ in range(3):
        await stage.hold(stage.chance.uniform(0.5, DOWN_S))
        await stage.reader.restart()
    return "3 times"


@fault("freeze-node")
async def freeze_node(stage: Stage) -> str:
    """SIGSTOP of a node for 60 s, in the middle of whatever it does"""
    node = stage.chance.choice(stage.nodes)
    with node.frozen():
        await stage.hold(FROZEN_S, at_least=PATIENCE_S)
    return node.name


@fault("freeze-relay", "broker", "several nodes")
async def freeze_relay(stage: Stage) -> str:
    """SIGSTOP of the relay's node for 60 s: another takes its place, and what it says when it thaws is refused"""
    node = await stage.relay()
    with node.frozen():
        before = await stage.generation(RELAY)
        await stage.hold(FROZEN_S, at_least=TAKEN_S)
        if await stage.generation(RELAY) == before:
            stage.wrongs.note("not taken over", f"the relay's lease, while {node.name} was frozen")
    return f"{node.name}, which was the relay"


@fault("clock")
async def clock(stage: Stage) -> str:
    """the nodes' wall clocks are set every other second, up to an hour off, each to another time"""
    try:
        for number, node in enumerate(stage.nodes):
            await node.replace("--clock", str(CLOCK_S), "--seed", f"{stage.plan.seed}{stage.repeat}{number}")
        await stage.hold(UNTRUSTED_S, at_least=STEPS * STEP_S)
        steps = sum(last(node.process.log(200_000), "the clock was set").get("steps", 0) for node in stage.nodes)
    finally:
        for node in stage.nodes:
            await node.replace()
    return f"{steps} steps"


@fault("clock-os", "libfaketime")
async def clock_os(stage: Stage) -> str:
    """the same by libfaketime, below everything in the nodes' processes, SQLite's clock included"""
    files = [stage.folder / f"clock-{node.name}" for node in stage.nodes]
    try:
        for node, file in zip(stage.nodes, files, strict=True):
            file.write_text("+0")
            variables = {"FAKETIME_TIMESTAMP_FILE": str(file), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
            await node.replace(LD_PRELOAD=str(faketime()), **variables)
        steps = round(stage.lasting(UNTRUSTED_S, at_least=STEPS * STEP_S) / STEP_S)
        for _ in range(steps):
            for file in files:
                file.write_text(f"{stage.chance.randint(-CLOCK_S, CLOCK_S):+d}")
            await asyncio.sleep(STEP_S)
    finally:
        for node in stage.nodes:
            await node.replace()
    return f"{steps} steps"


@fault("deliveries", "broker")
async def deliveries(stage: Stage) -> str:
    """30 % of the deliveries to nodes and reader come twice, 20 % late, 5 % not at all"""
    assert stage.reader is not None
    seed = f"{stage.plan.seed}{stage.repeat}"
    try:
        await stage.reader.restart("--mischief", seed)
        for node in stage.nodes:
            await node.replace("--mischief", "--seed", f"{seed}{node.port}")
        await stage.hold(UNTRUSTED_S)
        await asyncio.sleep(1)  # for the last tally
        tallies = [last(node.process.log(200_000), "mischief") for node in stage.nodes]
    finally:
        for node in stage.nodes:
            await node.replace()
        await stage.reader.restart()
    return "to nodes: " + ", ".join(f"{sum(each.get(name, 0) for each in tallies)} {name}" for name in ("twice", "late", "dropped"))


def last(log: str, event: str) -> dict[str, int]:
    """The last line of a node's log that tells of something."""
    for line in reversed(log.splitlines()):
        if f'"{event}"' in line:
            found: dict[str, int] = json.loads(line)
            return found
    return {}
