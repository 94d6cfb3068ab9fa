"""Faults of what Crust stands on: RabbitMQ and the database."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
from contextlib import suppress

from crust.torture import fresh
from crust.torture.brokers import Broker
from crust.torture.faults import TAKEN_S, fault
from crust.torture.proxy import Weather
from crust.torture.stage import READY_S, Stage
from crust.torture.stores import Away, OwnPostgres, SQLite

DECLARED_S = 3.0  # since a queue's declare: what quorum queues lose then, classic ones must not
CONFIRMED_S = 1.0  # in less the relay has hardly noted that anything was confirmed: it would publish it again
AWAY_S, ALARM_S, LOCKED_S, FULL_S = 120.0, 30.0, 8.0, 15.0
UNPUBLISHED_S = 12.0  # a publish is given up after 10 s
WAITED_S = 6.0  # for a lock: 5 s, and it is given up
TERMINATIONS = 5
ROOM_BYTES = 262_144  # that a full disk still has for the log of the process


def broker_of(stage: Stage) -> Broker:
    assert stage.broker is not None
    return stage.broker


# ---- RabbitMQ


@fault("kill-broker", "own broker", keeps=False)
async def kill_broker(stage: Stage) -> str:
    """kill -9 of RabbitMQ, half of the times within 3 s of a durable queue's declare: what it has confirmed is in that queue"""
    since = await fresh.declare(stage)
    age = stage.chance.uniform(CONFIRMED_S, 2 * DECLARED_S - CONFIRMED_S)
    await asyncio.sleep(age)
    count = await fresh.confirmed(stage) - since
    await broker_of(stage).kill()
    await broker_of(stage).start()
    return f"{age:.1f} s after a queue's declare, which had {count} events"


@fault("wipe-broker", "own broker", keeps=False)
async def wipe_broker(stage: Stage) -> str:
    """RabbitMQ is killed, its data folder removed, and it is started anew"""
    broker = broker_of(stage)
    await broker.kill()
    await broker.wipe()
    await broker.start()
    return "everything"


@fault("clear-broker", "broker", keeps=False)
async def clear_broker(stage: Stage) -> str:
    """every queue and exchange is deleted while it runs"""
    return f"{await broker_of(stage).clear()} of them"


@fault("broker-away", "broker")
async def broker_away(stage: Stage) -> str:
    """RabbitMQ is away for two minutes: stopped, or, where it is not our own, not to be reached"""
    broker = broker_of(stage)
    if broker.server is None:
        with stage.weather("broker", Weather(refusing=True)):
            stage.reset("broker")
            await stage.hold(AWAY_S)
        return "not to be reached"
    await broker.stop()
    try:
        await stage.hold(AWAY_S)
    finally:
        await broker.start()
    return "stopped"


@fault("memory-alarm", "own broker")
async def memory_alarm(stage: Stage) -> str:
    """RabbitMQ says that its memory is full, and takes nothing from who publishes, for 30 s"""
    broker = broker_of(stage)
    await broker.alarm(on=True)
    try:
        await stage.hold(ALARM_S, at_least=UNPUBLISHED_S)
        blocked = [each for each in await broker.call("GET", "connections") if each.get("state") in ("blocked", "blocking")]
    finally:
        await broker.alarm(on=False)
    return f"{len(blocked)} connections blocked"


@fault("blackout", "own broker", keeps=False, within_s=TAKEN_S)
async def blackout(stage: Stage) -> str:
    """kill -9 of everything at once: nodes, RabbitMQ, and PostgreSQL where it is our own"""
    for node in stage.nodes:
        node.process.kill()
    await broker_of(stage).kill()
    if isinstance(stage.store, OwnPostgres):
        await stage.store.stop("immediate")
        await stage.store.start()
    await broker_of(stage).start()
    await asyncio.gather(*(node.start() for node in stage.nodes))
    return f"{len(stage.nodes)} nodes and what they stand on"


# ---- PostgreSQL


@fault("postgres-restart", "own postgres")
async def postgres_restart(stage: Stage) -> str:
    """PostgreSQL is stopped, as by an operator or as by a crash, and started again"""
    assert isinstance(stage.store, OwnPostgres)
    mode = stage.chance.choice(("immediate", "fast"))
    await stage.store.stop(mode)
    await stage.store.start()
    return mode


@fault("postgres-terminate", "postgres")
async def postgres_terminate(stage: Stage) -> str:
    """all its backends are terminated, five times"""
    count = 0
    for _ in range(TERMINATIONS):
        sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        with suppress(Away):
            count += len(await stage.store.rows(sql))
        await asyncio.sleep(stage.chance.uniform(0.2, 1.5))
    return f"{count} backends"


@fault("postgres-locked", "postgres")
async def postgres_locked(stage: Stage) -> str:
    """somebody holds the log's row for 8 s, longer than anybody waits"""
    seconds = stage.lasting(LOCKED_S, at_least=WAITED_S)
    hold = "WITH held AS (SELECT 1 FROM log WHERE id = 1 FOR UPDATE) SELECT pg_sleep($1) FROM held"
    await stage.store.rows(hold, seconds, within_s=seconds + READY_S)
    return f"{seconds:g} s"


# ---- SQLite


@fault("sqlite-locked", "sqlite")
async def sqlite_locked(stage: Stage) -> str:
    """another process holds SQLite's write lock for 8 s, longer than anybody waits"""
    assert isinstance(stage.store, SQLite)
    connection = sqlite3.connect(stage.store.path, isolation_level=None, timeout=READY_S, check_same_thread=False)
    try:
        await asyncio.to_thread(connection.execute, "BEGIN EXCLUSIVE")
        await stage.hold(LOCKED_S, at_least=WAITED_S)
        connection.execute("ROLLBACK")
    finally:
        connection.close()
    return f"{stage.lasting(LOCKED_S, at_least=WAITED_S):g} s"


@fault("sqlite-full", "sqlite")
async def sqlite_full(stage: Stage) -> str:
    """no file may grow, nor be written where it has grown to, for 15 s: as on a full disk"""
    pids = [node.process.pid for node in stage.nodes]
    most = max(node.process.log_path.stat().st_size for node in stage.nodes) + ROOM_BYTES
    before = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids}
    try:
        for pid, (_, hard) in before.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, hard))
        await stage.hold(FULL_S)
    finally:
        for pid, limits in before.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
    return f"above {most // 1024} KiB"
