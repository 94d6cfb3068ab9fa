"""A command for tests that need one, and no plugin."""

from __future__ import annotations

from crust.host.commands import HostedCommands, NewCommands, Owner
from crust.plugin import Invocation
from crust.runtime import Node


async def hello(call: Invocation, *names: str) -> str:
    return f"Hello {' '.join(names) or call.user.username}"


def offer(node: Node, *commands: str) -> None:
    """Let everybody run `/hello`, or the same by these names."""
    made, host = NewCommands(), HostedCommands(node.core, node.metrics)
    for name in commands or ("hello",):
        made.add(name, hello, help="Says hello.")
    assert not made.problems
    host.add(Owner("host", None), made.commands)
    node.core.commands.host = host
