"""What a file is, by its bytes. What its sender, or its name, calls it is not believed: a browser would act on it."""

from __future__ import annotations

import codecs
import re

BINARY = "application/octet-stream"
TEXT = "text/plain"
SHOWN = frozenset(
    {
        "image/png", "image/jpeg", "image/gif", "image/webp", "image/avif",
        "audio/mpeg", "audio/mp4", "audio/ogg", "audio/flac", "audio/wav", "video/mp4", "video/webm", "video/ogg", TEXT,
    }
)  # fmt: skip
"""Types that a browser shows and that cannot act in it. Everything else is handed out to be saved."""

PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp", "image/tiff"})
"""Types of which there are previews."""

# Signatures: https://www.iana.org/assignments/media-types and the formats' own specifications; the longest first where one begins another.
SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (8, b"WAVE", "audio/wav"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"PK\x05\x06", "application/zip"),
    (0, b"\x1f\x8b\x08", "application/gzip"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
)
BRANDS = {
    b"avif": "image/avif", b"avis": "image/avif", b"heic": "image/heic", b"heix": "image/heic", b"mif1": "image/heif",
    b"M4A ": "audio/mp4", b"M4B ": "audio/mp4", b"qt  ": "video/quicktime",
}  # fmt: skip
"""Major brands of ISO 14496-12 files; any other one is a video."""

MP3_FRAME = re.compile(rb"\xff[\xf2\xf3\xfa\xfb][\x10-\xeb]")  # MPEG layer III without a tag before it
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")  # what no text has; \x1b begins the colours of a terminal's
MARKUP = re.compile(rb"<(!doctype|\?xml|html|head|body|svg|script|iframe|math|style|meta|link|img|a|p|div|table|title)\b", re.IGNORECASE)


def media_type(head: bytes) -> str:
    """The type of a file with this beginning: one of a short list, text if it is nothing but that, else `BINARY`."""
    for at, signature, type_ in SIGNATURES:
        if head.startswith(signature, at) and (at == 0 or head.startswith(b"RIFF")):
            return type_
    if head.startswith(b"BM") and head[6:10] == b"\0\0\0\0":
        return "image/bmp"
    if head[4:8] == b"ftyp":
        return BRANDS.get(head[8:12], "video/mp4")
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    if head.startswith(b"OggS"):
        return "video/ogg" if b"theora" in head[:64] else "audio/ogg"
    if MP3_FRAME.match(head):
        return "audio/mpeg"
    return TEXT if is_text(head) else BINARY


def is_text(head: bytes) -> bool:
    """Whether it begins as UTF-8 without control characters; it may end in the middle of one character."""
    if CONTROL.search(head):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def is_markup(head: bytes) -> bool:
    """Whether some program may take it for HTML, SVG or XML, although it is called text."""
    return MARKUP.search(head) is not None
