"""How fast may be written: not faster than it can be handed to the sockets.

Without this the writer commits whatever has arrived when the fan-out of the group before has just begun. With a thousand receivers that
takes so much longer than a commit that the next few posts wait behind it, and the ones after those again: many small groups, each with a
whole fan-out of its own. So the writer waits until the last group is with the sockets' writers, and then for the fraction of that time in
which those who were held up meanwhile come in. Under little load nothing of this is ever waited for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

WAIT_MAX_S = 0.25  # for the fan-out; one that takes longer, or has died, must not keep anybody from writing
GATHER = 0.2  # of the time that the fan-out took
GATHER_MAX_S = 0.005
WORTH_S = 0.001  # a fan-out that takes less is over before anybody has waited


class FanOutPace:
    """See the module.

    Args:
        position: up to which everything is handed out.
    """

    def __init__(self, position: int) -> None:
        self._position = position
        self._moved = asyncio.Event()
        self._took = 0.0
        self._ended = 0.0

    @contextmanager
    def handing_out(self) -> Iterator[None]:
        """Measure a fan-out."""
        began = time.perf_counter()
        yield
        self._ended = time.perf_counter()
        self._took = self._ended - began

    def reached(self, position: int) -> None:
        """All up to here is handed out."""
        self._position = position
        self._moved.set()

    async def keep(self, position: int) -> None:
        """Wait for the fan-out of what was committed up to a position, and for those whom it held up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_MAX_S):
                while self._position < position:
                    self._moved.clear()
                    await self._moved.wait()
        busy = time.perf_counter() - self._ended < self._took
        if busy and self._took > WORTH_S:
            await asyncio.sleep(min(self._took * GATHER, GATHER_MAX_S))
