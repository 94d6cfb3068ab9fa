"""What a page says, and what it asks for."""

from __future__ import annotations

from html.parser import HTMLParser


class Page(HTMLParser):
    """Ids, the targets of links, whatever else names an address, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name in ("href", "src", "action", "srcset", "data"):
                (self.links if tag == "a" else self.loaded).append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data
