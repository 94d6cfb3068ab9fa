"""What a plugin has as `self.ctx`. These are promises; the host keeps them."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Protocol, TypeVar

from crust.events.objects import Channel, Message, Preview, User

C_co = TypeVar("C_co", covariant=True)

Scalar = str | int | bool
Wanted = Scalar | tuple[Scalar | None, Scalar | None]


class Logger(Protocol):
    """Structured: a text that stays the same, and what differs by name."""

    def debug(self, event: str, *args: Any, **values: Any) -> Any: ...
    def info(self, event: str, *args: Any, **values: Any) -> Any: ...
    def warning(self, event: str, *args: Any, **values: Any) -> Any: ...
    def error(self, event: str, *args: Any, **values: Any) -> Any: ...


class Chat(Protocol):
    """The core, as the instance's bot. What the bot may not do, and what the plugin's capabilities do not name, is `Forbidden`.

    In a handler of an event everything that changes something is keyed by itself: when the handler runs again, the same call does nothing
    and gives the first result. Elsewhere (`run`, tasks) a `key` of the author's does the same; without one each call counts. Same calls
    of one handler, to the same target, are told apart by their order, so let it not depend on chance.
    """

    async def post(self, channel_id: str, contents: str, *, reply_to: str | None = None, key: str | None = None) -> str:
        """Say something in a channel that the bot is in; gives the message's id. Takes message:post.

        Raises:
            Invalid, TooLarge, NotFound, Forbidden, Gone: as the API's `POST /message/post`.
            Rejected: a filter refused it.
            Unavailable: it is not known whether it was stored.
        """
        ...

    async def upload(
        self, channel_id: str, name: str, body: bytes, contents: str = "", *, reply_to: str | None = None, key: str | None = None
    ) -> str:
        """Post a file, with or without words, in a channel that the bot is in; gives the message's id. Takes file:upload.

        Errors are those of `post`; TooLarge also where the file is larger than the setting `files.upload_bytes`, Invalid where it is empty.
        """
        ...

    async def edit(self, message_id: str, contents: str, *, key: str | None = None) -> None:
        """Let a message of the bot's say something else. Takes message:edit. Errors are those of `post`."""
        ...

    async def remove(self, message_id: str, *, key: str | None = None) -> None:
        """Take a message away; one that is gone already is no error. Takes message:remove. Errors are those of `post`."""
        ...

    async def react(self, message_id: str, emoji: str, *, key: str | None = None) -> None:
        """Put an emoji on a message. Takes reaction:add. Errors are those of `post`."""
        ...

    async def unreact(self, message_id: str, emoji: str, *, key: str | None = None) -> None:
        """Take it away again. Takes reaction:add. Errors are those of `post`."""
        ...

    async def preview(self, message_id: str, preview: Preview | None, *, version: int | None = None, key: str | None = None) -> None:
        """Show with a message of anybody's what a link in it leads to; None: nothing any more. Takes message:preview.

        It is no new version of the message. An edit of what the message says takes the preview away.

        Args:
            version: of the message, for which it was made; if the message is at another by now, nothing is done.

        Raises:
            Invalid: its links are none of http or https, or its texts are too long (300 characters of title, 1,000 of description).
            NotFound, Gone: as of `post`.
        """
        ...

    async def join(self, channel_id: str) -> None:
        """Join a public channel; again is no error. Takes channel:join. Errors are those of `post`."""
        ...

    async def direct(self, user_id: str) -> str:
        """The direct channel of the bot and somebody, made if there is none; gives its id. Takes channel:direct. Errors as of `post`."""
        ...

    async def message(self, message_id: str) -> Message:
        """A message, where the bot sees it.

        Raises:
            NotFound: there is none, or it is not the bot's to see.
        """
        ...

    async def link(self, message_id: str) -> str:
        """The address of a page by which anybody reads the whole message, until the link expires or the message is removed.

        Takes link:public. Made again on the same day it is the same.

        Raises:
            NotFound: there is no such message, or it is not the bot's to see.
        """
        ...

    async def channel(self, channel_id: str) -> Channel:
        """A channel. Errors as in `message`."""
        ...

    async def user(self, user_id: str) -> User:
        """Somebody who shares an organisation with the bot. Errors as in `message`."""
        ...

    @property
    def user_id(self) -> str:
        """The bot's own."""
        ...


