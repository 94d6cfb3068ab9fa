"""Greets newcomers."""

from crust_welcome.welcome import Config, Welcome

__all__ = ["Config", "Welcome"]
