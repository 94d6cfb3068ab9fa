"""How many connections there may be: fewer than files that may be open.

asyncio that cannot accept for want of a file tries again so often, and logs it so often, that nothing else gets done. So one connection
too many is dropped as soon as it is accepted, while there are still files to open.
"""

from __future__ import annotations

import resource
import time
from contextlib import suppress

from crust.telemetry import get_logger

log = get_logger(__name__)

ACCEPTED = 100  # connections that are accepted at once
RESERVED = 4 * ACCEPTED + 100  # files for what is accepted before it can be turned away, and for all that is no connection
REMIND_S = 10.0  # between two warnings of the same trouble


class Room:
    """Room for connections, as many as this process has files for once it may open as many as it ever may."""

    def __init__(self) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the usual soft limit is 1,024
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.most = max(files - RESERVED, files // 4)
        self._told = -REMIND_S

    def taken(self, connections: int) -> bool:
        """Whether so many leave no room for another; says so in the log now and then."""
        if connections < self.most:
            return False
        if time.monotonic() - self._told >= REMIND_S:
            self._told = time.monotonic()
            log.warning("too many connections: further ones are dropped", connections=self.most)
        return True
