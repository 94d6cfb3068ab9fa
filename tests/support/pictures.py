"""Pictures, good and bad, as bytes."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

from PIL import Image

ORIENTATION, GPS, DESCRIPTION = 0x0112, 0x8825, 0x010E
PLACE = "Quellwolke 48.1371N"


def picture(width: int, height: int, format_: str = "PNG", **options: Any) -> bytes:
    """A picture with a gradient in it."""
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    target = io.BytesIO()
    image.save(target, format_, **options)
    return target.getvalue()


def telling(width: int, height: int, orientation: int) -> bytes:
    """A JPEG that tells how it was held, and where."""
    exif = Image.Exif()
    exif[ORIENTATION], exif[DESCRIPTION] = orientation, PLACE
    exif.get_ifd(GPS)[1] = "N"
    return picture(width, height, "JPEG", exif=exif)


def bomb(side: int) -> bytes:
    """A PNG of a few kilobytes that wants `side` times `side` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1_000_000))) + chunk(b"IEND", b"")


def opened(data: bytes) -> Image.Image:
    """Bytes as a picture, decoded."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image
