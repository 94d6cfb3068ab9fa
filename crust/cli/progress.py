"""How far long work is, for somebody who watches."""

from __future__ import annotations

import sys
from typing import TextIO


def progress(text: str, out: TextIO = sys.stderr) -> None:
    """One line that is written over and over; nothing where nobody watches. An empty text takes it away."""
    if out.isatty():
        out.write(f"\r\x1b[K{text}")
        out.flush()
