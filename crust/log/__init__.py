"""The event log: the one order of all changes.

log.py      Log: open a change, read back, find the head
writer.py   the one writer: takes turns, commits in groups
change.py   Change: what the code inside a change works with
"""

from crust.log.change import Change, NewEvent
from crust.log.log import Head, Log, head_of

__all__ = ["Change", "Head", "Log", "NewEvent", "head_of"]
