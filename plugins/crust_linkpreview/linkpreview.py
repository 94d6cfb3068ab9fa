"""Shows what links lead to: title, description and picture of a page, with the message that names it."""

from __future__ import annotations

import hashlib
from urllib.parse import urlsplit

from pydantic import Field

from crust.plugin import (
    Answer,
    Gone,
    Happened,
    HttpRefused,
    Message,
    MessageEdited,
    NotFound,
    Plugin,
    PluginConfig,
    Preview,
    TargetError,
    hookimpl,
)
from crust_linkpreview.links import links_in, web_link
from crust_linkpreview.page import page_of

REDIRECTS = 5
ACCEPTED = {"Accept": "text/html,application/xhtml+xml,image/*;q=0.9"}


class Config(PluginConfig):
    """How far it goes for a preview."""

    links: int = Field(3, ge=1, le=5, description="How many links of a message are tried, until one can be shown")
    seconds: float = Field(5.0, gt=0, le=10, description="Seconds that one page may take")
    page_bytes: int = Field(2_097_152, ge=1024, le=16_777_216, description="The largest page that is looked at, in bytes")
    images: bool = Field(True, description="Whether pictures are named; whoever is shown one asks its server for it")
    keep_hours: float = Field(24.0, gt=0, description="Hours after which a page is asked for again")
    retry_minutes: float = Field(15.0, gt=0, description="Minutes after which a page that could not be shown is")
    ignore: list[str] = Field([], description="Hosts that are never asked, such as example.org, nor those below them")


class LinkPreview(Plugin[Config]):
    """Puts a preview on every message with a link, in public channels and in the private ones that its bot is in."""

    api = 1
    capabilities = frozenset({"read:public", "read:private", "message:preview", "http:request"})

    @hookimpl
    async def on_message_posted(self, event: Happened[Message]) -> None:
        """Look at what is new."""
        await self._show(event.body)

    @hookimpl
    async def on_message_edited(self, event: Happened[MessageEdited]) -> None:
        """Look again: an edit has taken the old preview away. A preview is an edit too, which asks for no other."""
        if event.body.changed != ["preview"]:
            await self._show(event.body)

    async def _show(self, message: Message) -> None:
        if message.type not in ("MESSAGE", "FILE"):
            return
        for link in links_in(message.contents or "", self.ctx.config.links):
            if self._may_ask(link) and (preview := await self._preview(link)) is not None:
                try:
                    await self.ctx.chat.preview(message.id, preview, version=message.version)
                except (NotFound, Gone):
                    self.ctx.log.debug("the message is no longer there to be changed", message=message.id)
                return

    def _may_ask(self, link: str) -> bool:
        host = f".{urlsplit(link).hostname or ''}"
        return not any(host.endswith(f".{each.casefold().strip('.')}") for each in self.ctx.config.ignore)

    async def _preview(self, link: str) -> Preview | None:
        """From memory, or from the page itself. What is kept bears no link: what was said is nobody's to keep."""
        pages, key = self.ctx.store.collection("pages"), hashlib.sha256(link.encode()).hexdigest()
        if (known := await pages.get(key)) is not None:
            return Preview(url=link, **known.body) if known.body else None
        preview = await self._ask(link)
        if preview is None:
            await pages.put(key, {}, ttl=self.ctx.config.retry_minutes * 60)
            return None
        body = {"title": preview.title, "description": preview.description, "image": preview.image}
        await pages.put(key, body, ttl=self.ctx.config.keep_hours * 3600)
        return preview

    async def _ask(self, link: str) -> Preview | None:
        """Ask for the page. Whatever goes wrong is the page's fault, and no reason to keep the channel's next message waiting."""
        config = self.ctx.config
        try:
            answer = await self.ctx.http.request(
                "GET", link, headers=ACCEPTED, redirects=REDIRECTS, timeout=config.seconds, answer_bytes=config.page_bytes
            )
        except (HttpRefused, TargetError) as error:
            self.ctx.log.info("a link has no preview", host=urlsplit(link).hostname, reason=str(error))
            return None
        preview = preview_of(link, answer)
        if preview is not None and not config.images:
            preview = Preview(url=link, title=preview.title, description=preview.description)
        return preview if preview is not None and (preview.title or preview.description or preview.image) else None


def preview_of(link: str, answer: Answer) -> Preview | None:
    """What an answer shows of itself: a page what it says in its head, a picture itself."""
    kind = answer.headers.get("content-type", "").casefold()
    if answer.status != 200:
        return None
    if kind.startswith("image/"):
        return Preview(url=link, image=web_link(answer.url))
    if not kind.startswith(("text/html", "application/xhtml+xml")):
        return None
    page = page_of(answer.body, kind, answer.url)
    return Preview(url=link, title=page.title, description=page.description, image=page.image)
