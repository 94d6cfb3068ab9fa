"""What a message names in its markdown, but not in code: people by `@username` or `@name:network`, channels by `#name`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

from crust.services.names import fold

USER = re.compile(r"(?<![\w@./-])@([A-Za-z0-9](?:[A-Za-z0-9._-]{0,30}[A-Za-z0-9])?(?::[a-z0-9](?:[a-z0-9.-]{0,29}[a-z0-9])?)?)")
CHANNEL = re.compile(r"(?<![\w#&/.-])#(\w(?:[\w.-]{0,98}\w)?)")  # of names without spaces; not of a link's fragment, nor of `&#35;`
NAMED_MAX = 50  # people, and channels, that one message can name; more would be a way to disturb everybody
# Only what tells code from text: the whole of CommonMark takes half a second for 16,000 well-chosen brackets, this a few milliseconds.
PARSER = MarkdownIt("zero").enable(["fence", "code", "backticks", "escape"])


class Named(NamedTuple):
    """Folded names, in order, each once, at most 50 of each kind."""

    users: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


NOBODY = Named()


def named(contents: str) -> Named:
    """What a text names."""
    if "@" not in contents and "#" not in contents:
        return NOBODY  # nearly every message: not worth a parse
    texts = [text for token in PARSER.parse(contents) for text in _texts(token)]
    return Named(_found(USER, texts), _found(CHANNEL, texts))


def _found(pattern: re.Pattern[str], texts: list[str]) -> tuple[str, ...]:
    found = dict.fromkeys(fold(match[1]) for text in texts for match in pattern.finditer(text))
    return tuple(found)[:NAMED_MAX]


def _texts(token: Token) -> Iterator[str]:
    """The text of a token that is no code."""
    for child in token.children or ():
        if child.type == "text":
            yield child.content
