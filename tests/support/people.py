"""People and places that tests of the services begin with, and the log in short."""

from __future__ import annotations

from collections.abc import AsyncIterator

from crust.events.event import Event
from crust.runtime import Node
from crust.services.actor import Actor
from crust.services.files import Aim
from crust.services.keys import Key
from crust.services.views import ViewedMessage, ViewedUser


async def person(node: Node, name: str, *, is_admin: bool = False) -> Actor:
    """A new account, signed in."""
    user = await node.core.accounts.add(name, password="correct horse", email=f"{name}@example.org", is_admin=is_admin)
    return Actor(int(user.id), name, 1, f"client-{name}", is_admin)


async def organisation(node: Node, owner: Actor, *members: Actor, name: str = "Elsewhere") -> int:
    """A new organisation of a server administrator's, with these members."""
    made = int((await node.core.organisations.create(owner, name, None)).id)
    for member in members:
        await node.core.organisations.invite(owner, made, user_id=member.user_id, email=None, role="member")
    return made


async def channel(
    node: Node, owner: Actor, *members: Actor, type_: str = "public", organisation_id: int | None = None, name: str = "room"
) -> int:
    """A new channel with these members."""
    made = await node.core.channels.create(
        owner, name=name, topic="", type_=type_, organisation_id=organisation_id, members=[m.user_id for m in members], key=None
    )
    return int(made.id)


async def say(node: Node, who: Actor, channel_id: int, text: str = "hi") -> ViewedMessage:
    """A message."""
    return await node.core.messages.post(who, channel_id, text, reply_to=None, client_msg_id=None, key=None)


async def put(
    node: Node, who: Actor, name: str, body: bytes, *, channel_id: int | None = None, message_id: int | None = None, contents: str = "",
    key: Key | None = None,
) -> ViewedMessage:  # fmt: skip
    """A file, put on a message or posted."""
    aim = Aim(channel_id=channel_id, message_id=message_id, contents=contents)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    async with node.core.files.receiving(chunks()) as received:
        return await node.core.files.send(who, aim, received, name, key)


async def show(node: Node, who: Actor, body: bytes) -> ViewedUser:
    """An avatar."""

    async def chunks() -> AsyncIterator[bytes]:
        yield body

    async with node.core.files.receiving(chunks()) as received:
        return await node.core.avatars.put(who, received)


async def position(node: Node) -> int:
    """Where the log ends now."""
    return (await node.log.head()).position


async def events(node: Node, after: int = 0) -> list[Event]:
    """What the log says since."""
    return await node.log.read(after, 10**9, 10_000)


def names(found: list[Event]) -> list[str]:
    """Events in short."""
    return [f"{event.type} {event.event}" for event in found]
