"""What a page says of itself in its head, for whoever links to it (Open Graph, Twitter's cards, HTML's own).

Pages are anybody's, so whatever is in one, this ends soon and raises nothing: html.parser of the standard library takes the square of a
page's length for some (on Python 3.11, 44 s for 256 KiB of `<!--`), so tags are found here by steps that each go on from the last.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from urllib.parse import urljoin

from crust_linkpreview.links import web_link

HEAD_MAX = 524_288  # bytes that are looked at: what is meant for links stands at the beginning
TAG_MAX = 8_192  # characters of one tag
TAGS_MAX = 300  # that are looked at
TITLE_MAX, DESCRIPTION_MAX = 200, 500  # characters

NAME = re.compile(r"<(meta|base|title|script|style|noscript|body|/head)(?=[\s/>])", re.IGNORECASE)
REST = re.compile(r"""((?:[^"'>]++|"[^"]*+"|'[^']*+')*+)>""")
ATTRIBUTE = re.compile(r"""([^\s"'<>/=]++)\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'<>=`]++))""")
RAW = frozenset({"title", "script", "style", "noscript"})  # in which `<` begins no tag until their own end
DECLARED = re.compile(rb"""<meta[^>]{0,200}?charset\s{0,9}=\s{0,9}["']?([A-Za-z0-9_.:-]{1,40})""", re.IGNORECASE)
CHARSET = re.compile(r"charset\s*=\s*[\"']?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
# Those that pages are written in. Python knows more, some of which take long to decode, or are none of text.
CHARSETS = re.compile(
    r"utf-?8|utf-?16(?:-?le|-?be)?|iso-?8859-\d{1,2}|windows-\d{3,4}|cp\d{3,4}|koi8-[ru]|macintosh|gb2312|gbk|gb18030"
    r"|big5(?:-hkscs)?|euc-(?:jp|kr)|shift-jis|iso-2022-jp"
)
BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # they change how what stands beside them is read
WEB = dict.fromkeys(("iso-8859-1", "latin1", "latin-1", "us-ascii", "ascii"), "windows-1252")  # what browsers take these for

TITLES = ("og:title", "twitter:title", "<title>")
DESCRIPTIONS = ("og:description", "twitter:description", "description")
IMAGES = ("og:image:secure_url", "og:image", "og:image:url", "twitter:image", "twitter:image:src")


@dataclass(frozen=True, slots=True)
class Page:
    """What is known of a page: texts of one line, and a picture's link."""

    title: str | None
    description: str | None
    image: str | None


def page_of(body: bytes, content_type: str, url: str) -> Page:
    """Read a page.

    Args:
        content_type: as its server says.
        url: where it was found; a picture may be named from there.
    """
    said = head_of(decoded(body[:HEAD_MAX], content_type))
    return Page(
        title=first(said, TITLES, TITLE_MAX),
        description=first(said, DESCRIPTIONS, DESCRIPTION_MAX),
        image=image_of(said, url),
    )


def decoded(body: bytes, content_type: str) -> str:
    """A page's text: by its mark, what its server says, what itself says; else UTF-8. What cannot be read is a replacement character."""
    for mark, name in BOMS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, "replace")
    declared = DECLARED.search(body, 0, 2048)  # HTML says: within the first 1,024 bytes
    served = CHARSET.search(content_type)
    for name in (served[1] if served else "", declared[1].decode("ascii") if declared else ""):
        name = name.casefold().replace("_", "-")
        name = WEB.get(name, name)
        if CHARSETS.fullmatch(name):
            try:
                return body.decode(name, "replace")
            except LookupError:  # no such code page
                continue
    return body.decode("utf-8", "replace")


def head_of(text: str) -> dict[str, str]:
    """What the head says, by property or name, in small letters; `<title>` and `<base>` as they are called. The first of each counts."""
    said: dict[str, str] = {}
    for name, attributes, inside in tags(text):
        if name == "meta":
            key, value = attributes.get("property") or attributes.get("name") or "", attributes.get("content", "")
            if key and value.strip():
                said.setdefault(key.strip().casefold(), value)
        elif name == "base":
            said.setdefault("<base>", attributes.get("href", ""))
        elif name == "title" and inside.strip():
            said.setdefault("<title>", unescape(inside))
    return said


def tags(text: str) -> Iterator[tuple[str, Mapping[str, str], str]]:
    """The tags of a head that say something, with their attributes, and what stands in those that have text alone."""
    at = seen = 0
    while seen < TAGS_MAX and (at := text.find("<", at)) >= 0:
        if text.startswith("<!--", at):
            at = after(text, "-->", at)
            continue
        found = NAME.match(text, at)
        at += 1
        if found is None:
            continue
        seen += 1
        rest = REST.match(text, found.end(), found.end() + TAG_MAX)
        if rest is None:
            continue
        at, name, inside = rest.end(), found[1].casefold(), ""
        if name in ("body", "/head"):
            return
        if name in RAW:
            end = END[name].search(text, at)
            inside = text[at : end.start() if end else len(text)][:TAG_MAX]
            at = end.end() if end else len(text)
        yield name, {key.casefold(): unescape(a or b or c) for key, a, b, c in ATTRIBUTE.findall(rest[1])}, inside


END = {name: re.compile(f"</{name}", re.IGNORECASE) for name in RAW}


def after(text: str, end: str, at: int) -> int:
    """Where to go on: behind the next `end`, or behind everything."""
    found = text.find(end, at)
    return len(text) if found < 0 else found + len(end)


def first(said: Mapping[str, str], keys: tuple[str, ...], most: int) -> str | None:
    """The first of these that says something, as one line."""
    return next((line for key in keys if (line := one_line(said.get(key, ""), most))), None)


def one_line(text: str, most: int) -> str:
    """A text as it can be shown among others: short, without what cannot be seen or changes how others are read."""
    text = text[: most * 4]
    text = "".join(each for each in text if each.isspace() or (unicodedata.category(each) not in ("Cc", "Cs") and each not in DIRECTIONS))
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def image_of(said: Mapping[str, str], url: str) -> str | None:
    """A picture's link, from where the page says that it is."""
    for key in IMAGES:
        if value := said.get(key, "").strip():
            try:
                return web_link(urljoin(urljoin(url, said.get("<base>", "").strip()), value).replace(" ", "%20"))
            except ValueError:
                continue
    return None
