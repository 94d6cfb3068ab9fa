"""Whoever knows of an event that does not come reads the log; whoever has it does not."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from crust.broker import late
from crust.broker.late import Late

pytestmark = pytest.mark.asyncio


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the log was read; here what is late is late at once."""
    monkeypatch.setattr(late, "LATE_S", 0.05)
    return []


def watching(looks: list[float]) -> Late:
    return Late(lambda: looks.append(asyncio.get_running_loop().time()))


async def test_what_comes_in_time_is_not_read(looks: list[float]) -> None:
    """Before it is known of or after it, out of order or not."""
    watch = watching(looks)
    watch.came(3)
    for position in (2, 3):
        watch.expect(position)
    watch.expect(4)
    watch.expect(5)
    watch.came(5)
    watch.came(4)
    await asyncio.sleep(0.12)
    assert looks == []


async def test_what_is_late_is_read_once(looks: list[float]) -> None:
    """However many are late together; and the next one again."""
    watch = watching(looks)
    for position in range(1, 50):
        watch.expect(position)
    await asyncio.sleep(0.12)
    assert len(looks) == 1
    watch.expect(50)
    await asyncio.sleep(0.12)
    assert len(looks) == 2


async def test_while_anything_comes_the_log_is_left_alone(looks: list[float]) -> None:
    """Behind for longer than it may be silent: who is slow is not made slower; once it stands still, it is read."""
    watch = watching(looks)
    for position in range(1, 30):
        watch.expect(position + 10)
        watch.came(position)
        await asyncio.sleep(0.005)
    assert looks == []
    await asyncio.sleep(0.16)
    assert len(looks) == 1
    for position in range(30, 50):  # of what has been read, too
        watch.expect(position + 30)
        watch.came(position)
        await asyncio.sleep(0.005)
    assert len(looks) == 1
    watch.close()


async def test_the_log_is_not_read_more_often_than_it_is_late(looks: list[float]) -> None:
    """While nothing comes and much is written, too."""
    watch = watching(looks)
    for position in range(1, 60):
        watch.expect(position)
        await asyncio.sleep(0.005)
    assert looks
    assert min((after - before for before, after in itertools.pairwise(looks)), default=1.0) >= 0.045


async def test_nothing_is_read_after_the_end(looks: list[float]) -> None:
    """Whoever has closed it has no log any more."""
    watch = watching(looks)
    watch.expect(1)
    watch.close()
    await asyncio.sleep(0.12)
    assert looks == []
