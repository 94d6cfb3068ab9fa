"""Every place for files keeps the same promises: a folder, and a bucket (one of obstore's stores that need no server)."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from obstore.store import LocalStore, MemoryStore

from crust.files.place import place
from crust.files.s3 import PIECE, Bucket
from crust.files.storage import Folder, Missing, Spool, Storage, TooMuch, new_key
from crust.settings import Files, Settings

pytestmark = pytest.mark.asyncio
BYTES = os.urandom(3 * PIECE + 17)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / ".spool")


@pytest.fixture(params=["folder", "memory", "local"])
def storage(request: pytest.FixtureRequest, tmp_path: Path, spool: Spool) -> Storage:
    if request.param == "folder":
        return Folder(tmp_path / "files")
    return Bucket(MemoryStore() if request.param == "memory" else LocalStore(tmp_path / "bucket", mkdir=True), spool)


async def keep(storage: Storage, spool: Spool, key: str, body: bytes = BYTES) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 50_000):
            yield body[start : start + 50_000]

    async with spool.receiving(chunks(), len(body)) as received:
        await storage.keep(received.path, key)


async def read(storage: Storage, key: str, start: int, end: int) -> bytes:
    return b"".join([chunk async for chunk in storage.read(key, start, end)])


async def test_what_is_kept_is_read(storage: Storage, spool: Spool, tmp_path: Path) -> None:
    """Whole, in part, as a local file; and nothing is left in the spool."""
    key = new_key()
    await keep(storage, spool, key)
    assert await read(storage, key, 0, len(BYTES)) == BYTES
    for start, end in ((0, 0), (0, 1), (PIECE - 1, PIECE + 1), (5, len(BYTES) - 5), (len(BYTES) - 1, len(BYTES))):
        assert await read(storage, key, start, end) == BYTES[start:end]
    async with storage.local(key) as path:
        assert path.read_bytes() == BYTES
    assert await storage.size(key) == len(BYTES)
    assert list((tmp_path / ".spool").iterdir()) == []


async def test_what_is_not_there_is_missing(storage: Storage, spool: Spool) -> None:
    """Never there, removed, or shorter than it was; removing it again is no error."""
    key, other = new_key(), new_key()
    await keep(storage, spool, key, b"short")
    await keep(storage, spool, other, b"other")
    with pytest.raises(Missing):
        await read(storage, key, 0, 6)
    for _ in range(2):
        await storage.delete([key])
    with pytest.raises(Missing):
        await read(storage, key, 0, 5)
    with pytest.raises(Missing):
        async with storage.local(key):
            pass
    assert await storage.size(key) is None
    assert await read(storage, other, 0, 5) == b"other"


async def test_everything_is_listed(storage: Storage, spool: Spool) -> None:
    """With its size and its time; what is in the spool is not."""
    assert [each async for each in storage.stored()] == []
    keys = sorted(new_key() for _ in range(20))
    for key in keys:
        await keep(storage, spool, key, b"12345")
    found = sorted([each async for each in storage.stored()], key=lambda each: each.key)
    assert [each.key for each in found] == keys
    assert {each.size for each in found} == {5}
    spool.new_path().write_bytes(b"x")
    assert len([each async for each in storage.stored()]) == 20


async def test_the_spool_takes_no_more_than_it_may(spool: Spool, tmp_path: Path) -> None:
    """What is too much, or breaks off, is gone at once."""

    async def breaking() -> AsyncIterator[bytes]:
        yield b"x" * 300_000
        raise ConnectionError

    for limit, error in ((200_000, TooMuch), (400_000, ConnectionError)):
        with pytest.raises(error):
            async with spool.receiving(breaking(), limit):
                pass
        assert list((tmp_path / ".spool").iterdir()) == []


async def test_the_settings_name_the_place(tmp_path: Path) -> None:
    """A folder below the data, another one, or a bucket."""
    default, _ = place(Settings(data_dir=tmp_path))
    other, _ = place(Settings(data_dir=tmp_path, files_dir=str(tmp_path / "other")))
    bucket, _ = place(Settings(data_dir=tmp_path, files=Files(store="s3://bucket/some/prefix", region="eu-central-1")))
    assert [type(each) for each in (default, other, bucket)] == [Folder, Folder, Bucket]
