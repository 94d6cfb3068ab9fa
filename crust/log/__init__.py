"""The event log: the one order of all changes.

log.py        Log: open a change, read back, find the head
writer.py     the one writer: takes turns, commits in groups
way.py        by which way a change has come
change.py     Change: what the code inside a change works with
leases.py     who alone does something, and until when
consumers.py  readers that outlive their process, and their offsets
"""

from crust.log.change import Change, NewEvent
from crust.log.consumers import Consumers, ConsumerState
from crust.log.leases import Lease, LeaseLost, Leases
from crust.log.log import Head, Log, head_of
from crust.log.way import Way, coming

__all__ = ["Change", "ConsumerState", "Consumers", "Head", "Lease", "LeaseLost", "Leases", "Log", "NewEvent", "Way", "coming", "head_of"]
