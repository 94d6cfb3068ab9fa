"""Keeps words out of messages."""

from crust_wordfilter.wordfilter import Config, WordFilter

__all__ = ["Config", "WordFilter"]
