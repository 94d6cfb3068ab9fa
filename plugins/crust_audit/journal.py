"""A file of lines, each with an id and a day, that has each id once, whatever kills its writer.

A line may have been written when the writer dies before anybody knows of it; then it is asked for again. So the ids of the last lines
are read when the file is opened: what can be asked for again stands there, as there are never more under way at once.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections import OrderedDict
from glob import escape
from pathlib import Path

import msgspec

REMEMBERED = 10_000  # lines; ten times as many as there can be lanes
TAIL = 16_777_216  # bytes at a file's end in which they are looked for


class Line(msgspec.Struct):
    """What is read of a line."""

    id: str
    at: str


class Journal:
    """See the module.

    Args:
        size: bytes, after which a new file is begun; daily: whether a new day begins one, too.
        keep: how many older files are left; 0: all.
    """

    def __init__(self, path: Path, size: int, *, daily: bool, keep: int) -> None:
        self._path, self._size, self._daily, self._keep = path, size, daily, keep
        self._file, self._open = -1, False
        self._day = ""
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._written = self._synced = 0
        self._syncing = asyncio.Lock()

    def open(self) -> None:
        """Take the file, and make it whole: a line that was cut off goes, as it never counted.

        Raises:
            OSError: it cannot be had, or another process has it.
        """
        self.close()
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._begin()
        self._open = True
        self._repair()
        self._seen.clear()
        self._day = ""
        for path in [*self._older()[-1:], self._path]:
            self._remember(path)

    def _begin(self) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        file = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.fchmod(file, 0o600)
        except OSError:
            os.close(file)
            raise
        self._file = file

    def _remember(self, path: Path) -> None:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            lines = file.read().split(b"\n")[-REMEMBERED - 1 :]
        for line in lines:
            try:
                found = msgspec.json.decode(line, type=Line)
            except msgspec.MsgspecError:
                continue  # none of ours, or what a power failure has left of one
            self._note(found.id)
            self._day = max(self._day, found.at[:10])

    def _repair(self) -> None:
        """Cut off what follows the last whole line."""
        length = os.fstat(self._file).st_size
        tail = os.pread(self._file, TAIL, max(0, length - TAIL))
        if length and not tail.endswith(b"\n"):
            os.ftruncate(self._file, max(0, length - TAIL) + tail.rfind(b"\n") + 1)

    def close(self) -> None:
        """Let go of the file."""
        self._open = False
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def write(self, id_: str, day: str, line: bytes) -> None:
        """Write a line, whole or not at all, unless there is one with that id.

        Raises:
            OSError: it cannot be written now.
        """
        if not self._open:
            raise OSError("it is not open")
        if id_ in self._seen:
            return
        if self._file < 0:  # a new one could not be begun the last time
            self._begin()
        before = os.fstat(self._file).st_size
        if before and (before + len(line) > self._size or (self._daily and day > self._day > "")):
            self._rotate()
            before = 0
        try:
            if os.write(self._file, line) < len(line):
                raise OSError("there is no space left for it")
        except OSError:
            os.ftruncate(self._file, before)
            raise
        self._note(id_)
        self._day = max(self._day, day)
        self._written += 1

    def _note(self, id_: str) -> None:
        self._seen[id_] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)

    async def sync(self) -> None:
        """Come back when all that is written is on the disk. Whoever comes while that happens is served together next."""
        mine = self._written
        async with self._syncing:
            if self._synced < mine:
                upto = self._written
                file = os.dup(self._file)  # it may be closed meanwhile
                try:
                    await asyncio.to_thread(os.fsync, file)
                finally:
                    os.close(file)
                self._synced = max(self._synced, upto)

    # ---- older files

    def _rotate(self) -> None:
        """Put the file aside, and begin another."""
        os.fsync(self._file)
        self._path.rename(self._aside())
        os.close(self._file)
        self._file = -1
        self._begin()
        self._sync_folder()
        if self._keep:
            for path in self._older()[: -self._keep]:
                path.unlink(missing_ok=True)

    def _aside(self) -> Path:
        """A name after all that there are: days go forward alone, whenever a line is late."""
        same = [path for path in self._older() if path.stem.startswith(f"{self._path.stem}-{self._day}-")]
        number = int(same[-1].stem[-4:]) + 1 if same else 1
        return self._path.with_name(f"{self._path.stem}-{self._day}-{number:04}{self._path.suffix}")

    def _older(self) -> list[Path]:
        """What was put aside, oldest first."""
        pattern = f"{escape(self._path.stem)}-????-??-??-????{escape(self._path.suffix)}"
        return sorted(self._path.parent.glob(pattern))

    def _sync_folder(self) -> None:
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
