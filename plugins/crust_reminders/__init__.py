"""Reminds people of what they asked for."""

from crust_reminders.reminders import Config, Reminders

__all__ = ["Config", "Reminders"]
