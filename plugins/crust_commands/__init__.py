"""Small commands for everybody."""

from crust_commands.commands import SmallCommands

__all__ = ["SmallCommands"]
