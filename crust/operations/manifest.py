"""What a backup says of itself: what it holds, and how to see that it is whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from crust.errors import Invalid, NotFound

FORMAT = 1  # of a backup; what later versions of Crust cannot read any more has another number
NAME = "manifest.json"
CHUNK = 1_048_576  # bytes that are read at once


class Part(Struct, frozen=True):
    """A file of the backup."""

    size: int
    sha256: str


class Manifest(Struct, frozen=True, kw_only=True):
    """The whole. `migrations`: those that the database had; `tables`: with PostgreSQL, the columns of each.

    `missing`: files of people's whose bytes were gone when they were to be copied, because they were removed meanwhile.
    """

    format: int
    crust: str
    made_at: str
    server_name: str
    dialect: Literal["sqlite", "postgres"]
    epoch: str
    position: int
    migrations: list[str]
    tables: dict[str, list[str]]
    parts: dict[str, Part]
    missing: list[str] = []

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(part.size for part in self.parts.values())


def read(folder: Path) -> Manifest:
    """The manifest of a backup.

    Raises:
        NotFound: there is none, so the folder is no backup, or one that was not finished.
        Invalid: it cannot be read, or is of a format that this Crust does not know.
    """
    try:
        text = (folder / NAME).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"{folder} is no backup: it has no {NAME}.") from None
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except msgspec.DecodeError as error:
        raise Invalid(f"{folder / NAME} cannot be read: {error}.") from None
    if manifest.format != FORMAT:
        raise Invalid(f"{folder} is a backup of format {manifest.format}; this Crust reads format {FORMAT}.")
    return manifest


def check(folder: Path, manifest: Manifest) -> Iterator[int]:
    """Compare each part with what the manifest says of it; gives the bytes that were read just now.

    Raises:
        Invalid: one is not there, or is another; it is named.
    """
    for name, part in manifest.parts.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != part.size:
            raise Invalid(f"{path} is not what was backed up: it has to be a file of {part.size} bytes.")
        digest = hashlib.sha256()
        for chunk in chunks(path):
            digest.update(chunk)
            yield len(chunk)
        if digest.hexdigest() != part.sha256:
            raise Invalid(f"{path} is not what was backed up: its SHA-256 is {digest.hexdigest()}, not {part.sha256}.")


def part_of(path: Path) -> Part:
    """What the manifest will say of a file."""
    digest, size = hashlib.sha256(), 0
    for chunk in chunks(path):
        digest.update(chunk)
        size += len(chunk)
    return Part(size, digest.hexdigest())


def chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
