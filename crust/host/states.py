"""Where the states of instances are kept for operators, whichever process they live in."""

from __future__ import annotations

from crust.clock import Clock
from crust.host.store import Store
from crust.models.database import Database

HOST = "host"  # whose documents they are; no instance has that name
STATES = "plugins"  # the collection
RESTARTS = "restarts"  # the collection of what operators want to be begun again
BRIDGES = "bridges"  # that of what bridges say of themselves, by instance, and by instance/link
LEASE = "plugin/"  # before an instance's name: the lease under which it lives
EVENTS = ("on_", "send_", "link_")  # how hooks begin that are called with events
MOST = 65_536  # bytes of one


def states_of(database: Database, clock: Clock) -> Store:
    """The documents that tell of the states, by the names of the instances: state, reason, node, since."""
    return Store(database, clock, HOST, {}, MOST)
