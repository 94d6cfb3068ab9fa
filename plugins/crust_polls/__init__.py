"""Polls, voted on by reactions."""

from crust_polls.polls import Config, Polls

__all__ = ["Config", "Polls"]
