"""Work that ends together, and work that does not end, whatever happens to it."""

from __future__ import annotations

import asyncio
import gc
import sys

import pytest

from crust.errors import Unavailable
from crust.log import tasks
from crust.log.tasks import first_to_end, unending
from crust.models.database import unavailable

pytestmark = pytest.mark.asyncio


async def cancelled_from_inside() -> None:
    """As a driver does it whose connection goes: what it waited for was cancelled."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.cancel)
    await future


async def test_a_cancellation_that_nobody_asked_for_is_an_error() -> None:
    """Of the first that ends; the others are ended, and whoever waits goes on."""
    other = asyncio.Event()

    async def waiting() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            other.set()

    with pytest.raises(RuntimeError, match="cancelled_from_inside"):
        await first_to_end(cancelled_from_inside(), waiting())
    assert other.is_set()


async def test_a_cancellation_that_is_lost_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever tidies up may fail, and with another error in its place go on as if nobody had ended them."""
    monkeypatch.setattr(tasks, "CANCELLED_AGAIN_S", 0.01)
    lost = 0

    async def losing() -> None:
        nonlocal lost
        while lost < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                lost += 1
        await asyncio.Event().wait()

    async with asyncio.timeout(5):
        await first_to_end(losing(), asyncio.sleep(0))
    assert lost == 2


async def test_what_is_raised_at_the_end_is_taken() -> None:
    """Of those that are ended nobody waits for a result: that one of them fails at it is no word in the log of asyncio."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))

    async def failing() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise KeyError from None

    await first_to_end(failing(), asyncio.sleep(0))
    gc.collect()
    assert told == []


async def test_a_database_that_cancels_is_unavailable() -> None:
    """One that was asked for passes."""
    with pytest.raises(Unavailable), unavailable():
        await cancelled_from_inside()

    async def asked() -> None:
        with unavailable():
            await asyncio.Event().wait()

    task = asyncio.create_task(asked())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class Told:
    """A log of which one can see what it was told, wherever the process' log goes."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def error(self, event: str, *, what: str) -> None:
        self.lines.append(f"{what}: {event}")

    def exception(self, event: str, *, what: str) -> None:
        self.lines.append(f"{what}: {event}: {sys.exc_info()[1]!r}")


async def test_what_is_not_to_end_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a bug, a cancellation that nobody asked for, and an end; what is cancelled has ended when that returns."""
    told = Told()
    monkeypatch.setattr(tasks, "log", told)
    monkeypatch.setattr(tasks, "BEGUN_AGAIN_S", 0)
    began, ended = 0, asyncio.Event()

    async def work() -> None:
        nonlocal began
        began += 1
        if began == 1:
            raise KeyError("a bug")
        if began == 2:
            await cancelled_from_inside()
        if began > 3:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

    task = asyncio.create_task(unending("work", work))
    async with asyncio.timeout(5):
        while began < 4:
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert ended.is_set()
    bug, cancelled, over = told.lines
    assert bug == "work: what is not to end has failed; it begins again: KeyError('a bug')"
    assert "was cancelled by something that it waited for" in cancelled
    assert over == "work: what is not to end has ended; it begins again"