class Document(Protocol):
    """What is kept under a key. `version` is another after every write."""

    @property
    def key(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def body(self) -> Mapping[str, Any]: ...


class Collection(Protocol):
    """Documents of one kind: JSON objects by key."""

    async def get(self, key: str) -> Document | None:
        """A document; None, if there is none or it has expired."""
        ...

    async def find(
        self, where: Mapping[str, Wanted] | None = None, *, order: str | None = None, descending: bool = False, limit: int = 100
    ) -> Sequence[Document]:
        """Documents by fields that the plugin's `collections` declare: field → the value, or the lowest and the highest one."""
        ...

    async def put(self, key: str, body: Mapping[str, Any], *, ttl: float | None = None) -> Document:
        """Keep a document, for `ttl` seconds or for ever.

        Raises:
            Invalid: it is no JSON object, or too large.
        """
        ...

    async def cas(self, key: str, version: int | None, body: Mapping[str, Any], *, ttl: float | None = None) -> Document:
        """The same, if the document has this version still; None: if there is none.

        Raises:
            Conflict: it has another.
        """
        ...

    async def delete(self, key: str) -> bool:
        """Remove a document; gives whether there was one."""
        ...


class Store(Protocol):
    """The instance's own documents. What a handler writes is stored with its end, once, or not at all; elsewhere at once."""

    def collection(self, name: str) -> Collection:
        """The collection of that name; it need not be made."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[None]:
        """Outside of handlers: write everything at the end of the block, or nothing (`Conflict`, if others wrote what was read)."""
        ...


class Files(Protocol):
    """Files on messages."""

    async def read(self, file_id: str, *, most: int = 1_048_576) -> bytes:
        """The bytes of an attachment, where the bot sees its message. Takes file:read.

        Raises:
            NotFound: it is not there, or not the bot's to see.
            TooLarge: it has more than `most` bytes.
        """
        ...

    async def link(self, file_id: str) -> str:
        """The address by which anybody has an attachment, as `Chat.link` for a message. Takes link:public.

        Raises:
            NotFound: it is not there, or not the bot's to see.
        """
        ...


class HttpRefused(Exception):
    """A request that may not be sent (to this address, in this form), or whose answer is too long. The same again is refused again."""


class Answer(Protocol):
    """What came back, of any status. `headers` are by lower-case name; `url` is what answered, after redirects."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...
    @property
    def url(self) -> str: ...


class Http(Protocol):
    """The one client for outgoing HTTP. It reaches public addresses only."""

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None, redirects: int = 0,
        timeout: float = 10.0, answer_bytes: int = 1_048_576,
    ) -> Answer:  # fmt: skip
        """Send a request. Takes http:request.

        Args:
            redirects: how many to follow, at most.
            timeout: seconds, for everything.
            answer_bytes: the longest body that is taken.

        Raises:
            HttpRefused: see there.
            TargetError: nobody answered in time; raised on, the lane waits and tries again.
        """
        ...


class Tasks(Protocol):
    """Work that outlives the handler which begins it."""

    def start(self, work: Coroutine[Any, Any, Any], *, name: str) -> None:
        """Run it beside everything else, until the instance ends here. What it raises is logged; what it writes is stored at once."""
        ...


class Context(Protocol[C_co]):
    """What a plugin has."""

    @property
    def name(self) -> str:
        """The instance's."""
        ...

    @property
    def config(self) -> C_co: ...
    @property
    def log(self) -> Logger: ...
    @property
    def chat(self) -> Chat: ...
    @property
    def store(self) -> Store: ...
    @property
    def files(self) -> Files: ...
    @property
    def http(self) -> Http: ...
    @property
    def tasks(self) -> Tasks: ...

    def now(self) -> datetime:
        """The time, in UTC; the one that tests can move."""
        ...
