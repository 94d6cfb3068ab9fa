"""The process that decodes pictures: what it has, what it makes, and that nothing that happens to it stops the next picture."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from crust.files import pictures
from crust.files.picture_worker import MEMORY
from crust.files.pictures import Busy, Dimensions, NoPicture, Pictures, size_for
from tests.support.pictures import ORIENTATION, bomb, opened, picture, telling

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def worker() -> AsyncIterator[Pictures]:
    worker = Pictures()
    yield worker
    await worker.close()


def process(worker: Pictures) -> int:
    """The worker's process."""
    assert worker._worker is not None
    return worker._worker.pid


async def shrunk(worker: Pictures, folder: Path, body: bytes, size: int = 160, *, square: bool = False) -> tuple[Dimensions, bytes]:
    source, target = folder / "source", folder / "target"
    source.write_bytes(body)
    dimensions = await worker.shrink(source, target, size, square=square)
    return dimensions, target.read_bytes()


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "GIF", "WEBP", "AVIF", "BMP", "TIFF"])
async def test_every_kind_of_picture_is_made_small(worker: Pictures, tmp_path: Path, format_: str) -> None:
    """As WebP, no larger than asked for; a smaller one keeps its size."""
    dimensions, small = await shrunk(worker, tmp_path, picture(320, 100, format_))
    assert (dimensions, opened(small).format, opened(small).size) == (Dimensions(320, 100), "WEBP", (160, 50))
    _, same = await shrunk(worker, tmp_path, picture(32, 10, format_))
    assert opened(same).size == (32, 10)


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_a_picture_is_upright(worker: Pictures, tmp_path: Path, orientation: int) -> None:
    """However it was held; and nothing else that it told is left."""
    dimensions, small = await shrunk(worker, tmp_path, telling(320, 160, orientation))
    expected = (320, 160) if orientation < 5 else (160, 320)
    assert (dimensions.width, dimensions.height) == expected
    assert opened(small).size == (expected[0] // 2, expected[1] // 2)
    assert not opened(small).getexif().get(ORIENTATION)


async def test_a_square_is_cut_out_of_the_middle(worker: Pictures, tmp_path: Path) -> None:
    """Whatever the shape, and however small."""
    for width, height in ((300, 100), (100, 300), (7, 5)):
        _, small = await shrunk(worker, tmp_path, picture(width, height), 64, square=True)
        assert opened(small).size == (64, 64)


async def test_the_worker_has_little(worker: Pictures, tmp_path: Path) -> None:
    """No environment, so no secrets; bounded memory and time."""
    await shrunk(worker, tmp_path, picture(10, 10))
    proc = Path(f"/proc/{process(worker)}")
    limits = {line[:25].strip(): line[25:].split()[0] for line in (proc / "limits").read_text().splitlines()}
    assert (proc / "environ").read_bytes() == b""
    assert limits["Max address space"] == str(MEMORY)
    assert int(limits["Max cpu time"]) < 30
    assert limits["Max core file size"] == "0"


@pytest.mark.parametrize("body", [b"", b"no picture", picture(300, 200, "JPEG")[:1000], bomb(8_000), bomb(30_000)])
async def test_what_cannot_be_shown_is_said(worker: Pictures, tmp_path: Path, body: bytes) -> None:
    """The same process goes on with the next one."""
    await shrunk(worker, tmp_path, picture(10, 10))
    before = process(worker)
    with pytest.raises(NoPicture):
        await shrunk(worker, tmp_path, body)
    await shrunk(worker, tmp_path, picture(10, 10))
    assert process(worker) == before


async def test_a_worker_that_died_is_replaced(worker: Pictures, tmp_path: Path) -> None:
    """Between two pictures nobody notices."""
    await shrunk(worker, tmp_path, picture(10, 10))
    os.kill(process(worker), signal.SIGKILL)
    await shrunk(worker, tmp_path, picture(10, 10))


async def test_a_worker_that_hangs_is_replaced(worker: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its picture has no preview; the next one has."""
    await shrunk(worker, tmp_path, picture(10, 10))
    monkeypatch.setattr(pictures, "JOB_S", 0.3)
    stuck = process(worker)
    os.kill(stuck, signal.SIGSTOP)
    with pytest.raises(NoPicture, match="time"):
        await shrunk(worker, tmp_path, picture(10, 10))
    monkeypatch.undo()
    await shrunk(worker, tmp_path, picture(10, 10))
    assert process(worker) != stuck


async def test_who_waits_for_too_long_does_without(worker: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is another thing than a picture that cannot be shown; when there is room again, it is made."""
    monkeypatch.setattr(pictures, "WAIT_S", 0.05)
    async with worker.turn():
        with pytest.raises(Busy):
            await shrunk(worker, tmp_path, picture(10, 10))
    await shrunk(worker, tmp_path, picture(10, 10))


async def test_the_worker_goes_with_the_server(tmp_path: Path) -> None:
    """Closing ends it; closing one that never started is no error."""
    await Pictures().close()
    worker = Pictures()
    await shrunk(worker, tmp_path, picture(10, 10))
    pid = process(worker)
    await worker.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_worker_that_is_at_work_goes_too(tmp_path: Path) -> None:
    """At once; its picture has no preview, and no other worker is started."""
    worker = Pictures()
    await shrunk(worker, tmp_path, picture(10, 10))
    os.kill(process(worker), signal.SIGSTOP)
    job = asyncio.create_task(shrunk(worker, tmp_path, picture(10, 10)))
    await asyncio.sleep(0.1)
    async with asyncio.timeout(2):
        await worker.close()
        with pytest.raises(NoPicture):
            await job
    assert worker._worker is None


async def test_sizes_are_few() -> None:
    """What is asked for is rounded up to one that is made."""
    assert [size_for(wanted) for wanted in (1, 160, 161, 480, 1280, 9999)] == [160, 160, 480, 480, 1280, 1280]
