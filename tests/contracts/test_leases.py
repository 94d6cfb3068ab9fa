"""Leases and offsets: one process at a time, and who has lost its lease can do nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from crust.errors import Unavailable
from crust.log import Consumers, Lease, LeaseLost, Leases
from crust.models.database import Database
from crust.models.migrate import migrate
from crust.settings import Settings

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    async with Database(settings).opened() as database:
        await migrate(database)
        yield database


async def expire(database: Database, name: str) -> None:
    """As if its owner had said nothing for 30 s."""
    async with database.transaction():
        await database.execute("UPDATE lease SET until = until - 30000 WHERE name = $1", name)


async def taken(leases: Leases, name: str = "relay") -> Lease:
    lease = await leases.take(name)
    assert lease is not None
    return lease


async def test_one_at_a_time(database: Database) -> None:
    """Of many who ask at once one gets it; the others do when it was given back, and the generation rises."""
    nodes = [Leases(database, f"node {number}") for number in range(8)]
    got = [lease for lease in await asyncio.gather(*(node.take("relay") for node in nodes)) if lease]
    assert [lease.generation for lease in got] == [1]
    await nodes[0].give_back(got[0]) if got[0].owner == "node 0" else await Leases(database, got[0].owner).give_back(got[0])
    assert (await taken(nodes[3])).generation == 2


async def test_it_is_held_for_thirty_seconds(database: Database) -> None:
    """By the database's clock: an owner that renews keeps it; one that is silent for 30 s loses it, and is refused from then on."""
    first, second = Leases(database, "first"), Leases(database, "second")
    lease = await taken(first)
    rows = await database.fetch("SELECT until - since AS held FROM lease WHERE name = 'relay'")
    assert rows[0]["held"] in range(29_990, 30_011)  # its clock is read twice
    assert await second.take("relay") is None
    await first.renew(lease)
    await expire(database, "relay")
    newer = await taken(second)
    assert newer.generation == lease.generation + 1
    with pytest.raises(LeaseLost):
        await first.renew(lease)
    await second.renew(newer)


async def test_who_could_not_give_it_back_need_not_wait(database: Database) -> None:
    """A process whose database was away when it gave a lease back takes it again at once; what it did under it before is refused."""
    first, second = Leases(database, "first"), Leases(database, "second")
    lease = await taken(first)
    again = await taken(first)
    assert again.generation == lease.generation + 1
    assert await second.take("relay") is None
    with pytest.raises(LeaseLost):
        await first.renew(lease)
    await first.renew(again)


async def test_a_clock_that_is_set_back_keeps_nobody_waiting(database: Database) -> None:
    """A lease that seems to be held for an hour is nobody's; one that is held for as long as it may be is its owner's."""
    first, second = Leases(database, "first"), Leases(database, "second")
    lease = await taken(first)
    assert await second.take("relay") is None
    async with database.transaction():
        await database.execute("UPDATE lease SET until = until + 3600000 WHERE name = 'relay'")
    assert (await taken(second)).generation == lease.generation + 1


async def test_a_thawed_owner_can_do_nothing(database: Database) -> None:
    """After another has taken the lease, the older generation's writes are refused and leave nothing."""
    first, second = Leases(database, "first"), Leases(database, "second")
    offsets = Consumers(database, first)
    await offsets.begin("relay")
    lease = await taken(first)
    await offsets.move(lease, 0, 5)
    await expire(database, "relay")
    newer = await taken(second)
    with pytest.raises(LeaseLost):
        await offsets.move(lease, 5, 9)
    assert await offsets.offset("relay") == 5
    await Consumers(database, second).move(newer, 5, 6)
    assert await offsets.offset("relay") == 6


async def test_an_offset_moves_from_where_it_is(database: Database) -> None:
    """Who believes that it stands somewhere else is refused: somebody has moved it."""
    leases = Leases(database, "node")
    offsets = Consumers(database, leases)
    await offsets.begin("relay")
    lease = await taken(leases)
    with pytest.raises(LeaseLost, match="not 3"):
        await offsets.move(lease, 3, 4)
    assert await offsets.offset("relay") == 0


async def test_operators_see_every_consumer(database: Database) -> None:
    """Name, offset, head and lag, and whose it is; nobody's once it was given back."""
    leases = Leases(database, "node")
    offsets = Consumers(database, leases)
    async with database.transaction():
        await database.execute("UPDATE log SET position = 7 WHERE id = 1")
    await offsets.begin("relay")  # at the head
    async with database.transaction():
        await database.execute("UPDATE log SET position = 10 WHERE id = 1")
    lease = await taken(leases)
    [held] = await offsets.all()
    assert (held.name, held.offset, held.head, held.lag, held.owner, held.generation) == ("relay", 7, 10, 3, "node", 1)
    assert held.since is not None
    await leases.give_back(lease)
    [free] = await offsets.all()
    assert (free.owner, free.since, free.generation) == (None, None, 1)


async def test_work_goes_on_elsewhere(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work under a lease ends when the lease is another's, and begins where the lease went; work that ends with a database that is away
    is begun again."""
    monkeypatch.setattr("crust.log.leases.HEARTBEAT_S", 0.05)
    monkeypatch.setattr("crust.log.leases.LOOK_S", 0.05)
    first, second = Leases(database, "first"), Leases(database, "second")
    begun: list[str] = []
    ended: list[str] = []

    async def work(lease: Lease) -> None:
        begun.append(lease.owner)
        if len(begun) == 1:
            raise Unavailable("gone for a moment", retry_after=1)
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(lease.owner)

    async def until(count: int) -> None:
        async with asyncio.timeout(10):
            while len(begun) < count:
                await asyncio.sleep(0.02)

    working = asyncio.create_task(first.keep("relay", work))
    await until(2)
    waiting = asyncio.create_task(second.keep("relay", work))
    await asyncio.sleep(0.3)
    assert begun == ["first", "first"]
    working.cancel()
    await until(3)
    waiting.cancel()
    await asyncio.gather(working, waiting, return_exceptions=True)
    assert (begun, ended) == (["first", "first", "second"], ["first", "second"])
