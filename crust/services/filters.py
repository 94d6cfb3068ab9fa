"""What may have a say before something happens: the services ask, the runtime hands in who answers."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Protocol

from crust.models.database import Row
from crust.services.actor import Actor


@dataclass(frozen=True, slots=True)
class Where:
    """The channel in which it is to happen; `visibility` is its type."""

    organisation_id: int
    channel_id: int
    visibility: str


class Filters(Protocol):
    """Asked before a change, outside of it, after the caller's rights and the request's key were looked at.

    Each method may take some seconds. What concerns nobody is not in `wanted`, and then not asked about at all.

    Raises:
        Rejected: it may not happen; the message is for the caller.
    """

    @property
    def wanted(self) -> Container[str]:
        """The methods, by name, that are worth a call."""
        ...

    async def message_post(self, actor: Actor, where: Where, contents: str, reply_to: int | None, file_name: str | None) -> str:
        """What a new message is to say."""
        ...

    async def message_edit(self, actor: Actor, where: Where, message_id: int, contents: str) -> str:
        """What a message is to say from now on."""
        ...

    async def message_delete(self, actor: Actor, where: Where, message_id: int) -> None:
        """A message is to be removed."""
        ...

    async def upload(self, actor: Actor, where: Where, name: str, size: int, media_type: str) -> None:
        """A file is to be put on a message."""
        ...

    async def channel_join(self, actor: Actor, where: Where) -> None:
        """Somebody is to join by themselves."""
        ...

    async def sign_in(self, user_id: int, username: str, address: str, client_id: str | None) -> None:
        """Somebody is to sign in, whose password was right."""
        ...


class NoFilters:
    """Nobody has a say."""

    wanted: Container[str] = frozenset()

    async def message_post(self, actor: Actor, where: Where, contents: str, reply_to: int | None, file_name: str | None) -> str:
        return contents

    async def message_edit(self, actor: Actor, where: Where, message_id: int, contents: str) -> str:
        return contents

    async def message_delete(self, actor: Actor, where: Where, message_id: int) -> None:
        pass

    async def upload(self, actor: Actor, where: Where, name: str, size: int, media_type: str) -> None:
        pass

    async def channel_join(self, actor: Actor, where: Where) -> None:
        pass

    async def sign_in(self, user_id: int, username: str, address: str, client_id: str | None) -> None:
        pass


def where(channel: Row) -> Where:
    """A channel, as it was read."""
    return Where(channel["organisation_id"], channel["id"], channel["type"])
