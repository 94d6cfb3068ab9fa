"""Crust: a team-chat core that other networks plug into."""

__version__ = "0.1.0"
