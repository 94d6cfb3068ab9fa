"""Links in what people write."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import urlsplit

LINK_MAX = 2_048  # characters; no browser's address bar takes much more
CODE = re.compile(r"```.*?(?:```|\Z)|``[^\n]*?``|`[^`\n]*`", re.DOTALL)
LINK = re.compile(r"(?<![A-Za-z0-9])https?://[^\s<>\"`]+", re.IGNORECASE)
ENDS = ".,;:!?'*_~|"  # what ends a sentence, or Markdown's emphasis, rather than a link
PAIRS = {")": "(", "]": "[", "}": "{"}


def links_in(text: str, most: int) -> list[str]:
    """The first links outside of code, each once."""
    found: dict[str, None] = {}
    for match in LINK.finditer(CODE.sub(" ", text)):
        if len(found) == most:
            break
        if (link := web_link(ended(match[0][: LINK_MAX + 1]))) is not None:
            found[link] = None
    return list(found)


def ended(link: str) -> str:
    """A link without what comes after it: a full stop, or the bracket that it stands in."""
    while link and (link[-1] in ENDS or (link[-1] in PAIRS and link.count(link[-1]) > link.count(PAIRS[link[-1]]))):
        link = link[:-1]
    return link


def web_link(link: str) -> str | None:
    """A link as it can be shown and asked for; None, if it cannot."""
    try:
        parts = urlsplit(link)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return None
    seen = not any(each.isspace() or unicodedata.category(each)[0] == "C" for each in link)
    return link if fine and seen and len(link) <= LINK_MAX else None
