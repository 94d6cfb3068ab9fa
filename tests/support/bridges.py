"""A bridge for tests that are not about what it carries: links can be made with it, and nothing crosses them."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any

from crust.runtime import Node
from crust.services.links import Bridge, RoomLink, Wish
from crust.services.standing import channel_row

NAME = "toy"


class Everywhere(AbstractSet[Any]):
    """Of all organisations."""

    def __contains__(self, thing: object) -> bool:
        return True

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0


def bridged(node: Node, user_id: int, name: str = NAME) -> Bridge:
    """Let there be a bridge, whose bot this user is."""
    bridge = Bridge(
        name=name, network=f"{name}.example", user_id=user_id, organisations=Everywhere(), sees=frozenset({"public", "private"}),
        crossings={"edit": "native", "remove": "dropped", "characters": 200}, room=str,
    )  # fmt: skip
    node.core.links.bridges[name] = bridge
    return bridge


async def linked(node: Node, channel_id: int, name: str = NAME) -> RoomLink:
    """A link of a channel with a room of its own, whoever may make it; the bridge's bot does."""
    async with node.log.change() as change:
        row, bridge = await channel_row(node.database, channel_id), node.core.links.bridges[name]
        return await node.core.links.put(change, row, bridge, Wish(room=f"#{channel_id}"), bridge.user_id)
