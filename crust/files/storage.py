"""Where the bytes of files are kept, behind one protocol: a folder, or (`crust.files.s3`) a bucket.

A file gets there in two steps. It is received into the spool, a folder on this machine, where it can be looked at; then `Storage.keep`
takes it over under a key, which is when it is safe. A key is random and says nothing of what is under it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

CHUNK = 65_536  # bytes that are read at once: what a server takes before it makes the reader wait
WRITE = 262_144  # bytes that are written at once, in a thread: fewer hops to it, and still next to nothing in memory
HEAD = 4_096  # bytes of a file's beginning that tell what it is
SPOOL = ".spool"  # below the files' folder, so that a file is renamed out of it and not copied


class Missing(Exception):
    """There is nothing under this key, or not as much as was asked for."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What lies under a key: `size` bytes since `modified` (seconds since 1970)."""

    key: str
    size: int
    modified: float


class Storage(Protocol):
    """What a place for files can do. Any method may raise `OSError`: the place did not answer, or is full."""

    async def keep(self, source: Path, key: str) -> None:
        """Take over a file of the spool: when this returns it is stored, whatever crashes. What was under the key is replaced."""

    def read(self, key: str, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """The bytes in [start, end), some at a time, as fast as they are taken.

        Raises:
            Missing: they are not there.
        """

    def local(self, key: str) -> AbstractAsyncContextManager[Path]:
        """A file with the same bytes on this machine, for the length of a block.

        Raises:
            Missing: there is none.
        """

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove what is under these keys; a key with nothing under it is no error."""

    def stored(self) -> AsyncIterator[Stored]:
        """Everything there is, in any order."""

    async def size(self, key: str) -> int | None:
        """How many bytes lie under a key; None if there is nothing."""


KEY = re.compile(r"([0-9a-f]{2})/\1[0-9a-f]{30}")
"""What `new_key` makes. Nothing else may come to be a key: it is a path below the folder."""


def new_key() -> str:
    """A key that nothing has: 128 random bits, below one of 256 folders, since file systems dislike a million names in one."""
    name = secrets.token_hex(16)
    return f"{name[:2]}/{name}"


# ---- receiving


@dataclass(frozen=True, slots=True)
class Received:
    """A file in the spool. `head` is its beginning."""

    path: Path
    size: int
    sha256: str
    head: bytes


class TooMuch(Exception):
    """More bytes came than are taken."""


class Spool:
    """The folder where files are while they come.

    Args:
        folder: made when it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @asynccontextmanager
    async def receiving(self, chunks: AsyncIterable[bytes], limit: int) -> AsyncIterator[Received]:
        """Receive a file, never as a whole in memory. At the end of the block it is gone, unless a storage has taken it over.

        Raises:
            TooMuch: it has more than `limit` bytes.
            OSError: the disk is full, or fails.
        """
        path = self.new_path()
        try:
            yield await _received(path, chunks, limit)
        finally:
            await asyncio.to_thread(path.unlink, missing_ok=True)

    def new_path(self) -> Path:
        """A path in the folder that nothing has."""
        make_private(self._folder)
        return self._folder / secrets.token_hex(16)

    async def sweep(self, age_s: float) -> int:
        """Remove what nobody has written to for so long: what is left of uploads that died. Gives how many it were."""
        return await asyncio.to_thread(self._sweep, time.time() - age_s)

    def _sweep(self, before: float) -> int:
        old = [entry for entry in entries(self._folder) if entry.stat().st_mtime < before]
        for entry in old:
            Path(entry.path).unlink(missing_ok=True)
        return len(old)


async def _received(path: Path, chunks: AsyncIterable[bytes], limit: int) -> Received:
    with await asyncio.to_thread(path.open, "xb", 0) as file:
        writer = _Writing(file)
        waiting, size = bytearray(), 0
        async for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise TooMuch
            waiting += chunk
            if len(waiting) >= WRITE:
                await asyncio.to_thread(writer.write, waiting)
                waiting = bytearray()
        await asyncio.to_thread(writer.write, waiting)
    return Received(path, size, writer.digest.hexdigest(), bytes(writer.head))


class _Writing:
    """An open file, and what is learnt of it as it is written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest, self.head = hashlib.sha256(), bytearray()

    def write(self, data: bytearray) -> None:
        self.digest.update(data)
        self.head += data[: HEAD - len(self.head)]
        left = memoryview(data)
        while left:  # a raw file may take less than it is given
            left = left[self._file.write(left) :]


# ---- a folder


class Folder:
    """Files in a folder, which several nodes may share.

    Args:
        root: made when it is needed.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    async def keep(self, source: Path, key: str) -> None:
        """See `Storage`."""
        await asyncio.to_thread(self._keep, source, self._root / key)

    def _keep(self, source: Path, target: Path) -> None:
        """The bytes first, then the name: a name never stands for less than the whole file, and outlives a loss of power."""
        make_private(target.parent)
        sync(source)
        source.replace(target)
        sync(target.parent)
        sync(self._root)

    async def read(self, key: str, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """See `Storage`."""
        try:
            file = await asyncio.to_thread((self._root / key).open, "rb", 0)
        except FileNotFoundError:
            raise Missing(key) from None
        with file:
            while start < end:
                chunk = await asyncio.to_thread(os.pread, file.fileno(), min(CHUNK, end - start), start)
                if not chunk:
                    raise Missing(key)
                start += len(chunk)
                yield chunk

    @asynccontextmanager
    async def local(self, key: str) -> AsyncIterator[Path]:
        """See `Storage`."""
        path = self._root / key
        if not await asyncio.to_thread(path.exists):
            raise Missing(key)
        yield path

    async def delete(self, keys: Sequence[str]) -> None:
        """See `Storage`."""

        def unlink() -> None:
            for key in keys:
                (self._root / key).unlink(missing_ok=True)

        await asyncio.to_thread(unlink)

    async def stored(self) -> AsyncIterator[Stored]:
        """See `Storage`."""
        for folder in await asyncio.to_thread(lambda: [each.name for each in entries(self._root) if each.is_dir()]):
            if folder != SPOOL:
                for each in await asyncio.to_thread(self._in, folder):
                    yield each

    def _in(self, folder: str) -> list[Stored]:
        found = [(entry.name, entry.stat()) for entry in entries(self._root / folder)]
        return [Stored(f"{folder}/{name}", stat.st_size, stat.st_mtime) for name, stat in found]

    async def size(self, key: str) -> int | None:
        """See `Storage`."""
        try:
            return (await asyncio.to_thread((self._root / key).stat)).st_size
        except FileNotFoundError:
            return None


def entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """What is in a folder, nothing if there is none; what goes meanwhile is left out."""
    try:
        with os.scandir(folder) as found:
            for entry in found:
                try:
                    entry.stat()
                except FileNotFoundError:
                    continue
                yield entry
    except FileNotFoundError:
        return


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are not there, for this user alone. (The mode of `mkdir` does not count for parents.)"""
    if not folder.is_dir():
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def sync(path: Path) -> None:
    """Have the disk keep what is under a path."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
