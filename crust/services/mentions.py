"""Whom a message names: `@username` in its markdown, but not in code."""

from __future__ import annotations

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

from crust.services.names import fold

NAME = re.compile(r"(?<![\w@./-])@([A-Za-z0-9](?:[A-Za-z0-9._-]{0,30}[A-Za-z0-9])?)")
NAMED_MAX = 50  # people that one message can name; more would be a way to disturb everybody
# Only what tells code from text: the whole of CommonMark takes half a second for 16,000 well-chosen brackets, this a few milliseconds.
PARSER = MarkdownIt("zero").enable(["fence", "code", "backticks", "escape"])


def named(contents: str) -> tuple[str, ...]:
    """The folded usernames in a text, in order, each once, at most 50."""
    if "@" not in contents:
        return ()  # nearly every message: not worth a parse
    texts = (text for token in PARSER.parse(contents) for text in _texts(token))
    found = dict.fromkeys(fold(match[1]) for text in texts for match in NAME.finditer(text))
    return tuple(found)[:NAMED_MAX]


def _texts(token: Token) -> Iterator[str]:
    """The text of a token that is no code."""
    for child in token.children or ():
        if child.type == "text":
            yield child.content
